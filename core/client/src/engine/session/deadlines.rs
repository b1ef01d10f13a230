//! What is to happen when: at most one moment per key, earliest first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Keys with the moment each is due.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    order: BTreeSet<(Instant, K)>,
    moments: BTreeMap<K, Instant>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            moments: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Sets the key's moment, in place of the one it had.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        self.clear(&key);
        self.order.insert((at, key.clone()));
        self.moments.insert(key, at);
    }

    /// Forgets the key.
    pub(crate) fn clear(&mut self, key: &K) {
        if let Some((key, at)) = self.moments.remove_entry(key) {
            self.order.remove(&(at, key));
        }
    }

    /// Forgets all keys.
    pub(crate) fn clear_all(&mut self) {
        self.order.clear();
        self.moments.clear();
    }

    /// Whether the key has a moment.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.moments.contains_key(key)
    }

    /// The earliest moment.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out a key that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.moments.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn keys_come_out_in_order_once_and_only_when_due() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut deadlines = Deadlines::default();
        deadlines.set("c", at(3));
        deadlines.set("a", at(1));
        deadlines.set("b", at(9));
        deadlines.set("b", at(2));
        deadlines.set("d", at(4));
        deadlines.clear(&"d");
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.pop_due(at(0)), None);
        assert_eq!(deadlines.pop_due(at(9)), Some("a"));
        assert_eq!(deadlines.pop_due(at(9)), Some("b"));
        assert_eq!(deadlines.pop_due(at(9)), Some("c"));
        assert_eq!(deadlines.pop_due(at(9)), None);
        assert_eq!(deadlines.next(), None);
    }
}
