//! The leases from outside: renewals, questions, and what the leader's sweep needs.

use std::time::Duration;

use bytes::Bytes;
use quorate_proto::log::{LeaseCheckpoint, LeaseRemaining};

use crate::error::EtcdError;
use crate::store::Shared;

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// The TTL it was granted, in seconds.
    pub granted: i64,
    /// Seconds left, rounded down. On a node that is not the leader: as of the last checkpoint.
    pub remaining: i64,
    /// The keys that go with it, in order.
    pub keys: Vec<Bytes>,
}

/// A handle on a store's leases; from [`crate::Store::leases`].
///
/// A grant or revoke may show here a moment before its batch is readable elsewhere: it is
/// committed in the log by then, so nothing that is shown can be taken back.
#[derive(Clone, Copy)]
pub struct Leases<'a> {
    pub(crate) shared: &'a Shared,
}

impl Leases<'_> {
    fn now(&self) -> Duration {
        self.shared.options.clock.now()
    }

    /// Gives a lease its full TTL again, and answers with it, in seconds. `None` if the lease
    /// does not exist or has run out.
    ///
    /// # Errors
    /// [`EtcdError::NotLeader`]: only the leader keeps time.
    pub fn renew(&self, id: i64) -> Result<Option<i64>, EtcdError> {
        let mut clock = self.shared.lease_clock.lock();
        if !clock.is_primary() {
            return Err(EtcdError::NotLeader);
        }
        let ttl = clock.renew(id, self.now());
        Ok(ttl.map(|ttl| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)))
    }

    /// What is known of a lease; `None` if it does not exist or has run out.
    #[must_use]
    pub fn remaining(&self, id: i64) -> Option<LeaseInfo> {
        let lease = self.shared.leases.read().get(id)?.clone();
        let clock = self.shared.lease_clock.lock();
        let remaining = if clock.is_primary() {
            let left = clock.remaining(id, self.now())?;
            i64::try_from(left.as_secs()).unwrap_or(i64::MAX)
        } else if lease.remaining > 0 {
            lease.remaining
        } else {
            lease.ttl
        };
        Some(LeaseInfo {
            granted: lease.ttl,
            remaining,
            keys: lease.keys.into_iter().collect(),
        })
    }

    /// Every lease's id, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<i64> {
        self.shared.leases.read().iter().map(|(id, _)| id).collect()
    }

    /// Time until a lease runs out; zero if one has; `None` if there is none to watch over.
    #[must_use]
    pub fn until_next_deadline(&self) -> Option<Duration> {
        self.shared
            .lease_clock
            .lock()
            .until_next_deadline(self.now())
    }

    /// Up to `limit` leases that have run out: propose to revoke them. They are named again a
    /// few seconds later if they still exist then.
    #[must_use]
    pub fn take_expired(&self, limit: usize) -> Vec<i64> {
        self.shared
            .lease_clock
            .lock()
            .take_expired(self.now(), limit)
    }

    /// Up to `limit` leases whose remaining time is due to be proposed; `None` if none is.
    #[must_use]
    pub fn take_checkpoint(&self, limit: usize) -> Option<LeaseCheckpoint> {
        let due = self
            .shared
            .lease_clock
            .lock()
            .take_checkpoints(self.now(), limit);
        let leases: Vec<_> = due
            .into_iter()
            .map(|(id, left)| LeaseRemaining {
                id,
                // Rounded up: a checkpoint must not shorten a lease.
                remaining_seconds: i64::try_from(left.as_secs())
                    .unwrap_or(i64::MAX)
                    .saturating_add(1),
            })
            .collect();
        (!leases.is_empty()).then_some(LeaseCheckpoint { leases })
    }

    /// This node leads now: starts to keep time, with the extension of the options on top for
    /// every lease, since nobody knows how much of it the election took.
    pub fn become_primary(&self) {
        let leases = self.shared.leases.read();
        let mut clock = self.shared.lease_clock.lock();
        clock.become_primary(
            self.now(),
            self.shared.options.lease_extension,
            leases.iter().map(|(id, lease)| {
                let left = (lease.remaining > 0).then(|| seconds(lease.remaining));
                (id, seconds(lease.ttl), left)
            }),
        );
    }

    /// This node does not lead any more: stops to keep time.
    pub fn step_down(&self) {
        self.shared.lease_clock.lock().step_down();
    }

    /// Gives every lease this much more time: the process itself was stalled for so long.
    pub fn credit(&self, stall: Duration) {
        self.shared.lease_clock.lock().credit(stall);
    }
}

/// Seconds of the wire; a negative number is none.
pub(crate) fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
