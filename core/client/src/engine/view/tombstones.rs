//! Instances known to be gone, each with its reason: an older record of one must not bring it
//! back, whichever server it comes from.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quorate_types::{Instance, RemovalReason};

/// Tombstones kept per service; the oldest go first.
const MOST: usize = 1024;
/// How long a tombstone is kept: far longer than one server lags behind another.
const KEPT: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug)]
struct Tombstone {
    revision: u64,
    reason: RemovalReason,
    learned: Instant,
}

/// The tombstones of one service, by instance id.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    by_id: BTreeMap<String, Tombstone>,
}

impl Tombstones {
    /// Takes one in; an older one than known changes nothing.
    pub(crate) fn add(&mut self, id: &str, revision: u64, reason: RemovalReason, now: Instant) {
        let tombstone = Tombstone {
            revision,
            reason,
            learned: now,
        };
        match self.by_id.get_mut(id) {
            Some(known) if known.revision > revision => {}
            Some(known) => *known = tombstone,
            None => {
                self.by_id.insert(id.to_owned(), tombstone);
                self.bound(now);
            }
        }
    }

    /// Why it went, if this record is of a time before its tombstone.
    pub(crate) fn covers(&self, instance: &Instance) -> Option<RemovalReason> {
        let tombstone = self.by_id.get(&instance.id)?;
        (tombstone.revision >= instance.revision).then_some(tombstone.reason)
    }

    /// Forgets those that are too old.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.by_id
            .retain(|_, t| now.saturating_duration_since(t.learned) < KEPT);
    }

    fn bound(&mut self, now: Instant) {
        if self.by_id.len() <= MOST {
            return;
        }
        self.expire(now);
        while self.by_id.len() > MOST {
            let oldest = self
                .by_id
                .iter()
                .min_by_key(|(_, t)| t.learned)
                .map(|(id, _)| id.clone());
            match oldest {
                Some(id) => self.by_id.remove(&id),
                None => break,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, revision: u64) -> Instance {
        let mut instance = Instance::new("h:1");
        instance.id = id.to_owned();
        instance.revision = revision;
        instance
    }

    #[test]
    fn only_older_records_are_covered() {
        let now = Instant::now();
        let mut tombstones = Tombstones::default();
        let gone = RemovalReason::Deregistered;
        tombstones.add("a", 7, gone, now);
        tombstones.add("a", 5, RemovalReason::Operator, now);
        assert_eq!(tombstones.covers(&record("a", 7)), Some(gone));
        assert_eq!(tombstones.covers(&record("a", 6)), Some(gone));
        assert_eq!(tombstones.covers(&record("a", 8)), None);
        assert_eq!(tombstones.covers(&record("b", 1)), None);
    }

    #[test]
    fn they_are_bounded_in_number_and_time() {
        let now = Instant::now();
        let mut tombstones = Tombstones::default();
        for n in 0..MOST as u64 + 10 {
            let at = now + Duration::from_millis(n);
            tombstones.add(&n.to_string(), 1, RemovalReason::Operator, at);
        }
        assert_eq!(tombstones.by_id.len(), MOST);
        assert_eq!(tombstones.covers(&record("0", 1)), None);
        assert!(tombstones.covers(&record("1030", 1)).is_some());
        tombstones.expire(now + KEPT + Duration::from_secs(5));
        assert!(tombstones.by_id.is_empty());
    }
}
