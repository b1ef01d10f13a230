//! One client's stream of watches: requests in, responses out.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::sync::Notify;

use super::create::{self, NO_WATCHER};
use super::history::{self, Read};
use super::queue::{Delivery, Mode, Next, Queue, Watcher};
use super::response;
use crate::error::StoreFault;
use crate::range::header;
use crate::store::{Shared, Store};

/// What a stream may hold.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// Watchers in one stream; more are refused.
    pub watchers: usize,
    /// Answers to requests that wait to be sent; a client that asks on without reading them
    /// loses its stream.
    pub answers: usize,
    /// Changes that wait to be sent, one per revision and watcher. Beyond, watchers read the
    /// history instead.
    pub buffered_changes: usize,
    /// Bytes of these changes, likewise. Streams share them.
    pub buffered_bytes: usize,
    /// Responses larger than this are sent in parts to watchers that ask for it, in bytes. etcd
    /// uses its largest request plus 512 KiB.
    pub fragment_bytes: usize,
    /// Events put into one response at most, as long as no revision is split for it.
    pub response_events: usize,
    /// Bytes of events put into one response at most, likewise.
    pub response_bytes: usize,
    /// Rows of the history looked at in one go; it bounds how long a runtime's thread is kept.
    pub history_rows: usize,
    /// If a range has no more keys than this, the index says where its history is; otherwise
    /// all rows are looked at.
    pub indexed_keys: usize,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            watchers: 100_000,
            answers: 100_000,
            buffered_changes: 1024,
            buffered_bytes: 4 << 20,
            fragment_bytes: 2 << 20,
            response_events: 1000,
            response_bytes: 1 << 20,
            history_rows: 4096,
            indexed_keys: 64,
        }
    }
}

/// The client asks on without reading its answers; end the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many watch requests without reading their answers")]
pub struct StreamOverrun;

/// A stream's part that the hub knows.
pub(super) struct Inbox {
    pub(super) number: u64,
    pub(super) queue: Mutex<Queue>,
    limits: WatchLimits,
    wake: Notify,
}

impl Inbox {
    /// Has the stream look again.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes a delivery from the hub; returns the watchers that lag from now on.
    pub(super) fn deliver(&self, delivery: Delivery) -> Vec<i64> {
        let lagging = self.queue.lock().deliver(delivery, &self.limits);
        self.wake.notify_one();
        lagging
    }
}

/// All watches of one client stream; from [`Store::watch_stream`]. Headers carry the revision
/// only. Dropping it ends its watches.
///
/// [`Self::request`] and [`Self::next`] may be called from different tasks, of any runtime.
pub struct WatchStream {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
}

impl Store {
    /// Opens a stream without watches.
    #[must_use]
    pub fn watch_stream(&self, limits: WatchLimits) -> WatchStream {
        let make = |number| {
            Arc::new(Inbox {
                number,
                queue: Mutex::new(Queue::default()),
                limits,
                wake: Notify::new(),
            })
        };
        let inbox = self.shared.hub.known.lock().add_stream(make);
        WatchStream {
            shared: self.shared.clone(),
            inbox,
        }
    }
}

/// What one look at the queue came to.
enum Look {
    Response(WatchResponse),
    /// There is more to do, but nothing to send yet.
    Again,
    Nothing,
}

impl WatchStream {
    /// Creates or cancels a watch, or asks for progress. Does not block; answers, refusals
    /// too, come through [`Self::next`].
    ///
    /// # Errors
    /// Too many answers wait to be read.
    pub fn request(&self, request: WatchRequest) -> Result<(), StreamOverrun> {
        match request.request_union {
            // etcd ignores requests it does not know.
            None => Ok(()),
            Some(RequestUnion::CreateRequest(request)) => self.create(request),
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => {
                self.inbox.queue.lock().progress_requested = true;
                self.inbox.wake.notify_one();
                Ok(())
            }
        }
    }

    /// How many changes wait in memory.
    #[cfg(test)]
    pub(crate) fn queued_changes(&self) -> usize {
        self.inbox.queue.lock().changes()
    }

    fn answer(&self, queue: &mut Queue, answer: WatchResponse) -> Result<(), StreamOverrun> {
        if queue.answers() >= self.inbox.limits.answers {
            return Err(StreamOverrun);
        }
        queue.answer(answer);
        self.inbox.wake.notify_one();
        Ok(())
    }

    fn create(&self, request: WatchCreateRequest) -> Result<(), StreamOverrun> {
        let mut known = self.shared.hub.known.lock();
        let mut queue = self.inbox.queue.lock();
        let revision = known.revision;
        let made = create::watcher(request, &mut queue, revision, &self.inbox.limits);
        self.answer(
            &mut queue,
            create::answer(made.as_ref().map(|(id, _)| *id).map_err(|e| *e), revision),
        )?;
        if let Ok((id, watcher)) = made {
            match watcher.mode {
                Mode::Live => known.insert(id, &watcher, &self.inbox),
                Mode::Lagging { .. } => queue.lag(id),
            }
            queue.watchers.insert(id, watcher);
        }
        Ok(())
    }

    fn cancel(&self, id: i64) -> Result<(), StreamOverrun> {
        let mut known = self.shared.hub.known.lock();
        let mut queue = self.inbox.queue.lock();
        let Some(watcher) = queue.remove(id) else {
            return Ok(());
        };
        if watcher.mode == Mode::Live {
            known.remove(id, &watcher, &self.inbox);
        }
        self.answer(
            &mut queue,
            WatchResponse {
                header: header(known.revision),
                watch_id: id,
                canceled: true,
                ..WatchResponse::default()
            },
        )
    }

    /// Call it at every progress interval (etcd's is 10 min, with jitter): a watcher that asked
    /// for it, and was told nothing since the last tick, is told the revision it is complete to.
    pub fn progress_tick(&self) {
        let mut queue = self.inbox.queue.lock();
        let mut due = BTreeSet::new();
        for (&id, watcher) in &mut queue.watchers {
            if watcher.progress_notify && std::mem::replace(&mut watcher.quiet, true) {
                due.insert(id);
            }
        }
        if !due.is_empty() {
            queue.progress_due.append(&mut due);
            self.inbox.wake.notify_one();
        }
    }

    /// The next response; waits until there is one. One caller at a time. Safe to drop: a
    /// response is either returned, or still there.
    ///
    /// Reading the history happens in here, in pieces of about a thousand events or a MiB.
    pub async fn next(&self) -> WatchResponse {
        loop {
            match self.look() {
                Look::Response(response) => return response,
                Look::Again => Yield(false).await,
                // A wake-up between the look and this await is kept as a permit.
                Look::Nothing => self.inbox.wake.notified().await,
            }
        }
    }

    fn look(&self) -> Look {
        let mut queue = self.inbox.queue.lock();
        match queue.take(&self.inbox.limits) {
            Next::Response(response) => Look::Response(response),
            Next::Changes(deliveries) => {
                // Not there any more: it was cancelled, and its deliveries with it.
                let watcher = queue.watchers.get(&deliveries[0].id).cloned();
                drop(queue);
                watcher.map_or(Look::Again, |watcher| self.respond(&watcher, &deliveries))
            }
            Next::History(id) => {
                let watcher = queue.watchers.get(&id).cloned();
                drop(queue);
                watcher.map_or(Look::Again, |watcher| self.read_on(id, &watcher))
            }
            Next::Nothing if queue.progress_requested || !queue.progress_due.is_empty() => {
                drop(queue);
                self.tell_progress()
            }
            Next::Nothing => Look::Nothing,
        }
    }

    fn respond(&self, watcher: &Watcher, deliveries: &[Delivery]) -> Look {
        match response::of_deliveries(&self.shared.view(), watcher, deliveries) {
            Ok(response) => {
                let id = response.watch_id;
                self.send(&mut self.inbox.queue.lock(), id, watcher, response)
            }
            Err(fault) => self.failed(&fault),
        }
    }

    /// Returns the first part of a response, and leaves the rest in front of the queue.
    fn send(&self, queue: &mut Queue, id: i64, watcher: &Watcher, response: WatchResponse) -> Look {
        let limit = self.inbox.limits.fragment_bytes;
        let mut parts = response::fragments(response, watcher.fragment, limit);
        let same = |there: &Watcher| there.incarnation == watcher.incarnation;
        let rest = parts.split_off(1);
        if queue.watchers.get(&id).is_some_and(same) {
            queue.prepend_events(rest);
        }
        parts.pop().map_or(Look::Again, Look::Response)
    }

    /// The disk failed: the node is about to stop, so the stream just falls silent.
    fn failed(&self, fault: &StoreFault) -> Look {
        self.shared.fail(fault);
        Look::Nothing
    }

    /// Reads a piece of a lagging watcher's history. If that was the last, it is live again.
    fn read_on(&self, id: i64, watcher: &Watcher) -> Look {
        let Mode::Lagging { next } = watcher.mode else {
            return Look::Again;
        };
        let read = match history::read(&self.shared, &self.inbox.limits, watcher, next) {
            Ok(read) => read,
            Err(fault) => return self.failed(&fault),
        };
        let mut known = self.shared.hub.known.lock();
        let mut queue = self.inbox.queue.lock();
        let there = match queue.watchers.get_mut(&id) {
            Some(there) if there.incarnation == watcher.incarnation => there,
            // Cancelled meanwhile.
            _ => return Look::Again,
        };
        let piece = match read {
            Read::Piece(piece) => piece,
            Read::Compacted(compacted) => {
                queue.remove(id);
                return Look::Response(WatchResponse {
                    header: header(known.revision),
                    watch_id: id,
                    canceled: true,
                    compact_revision: compacted,
                    ..WatchResponse::default()
                });
            }
        };
        if piece.next > piece.newest && piece.next > known.revision {
            // Whatever comes next comes through the hub.
            there.mode = Mode::Live;
            there.start = piece.next;
            known.insert(id, there, &self.inbox);
        } else {
            there.mode = Mode::Lagging { next: piece.next };
            queue.lag(id);
        }
        if piece.events.is_empty() {
            return Look::Again;
        }
        if let Some(there) = queue.watchers.get_mut(&id) {
            there.quiet = false;
        }
        let response = response::of_events(id, piece.revision, piece.events);
        self.send(&mut queue, id, watcher, response)
    }

    /// Tells how far the watchers are complete, if they are.
    fn tell_progress(&self) -> Look {
        let mut known = self.shared.hub.known.lock();
        let mut queue = self.inbox.queue.lock();
        // Whatever the hub has handed out up to its revision is in the queue, so with its lock
        // held an empty queue means that the client has been sent all of it.
        if !queue.is_drained() {
            return Look::Again;
        }
        let revision = known.revision;
        let complete = |watcher: &Watcher| watcher.start <= revision + 1;
        let told = |id| {
            Look::Response(WatchResponse {
                header: header(revision),
                watch_id: id,
                ..WatchResponse::default()
            })
        };
        while let Some(id) = queue.progress_due.pop_first() {
            if queue.watchers.get(&id).is_some_and(complete) {
                return told(id);
            }
        }
        if queue.progress_requested {
            let latest = queue.watchers.values().map(|watcher| watcher.start).max();
            if latest.is_none_or(|start| start <= revision + 1) {
                queue.progress_requested = false;
                return told(NO_WATCHER);
            }
            // A watcher of the future can't be complete yet, and a client that resumes behind
            // this revision would start it too early.
            let revision = latest.unwrap_or(0) - 1;
            if let Some(before) = queue.wakes_at.replace(revision) {
                known.do_not_wake_at(before, &self.inbox);
            }
            known.wake_at(revision, &self.inbox);
        }
        Look::Nothing
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        let mut known = self.shared.hub.known.lock();
        let mut queue = self.inbox.queue.lock();
        if let Some(revision) = queue.wakes_at {
            known.do_not_wake_at(revision, &self.inbox);
        }
        for (id, watcher) in std::mem::take(&mut queue.watchers) {
            if watcher.mode == Mode::Live {
                known.remove(id, &watcher, &self.inbox);
            }
        }
        known.remove_stream(&self.inbox);
    }
}

/// Lets other tasks run once; this crate knows no runtime to ask for it.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
