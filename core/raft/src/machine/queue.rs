//! What waits to be applied.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use openraft::storage::ApplyResponder;
use parking_lot::{Condvar, Mutex};
use quorate_store::Received;
use tokio::sync::oneshot;

use crate::config::ApplyLimits;
use crate::encoding::AppliedState;
use crate::types::{Entry, EntryPayload, TypeConfig};

/// Something for the applier, in the order of the log.
pub(crate) enum Item {
    /// A committed entry, and who waits for its outcome.
    Entry(Entry, Option<ApplyResponder<TypeConfig>>),
    /// A question, answered when all before is applied.
    Request(Request),
}

/// What the applier is asked.
pub(crate) enum Request {
    /// How far is the state?
    Applied(oneshot::Sender<AppliedState>),
    /// Make it durable now.
    Checkpoint(oneshot::Sender<()>),
    /// Take another member's over, which is so far.
    Install(Box<Received>, AppliedState, oneshot::Sender<()>),
}

/// An entry with who waits for its outcome.
pub(super) type Waited = (Entry, Option<ApplyResponder<TypeConfig>>);

/// What [`ApplyQueue::take`] found.
pub(super) enum Taken {
    /// Entries, now in the caller's buffer.
    Entries,
    Request(Request),
    /// Nothing until the time given.
    Nothing,
    /// The queue is closed.
    Closed,
}

/// The queue between consensus and the applier.
pub(crate) struct ApplyQueue {
    limits: ApplyLimits,
    state: Mutex<State>,
    /// The applier waits here.
    work: Condvar,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    closed: bool,
    /// Consensus waits here for room.
    waits_for_room: Vec<oneshot::Sender<()>>,
}

/// Size of an entry, as the limits count it.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(payload) => payload.encoded().len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

impl ApplyQueue {
    pub(crate) fn new(limits: ApplyLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            state: Mutex::default(),
            work: Condvar::new(),
        })
    }

    /// Queues items, however many; false if the queue is closed. See [`has_room`](Self::has_room).
    pub(crate) fn push(&self, items: impl IntoIterator<Item = Item>) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        for item in items {
            if let Item::Entry(entry, _) = &item {
                state.bytes += entry_bytes(entry);
            }
            state.items.push_back(item);
        }
        drop(state);
        self.work.notify_one();
        true
    }

    /// Waits until less than the limit is queued; an error if the queue was closed meanwhile.
    pub(crate) async fn has_room(&self) -> Result<(), oneshot::error::RecvError> {
        let room = {
            let mut state = self.state.lock();
            if state.bytes <= self.limits.queued_bytes {
                return Ok(());
            }
            let (room, has_room) = oneshot::channel();
            // Dropped unheard if closed: an error for the receiver.
            if !state.closed {
                state.waits_for_room.push(room);
            }
            has_room
        };
        room.await
    }

    /// Takes what one transaction should apply, or one request; waits until `until` if there is nothing, for
    /// ever without it.
    pub(super) fn take(&self, into: &mut Vec<Waited>, until: Option<Instant>) -> Taken {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Taken::Closed;
            }
            if let Some(taken) = self.take_now(&mut state, into) {
                return taken;
            }
            match until {
                None => self.work.wait(&mut state),
                Some(until) => {
                    if self.work.wait_until(&mut state, until).timed_out()
                        && state.items.is_empty()
                        && !state.closed
                    {
                        return Taken::Nothing;
                    }
                }
            }
        }
    }

    fn take_now(&self, state: &mut State, into: &mut Vec<Waited>) -> Option<Taken> {
        let mut bytes = 0;
        while into.len() < self.limits.batch_entries && bytes < self.limits.batch_bytes {
            match state.items.pop_front() {
                Some(Item::Entry(entry, responder)) => {
                    bytes += entry_bytes(&entry);
                    into.push((entry, responder));
                }
                Some(Item::Request(request)) if into.is_empty() => {
                    return Some(Taken::Request(request));
                }
                Some(request) => {
                    state.items.push_front(request);
                    break;
                }
                None => break,
            }
        }
        state.bytes -= bytes;
        if state.bytes <= self.limits.queued_bytes {
            for waiting in state.waits_for_room.drain(..) {
                // Consensus was stopped while it waited.
                let _ = waiting.send(());
            }
        }
        (!into.is_empty()).then_some(Taken::Entries)
    }

    /// Takes nothing more; what waits is dropped, which tells those who wait for it.
    pub(crate) fn close(&self) {
        let dropped = {
            let mut state = self.state.lock();
            state.closed = true;
            state.waits_for_room.clear();
            std::mem::take(&mut state.items)
        };
        self.work.notify_all();
        drop(dropped);
    }
}
