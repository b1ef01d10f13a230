//! Who is interested in a key: a map for single keys, an interval tree for ranges.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::intervals::Intervals;
use crate::key_range::{KeyRange, RangeEnd};

/// A watcher among all: its stream, and its id there.
pub(crate) type WatcherKey = (u64, i64);

/// Items by the key range they are for.
pub(crate) struct Interests<T> {
    keys: HashMap<Bytes, BTreeMap<WatcherKey, T>>,
    ranges: Intervals<WatcherKey, T>,
    count: usize,
}

impl<T> Default for Interests<T> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            ranges: Intervals::default(),
            count: 0,
        }
    }
}

impl<T> Interests<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds a watcher that is not in it yet.
    pub(crate) fn insert(&mut self, range: &KeyRange, watcher: WatcherKey, item: T) {
        self.count += 1;
        let start = range.start.clone();
        match &range.end {
            RangeEnd::Single => {
                self.keys.entry(start).or_default().insert(watcher, item);
            }
            RangeEnd::Before(end) => {
                self.ranges.insert(start, Some(end.clone()), watcher, item);
            }
            RangeEnd::Open => self.ranges.insert(start, None, watcher, item),
        }
    }

    /// Removes a watcher that is in it with this range.
    pub(crate) fn remove(&mut self, range: &KeyRange, watcher: WatcherKey) {
        self.count -= 1;
        match &range.end {
            RangeEnd::Single => {
                if let Some(items) = self.keys.get_mut(&range.start) {
                    items.remove(&watcher);
                    if items.is_empty() {
                        self.keys.remove(&range.start);
                    }
                }
            }
            RangeEnd::Before(end) => {
                self.ranges
                    .remove(&range.start, &Some(end.clone()), &watcher);
            }
            RangeEnd::Open => self.ranges.remove(&range.start, &None, &watcher),
        }
    }

    /// Calls `found` with everyone interested in `key`.
    pub(crate) fn in_key<'a>(&'a self, key: &[u8], mut found: impl FnMut(&'a WatcherKey, &'a T)) {
        for (watcher, item) in self.keys.get(key).into_iter().flatten() {
            found(watcher, item);
        }
        self.ranges.containing(key, &mut found);
    }
}
