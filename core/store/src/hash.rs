//! A hash of the history, to compare replicas.

use redb::ReadableTable;
use std::cell::Cell;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{EtcdError, Stop, StoreFault, disk};
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::store::{Rows, Shared};
use crate::view::{Reader, View};

/// The hash of a store's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// XXH3 (64 bits) of all rows that the compacted revision keeps, up to the hashed revision.
    pub hash: u64,
    /// History below this revision is not in it.
    pub compacted_revision: i64,
    /// The revision it was taken at.
    pub revision: i64,
}

impl HashKv {
    /// The hash in the bits etcd's wire has for it.
    #[must_use]
    pub fn short(&self) -> u32 {
        fold(self.hash)
    }
}

/// A hash in fewer bits.
pub(crate) fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// Hashes what a reader sees, up to `revision`; [`EtcdError::Compacted`] if a compaction
/// overtakes it. Whether compaction has deleted its rows yet makes no difference.
pub(crate) fn hash_kv(
    shared: &Shared,
    reader: &Reader<'_, Rows>,
    revision: i64,
) -> Result<HashKv, Stop> {
    let mut hasher = Xxh3::new();
    hash_history(&mut hasher, shared, reader, revision)?;
    Ok(HashKv {
        hash: hasher.digest(),
        compacted_revision: reader.compacted,
        revision,
    })
}

/// Hashes all that replicas have in common: revisions, history and leases of one commit.
pub(crate) fn hash_state(shared: &Shared, view: &View) -> Result<u64, Stop> {
    let reader = Reader {
        state: &shared.state,
        rows: &view.rows,
        revision: view.revision,
        compacted: view.compacted,
        room: Cell::new(usize::MAX),
    };
    let mut hasher = Xxh3::new();
    hasher.update(&view.revision.to_le_bytes());
    hasher.update(&view.compacted.to_le_bytes());
    let leases = view.leases()?;
    for row in leases.iter().map_err(disk("reading the leases"))? {
        let (id, row) = row.map_err(disk("reading the leases"))?;
        let (ttl, remaining) = row.value();
        for number in [id.value(), ttl, remaining] {
            hasher.update(&number.to_le_bytes());
        }
    }
    hash_history(&mut hasher, shared, &reader, view.revision)?;
    Ok(hasher.digest())
}

fn hash_history(
    hasher: &mut Xxh3,
    shared: &Shared,
    reader: &Reader<'_, Rows>,
    revision: i64,
) -> Result<(), Stop> {
    let end = Revision::new(revision, u32::MAX).row_key();
    let rows = reader
        .rows
        .range::<&RowKey>(&Revision::new(0, 0).row_key()..=&end)
        .map_err(disk("reading the rows"))?;
    for row in rows {
        let (key, value) = row.map_err(disk("reading the rows"))?;
        let at = Revision::from_row_key(key.value())
            .ok_or_else(|| StoreFault::damaged("a row has an impossible revision"))?;
        if at.main > reader.compacted || keeps(shared, reader.compacted, at, value.value())? {
            add_row(hasher, key.value(), value.value());
        }
    }
    Ok(())
}

/// Adds a row of the history.
pub(crate) fn add_row(hasher: &mut Xxh3, key: &RowKey, row: &[u8]) {
    hasher.update(key);
    hasher.update(&(row.len() as u64).to_le_bytes());
    hasher.update(row);
}

/// Whether a compacted row is still readable.
fn keeps(shared: &Shared, compacted: i64, at: Revision, row: &[u8]) -> Result<bool, Stop> {
    let record = Record::decode(row)?;
    let state = shared.state.read();
    if state.view.compacted != compacted {
        return Err(EtcdError::Compacted.into());
    }
    Ok(state.index.keeps(record.key(), at, compacted))
}
