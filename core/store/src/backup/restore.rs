//! A new store from a snapshot.

use std::path::Path;

use quorate_proto::snapshot::part::Part as Kind;
use quorate_proto::snapshot::{Head, Lease, Row};
use redb::{Database, Durability, WriteTransaction};

use super::read::{self, Progress};
use super::{SnapshotError, SnapshotSummary};
use crate::error::{StoreFault, disk};
use crate::revision::Revision;
use crate::store::FILE;
use crate::tables::{self, LEASES, META, ROWS, Standing};

/// Memory for pages of the database while it is filled.
const CACHE_BYTES: usize = 64 << 20;
/// About how much goes into one transaction of the disk, in bytes.
const TRANSACTION_BYTES: usize = 16 << 20;

/// Makes a store in `directory`, which must exist and hold none, of the snapshot at `path`. It has
/// the snapshot's keys, revisions and leases, these with all of their time, and no place in a log.
///
/// The snapshot is checked as [`super::inspect_snapshot`] does. If it fails it leaves an unfinished
/// store behind: make it in a directory that can be thrown away.
///
/// # Errors
/// The snapshot can't be used, or the disk fails.
pub fn restore_snapshot(
    path: &Path,
    directory: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<SnapshotSummary, SnapshotError> {
    let (db, _) = tables::open(&directory.join(FILE), CACHE_BYTES)?;
    let mut filling = Filling {
        db,
        head: None,
        rows: Vec::new(),
        bytes: 0,
    };
    let summary = read::read(path, progress, &mut |part| match part {
        Kind::Head(head) => {
            filling.head = Some(head);
            Ok(())
        }
        Kind::Leases(leases) => Ok(filling.leases(&leases.leases)?),
        Kind::Rows(rows) => Ok(filling.rows(rows.rows)?),
        Kind::End(_) => Ok(()),
    })?;
    filling.finish()?;
    Ok(summary)
}

struct Filling {
    db: Database,
    head: Option<Head>,
    rows: Vec<Row>,
    bytes: usize,
}

impl Filling {
    fn begin(&self, durability: Durability) -> Result<WriteTransaction, StoreFault> {
        let action = "opening a write transaction";
        let mut txn = self.db.begin_write().map_err(disk(action))?;
        txn.set_durability(durability).map_err(disk(action))?;
        Ok(txn)
    }

    fn leases(&mut self, leases: &[Lease]) -> Result<(), StoreFault> {
        let txn = self.begin(Durability::None)?;
        {
            let mut table = txn.open_table(LEASES).map_err(disk("opening the leases"))?;
            for lease in leases {
                table
                    .insert(lease.id, (lease.ttl_seconds, 0))
                    .map_err(disk("writing a lease"))?;
            }
        }
        txn.commit().map_err(disk("writing the leases"))
    }

    fn rows(&mut self, rows: Vec<Row>) -> Result<(), StoreFault> {
        self.bytes += rows.iter().map(|row| row.record.len()).sum::<usize>();
        self.rows.extend(rows);
        if self.bytes < TRANSACTION_BYTES {
            return Ok(());
        }
        let txn = self.begin(Durability::None)?;
        self.write_rows(&txn)?;
        txn.commit().map_err(disk("writing the rows"))
    }

    fn write_rows(&mut self, txn: &WriteTransaction) -> Result<(), StoreFault> {
        let mut table = txn.open_table(ROWS).map_err(disk("opening the rows"))?;
        for row in self.rows.drain(..) {
            let key = Revision::new(row.main, row.sub).row_key();
            table
                .insert(&key, &row.record[..])
                .map_err(disk("writing a row"))?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// Writes what is left, and where the state stands; durably.
    fn finish(mut self) -> Result<(), StoreFault> {
        let mut txn = self.begin(Durability::Immediate)?;
        txn.set_quick_repair(true);
        self.write_rows(&txn)?;
        let head = self.head.take().unwrap_or_default();
        let standing = Standing {
            revision: head.revision,
            compacted: head.compacted_revision,
            compacted_rows: head.compacted_revision,
            proposed_at_ms: head.proposed_at_ms,
            ..Standing::default()
        };
        {
            let mut meta = txn.open_table(META).map_err(disk("opening the tables"))?;
            standing.write(&mut meta)?;
        }
        txn.commit().map_err(disk("writing the store"))
    }
}
