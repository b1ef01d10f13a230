//! How long leases still have: deadlines on the leader's monotonic clock. Pure: time is passed in.
//!
//! Expiry is only a proposal: [`LeaseClock::take_expired`] names leases to revoke through the log,
//! and names them again until they are gone. A new leader gives every lease at least its
//! extension more, and the time this process itself was stalled is credited to all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a proposed revoke may take before it is proposed again.
const REVOKE_RETRY: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Timer {
    ttl: Duration,
    deadline: Duration,
    /// A revoke is on its way; the lease can't be renewed any more.
    expired: bool,
    /// The log holds a remaining time that a renewal must clear.
    checkpointed: bool,
    next_checkpoint: Option<Duration>,
}

/// Deadlines of all leases while this node is the leader; empty otherwise.
///
/// Deadlines are on the clock minus what was credited, so crediting all leases is one addition.
#[derive(Debug)]
pub(crate) struct LeaseClock {
    primary: bool,
    credited: Duration,
    checkpoint_interval: Duration,
    timers: BTreeMap<i64, Timer>,
    deadlines: BTreeSet<(Duration, i64)>,
    checkpoints: BTreeSet<(Duration, i64)>,
}

/// A lease as [`LeaseClock::become_primary`] takes it over: id, TTL, and the time left at the
/// last checkpoint, if there was one.
pub(crate) type Inherited = (i64, Duration, Option<Duration>);

impl LeaseClock {
    pub(crate) fn new(checkpoint_interval: Duration) -> Self {
        Self {
            primary: false,
            credited: Duration::ZERO,
            checkpoint_interval,
            timers: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            checkpoints: BTreeSet::new(),
        }
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.primary
    }

    /// Takes over: every lease gets what it had left, and `extension` on top.
    pub(crate) fn become_primary(
        &mut self,
        now: Duration,
        extension: Duration,
        leases: impl Iterator<Item = Inherited>,
    ) {
        self.step_down();
        self.primary = true;
        for (id, ttl, left) in leases {
            let time = left.unwrap_or(ttl).saturating_add(extension);
            self.start(id, ttl, time, left.is_some(), now);
        }
    }

    /// Forgets every deadline: another node keeps them now.
    pub(crate) fn step_down(&mut self) {
        self.primary = false;
        self.credited = Duration::ZERO;
        self.timers.clear();
        self.deadlines.clear();
        self.checkpoints.clear();
    }

    pub(crate) fn granted(&mut self, id: i64, ttl: Duration, now: Duration) {
        if self.primary {
            self.start(id, ttl, ttl, false, now);
        }
    }

    fn start(&mut self, id: i64, ttl: Duration, time: Duration, checkpointed: bool, now: Duration) {
        self.revoked(id);
        let now = now.saturating_sub(self.credited);
        let deadline = now.saturating_add(time);
        let next_checkpoint =
            (ttl > self.checkpoint_interval).then(|| now.saturating_add(self.checkpoint_interval));
        self.deadlines.insert((deadline, id));
        self.checkpoints.extend(next_checkpoint.map(|at| (at, id)));
        self.timers.insert(
            id,
            Timer {
                ttl,
                deadline,
                expired: false,
                checkpointed,
                next_checkpoint,
            },
        );
    }

    pub(crate) fn revoked(&mut self, id: i64) {
        if let Some(timer) = self.timers.remove(&id) {
            self.deadlines.remove(&(timer.deadline, id));
            if let Some(at) = timer.next_checkpoint {
                self.checkpoints.remove(&(at, id));
            }
        }
    }

    /// Gives a lease its full TTL again; `None` if it is unknown or being revoked.
    pub(crate) fn renew(&mut self, id: i64, now: Duration) -> Option<Duration> {
        let now = now.saturating_sub(self.credited);
        let timer = self.timers.get_mut(&id)?;
        // A deadline that passed is an expiry even before the sweep has seen it.
        if timer.expired || timer.deadline <= now {
            return None;
        }
        self.deadlines.remove(&(timer.deadline, id));
        timer.deadline = now.saturating_add(timer.ttl);
        self.deadlines.insert((timer.deadline, id));
        if timer.checkpointed {
            // The log still says "little left": correct it at the next occasion.
            if let Some(at) = timer.next_checkpoint.replace(now) {
                self.checkpoints.remove(&(at, id));
            }
            self.checkpoints.insert((now, id));
        }
        Some(timer.ttl)
    }

    /// What is left; `None` if the lease is unknown, over, or being revoked.
    pub(crate) fn remaining(&self, id: i64, now: Duration) -> Option<Duration> {
        let now = now.saturating_sub(self.credited);
        let timer = self.timers.get(&id)?;
        (!timer.expired && timer.deadline > now).then(|| timer.deadline - now)
    }

    /// Time until the first deadline; zero if one has passed.
    pub(crate) fn until_next_deadline(&self, now: Duration) -> Option<Duration> {
        let now = now.saturating_sub(self.credited);
        let (deadline, _) = self.deadlines.first()?;
        Some(deadline.saturating_sub(now))
    }

    /// Up to `limit` leases to revoke. Each is named again after a while, if it is still there.
    pub(crate) fn take_expired(&mut self, now: Duration, limit: usize) -> Vec<i64> {
        let now = now.saturating_sub(self.credited);
        let mut expired = Vec::new();
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now || expired.len() == limit {
                break;
            }
            self.deadlines.pop_first();
            if let Some(timer) = self.timers.get_mut(&id) {
                timer.expired = true;
                timer.deadline = now.saturating_add(REVOKE_RETRY);
                self.deadlines.insert((timer.deadline, id));
                expired.push(id);
            }
        }
        expired
    }

    /// Up to `limit` leases whose time left is due to be written to the log, with that time.
    pub(crate) fn take_checkpoints(&mut self, now: Duration, limit: usize) -> Vec<(i64, Duration)> {
        let now = now.saturating_sub(self.credited);
        let mut due = Vec::new();
        while let Some(&(at, id)) = self.checkpoints.first() {
            if at > now || due.len() == limit {
                break;
            }
            self.checkpoints.pop_first();
            let Some(timer) = self.timers.get_mut(&id) else {
                continue;
            };
            let left = timer.deadline.saturating_sub(now);
            timer.checkpointed = left < timer.ttl;
            timer.next_checkpoint = (timer.ttl > self.checkpoint_interval)
                .then(|| now.saturating_add(self.checkpoint_interval));
            self.checkpoints
                .extend(timer.next_checkpoint.map(|at| (at, id)));
            if !timer.expired {
                due.push((id, left));
            }
        }
        due
    }

    /// Gives every lease this much more: the node itself was stalled for so long.
    pub(crate) fn credit(&mut self, stall: Duration) {
        self.credited = self.credited.saturating_add(stall);
    }
}

#[cfg(test)]
mod tests;
