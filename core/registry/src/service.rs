//! One service: its instances, its tombstones, and what changed since any revision.
//!
//! Every change takes the next revision of the service, and the changed record or tombstone
//! carries it. Records and tombstones ordered by revision are therefore the log of changes with
//! all superseded ones already gone: what happened since `r` is whatever stands above `r`, each
//! id once. Only forgetting tombstones loses history; `floor` is where that begins.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use quorate_types::{ContentHash, Error, ErrorCode, RemovalReason, ServiceKey};

use crate::lease_clock::Moment;
use crate::options::Limits;
use crate::record::{ById, Draft, Record};
use crate::session::SessionState;
use crate::subscription::Subscription;
use crate::view::{Position, Tombstone, View};

/// Who keeps an instance alive.
#[derive(Clone, Debug)]
pub(crate) enum Owner {
    /// The session that registered it last.
    Session(Arc<SessionState>),
    /// Its own heartbeats. Boxed: most instances belong to sessions.
    Lease(Box<Lease>),
}

/// The life of an instance that no session keeps, in lease-clock milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) last_sign: u64,
    /// When the sweeper looks at it next.
    pub(crate) scheduled: u64,
}

/// The instances of one service.
pub(crate) struct Service {
    key: Arc<ServiceKey>,
    revision: u64,
    /// A delta can start here or later.
    floor: u64,
    hash: ContentHash,
    /// Instances with status `Up`.
    up: usize,
    /// Bytes of all records' texts.
    bytes: usize,
    live: HashMap<ById, Owner>,
    by_revision: BTreeMap<u64, Arc<Record>>,
    gone: BTreeMap<u64, Tombstone>,
    gone_ids: HashMap<Arc<str>, u64>,
    /// Whether the sweeper will come to trim the tombstones.
    pub(crate) trim_scheduled: bool,
    /// Copied on write, so that a publisher walks it without the slot's lock.
    subscribers: Arc<Vec<Arc<Subscription>>>,
}

/// What a registration did.
pub(crate) struct Registered {
    pub(crate) record: Arc<Record>,
    /// Who kept the instance before.
    pub(crate) previous: Option<Owner>,
    /// False: identical to what was there.
    pub(crate) changed: bool,
}

// === impl Owner ===

impl Owner {
    pub(crate) fn is(&self, session: &Arc<SessionState>) -> bool {
        matches!(self, Self::Session(owner) if Arc::ptr_eq(owner, session))
    }
}

// === impl Service ===

impl Service {
    /// An empty service whose versions start above `revision`.
    pub(crate) fn new(key: Arc<ServiceKey>, revision: u64) -> Self {
        Self {
            key,
            revision,
            floor: revision,
            hash: ContentHash::default(),
            up: 0,
            bytes: 0,
            live: HashMap::new(),
            by_revision: BTreeMap::new(),
            gone: BTreeMap::new(),
            gone_ids: HashMap::new(),
            trim_scheduled: false,
            subscribers: Arc::default(),
        }
    }

    pub(crate) fn key(&self) -> &Arc<ServiceKey> {
        &self.key
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn up(&self) -> usize {
        self.up
    }

    /// Whether nothing is lost by forgetting it, but its revision.
    pub(crate) fn is_idle(&self) -> bool {
        self.live.is_empty()
            && self.gone.is_empty()
            && self.subscribers.is_empty()
            && !self.trim_scheduled
    }

    pub(crate) fn get(&self, id: &[u8]) -> Option<(&Arc<Record>, &Owner)> {
        self.live
            .get_key_value(id)
            .map(|(record, owner)| (&record.0, owner))
    }

    pub(crate) fn lease_mut(&mut self, id: &[u8]) -> Option<&mut Lease> {
        match self.live.get_mut(id)? {
            Owner::Session(_) => None,
            Owner::Lease(lease) => Some(lease),
        }
    }

    /// Puts an instance in or replaces it, unless it is there as it is; either way it belongs to
    /// `owner` now.
    ///
    /// # Errors
    /// `ResourceExhausted` if the service would grow over a limit; nothing has changed then.
    pub(crate) fn register(
        &mut self,
        draft: Draft,
        owner: Owner,
        moment: Moment,
        limits: &Limits,
    ) -> Result<Registered, Error> {
        let id = draft.id().as_bytes();
        let existing = self
            .live
            .get_key_value(id)
            .map(|(by_id, _)| by_id.0.clone());
        if let Some(record) = &existing
            && draft.same_content(record)
        {
            return Ok(Registered {
                previous: self.live.get_mut(id).map(|held| mem::replace(held, owner)),
                record: record.clone(),
                changed: false,
            });
        }
        self.check_room(&draft, existing.as_deref(), limits)?;
        let previous = self.take(id).map(|(_, owner)| owner);
        if let Some(revision) = self.gone_ids.remove(draft.id()) {
            self.gone.remove(&revision);
        }
        let record = Arc::new(draft.into_record(self.next_revision(moment)));
        self.hash += record.hash();
        self.up += usize::from(record.is_up());
        self.bytes += record.size();
        self.by_revision.insert(record.revision(), record.clone());
        self.live.insert(ById(record.clone()), owner);
        Ok(Registered {
            record,
            previous,
            changed: true,
        })
    }

    /// Takes an instance out and leaves a tombstone.
    pub(crate) fn remove(
        &mut self,
        id: &[u8],
        reason: RemovalReason,
        moment: Moment,
        limits: &Limits,
    ) -> Option<(Tombstone, Owner)> {
        let (record, owner) = self.take(id)?;
        // Leave room to grow again, but do not keep that of a fleet that has gone.
        if self.live.capacity() > 64 && self.live.len() < self.live.capacity() / 8 {
            self.live.shrink_to(self.live.len() * 2);
        }
        let tombstone = Tombstone {
            id: String::from_utf8_lossy(record.id()).into(),
            reason,
            revision: self.next_revision(moment),
            made: moment.lease,
            at: moment.unix,
        };
        self.gone_ids
            .insert(tombstone.id.clone(), tombstone.revision);
        self.gone.insert(tombstone.revision, tombstone.clone());
        while self.gone.len() > limits.tombstones_per_service {
            self.forget_oldest();
        }
        Some((tombstone, owner))
    }

    /// Forgets tombstones made until `until`; returns when the oldest left was made.
    pub(crate) fn trim(&mut self, until: u64) -> Option<u64> {
        while let Some((_, oldest)) = self.gone.first_key_value() {
            if oldest.made > until {
                return Some(oldest.made);
            }
            self.forget_oldest();
        }
        None
    }

    /// From now on the answer is complete: whoever was told otherwise needs a snapshot, so no
    /// delta starts before here.
    pub(crate) fn restart_history(&mut self, moment: Moment) {
        self.revision = self.next_revision(moment);
        self.floor = self.revision;
    }

    /// What someone at `known` has to be told; `None` if nothing is newer.
    pub(crate) fn since(
        &self,
        known: Option<Position>,
        epoch: u64,
        complete: bool,
    ) -> Option<View> {
        let position = self.position(epoch);
        if known == Some(position) {
            return None;
        }
        // A delta only to one who stands at a revision of this epoch that history still reaches.
        let from = known
            .filter(|known| {
                known.epoch == epoch && (self.floor..self.revision).contains(&known.revision)
            })
            .map(|known| known.revision);
        let above = from.map_or(Unbounded, Excluded);
        Some(View {
            key: self.key.clone(),
            position,
            from,
            instances: self
                .by_revision
                .range((above, Unbounded))
                .map(|(_, record)| record.clone())
                .collect(),
            removed: self
                .gone
                .range((above, Unbounded))
                .map(|(_, tombstone)| tombstone.clone())
                .collect(),
            complete,
        })
    }

    /// Where one stands who has everything.
    pub(crate) fn position(&self, epoch: u64) -> Position {
        Position::new(epoch, self.revision, self.hash)
    }

    pub(crate) fn subscribers(&self) -> Arc<Vec<Arc<Subscription>>> {
        self.subscribers.clone()
    }

    pub(crate) fn subscriber_count(&self) -> usize {
        self.subscribers.len()
    }

    pub(crate) fn subscribe(&mut self, subscription: Arc<Subscription>) {
        Arc::make_mut(&mut self.subscribers).push(subscription);
    }

    pub(crate) fn unsubscribe(&mut self, subscription: &Arc<Subscription>) {
        if let Some(at) = self
            .subscribers
            .iter()
            .position(|other| Arc::ptr_eq(other, subscription))
        {
            Arc::make_mut(&mut self.subscribers).swap_remove(at);
        }
    }

    fn check_room(
        &self,
        draft: &Draft,
        existing: Option<&Record>,
        limits: &Limits,
    ) -> Result<(), Error> {
        if existing.is_none() && self.live.len() >= limits.instances_per_service {
            return Err(Error::new(
                ErrorCode::ResourceExhausted,
                format!(
                    "service {} has {} instances, the limit",
                    self.key, limits.instances_per_service
                ),
            ));
        }
        let bytes = self.bytes - existing.map_or(0, Record::size) + draft.size();
        if bytes > limits.bytes_per_service {
            return Err(Error::new(
                ErrorCode::ResourceExhausted,
                format!(
                    "the instances of service {} would take {bytes} bytes, over {}",
                    self.key, limits.bytes_per_service
                ),
            ));
        }
        Ok(())
    }

    fn take(&mut self, id: &[u8]) -> Option<(Arc<Record>, Owner)> {
        let (ById(record), owner) = self.live.remove_entry(id)?;
        self.by_revision.remove(&record.revision());
        self.hash -= record.hash();
        self.up -= usize::from(record.is_up());
        self.bytes -= record.size();
        Some((record, owner))
    }

    /// Takes the next revision. Microseconds of wall time keep revisions growing across restarts
    /// and forgotten services; where the clock lags or jumps back, they grow by one.
    fn next_revision(&mut self, moment: Moment) -> u64 {
        self.revision = (self.revision + 1).max(moment.unix.as_micros() as u64);
        self.revision
    }

    fn forget_oldest(&mut self) {
        if let Some((revision, tombstone)) = self.gone.pop_first() {
            self.gone_ids.remove(&tombstone.id);
            self.floor = self.floor.max(revision);
        }
    }
}
