//! What a service looks like: instances, where they are known from, what changed.

use std::ffi::c_char;
use std::sync::Arc;

use bumpalo::Bump;
use quorate::{CacheState, Freshness, Instance, RemovalReason, Removed, ServiceEvent, ServiceView};

use crate::arguments::quorate_label_t;
use crate::memory::{list, one, text};
use crate::options::quorate_status_t;

/// Where knowledge of a service comes from, best first.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum quorate_state_t {
    /// From a server this client is in contact with.
    QUORATE_STATE_LIVE = 1,
    /// From a server, kept in memory; no contact right now.
    QUORATE_STATE_STALE = 2,
    /// From the disk, written by an earlier run; no server has answered yet.
    QUORATE_STATE_SNAPSHOT = 3,
    /// From the static instances; nothing better is known.
    QUORATE_STATE_STATIC = 4,
}

impl From<CacheState> for quorate_state_t {
    fn from(state: CacheState) -> Self {
        match state {
            CacheState::Live => Self::QUORATE_STATE_LIVE,
            CacheState::Stale => Self::QUORATE_STATE_STALE,
            CacheState::Snapshot => Self::QUORATE_STATE_SNAPSHOT,
            CacheState::Static => Self::QUORATE_STATE_STATIC,
        }
    }
}

/// Why an instance went.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum quorate_reason_t {
    /// It is there, or nobody said why it went.
    QUORATE_REASON_NONE = 0,
    /// Its program asked for it, or closed its client.
    QUORATE_REASON_DEREGISTERED = 1,
    /// No sign of life for its time to live.
    QUORATE_REASON_LEASE_EXPIRED = 2,
    /// Its session broke and did not come back within its time to live.
    QUORATE_REASON_SESSION_LOST = 3,
    /// A person took it out.
    QUORATE_REASON_OPERATOR = 4,
    /// Another node is responsible now.
    QUORATE_REASON_MOVED = 5,
}

impl From<RemovalReason> for quorate_reason_t {
    fn from(reason: RemovalReason) -> Self {
        match reason {
            RemovalReason::Deregistered => Self::QUORATE_REASON_DEREGISTERED,
            RemovalReason::LeaseExpired => Self::QUORATE_REASON_LEASE_EXPIRED,
            RemovalReason::SessionLost => Self::QUORATE_REASON_SESSION_LOST,
            RemovalReason::Operator => Self::QUORATE_REASON_OPERATOR,
            RemovalReason::Moved => Self::QUORATE_REASON_MOVED,
        }
    }
}

impl From<Option<RemovalReason>> for quorate_reason_t {
    fn from(reason: Option<RemovalReason>) -> Self {
        reason.map_or(Self::QUORATE_REASON_NONE, Self::from)
    }
}

/// One address that serves a service. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_instance_t {
    /// Unique in its service.
    pub id: *const c_char,
    /// `host:port`; IPv6 hosts in brackets.
    pub address: *const c_char,
    /// Where it runs; may be empty.
    pub zone: *const c_char,
    /// The program's version; may be empty.
    pub version: *const c_char,
    /// Labels, by key. A value with a NUL in it seems to end there.
    pub metadata: *const quorate_label_t,
    /// How many labels there are.
    pub metadata_count: usize,
    /// How long it stays without a sign of life.
    pub ttl_ms: i64,
    /// Grows with every change of this record.
    pub revision: u64,
    /// The share of calls relative to others; 0 receives none.
    pub weight: i32,
    /// Whether it wants calls.
    pub status: quorate_status_t,
}

/// The instances of a service at one moment. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_view_t {
    /// The service's namespace.
    pub service_namespace: *const c_char,
    /// The service's name.
    pub service: *const c_char,
    /// All instances, by id, also those that are not up or have weight 0. NULL follows.
    pub instances: *const *const quorate_instance_t,
    /// How many there are.
    pub instance_count: usize,
    /// The epoch the revision counts in; 0 if no server vouches for exactly this content.
    pub epoch: u64,
    /// Grows with each change within an epoch.
    pub revision: u64,
    /// Since when nobody confirmed it.
    pub age_ms: i64,
    /// Where it comes from.
    pub state: quorate_state_t,
    /// Whether a server vouched that nothing is missing.
    pub complete: bool,
}

/// What happened to a service.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum quorate_service_change_t {
    /// The first event: everything known.
    QUORATE_SERVICE_SNAPSHOT = 1,
    /// Instances came, changed or went.
    QUORATE_SERVICE_CHANGED = 2,
    /// The thread of changes was lost and the service fetched whole: read the view anew.
    QUORATE_SERVICE_RESYNC = 3,
    /// Only the freshness changed: contact was lost or found, or the view became complete.
    QUORATE_SERVICE_STATE = 4,
}

/// An instance that is no longer there. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_removed_t {
    /// As it was last seen.
    pub instance: *const quorate_instance_t,
    /// Why it went.
    pub reason: quorate_reason_t,
}

/// A change of a service. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_service_event_t {
    /// What happened.
    pub change: quorate_service_change_t,
    /// The view after it; never NULL.
    pub view: *const quorate_view_t,
    /// New instances. NULL follows.
    pub added: *const *const quorate_instance_t,
    /// How many there are.
    pub added_count: usize,
    /// Changed instances, as they are now. NULL follows.
    pub updated: *const *const quorate_instance_t,
    /// How many there are.
    pub updated_count: usize,
    /// Instances that went. NULL follows.
    pub removed: *const *const quorate_removed_t,
    /// How many there are.
    pub removed_count: usize,
}

pub(crate) fn instance(memory: &Bump, instance: &Instance) -> quorate_instance_t {
    let labels = instance
        .metadata
        .iter()
        .map(|(key, value)| quorate_label_t {
            key: text(memory, key),
            value: text(memory, value),
        });
    quorate_instance_t {
        id: text(memory, &instance.id),
        address: text(memory, &instance.address),
        zone: text(memory, &instance.zone),
        version: text(memory, &instance.version),
        metadata: memory.alloc_slice_fill_iter(labels).as_ptr(),
        metadata_count: instance.metadata.len(),
        ttl_ms: i64::from(instance.ttl.as_millis()),
        revision: instance.revision,
        weight: i32::from(instance.weight),
        status: instance.status.into(),
    }
}

type Instances = *const *const quorate_instance_t;

fn instances(memory: &Bump, some: &[Arc<Instance>]) -> Instances {
    list(
        memory,
        some.iter()
            .map(|one_of| one(memory, instance(memory, one_of))),
    )
}

pub(crate) fn view(memory: &Bump, view: &ServiceView) -> quorate_view_t {
    let Freshness {
        state,
        epoch,
        revision,
        age,
        complete,
    } = view.freshness;
    quorate_view_t {
        service_namespace: text(memory, view.service.namespace()),
        service: text(memory, view.service.name()),
        instances: instances(memory, &view.instances),
        instance_count: view.instances.len(),
        epoch,
        revision,
        age_ms: i64::try_from(age.as_millis()).unwrap_or(i64::MAX),
        state: state.into(),
        complete,
    }
}

/// An event and the view after it.
pub(crate) fn service_event(
    memory: &Bump,
    event: &ServiceEvent,
    after: &ServiceView,
) -> quorate_service_event_t {
    use quorate_service_change_t as Change;
    let nothing: (&[_], &[_], &[Removed]) = (&[], &[], &[]);
    let (change, (added, updated, removed)) = match event {
        ServiceEvent::Changed {
            added,
            updated,
            removed,
            ..
        } => (
            Change::QUORATE_SERVICE_CHANGED,
            (added.as_slice(), updated.as_slice(), removed.as_slice()),
        ),
        ServiceEvent::Resync { .. } => (Change::QUORATE_SERVICE_RESYNC, nothing),
        ServiceEvent::State { .. } => (Change::QUORATE_SERVICE_STATE, nothing),
        _ => (Change::QUORATE_SERVICE_SNAPSHOT, nothing),
    };
    let gone = removed.iter().map(|removed| {
        let gone = quorate_removed_t {
            instance: one(memory, instance(memory, &removed.instance)),
            reason: removed.reason.into(),
        };
        one(memory, gone)
    });
    quorate_service_event_t {
        change,
        view: one(memory, view(memory, after)),
        added: instances(memory, added),
        added_count: added.len(),
        updated: instances(memory, updated),
        updated_count: updated.len(),
        removed: list(memory, gone),
        removed_count: removed.len(),
    }
}
