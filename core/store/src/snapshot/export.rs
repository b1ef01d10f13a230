//! Reading the state out, piece by piece, as it was at one moment.

use std::ops::Bound;

use quorate_proto::v1::snapshot_part::Body;
use quorate_proto::v1::{
    SnapshotEnd, SnapshotLease, SnapshotLeases, SnapshotPart, SnapshotRow, SnapshotRows,
};
use redb::{ReadableDatabase, ReadableTable};

use super::Digest;
use crate::apply::AppliedMark;
use crate::error::{StoreFault, disk};
use crate::revision::RowKey;
use crate::store::{Rows, Store};
use crate::tables::{self, LEASES, ROWS, Standing};

/// Size from which a piece is full.
const PIECE_BYTES: usize = 1 << 20;
/// Most leases in a piece.
const PIECE_LEASES: usize = 32 << 10;

/// The state at one moment, to be sent. While it lives, the disk keeps what it has, so that the file grows.
pub struct Export {
    rows: Rows,
    leases: Vec<SnapshotLease>,
    standing: Standing,
    next: Next,
    digest: Digest,
}

enum Next {
    /// Rows behind this one.
    Rows(Bound<RowKey>),
    /// Leases from this one on.
    Leases(usize),
    End,
    Nothing,
}

impl Store {
    /// The state as it is now. Blocks while a batch is applied, and reads all leases.
    ///
    /// # Errors
    /// The disk failed.
    pub fn export(&self) -> Result<Export, StoreFault> {
        let action = "reading the state out";
        let writer = self.shared.writer.lock();
        let read = writer.db.begin_read().map_err(disk(action))?;
        drop(writer);
        let mut leases = Vec::new();
        let table = read.open_table(LEASES).map_err(disk(action))?;
        for row in table.iter().map_err(disk(action))? {
            let (id, row) = row.map_err(disk(action))?;
            let (granted_seconds, remaining_seconds) = row.value();
            leases.push(SnapshotLease {
                id: id.value(),
                granted_seconds,
                remaining_seconds,
            });
        }
        Ok(Export {
            leases,
            standing: tables::standing(&read)?,
            rows: read.open_table(ROWS).map_err(disk(action))?,
            next: Next::Rows(Bound::Unbounded),
            digest: Digest::default(),
        })
    }
}

impl Export {
    /// The last log entry in it.
    #[must_use]
    pub fn mark(&self) -> &AppliedMark {
        &self.standing.mark
    }

    /// The next piece, of about a megabyte; `None` behind the last. Blocks for the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn next_part(&mut self) -> Result<Option<SnapshotPart>, StoreFault> {
        let body = match self.next {
            Next::Rows(after) => self.rows_after(after)?,
            Next::Leases(from) => self.leases_from(from),
            Next::End => self.end(),
            Next::Nothing => return Ok(None),
        };
        Ok(Some(SnapshotPart { body: Some(body) }))
    }

    fn rows_after(&mut self, after: Bound<RowKey>) -> Result<Body, StoreFault> {
        let action = "reading the rows out";
        let mut rows = Vec::new();
        let mut bytes = 0;
        self.next = Next::Leases(0);
        let range: (Bound<&RowKey>, Bound<&RowKey>) = (after.as_ref(), Bound::Unbounded);
        for row in self.rows.range::<&RowKey>(range).map_err(disk(action))? {
            let (key, value) = row.map_err(disk(action))?;
            let (key, value) = (key.value(), value.value());
            self.digest.row(key, value);
            bytes += key.len() + value.len();
            rows.push(SnapshotRow {
                key: key.to_vec(),
                value: value.to_vec(),
            });
            if bytes >= PIECE_BYTES {
                self.next = Next::Rows(Bound::Excluded(*key));
                break;
            }
        }
        Ok(Body::Rows(SnapshotRows { rows }))
    }

    fn leases_from(&mut self, from: usize) -> Body {
        let to = self.leases.len().min(from + PIECE_LEASES);
        self.next = if to < self.leases.len() {
            Next::Leases(to)
        } else {
            Next::End
        };
        let leases = self.leases[from..to].to_vec();
        for lease in &leases {
            self.digest
                .lease(lease.id, lease.granted_seconds, lease.remaining_seconds);
        }
        Body::Leases(SnapshotLeases { leases })
    }

    fn end(&mut self) -> Body {
        self.next = Next::Nothing;
        let standing = self.standing.encode();
        self.digest.bytes(&standing);
        Body::End(SnapshotEnd {
            standing,
            hash: self.digest.finish(),
        })
    }
}
