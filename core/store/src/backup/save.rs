//! Making a snapshot while writes go on.
//!
//! Rows never change, so they are read a few at a time, each time from the newest commit, up to the
//! revision of the beginning: no page is pinned while somebody takes their time to receive them.
//! Only compaction deletes rows, and it waits while there is a snapshot. What is taken over from another member may
//! lack some: that ends the snapshot.

use std::cell::Cell;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLockReadGuard;
use prost::Message;
use quorate_proto::snapshot::part::Part as Kind;
use quorate_proto::snapshot::{End, Head, Lease, Leases, Part, Row, Rows};
use redb::ReadableTable;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

use super::{BLOCK, FORMAT, MAGIC};
use crate::error::{EtcdError, Stop, StoreFault, disk};
use crate::hash;
use crate::key_range::KeyRange;
use crate::revision::{Revision, RowKey};
use crate::store::Store;
use crate::view::{Reader, State, View};

/// About how much is read at a time, in bytes.
const PIECE: usize = 256 << 10;
/// How many leases are in a part.
const LEASES_PER_PART: usize = 4096;

/// A snapshot being made, piece by piece. Rows are not deleted by compaction while there is one.
pub struct SnapshotSource {
    store: Store,
    revision: i64,
    compacted: i64,
    /// Which state it is of: as [`State::taken_over`] was.
    state: u64,
    /// The last row looked at.
    cursor: Option<RowKey>,
    /// Head and leases at first; emptied by the first piece.
    first: Vec<u8>,
    rows: u64,
    leases: u64,
    history: Xxh3,
    checksum: Sha256,
    length: usize,
    ended: bool,
    _hold: CompactionHold,
}

/// Compaction deletes no rows while there is one.
struct CompactionHold(Store);

impl CompactionHold {
    fn new(store: &Store) -> Self {
        store.shared.compaction_holds.hold();
        Self(store.clone())
    }
}

impl Drop for CompactionHold {
    fn drop(&mut self) {
        self.0.shared.compaction_holds.release();
    }
}

impl SnapshotSource {
    /// Begins a snapshot of what is applied by now.
    pub(crate) fn begin(store: &Store) -> Result<Self, Stop> {
        // Before the view: what it has stays from now on.
        let hold = CompactionHold::new(store);
        let (view, state) = {
            let state = store.shared.state.read();
            (Arc::clone(&state.view), state.taken_over)
        };
        let keys = living_keys(store, &view)?;
        let (leases, first) = beginning(store, &view, keys)?;
        Ok(Self {
            store: store.clone(),
            revision: view.revision,
            compacted: view.compacted,
            state,
            cursor: None,
            first,
            rows: 0,
            leases,
            history: Xxh3::new(),
            checksum: Sha256::new(),
            length: 0,
            ended: false,
            _hold: hold,
        })
    }

    /// The revision it is of.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// About how much of it there is still to come, in bytes; none only at the end.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        if self.ended {
            return 0;
        }
        let all = self.store.stored_bytes();
        all.saturating_sub(self.length as u64).max(1)
    }

    /// The next piece: some hundred KiB, or one large row; `None` at the end. Blocks for the disk.
    ///
    /// # Errors
    /// The state can't be read, or another member's took its place. There is no more to come then.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, EtcdError> {
        if self.ended {
            return Ok(None);
        }
        let piece = self.piece();
        if piece.is_err() {
            self.ended = true;
        }
        let shared = &self.store.shared;
        piece.map(Some).map_err(|stop| shared.refuse(stop))
    }

    fn piece(&mut self) -> Result<Vec<u8>, Stop> {
        let mut piece = std::mem::take(&mut self.first);
        let (rows, more) = self.read_rows()?;
        if !rows.is_empty() {
            append(&mut piece, Kind::Rows(Rows { rows }));
        }
        if !more {
            let end = End {
                rows: self.rows,
                leases: self.leases,
                hash: self.history.digest(),
            };
            append(&mut piece, Kind::End(end));
            let length = self.length + piece.len();
            piece.resize(piece.len() + length.next_multiple_of(BLOCK) - length, 0);
        }
        self.length += piece.len();
        self.checksum.update(&piece);
        if !more {
            piece.extend_from_slice(&self.checksum.finalize_reset());
            self.ended = true;
        }
        Ok(piece)
    }

    /// Some rows behind the cursor, and whether there are more.
    fn read_rows(&mut self) -> Result<(Vec<Row>, bool), Stop> {
        let view = Arc::clone(&self.state()?.view);
        let last = Revision::new(self.revision, u32::MAX).row_key();
        let start = self
            .cursor
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let range = (start, Bound::Included(&last));
        let found = view
            .rows
            .range::<&RowKey>(range)
            .map_err(disk("reading the rows"))?;
        let mut rows = Vec::new();
        let (mut bytes, mut cursor, mut more) = (0, None, false);
        for row in found {
            let (key, record) = row.map_err(disk("reading the rows"))?;
            let at = Revision::from_row_key(key.value())
                .ok_or_else(|| StoreFault::damaged("a row has an impossible revision"))?;
            cursor = Some(*key.value());
            let record = record.value();
            // What compaction has left to delete counts too: it must not take all the time either.
            bytes += record.len() + size_of::<RowKey>();
            if at.main > self.compacted || self.is_kept(at, record)? {
                hash::add_row(&mut self.history, key.value(), record);
                rows.push(Row {
                    main: at.main,
                    sub: at.sub,
                    record: record.to_vec(),
                });
            }
            if bytes >= PIECE {
                more = true;
                break;
            }
        }
        self.cursor = cursor.or(self.cursor);
        self.rows += rows.len() as u64;
        Ok((rows, more))
    }

    fn is_kept(&self, at: Revision, record: &[u8]) -> Result<bool, Stop> {
        let record = crate::record::Record::decode(record)?;
        let state = self.state()?;
        Ok(state.index.keeps(record.key(), at, self.compacted))
    }

    /// What is applied by now, if it is still the state it began with.
    fn state(&self) -> Result<RwLockReadGuard<'_, State>, EtcdError> {
        let state = self.store.shared.state.read();
        if state.taken_over != self.state {
            return Err(EtcdError::TakenOver);
        }
        Ok(state)
    }
}

fn living_keys(store: &Store, view: &View) -> Result<u64, Stop> {
    let reader = Reader {
        state: &store.shared.state,
        rows: &view.rows,
        revision: view.revision,
        compacted: view.compacted,
        room: Cell::new(usize::MAX),
    };
    let all = KeyRange::borrowed(b"\0", b"\0");
    Ok(reader.live(&all, view.revision, 0)?.count as u64)
}

/// The magic number, the head and the leases; and how many those are.
fn beginning(store: &Store, view: &View, keys: u64) -> Result<(u64, Vec<u8>), StoreFault> {
    let mut first = MAGIC.to_vec();
    let head = Head {
        format: FORMAT,
        revision: view.revision,
        compacted_revision: view.compacted,
        proposed_at_ms: store.proposed_at_ms(),
        keys,
        written_by: concat!("quorate ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    append(&mut first, Kind::Head(head));
    let mut leases = Vec::new();
    let mut count = 0;
    let rows = view.leases()?;
    for row in rows.iter().map_err(disk("reading the leases"))? {
        let (id, row) = row.map_err(disk("reading the leases"))?;
        let (ttl_seconds, _) = row.value();
        leases.push(Lease {
            id: id.value(),
            ttl_seconds,
        });
        count += 1;
        if leases.len() == LEASES_PER_PART {
            let leases = std::mem::take(&mut leases);
            append(&mut first, Kind::Leases(Leases { leases }));
        }
    }
    if !leases.is_empty() {
        append(&mut first, Kind::Leases(Leases { leases }));
    }
    Ok((count, first))
}

fn append(to: &mut Vec<u8>, kind: Kind) {
    let part = Part { part: Some(kind) };
    part.encode_length_delimited(to)
        .expect("a vector grows as needed");
}
