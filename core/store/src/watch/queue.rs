//! What waits in a stream: its watchers, and a bounded queue of what they have to be told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_proto::etcdserverpb::WatchResponse;

use super::change::{Filters, Transaction};
use super::stream::WatchLimits;
use crate::key_range::KeyRange;

/// How a watcher gets its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// From the hub.
    Live,
    /// From the history; this revision is the next it wants.
    Lagging { next: i64 },
}

/// One watcher.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    pub(crate) range: KeyRange,
    pub(crate) filters: Filters,
    pub(crate) prev_kv: bool,
    pub(crate) fragment: bool,
    pub(crate) progress_notify: bool,
    /// The first revision it wants.
    pub(crate) start: i64,
    pub(crate) mode: Mode,
    /// Distinguishes it from an earlier watcher with its id.
    pub(crate) incarnation: u64,
    /// It was told nothing since the last tick.
    pub(crate) quiet: bool,
}

/// Which changes of a transaction a watcher gets.
#[derive(Clone, Debug)]
pub(crate) enum Picks {
    One(u32),
    Many(Box<[u32]>),
}

impl Picks {
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let picks = match self {
            Self::One(pick) => std::slice::from_ref(pick),
            Self::Many(picks) => picks,
        };
        picks.iter().map(|&pick| pick as usize)
    }

    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(picks) => picks.len(),
        }
    }
}

/// Changes of one revision for one watcher.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: i64,
    pub(crate) transaction: Arc<Transaction>,
    pub(crate) picks: Picks,
}

impl Delivery {
    /// Bytes it keeps in memory. Streams share transactions, so their sum is an upper bound.
    fn size(&self) -> usize {
        self.transaction.size
    }
}

#[derive(Debug)]
enum Item {
    /// An answer to a request; never dropped.
    Answer(WatchResponse),
    /// Events on their way; dropped only with their watcher.
    Events(WatchResponse),
    /// Changes to make events of; dropped when there are too many.
    Changes(Delivery),
}

/// What to send next.
pub(crate) enum Next {
    Response(WatchResponse),
    /// Changes of one watcher, to make a response of.
    Changes(Vec<Delivery>),
    /// Read this lagging watcher's history.
    History(i64),
    Nothing,
}

/// The state of a stream, behind its lock.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) watchers: BTreeMap<i64, Watcher>,
    pub(crate) next_id: i64,
    pub(crate) incarnations: u64,
    /// A progress request waits until every watcher is told everything.
    pub(crate) progress_requested: bool,
    /// The revision at which the hub wakes the stream to answer that.
    pub(crate) wakes_at: Option<i64>,
    /// Watchers whose periodic progress is due.
    pub(crate) progress_due: BTreeSet<i64>,
    items: VecDeque<Item>,
    /// Number and bytes of the queued changes.
    changes: usize,
    bytes: usize,
    answers: usize,
    /// Lagging watchers, taking turns.
    lagging: VecDeque<i64>,
    /// The history's turn, if both have something.
    history_turn: bool,
}

impl Queue {
    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    #[cfg(test)]
    pub(crate) fn changes(&self) -> usize {
        self.changes
    }

    pub(crate) fn answer(&mut self, response: WatchResponse) {
        self.answers += 1;
        self.items.push_back(Item::Answer(response));
    }

    /// Puts events before all else.
    pub(crate) fn prepend_events(&mut self, responses: Vec<WatchResponse>) {
        for response in responses.into_iter().rev() {
            self.items.push_front(Item::Events(response));
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.items.is_empty() && self.lagging.is_empty()
    }

    /// Adds or returns a watcher to the history's turn.
    pub(crate) fn lag(&mut self, id: i64) {
        self.lagging.push_back(id);
    }

    /// Takes a delivery for a live watcher. If there are too many, drops all, and returns the
    /// watchers that lag from now on.
    pub(crate) fn deliver(&mut self, delivery: Delivery, limits: &WatchLimits) -> Vec<i64> {
        let live = self
            .watchers
            .get(&delivery.id)
            .is_some_and(|watcher| watcher.mode == Mode::Live);
        if !live {
            return Vec::new();
        }
        let size = delivery.size();
        // One delivery is always taken: a single big transaction is no reason to lag.
        let fits = self.changes == 0
            || self.changes < limits.buffered_changes
                && self.bytes.saturating_add(size) <= limits.buffered_bytes;
        self.changes += 1;
        self.bytes += size;
        self.items.push_back(Item::Changes(delivery));
        if fits { Vec::new() } else { self.overflow() }
    }

    /// Makes every live watcher lag: nothing from `next` on was delivered.
    pub(crate) fn lag_all(&mut self, next: i64) {
        // What was delivered is read again, so that it comes before the rest.
        self.overflow();
        for (&id, watcher) in &mut self.watchers {
            if watcher.mode == Mode::Live {
                watcher.mode = Mode::Lagging {
                    next: next.max(watcher.start),
                };
                self.lagging.push_back(id);
            }
        }
    }

    fn overflow(&mut self) -> Vec<i64> {
        let mut lagging = Vec::new();
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Changes(delivery) => {
                    let Some(watcher) = self.watchers.get_mut(&delivery.id) else {
                        continue;
                    };
                    // The first that is dropped is the next it wants.
                    if watcher.mode == Mode::Live {
                        watcher.mode = Mode::Lagging {
                            next: delivery.transaction.main,
                        };
                        self.lagging.push_back(delivery.id);
                        lagging.push(delivery.id);
                    }
                }
                kept => self.items.push_back(kept),
            }
        }
        self.changes = 0;
        self.bytes = 0;
        lagging
    }

    /// Removes a watcher, and all it would still have been told.
    pub(crate) fn remove(&mut self, id: i64) -> Option<Watcher> {
        let watcher = self.watchers.remove(&id)?;
        let (changes, bytes) = (&mut self.changes, &mut self.bytes);
        self.items.retain(|item| match item {
            Item::Answer(_) => true,
            Item::Events(response) => response.watch_id != id,
            Item::Changes(delivery) if delivery.id == id => {
                *changes -= 1;
                *bytes -= delivery.size();
                false
            }
            Item::Changes(_) => true,
        });
        self.lagging.retain(|lagging| *lagging != id);
        self.progress_due.remove(&id);
        Some(watcher)
    }

    /// Takes what is to be sent next; history and live changes alternate.
    pub(crate) fn take(&mut self, limits: &WatchLimits) -> Next {
        // History comes before what is queued, so not before answers: "created" is one of them.
        let may = self.answers == 0 && !matches!(self.items.front(), Some(Item::Events(_)));
        if may && (self.history_turn || self.items.is_empty()) {
            self.history_turn = false;
            if let Some(id) = self.lagging.pop_front() {
                return Next::History(id);
            }
        }
        match self.items.pop_front() {
            None => Next::Nothing,
            Some(Item::Answer(response)) => {
                self.answers -= 1;
                Next::Response(response)
            }
            Some(Item::Events(response)) => {
                self.tell(response.watch_id);
                Next::Response(response)
            }
            Some(Item::Changes(first)) => {
                self.history_turn = true;
                Next::Changes(self.take_changes(first, limits))
            }
        }
    }

    /// Takes following changes of the same watcher, as many as fit into one response.
    fn take_changes(&mut self, first: Delivery, limits: &WatchLimits) -> Vec<Delivery> {
        let id = first.id;
        self.tell(id);
        let (mut events, mut bytes) = (0, 0);
        let mut taken = Vec::new();
        let mut next = Some(first);
        while let Some(delivery) = next {
            let size = delivery.size();
            self.changes -= 1;
            self.bytes -= size;
            events += delivery.picks.len();
            bytes += size;
            taken.push(delivery);
            next = match self.items.front() {
                Some(Item::Changes(following))
                    if following.id == id
                        && events + following.picks.len() <= limits.response_events
                        && bytes + following.size() <= limits.response_bytes =>
                {
                    match self.items.pop_front() {
                        Some(Item::Changes(following)) => Some(following),
                        // It is what was just looked at.
                        _ => None,
                    }
                }
                _ => None,
            };
        }
        taken
    }

    fn tell(&mut self, id: i64) {
        if let Some(watcher) = self.watchers.get_mut(&id) {
            watcher.quiet = false;
        }
    }
}
