//! The tables on the disk, and the one row that says where the state stands.

use std::panic::catch_unwind;
use std::path::Path;

use bytes::{Buf, BufMut};
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::apply::AppliedMark;
use crate::error::{StoreFault, disk};
use crate::revision::RowKey;

/// History: [revision](crate::revision) → [record](crate::record). Only ever appended to at its
/// right edge, and deleted from by compaction.
pub(crate) const ROWS: TableDefinition<'static, &'static RowKey, &'static [u8]> =
    TableDefinition::new("rev");
/// Leases: id → (granted TTL, seconds left at the last checkpoint or 0).
pub(crate) const LEASES: TableDefinition<'static, i64, (i64, i64)> = TableDefinition::new("lease");
/// Single rows, by name.
pub(crate) const META: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("meta");

/// [`META`]: what the file is, and in which format.
const SCHEMA: &str = "schema";
const SCHEMA_MAGIC: &[u8; 8] = b"quorstor";
/// The newest format this version reads, and the one it writes.
const SCHEMA_VERSION: u32 = 1;
/// [`META`]: a [`Standing`].
const STANDING: &str = "standing";

/// [`META`]: the last log entry of the snapshot this state began with, if it came from another member.
const RECEIVED: &str = "received";

/// Where the state stands; written with every batch, in the same transaction as its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The newest revision; an empty store is at 1.
    pub(crate) revision: i64,
    /// Reads below this revision are refused; 0 if nothing was compacted yet.
    pub(crate) compacted: i64,
    /// Compaction has deleted the rows up to this revision. Local: replicas differ in it.
    pub(crate) compacted_rows: i64,
    /// The newest proposer's clock seen, Unix ms.
    pub(crate) proposed_at_ms: u64,
    pub(crate) mark: AppliedMark,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            revision: 1,
            compacted: 0,
            compacted_rows: 0,
            proposed_at_ms: 0,
            mark: AppliedMark::default(),
        }
    }
}

impl Standing {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(40 + self.mark.raft_state.len());
        row.put_i64_le(self.revision);
        row.put_i64_le(self.compacted);
        row.put_i64_le(self.compacted_rows);
        row.put_u64_le(self.proposed_at_ms);
        row.put_u64_le(self.mark.index);
        row.put_slice(&self.mark.raft_state);
        row
    }

    pub(crate) fn decode(mut row: &[u8]) -> Result<Self, StoreFault> {
        if row.len() < 40 {
            return Err(StoreFault::damaged("the row of its standing is too short"));
        }
        Ok(Self {
            revision: row.get_i64_le(),
            compacted: row.get_i64_le(),
            compacted_rows: row.get_i64_le(),
            proposed_at_ms: row.get_u64_le(),
            mark: AppliedMark {
                index: row.get_u64_le(),
                raft_state: row.to_vec(),
            },
        })
    }

    /// Writes the row; part of the caller's transaction.
    pub(crate) fn write(
        &self,
        meta: &mut redb::Table<'_, &'static str, &'static [u8]>,
    ) -> Result<(), StoreFault> {
        meta.insert(STANDING, &self.encode()[..])
            .map_err(disk("writing the applied mark"))?;
        Ok(())
    }
}

/// Reads where a state stands that a read transaction sees.
pub(crate) fn standing(read: &redb::ReadTransaction) -> Result<Standing, StoreFault> {
    let meta = read.open_table(META).map_err(disk("opening the tables"))?;
    let row = meta
        .get(STANDING)
        .map_err(disk("reading where it stands"))?;
    let row = row.ok_or_else(|| StoreFault::damaged("the row of its standing is missing"))?;
    Standing::decode(row.value())
}

/// The last log entry of the snapshot this state began with; 0 if it was never another member's.
pub(crate) fn received(db: &Database) -> Result<u64, StoreFault> {
    let action = "reading where it comes from";
    let read = db.begin_read().map_err(disk(action))?;
    let meta = read.open_table(META).map_err(disk(action))?;
    let row = meta.get(RECEIVED).map_err(disk(action))?;
    row.map_or(Ok(0), |row| {
        let index = row.value().try_into().map(u64::from_le_bytes);
        index.map_err(|_| StoreFault::damaged("the row of its origin has a wrong size"))
    })
}

/// Writes where a received state stands, and that it was received; part of the caller's transaction.
pub(crate) fn write_received(
    txn: &redb::WriteTransaction,
    standing: &Standing,
) -> Result<(), StoreFault> {
    let mut meta = txn.open_table(META).map_err(disk("opening the tables"))?;
    standing.write(&mut meta)?;
    meta.insert(RECEIVED, &standing.mark.index.to_le_bytes()[..])
        .map_err(disk("writing where it comes from"))?;
    Ok(())
}

/// Opens or creates the database, and reads where it stands.
pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<(Database, Standing), StoreFault> {
    // redb asserts on some damaged files where it could answer with an error. What it was making is
    // dropped with the panic, so nothing half-made is seen.
    let made = catch_unwind(|| {
        redb::Builder::new()
            .set_cache_size(cache_bytes)
            .create(path)
    });
    let db = made
        .map_err(|_| StoreFault::damaged(format!("redb cannot read {}", path.display())))?
        .map_err(|error| StoreFault::opening(path, error))?;
    let read = db.begin_read().map_err(disk("opening the database"))?;
    let tables = read
        .list_tables()
        .map_err(disk("listing the tables"))?
        .count();
    if tables == 0 {
        drop(read);
        let standing = create(&db)?;
        return Ok((db, standing));
    }
    let foreign = || StoreFault::Foreign {
        path: path.to_owned(),
    };
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::Storage(error)) => return Err(disk("opening the database")(error)),
        Err(_) => return Err(foreign()),
    };
    let get = |name| meta.get(name).map_err(disk("reading the schema"));
    let schema = get(SCHEMA)?.ok_or_else(foreign)?;
    let version = schema
        .value()
        .strip_prefix(SCHEMA_MAGIC)
        .and_then(|version| version.try_into().ok())
        .map(u32::from_le_bytes)
        .ok_or_else(foreign)?;
    if version > SCHEMA_VERSION {
        return Err(StoreFault::Newer {
            path: path.to_owned(),
            found: version,
            known: SCHEMA_VERSION,
        });
    }
    let standing =
        get(STANDING)?.ok_or_else(|| StoreFault::damaged("the row of its standing is missing"))?;
    let standing = Standing::decode(standing.value())?;
    Ok((db, standing))
}

/// Lays out a new database, durably.
fn create(db: &Database) -> Result<Standing, StoreFault> {
    let standing = Standing::default();
    let mut txn = db.begin_write().map_err(disk("creating the database"))?;
    txn.set_quick_repair(true);
    {
        txn.open_table(ROWS).map_err(disk("creating the tables"))?;
        txn.open_table(LEASES)
            .map_err(disk("creating the tables"))?;
        let mut meta = txn.open_table(META).map_err(disk("creating the tables"))?;
        let schema = [&SCHEMA_MAGIC[..], &SCHEMA_VERSION.to_le_bytes()].concat();
        meta.insert(SCHEMA, &schema[..])
            .map_err(disk("writing the schema"))?;
        standing.write(&mut meta)?;
    }
    txn.commit().map_err(disk("creating the database"))?;
    Ok(standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(path: &Path) -> StoreFault {
        open(path, 1 << 20).map(|_| ()).unwrap_err()
    }

    #[test]
    fn a_new_store_is_at_revision_one_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let (db, standing) = open(&path, 1 << 20).unwrap();
        assert_eq!(standing.revision, 1);
        assert!(matches!(fault(&path), StoreFault::InUse { .. }));
        drop(db);
        assert_eq!(open(&path, 1 << 20).unwrap().1, standing);
    }

    #[test]
    fn foreign_files_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text");
        let content = b"this is a diary, not a database\n".repeat(1000);
        std::fs::write(&text, &content).unwrap();
        assert!(matches!(fault(&text), StoreFault::Foreign { .. }));
        assert_eq!(std::fs::read(&text).unwrap(), content);

        let other = dir.path().join("other");
        let db = Database::create(&other).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(TableDefinition::<u64, u64>::new("x"))
            .unwrap();
        txn.commit().unwrap();
        drop(db);
        assert!(matches!(fault(&other), StoreFault::Foreign { .. }));
    }

    #[test]
    fn a_store_whose_end_is_missing_is_refused_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let (path, cut) = (dir.path().join("whole"), dir.path().join("cut"));
        let (db, _) = open(&path, 1 << 20).unwrap();
        let mut txn = db.begin_write().unwrap();
        txn.set_quick_repair(true);
        let filler = vec![7; 1 << 20];
        txn.open_table(META)
            .unwrap()
            .insert("filler", &filler[..])
            .unwrap();
        txn.commit().unwrap();
        // As `kill -9` leaves it: redb has to look at how long the file is.
        std::fs::copy(&path, &cut).unwrap();
        let whole = std::fs::metadata(&cut).unwrap().len();
        for pages in (2..whole / 4096).step_by(19) {
            std::fs::copy(&path, &cut).unwrap();
            let file = std::fs::File::options().write(true).open(&cut).unwrap();
            file.set_len(pages * 4096).unwrap();
            assert!(open(&cut, 1 << 20).is_err(), "cut to {pages} pages");
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("newer");
        let (db, _) = open(&path, 1 << 20).unwrap();
        let txn = db.begin_write().unwrap();
        let schema = [&SCHEMA_MAGIC[..], &99_u32.to_le_bytes()].concat();
        txn.open_table(META)
            .unwrap()
            .insert(SCHEMA, &schema[..])
            .unwrap();
        txn.commit().unwrap();
        drop(db);
        let fault = fault(&path);
        assert!(matches!(
            fault,
            StoreFault::Newer {
                found: 99,
                known: 1,
                ..
            }
        ));
        assert!(fault.to_string().contains("format 99"), "{fault}");
    }
}
