//! Counters and gauges, cheap to write, read as one snapshot.

use std::sync::atomic::{AtomicU64, Ordering};

use quorate_types::RemovalReason;

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a registry holds and has done since its start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
            /// Times this server stood still for more than a quarter of a second.
            pub stalls: u64,
            /// Milliseconds of life given to every instance and session for that, and for their way
            /// back.
            pub stall_credited_ms: u64,
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self, (stalls, stall_credited_ms): (u64, u64)) -> Metrics {
                Metrics {
                    $($name: self.$name.get(),)*
                    stalls,
                    stall_credited_ms,
                }
            }
        }
    };
}

metrics! {
    /// Sessions now, attached or waiting to be resumed.
    sessions,
    /// Instances now.
    instances,
    /// Services in memory now, empty ones with subscribers or tombstones included.
    services,
    /// Subscriptions now, of sessions and of watches.
    subscriptions,
    /// Registrations that changed something.
    registrations,
    /// Registrations identical to what was there: told to nobody.
    registrations_unchanged,
    /// Changes of status, weight or metadata.
    updates,
    /// Removals because the client asked.
    removed_deregistered,
    /// Removals for want of heartbeats.
    removed_lease_expired,
    /// Removals because a session broke and did not come back.
    removed_session_lost,
    /// Removals by a person.
    removed_operator,
    /// Removals because another node took over.
    removed_moved,
    /// Snapshots sent.
    snapshots,
    /// Deltas sent.
    deltas,
    /// Sessions opened afresh.
    sessions_opened,
    /// Sessions found again by their token.
    sessions_resumed,
    /// Sessions that ended for want of a sign of life.
    sessions_expired,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

// === impl Counter ===

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn removed(&self, reason: RemovalReason) {
        self.instances.subtract(1);
        match reason {
            RemovalReason::Deregistered => &self.removed_deregistered,
            RemovalReason::LeaseExpired => &self.removed_lease_expired,
            RemovalReason::SessionLost => &self.removed_session_lost,
            RemovalReason::Operator => &self.removed_operator,
            RemovalReason::Moved => &self.removed_moved,
        }
        .add(1);
    }
}
