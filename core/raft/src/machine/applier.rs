//! The thread that applies: takes what is committed, changes the store, answers, and makes checkpoints.

use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use openraft::storage::ApplyResponder;
use quorate_store::{AppliedMark, ApplyBatch, CommandWithTime, Outcome, Received, Store};
use tokio::sync::watch;

use super::queue::{ApplyQueue, Request, Taken, Waited, entry_bytes};
use crate::config::ApplyLimits;
use crate::encoding::{self, AppliedState};
use crate::fault::{Fault, FaultCell};
use crate::log::LogStore;
use crate::types::{EntryPayload, Outcomes, StoredMembership, TypeConfig};

/// How long to leave compaction alone while a snapshot is made.
const HELD: Duration = Duration::from_millis(100);

type Responder = ApplyResponder<TypeConfig>;

/// Applies entries to the store. Owned by its thread.
pub(crate) struct Applier {
    pub(crate) store: Store,
    pub(crate) log: LogStore,
    pub(crate) queue: Arc<ApplyQueue>,
    pub(crate) limits: ApplyLimits,
    pub(crate) cluster_id: u64,
    pub(crate) fault: FaultCell,
    /// What is applied, durable or not.
    pub(crate) state: AppliedState,
    /// Tells the index up to which entries are applied.
    pub(crate) applied: watch::Sender<Option<u64>>,
    /// Tells what the last checkpoint has.
    pub(crate) durable: watch::Sender<AppliedState>,
    /// Since when there is something no checkpoint has, and how much.
    pub(crate) dirty: Option<Dirty>,
    /// Whether compacted rows may be left to remove: some at a time, between transactions.
    pub(crate) compacting: bool,
}

/// What the next checkpoint is for.
#[derive(Clone, Copy)]
pub(crate) struct Dirty {
    since: Instant,
    bytes: usize,
}

/// The applier's thread. Dropping it ends the thread, without a checkpoint.
pub(crate) struct ApplierThread {
    queue: Arc<ApplyQueue>,
    thread: Option<JoinHandle<()>>,
}

impl ApplierThread {
    /// Starts the thread.
    pub(crate) fn start(applier: Applier) -> std::io::Result<Self> {
        let queue = Arc::clone(&applier.queue);
        let thread = thread::Builder::new()
            .name("quorate-apply".to_owned())
            .spawn(move || applier.run())?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }
}

impl Drop for ApplierThread {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // Its panics are reported by itself.
            let _ = thread.join();
        }
    }
}

/// Closes the queue when the applier ends, however it ends.
struct Ends {
    queue: Arc<ApplyQueue>,
    fault: FaultCell,
}

impl Drop for Ends {
    fn drop(&mut self) {
        if thread::panicking() {
            self.fault
                .report(Fault::Consensus("the applier panicked".to_owned()));
        }
        self.queue.close();
    }
}

impl Applier {
    fn run(mut self) {
        let _ends = Ends {
            queue: Arc::clone(&self.queue),
            fault: self.fault.clone(),
        };
        if let Err(fault) = self.work() {
            self.fault.report(fault);
        }
    }

    fn work(&mut self) -> Result<(), Fault> {
        let mut entries: Vec<Waited> = Vec::new();
        loop {
            match self.queue.take(&mut entries, self.next_duty()) {
                Taken::Entries => {
                    self.apply(&mut entries)?;
                    // Whether it compacts is for the store to know; asking costs nothing.
                    self.compacting = true;
                }
                Taken::Request(request) => self.answer(request)?,
                Taken::Nothing => {}
                Taken::Closed => return Ok(()),
            }
            if self.compacting {
                self.compacting = self.store.compaction_step().map_err(Fault::Store)?;
            }
            if self.checkpoint_is_due() {
                self.checkpoint()?;
            }
        }
    }

    /// When there is something to do even if nothing is committed.
    fn next_duty(&self) -> Option<Instant> {
        if self.compacting {
            let held = self.store.compaction_is_held();
            return Some(Instant::now() + if held { HELD } else { Duration::ZERO });
        }
        self.dirty
            .map(|dirty| dirty.since + self.limits.checkpoint_interval)
    }

    fn checkpoint_is_due(&self) -> bool {
        self.dirty.is_some_and(|dirty| {
            dirty.bytes >= self.limits.checkpoint_bytes
                || dirty.since.elapsed() >= self.limits.checkpoint_interval
        })
    }

    fn answer(&mut self, request: Request) -> Result<(), Fault> {
        match request {
            Request::Applied(answer) => {
                // Who asked may be gone; so for the other.
                let _ = answer.send(self.state.clone());
            }
            Request::Checkpoint(answer) => {
                self.checkpoint()?;
                let _ = answer.send(());
            }
            Request::Install(received, state, answer) => {
                self.install(*received, state)?;
                let _ = answer.send(());
            }
        }
        Ok(())
    }

    /// Takes another member's state over. It is durable, so there is nothing left for a checkpoint.
    fn install(&mut self, received: Received, state: AppliedState) -> Result<(), Fault> {
        if state.last_applied <= self.state.last_applied {
            // Applied meanwhile.
            return Ok(());
        }
        // What consensus has cut off the log before it came to this must not come back after a crash: it may conflict
        // with the new state.
        self.log.sync().map_err(Fault::Log)?;
        let mark = self.store.install(received).map_err(Fault::Store)?;
        tracing::info!(entry = mark.index, "took over a snapshot");
        self.state = state;
        self.dirty = None;
        self.compacting = true;
        self.durable.send_replace(self.state.clone());
        self.applied.send_replace(Some(mark.index));
        Ok(())
    }

    /// Applies entries in one transaction, then answers those who wait for them.
    fn apply(&mut self, entries: &mut Vec<Waited>) -> Result<(), Fault> {
        let mut commands = Vec::new();
        let mut waiting = Vec::with_capacity(entries.len());
        let mut bytes = 0;
        for (entry, responder) in entries.drain(..) {
            bytes += entry_bytes(&entry);
            let id = entry.log_id;
            let before = commands.len();
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Membership(membership) => {
                    self.state.membership = StoredMembership::new(Some(id), membership);
                }
                EntryPayload::Normal(payload) => {
                    let batch = payload
                        .into_batch()
                        .map_err(|error| Fault::Damaged(format!("log entry {id}: {error}")))?;
                    let proposed_at_ms = batch.proposed_at_ms;
                    commands.extend(batch.commands.into_iter().map(|command| CommandWithTime {
                        command,
                        proposed_at_ms,
                    }));
                }
            }
            self.state.last_applied = Some(id);
            if let Some(responder) = responder {
                waiting.push((responder, before..commands.len()));
            }
        }
        let Some(last) = self.state.last_applied else {
            return Ok(());
        };
        let mark = AppliedMark {
            index: last.index,
            raft_state: encoding::encode_applied(self.cluster_id, &self.state),
        };
        let outcomes = self
            .store
            .apply(ApplyBatch { commands, mark })
            .map_err(Fault::Store)?;
        self.applied.send_replace(Some(last.index));
        answer(waiting, outcomes);
        let dirty = self.dirty.get_or_insert_with(|| Dirty {
            since: Instant::now(),
            bytes: 0,
        });
        dirty.bytes += bytes;
        Ok(())
    }

    /// Makes durable what is applied; the log first, so that the state is never ahead of it.
    fn checkpoint(&mut self) -> Result<(), Fault> {
        if self.dirty.is_none() {
            return Ok(());
        }
        if let Some(last) = self.state.last_applied {
            self.log.wait_flushed(last.index).map_err(Fault::Log)?;
        }
        self.store.checkpoint().map_err(Fault::Store)?;
        self.dirty = None;
        self.durable.send_replace(self.state.clone());
        Ok(())
    }
}

/// Gives each who waits the outcomes of their entry's commands.
fn answer(waiting: Vec<(Responder, Range<usize>)>, outcomes: Vec<Outcome>) {
    let mut outcomes = outcomes.into_iter();
    let mut next = 0;
    for (responder, range) in waiting {
        // Entries in between are of other leaders: nobody here waits for them.
        let skipped = range.start - next;
        next = range.end;
        let own = outcomes.by_ref().skip(skipped).take(range.len());
        responder.send(Outcomes(own.collect()));
    }
}
