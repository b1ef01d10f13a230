//! Proposals: everything that waits becomes one batch, and a batch is one log entry.
//!
//! There is no task in between. Whoever finds fewer than the allowed batches under way takes what waits and
//! proposes it: on an idle node that is the caller itself, with its own command alone; on a busy one it is
//! whoever answers a batch, with all that arrived since.

mod queue;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt as _;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use parking_lot::Mutex;
use prost::Message as _;
use quorate_proto::log::{Command, CommandBatch};
use quorate_store::{Outcome, Reply};
use tokio::sync::{Notify, oneshot};

use self::queue::{Pending, Queue};
use crate::config::NodeConfig;
use crate::error::ProposeError;
use crate::fault::FaultCell;
use crate::types::{Callback, Outcomes, Payload, Raft, TypeConfig};

/// What a command takes in a batch beside its own bytes: a tag and a length.
const FRAMING: usize = 8;
/// What a batch takes in a log entry beside its commands: the entry's id, the time, tags and lengths.
const ENTRY_FRAMING: usize = 128;

type Answer = Result<Reply, ProposeError>;
type Replier = oneshot::Sender<Answer>;

/// Takes commands, proposes them in batches, answers each. A cheap handle.
#[derive(Clone)]
pub(crate) struct Proposer {
    shared: Arc<Shared>,
}

struct Shared {
    raft: Raft,
    answer_within: Duration,
    /// The largest command the log takes.
    largest: usize,
    fault: FaultCell,
    queue: Mutex<Queue<Replier>>,
    /// Told when the last batch is answered and nothing waits.
    drained: Notify,
}

impl Proposer {
    pub(crate) fn new(raft: Raft, config: &NodeConfig, fault: FaultCell) -> Self {
        let largest = config.wal.largest_payload().saturating_sub(ENTRY_FRAMING);
        let mut limits = config.limits.propose.clone();
        // A batch that the log refuses would end the node.
        limits.batch_bytes = limits.batch_bytes.min(largest);
        let shared = Shared {
            raft,
            answer_within: config.timing.answer,
            largest,
            fault,
            queue: Mutex::new(Queue::new(limits)),
            drained: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Proposes a command and waits for its outcome. Dropping the future withdraws a command that still waits
    /// for a batch; one that is under way takes effect or not.
    pub(crate) async fn propose(&self, command: Command) -> Answer {
        let bytes = command.encoded_len() + FRAMING;
        if bytes > self.shared.largest {
            return Err(ProposeError::TooLarge {
                bytes,
                limit: self.shared.largest,
            });
        }
        let (reply, answered) = oneshot::channel();
        let pending = Pending {
            command,
            bytes,
            reply,
        };
        let batch = {
            let mut queue = self.shared.queue.lock();
            if queue.is_closed() {
                drop(queue);
                return Err(self.shared.down());
            }
            if !queue.push(pending) {
                return Err(ProposeError::TooManyRequests);
            }
            queue.begin_batch(Replier::is_closed)
        };
        if let Some(batch) = batch {
            Shared::submit(&self.shared, batch);
        }
        match tokio::time::timeout(self.shared.answer_within, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(self.shared.down())),
            Err(_) => Err(ProposeError::Timeout),
        }
    }

    /// Takes no more commands, and waits until those it took are answered.
    pub(crate) async fn drain(&self) {
        let drained = self.shared.drained.notified();
        tokio::pin!(drained);
        // Registered before looking, so that the last answer in between is not missed.
        drained.as_mut().enable();
        let is_idle = {
            let mut queue = self.shared.queue.lock();
            queue.close();
            queue.is_idle()
        };
        if !is_idle {
            drained.await;
        }
    }

    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        self.shared.queue.lock().waiting()
    }

    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.queue.lock().is_closed()
    }

    /// Takes no more commands, and answers those that wait.
    pub(crate) fn close(&self) {
        self.shared.close();
    }
}

impl Shared {
    fn down(&self) -> ProposeError {
        self.fault
            .get()
            .map_or(ProposeError::Stopped, ProposeError::Fault)
    }

    fn close(&self) {
        let waiting = {
            let mut queue = self.queue.lock();
            queue.close();
            queue.take_all()
        };
        for pending in waiting {
            // Those who gave up are gone.
            let _ = pending.reply.send(Err(self.down()));
        }
    }

    /// Proposes a batch. Its answer comes by callback, from whichever thread has it.
    fn submit(shared: &Arc<Self>, batch: Vec<Pending<Replier>>) {
        let (commands, replies) = batch
            .into_iter()
            .map(|pending| (pending.command, pending.reply))
            .unzip();
        let batch = CommandBatch {
            commands,
            proposed_at_ms: wall_clock_ms(),
        };
        let payload = Payload::propose(batch);
        let waiters = Waiters {
            replies,
            shared: Arc::clone(shared),
            answered: false,
        };
        let callback = Callback::new(move |result| waiters.answer(result));
        // The channel to the core holds thousands of messages, and a few batches are under way at most: there is
        // always room, so the future is ready at once. Outside of tokio's budget, which could make it wait. If
        // it isn't ready, the core has stopped; the callback is dropped then, which answers.
        let sent = tokio::task::unconstrained(shared.raft.client_write_ff(payload, Some(callback)));
        drop(sent.now_or_never());
    }
}

/// Those who wait for one batch. They are answered in any case: by the outcome, or when this is dropped.
struct Waiters {
    replies: Vec<Replier>,
    shared: Arc<Shared>,
    answered: bool,
}

impl Waiters {
    fn answer(mut self, result: ClientWriteResult<TypeConfig>) {
        self.answered = true;
        // The next batch first, so that it is written while these are woken.
        let next = {
            let mut queue = self.shared.queue.lock();
            queue.end_batch();
            let next = queue.begin_batch(Replier::is_closed);
            if queue.is_closed() && queue.is_idle() {
                self.shared.drained.notify_waiters();
            }
            next
        };
        if let Some(batch) = next {
            Shared::submit(&self.shared, batch);
        }
        let replies = std::mem::take(&mut self.replies);
        match result {
            Ok(response) => {
                let Outcomes(outcomes) = response.data;
                debug_assert_eq!(outcomes.len(), replies.len());
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // Those who gave up are gone.
                    let _ = reply.send(outcome_to_answer(outcome));
                }
            }
            Err(error) => {
                let error = refused(&error);
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        // Consensus dropped the batch: it has stopped.
        for reply in self.replies.drain(..) {
            let _ = reply.send(Err(self.shared.down()));
        }
        self.shared.close();
        self.shared.queue.lock().end_batch();
        self.shared.drained.notify_waiters();
    }
}

fn outcome_to_answer(outcome: Outcome) -> Answer {
    outcome.map_err(ProposeError::Etcd)
}

fn refused(error: &ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => ProposeError::NoLeader {
            leader: forward.leader_id,
        },
        // Only membership changes and conditional writes end otherwise, and these are neither.
        _ => ProposeError::LeaderChanged,
    }
}

/// Unix time in milliseconds. The state machine never lets it go back.
fn wall_clock_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
