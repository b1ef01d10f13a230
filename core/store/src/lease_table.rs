//! Leases as the replicated state knows them: what was granted, and which keys hang on them.
//!
//! How long they still have is the lease clock's knowledge, on the leader.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// Leases longer than this are refused, as in etcd; in seconds.
pub const MAXIMUM_LEASE_TTL: i64 = 9_000_000_000;

/// One granted lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Granted TTL in seconds.
    pub(crate) ttl: i64,
    /// Seconds left at the last checkpoint; 0 means all of it.
    pub(crate) remaining: i64,
    /// Attached keys; ordered, since a revoke deletes in key order.
    pub(crate) keys: BTreeSet<Bytes>,
}

/// Every lease.
#[derive(Debug, Default)]
pub(crate) struct LeaseTable {
    leases: BTreeMap<i64, Lease>,
}

impl LeaseTable {
    pub(crate) fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    pub(crate) fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter().map(|(&id, lease)| (id, lease))
    }

    pub(crate) fn insert(&mut self, id: i64, ttl: i64, remaining: i64) {
        self.leases.insert(
            id,
            Lease {
                ttl,
                remaining,
                keys: BTreeSet::new(),
            },
        );
    }

    pub(crate) fn remove(&mut self, id: i64) -> Option<Lease> {
        self.leases.remove(&id)
    }

    /// Sets what is left, in seconds; 0 means all of it.
    pub(crate) fn checkpoint(&mut self, id: i64, remaining: i64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.remaining = remaining;
        }
    }

    /// Moves a key from one lease to another; 0 is no lease.
    pub(crate) fn reattach(&mut self, key: &Bytes, from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }
}
