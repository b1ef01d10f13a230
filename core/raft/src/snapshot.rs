//! Snapshots between members: read out of the store as they are sent, taken over through openraft.

use futures::{StreamExt as _, stream};
use openraft::type_config::alias::SnapshotMetaOf;
use quorate_proto::v1::SnapshotPart;
use quorate_store::{Export, Received, Store, StoreFault};

use crate::encoding::{self, Unreadable};
use crate::machine::Checkpoint;
use crate::peers::SnapshotParts;
use crate::types::TypeConfig;

pub(crate) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Checkpoint>;

/// A state that is being read out.
enum Reading {
    NotYet(Store),
    From(Box<Export>),
}

impl Reading {
    /// The next piece, and the rest. Blocks for the disk.
    fn read(self) -> Result<Option<(SnapshotPart, Self)>, StoreFault> {
        let mut export = match self {
            Self::NotYet(store) => Box::new(store.export()?),
            Self::From(export) => export,
        };
        let part = export.next_part()?;
        Ok(part.map(|part| (part, Self::From(export))))
    }
}

/// The state as it is when the first piece is asked for, piece by piece. To be polled on a runtime with threads that
/// may block.
pub(crate) fn parts(store: Store) -> SnapshotParts {
    let parts = stream::unfold(Some(Reading::NotYet(store)), |reading| async {
        let reading = reading?;
        match tokio::task::spawn_blocking(move || reading.read()).await {
            Ok(Ok(Some((part, rest)))) => Some((Ok(part), Some(rest))),
            Ok(Err(fault)) => Some((Err(fault), None)),
            // It is read to its end; or the runtime ends.
            Ok(Ok(None)) | Err(_) => None,
        }
    });
    parts.boxed()
}

/// A received state as openraft knows snapshots.
pub(crate) fn received(state: Received, cluster_id: u64) -> Result<Snapshot, Unreadable> {
    let (of, applied) = encoding::decode_applied(&state.mark().raft_state)?;
    if of != Some(cluster_id) {
        return Err(Unreadable::new("a snapshot", "it is of another cluster"));
    }
    Ok(Snapshot {
        meta: SnapshotMetaOf::<TypeConfig> {
            last_log_id: applied.last_applied,
            last_membership: applied.membership,
        },
        snapshot: Checkpoint::Received(Box::new(state)),
    })
}
