//! What a session registered: which instances, by which TTLs, and which it lost to others.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quorate_proto::v1;
use quorate_types::{ServiceKey, Ttl};

use crate::record::Record;
use crate::subscription::Mailbox;
use crate::view::Tombstone;

/// The part of a session that its lock guards.
#[derive(Debug)]
pub(crate) struct Held {
    /// Closed or expired: nothing is added any more.
    pub(super) ended: bool,
    registrations: HashSet<Registration>,
    /// How many registrations have each TTL.
    ttls: BTreeMap<Ttl, usize>,
    /// Registrations that others removed, until the client registers or deregisters them. Told
    /// again on resuming, since the notice may have been lost with the connection.
    evicted: HashMap<(Arc<ServiceKey>, Box<[u8]>), Tombstone>,
    /// Too many evictions to remember: the next resumption asks the client to register again.
    pub(super) evictions_lost: bool,
    /// When the sweeper looks at this session next.
    pub(super) scheduled: u64,
    /// The heartbeat interval the client was told, in milliseconds.
    pub(super) told_interval: u32,
    /// Where the attached connection is woken.
    pub(super) mailbox: Option<Arc<Mailbox>>,
}

/// One instance of a session; equal by service and id.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) key: Arc<ServiceKey>,
    pub(super) record: Arc<Record>,
}

/// What a [`Registration`] can be looked up by without making one.
trait Name {
    fn name(&self) -> (&ServiceKey, &[u8]);
}

// === impl Held ===

impl Held {
    pub(super) fn new() -> Self {
        Self {
            ended: false,
            registrations: HashSet::new(),
            ttls: BTreeMap::new(),
            evicted: HashMap::new(),
            evictions_lost: false,
            scheduled: u64::MAX,
            told_interval: 0,
            mailbox: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.registrations.len()
    }

    pub(super) fn contains(&self, key: &ServiceKey, id: &[u8]) -> bool {
        self.registrations.contains(&(key, id) as &dyn Name)
    }

    pub(super) fn put(&mut self, key: Arc<ServiceKey>, record: Arc<Record>) {
        self.forget_eviction(&key, record.id());
        *self.ttls.entry(record.ttl()).or_default() += 1;
        let replaced = self.registrations.replace(Registration { key, record });
        self.uncount(replaced.as_ref());
    }

    /// Takes a registration out; `false` if there was none.
    pub(super) fn remove(&mut self, key: &ServiceKey, id: &[u8]) -> bool {
        let removed = self.registrations.take(&(key, id) as &dyn Name);
        self.uncount(removed.as_ref());
        removed.is_some()
    }

    /// Takes out all registrations.
    pub(super) fn take_all(&mut self) -> HashSet<Registration> {
        self.ttls.clear();
        std::mem::take(&mut self.registrations)
    }

    /// The registrations with a TTL of at most so many milliseconds, at most `limit` of them.
    pub(super) fn up_to_ttl(
        &self,
        millis: u64,
        limit: usize,
    ) -> Vec<(Arc<ServiceKey>, Arc<Record>)> {
        if self.shortest_ttl().is_none_or(|shortest| shortest > millis) {
            return Vec::new();
        }
        self.registrations
            .iter()
            .filter(|r| u64::from(r.record.ttl().as_millis()) <= millis)
            .map(|r| (r.key.clone(), r.record.clone()))
            .take(limit)
            .collect()
    }

    /// In milliseconds.
    pub(super) fn shortest_ttl(&self) -> Option<u64> {
        self.ttls.keys().next().map(|ttl| ttl.as_millis().into())
    }

    /// In milliseconds.
    pub(super) fn longest_ttl(&self) -> Option<u64> {
        self.ttls
            .keys()
            .next_back()
            .map(|ttl| ttl.as_millis().into())
    }

    /// Remembers that another removed a registration, and tells the client.
    pub(super) fn evict(&mut self, key: Arc<ServiceKey>, tombstone: Tombstone, limit: usize) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.push([evicted_event(&key, &tombstone)]);
        }
        if self.evicted.len() < limit {
            let id = tombstone.id.as_bytes().into();
            self.evicted.insert((key, id), tombstone);
        } else {
            self.evictions_lost = true;
        }
    }

    /// The client knows, or no longer cares.
    pub(super) fn forget_eviction(&mut self, key: &ServiceKey, id: &[u8]) {
        if !self.evicted.is_empty() {
            self.evicted.remove(&(Arc::new(key.clone()), id.into()));
        }
    }

    /// One event for each registration lost.
    pub(super) fn evictions(&self) -> Vec<v1::SessionEvent> {
        self.evicted
            .iter()
            .map(|((key, _), tombstone)| evicted_event(key, tombstone))
            .collect()
    }

    pub(super) fn forget_evictions(&mut self) {
        self.evicted = HashMap::new();
        self.evictions_lost = false;
    }

    fn uncount(&mut self, removed: Option<&Registration>) {
        let Some(removed) = removed else { return };
        let ttl = removed.record.ttl();
        if let Some(count) = self.ttls.get_mut(&ttl) {
            *count -= 1;
            if *count == 0 {
                self.ttls.remove(&ttl);
            }
        }
    }
}

fn evicted_event(key: &ServiceKey, tombstone: &Tombstone) -> v1::SessionEvent {
    v1::SessionEvent {
        body: Some(v1::session_event::Body::Evicted(v1::SessionEvicted {
            service: Some(key.into()),
            removal: Some(tombstone.into()),
        })),
    }
}

// === impl Registration ===

impl Name for Registration {
    fn name(&self) -> (&ServiceKey, &[u8]) {
        (&self.key, self.record.id())
    }
}

impl Name for (&ServiceKey, &[u8]) {
    fn name(&self) -> (&ServiceKey, &[u8]) {
        *self
    }
}

impl<'a> Borrow<dyn Name + 'a> for Registration {
    fn borrow(&self) -> &(dyn Name + 'a) {
        self
    }
}

impl Hash for dyn Name + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl PartialEq for dyn Name + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Name + '_ {}

impl Hash for Registration {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl PartialEq for Registration {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Registration {}
