//! Where live watchers meet the changes of applied batches.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::change::{Filters, Transaction};
use super::interest::{Interests, WatcherKey};
use super::queue::{Delivery, Picks, Watcher};
use super::stream::Inbox;

/// A live watcher, as the hub needs it.
struct Live {
    inbox: Arc<Inbox>,
    filters: Filters,
    start: i64,
}

/// All live watchers, and the revision they know.
pub(crate) struct Hub {
    pub(super) known: Mutex<Known>,
}

/// The hub's content, behind its lock.
pub(super) struct Known {
    /// Everything up to this revision has been handed out.
    pub(super) revision: i64,
    streams: u64,
    /// All streams, by number.
    inboxes: BTreeMap<u64, Weak<Inbox>>,
    interests: Interests<Live>,
    /// Streams that want to be woken once a revision has been handed out.
    waiting: BTreeMap<(i64, u64), Weak<Inbox>>,
}

impl Hub {
    pub(crate) fn new(revision: i64) -> Self {
        Self {
            known: Mutex::new(Known {
                revision,
                streams: 0,
                inboxes: BTreeMap::new(),
                interests: Interests::default(),
                waiting: BTreeMap::new(),
            }),
        }
    }

    /// How many watchers are live, over all streams.
    #[cfg(test)]
    pub(crate) fn live_watchers(&self) -> usize {
        self.known.lock().interests.len()
    }

    /// How many wake-ups streams wait for.
    #[cfg(test)]
    pub(crate) fn waiting_streams(&self) -> usize {
        self.known.lock().waiting.len()
    }

    /// Hands a batch's changes to those who want them. `revision` is the newest of the batch.
    pub(crate) fn publish(&self, transactions: &[Arc<Transaction>], revision: i64) {
        let mut known = self.known.lock();
        known.revision = revision;
        for transaction in transactions {
            if known.interests.is_empty() {
                break;
            }
            known.hand_out(transaction);
        }
        known.wake_waiting();
    }

    /// The state is that of `revision` now, and nobody handed out what led there: every watcher
    /// reads it from the history.
    pub(crate) fn skip_to(&self, revision: i64) {
        let mut known = self.known.lock();
        let next = known.revision + 1;
        known.revision = revision;
        known.interests = Interests::default();
        for inbox in known.inboxes.values().filter_map(Weak::upgrade) {
            inbox.queue.lock().lag_all(next);
            inbox.wake();
        }
        known.wake_waiting();
    }
}

impl Known {
    /// Adds a stream, made with a number of its own.
    pub(super) fn add_stream(&mut self, make: impl FnOnce(u64) -> Arc<Inbox>) -> Arc<Inbox> {
        self.streams += 1;
        let inbox = make(self.streams);
        self.inboxes.insert(inbox.number, Arc::downgrade(&inbox));
        inbox
    }

    /// Removes a stream; its watchers are removed before.
    pub(super) fn remove_stream(&mut self, inbox: &Inbox) {
        self.inboxes.remove(&inbox.number);
    }

    fn wake_waiting(&mut self) {
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > self.revision {
                break;
            }
            if let Some(inbox) = entry.remove().upgrade() {
                inbox.wake();
            }
        }
    }

    /// Wakes a stream once `revision` has been handed out.
    pub(super) fn wake_at(&mut self, revision: i64, inbox: &Arc<Inbox>) {
        self.waiting
            .insert((revision, inbox.number), Arc::downgrade(inbox));
    }

    /// Takes back a [`wake_at`](Self::wake_at).
    pub(super) fn do_not_wake_at(&mut self, revision: i64, inbox: &Inbox) {
        self.waiting.remove(&(revision, inbox.number));
    }

    /// Registers a live watcher.
    pub(super) fn insert(&mut self, id: i64, watcher: &Watcher, inbox: &Arc<Inbox>) {
        self.interests.insert(
            &watcher.range,
            (inbox.number, id),
            Live {
                inbox: inbox.clone(),
                filters: watcher.filters,
                start: watcher.start,
            },
        );
    }

    /// Removes a watcher that is live.
    pub(super) fn remove(&mut self, id: i64, watcher: &Watcher, inbox: &Inbox) {
        self.interests.remove(&watcher.range, (inbox.number, id));
    }

    fn hand_out(&mut self, transaction: &Arc<Transaction>) {
        let mut matches: Vec<(WatcherKey, u32, &Arc<Inbox>)> = Vec::new();
        for (pick, change) in (0_u32..).zip(&transaction.changes) {
            let kind = change.event.r#type();
            self.interests.in_key(change.key(), |&key, live| {
                if live.start <= transaction.main && live.filters.pass(kind) {
                    matches.push((key, pick, &live.inbox));
                }
            });
        }
        if transaction.changes.len() > 1 {
            // By watcher; a watcher's changes stay in order.
            matches.sort_by_key(|(key, _, _)| *key);
        }
        let mut overflown = Vec::new();
        for group in matches.chunk_by(|(a, _, _), (b, _, _)| a == b) {
            let ((_, id), first, inbox) = group[0];
            let picks = match group {
                [_] => Picks::One(first),
                many => Picks::Many(many.iter().map(|(_, pick, _)| *pick).collect()),
            };
            let lagging = inbox.deliver(Delivery {
                id,
                transaction: transaction.clone(),
                picks,
            });
            if !lagging.is_empty() {
                overflown.push((inbox.clone(), lagging));
            }
        }
        for (inbox, lagging) in overflown {
            let queue = inbox.queue.lock();
            for id in lagging {
                if let Some(watcher) = queue.watchers.get(&id) {
                    self.interests.remove(&watcher.range, (inbox.number, id));
                }
            }
        }
    }
}
