//! What happens by the passing of time: sessions and leases end, tombstones are forgotten, the
//! warm-up ends. Called by a task of the server; does a bounded amount of work per call.
//!
//! Signs of life do not move deadlines. A deadline that comes up early is looked at, found not to
//! be due, and put back; so a heartbeat costs one atomic store, and the heap has one entry per
//! session, not per instance.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use quorate_types::{RemovalReason, SLOTS, ServiceKey};

use crate::plane::{Plane, publish};
use crate::service::Owner;
use crate::session::SessionState;

/// The longest time between two sweeps. Also how late a removal can be if a TTL shorter than all
/// others arrives meanwhile, and how soon a stall is noticed. In milliseconds.
const MAX_WAIT: u64 = 500;

/// Removals, or looks at a deadline, per call.
const BUDGET: usize = 1_024;

/// Slots per call when the warm-up ends.
const SLOTS_PER_CALL: u16 = 64;

/// Deadlines further away than this are looked at earlier, in milliseconds: so that entries of
/// what has long ended do not fill the heap.
const HORIZON: u64 = 60_000;

/// What to look at, by when.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: Mutex<BinaryHeap<Deadline>>,
}

/// What a deadline is for.
pub(crate) enum Due {
    Session(Weak<SessionState>),
    Lease(Arc<ServiceKey>, Box<[u8]>),
    Tombstones(Arc<ServiceKey>),
}

struct Deadline {
    /// On the lease clock.
    at: u64,
    due: Due,
}

/// How far the end of the warm-up has come.
pub(crate) struct WarmUp {
    /// On the lease clock; `None` when it is over.
    ends: Option<u64>,
    next_slot: u16,
}

// === impl Deadlines ===

impl Deadlines {
    /// The time to look at something whose deadline may be far away.
    pub(crate) fn within_horizon(deadline: u64, now: u64) -> u64 {
        deadline.min(now + HORIZON)
    }

    pub(crate) fn add(&self, at: u64, due: Due) {
        self.heap.lock().push(Deadline { at, due });
    }

    fn take_due(&self, now: u64) -> Option<Deadline> {
        let mut heap = self.heap.lock();
        if heap.peek()?.at > now {
            return None;
        }
        heap.pop()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.lock().len()
    }

    fn next(&self) -> Option<u64> {
        self.heap.lock().peek().map(|deadline| deadline.at)
    }
}

// === impl Deadline ===

impl Ord for Deadline {
    /// The earliest is the greatest: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Deadline {}

// === impl WarmUp ===

impl WarmUp {
    pub(crate) fn new(duration: Option<Duration>) -> Self {
        Self {
            ends: duration.map(|duration| duration.as_millis() as u64),
            next_slot: 0,
        }
    }
}

// === impl Plane ===

impl Plane {
    /// Does what is due and returns how long to wait before the next call.
    pub(crate) fn sweep(&self) -> Duration {
        let now = self.lease.now();
        let warmed_up = self.sweep_warm_up(now);
        let mut budget = BUDGET;
        while budget > 0 {
            let Some(Deadline { at, due }) = self.deadlines.take_due(now) else {
                break;
            };
            let done = match due {
                Due::Session(state) => match state.upgrade() {
                    Some(state) => self.expire_session(&state, at, now, budget),
                    None => 1,
                },
                Due::Lease(key, id) => self.expire_lease(&key, &id, at, now),
                Due::Tombstones(key) => self.trim_tombstones(&key, now),
            };
            budget = budget.saturating_sub(done);
        }
        let wait = if budget == 0 || !warmed_up {
            0
        } else {
            let next = self.deadlines.next().unwrap_or(u64::MAX);
            next.saturating_sub(now).min(MAX_WAIT)
        };
        self.lease.promise(wait);
        Duration::from_millis(wait)
    }

    fn expire_lease(&self, key: &Arc<ServiceKey>, id: &[u8], at: u64, now: u64) -> usize {
        let removed = self.remove(key, id, RemovalReason::LeaseExpired, |record, owner| {
            matches!(owner, Owner::Lease(lease) if lease.last_sign + u64::from(record.ttl().as_millis()) <= now)
        });
        if removed.is_some() {
            return 1;
        }
        let mut slot = self.slots.lock(key);
        let Some(service) = slot.get_mut(key) else {
            return 1;
        };
        let Some(record) = service.get(id).map(|(record, _)| record.clone()) else {
            return 1;
        };
        if let Some(lease) = service.lease_mut(id)
            && lease.scheduled == at
        {
            lease.scheduled = u64::MAX;
            let deadline = lease.last_sign + u64::from(record.ttl().as_millis());
            self.schedule_lease(lease, deadline, now, key, &record);
        }
        1
    }

    fn trim_tombstones(&self, key: &Arc<ServiceKey>, now: u64) -> usize {
        let retention = self.retention();
        let mut slot = self.slots.lock(key);
        let Some(service) = slot.get_mut(key) else {
            return 1;
        };
        let kept = now
            .checked_sub(retention)
            .map_or(Some(now), |until| service.trim(until));
        if let Some(oldest) = kept {
            self.deadlines.add(
                (oldest + retention).max(now + 1),
                Due::Tombstones(key.clone()),
            );
            return 1;
        }
        service.trim_scheduled = false;
        let reaped = self.slots.reap(&mut slot, key);
        drop(slot);
        self.counters.services.subtract(u64::from(reaped));
        1
    }

    /// Returns false while there are slots left to tell that the warm-up has ended.
    fn sweep_warm_up(&self, now: u64) -> bool {
        let mut warm_up = self.warm_up.lock();
        if warm_up.ends.is_none_or(|ends| ends > now) {
            return true;
        }
        let first = warm_up.next_slot;
        let end = SLOTS.min(first + SLOTS_PER_CALL);
        for number in first..end {
            let subscribers = self
                .slots
                .lock_number(number)
                .end_warm_up(self.lease.moment());
            publish(subscribers);
        }
        warm_up.next_slot = end;
        if end == SLOTS {
            warm_up.ends = None;
            tracing::info!("the warm-up has ended: views are complete from now on");
        }
        end == SLOTS
    }
}
