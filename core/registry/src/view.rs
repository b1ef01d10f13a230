//! What a subscriber is sent about a service: captured under the slot's lock as pointers only,
//! turned into a message outside of it.

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::v1;
use quorate_types::{ContentHash, RemovalReason, ServiceKey};

use crate::record::Record;

/// Bytes of a record on the wire beside its texts: tags, numbers, the revision.
const RECORD_OVERHEAD: usize = 32;

/// What was removed, when and why.
#[derive(Clone, Debug)]
pub(crate) struct Tombstone {
    pub(crate) id: Arc<str>,
    pub(crate) reason: RemovalReason,
    pub(crate) revision: u64,
    /// On the lease clock, for forgetting it in time.
    pub(crate) made: u64,
    /// Unix time, for people.
    pub(crate) at: Duration,
}

/// A version of a service that a subscriber has, or is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) revision: u64,
    pub(crate) hash: u64,
}

/// Everything of a service, or what changed since `from`.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) key: Arc<ServiceKey>,
    pub(crate) position: Position,
    /// The revision a delta applies to; `None` for a snapshot.
    pub(crate) from: Option<u64>,
    pub(crate) instances: Vec<Arc<Record>>,
    pub(crate) removed: Vec<Tombstone>,
    /// Whether absence means anything.
    pub(crate) complete: bool,
}

// === impl Tombstone ===

impl From<&Tombstone> for v1::Removal {
    fn from(tombstone: &Tombstone) -> Self {
        Self {
            id: tombstone.id.as_ref().to_owned(),
            reason: v1::RemovalReason::from(tombstone.reason) as i32,
            revision: tombstone.revision,
            removed_at_ms: tombstone.at.as_millis() as u64,
        }
    }
}

// === impl Position ===

impl Position {
    pub(crate) fn new(epoch: u64, revision: u64, hash: ContentHash) -> Self {
        Self {
            epoch,
            revision,
            hash: hash.value(),
        }
    }
}

impl From<v1::ViewVersion> for Position {
    fn from(wire: v1::ViewVersion) -> Self {
        Self {
            epoch: wire.epoch,
            revision: wire.revision,
            hash: wire.content_hash,
        }
    }
}

impl From<Position> for v1::ViewVersion {
    fn from(position: Position) -> Self {
        Self {
            epoch: position.epoch,
            revision: position.revision,
            content_hash: position.hash,
        }
    }
}

// === impl View ===

impl View {
    /// About how many bytes it takes on the wire.
    pub(crate) fn size(&self) -> usize {
        let instances: usize = self.instances.iter().map(|r| r.size()).sum();
        let removed: usize = self.removed.iter().map(|t| t.id.len()).sum();
        instances + removed + RECORD_OVERHEAD * (self.instances.len() + self.removed.len() + 4)
    }

    pub(crate) fn is_delta(&self) -> bool {
        self.from.is_some()
    }

    /// The snapshot message; of a delta, only what it carries.
    pub(crate) fn to_snapshot(&self) -> v1::ServiceSnapshot {
        v1::ServiceSnapshot {
            service: Some((&*self.key).into()),
            version: Some(self.position.into()),
            instances: self.instances.iter().map(|r| r.to_wire()).collect(),
            removed: self.removed.iter().map(Into::into).collect(),
            complete: self.complete,
            absent_reason: if self.complete {
                v1::RemovalReason::SessionLost.into()
            } else {
                v1::RemovalReason::Unspecified.into()
            },
        }
    }

    fn to_delta(&self, from_revision: u64) -> v1::ServiceDelta {
        v1::ServiceDelta {
            service: Some((&*self.key).into()),
            from_revision,
            version: Some(self.position.into()),
            upserted: self.instances.iter().map(|r| r.to_wire()).collect(),
            removed: self.removed.iter().map(Into::into).collect(),
        }
    }

    pub(crate) fn to_session_event(&self) -> v1::SessionEvent {
        use v1::session_event::Body;
        v1::SessionEvent {
            body: Some(match self.from {
                Some(from) => Body::Delta(self.to_delta(from)),
                None => Body::Snapshot(self.to_snapshot()),
            }),
        }
    }

    pub(crate) fn to_watch_response(&self) -> v1::WatchServiceResponse {
        use v1::watch_service_response::Body;
        v1::WatchServiceResponse {
            body: Some(match self.from {
                Some(from) => Body::Delta(self.to_delta(from)),
                None => Body::Snapshot(self.to_snapshot()),
            }),
        }
    }
}
