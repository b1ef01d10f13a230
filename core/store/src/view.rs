//! What readers see: the index and one committed snapshot of the rows, exchanged together.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use quorate_proto::mvccpb::KeyValue;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable};

use crate::apply::AppliedMark;
use crate::error::{EtcdError, StoreFault, disk};
use crate::index::{Found, Head, Index};
use crate::key_range::KeyRange;
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::tables::{LEASES, ROWS};

/// How many keys a reader looks at before it lets the writer in again.
const KEYS_PER_LOCK: usize = 2048;
/// What a version takes in an answer beside its key and value, about.
const NUMBERS_BYTES: usize = 32;

/// A committed state. One is kept for all readers, so that a read opens no transaction of its
/// own; it pins the pages of one commit, until the next is published.
pub(crate) struct View {
    /// The newest revision in it.
    pub(crate) revision: i64,
    /// The oldest revision that may be read.
    pub(crate) compacted: i64,
    /// The last log entry in it.
    pub(crate) mark: AppliedMark,
    pub(crate) rows: ReadOnlyTable<&'static RowKey, &'static [u8]>,
    /// For the tables that few readers want.
    commit: ReadTransaction,
    /// Open for as long as somebody reads from it, also when another took its place.
    _db: Arc<Database>,
}

impl View {
    pub(crate) fn open(
        db: &Arc<Database>,
        revision: i64,
        compacted: i64,
        mark: AppliedMark,
    ) -> Result<Arc<Self>, StoreFault> {
        let commit = db
            .begin_read()
            .map_err(disk("opening a read transaction"))?;
        let rows = commit.open_table(ROWS).map_err(disk("opening the rows"))?;
        Ok(Arc::new(Self {
            revision,
            compacted,
            mark,
            rows,
            commit,
            _db: Arc::clone(db),
        }))
    }

    /// The leases as of the same commit: id → (granted TTL, seconds left or 0).
    pub(crate) fn leases(&self) -> Result<ReadOnlyTable<i64, (i64, i64)>, StoreFault> {
        self.commit
            .open_table(LEASES)
            .map_err(disk("opening the leases"))
    }
}

/// The index and the newest view. The writer changes the index ahead of the view; readers ask it
/// for revisions the view has, and so never see what is not committed.
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) view: Arc<View>,
    /// How often another member's state took the place of this one.
    pub(crate) taken_over: u64,
}

#[cfg(test)]
thread_local! {
    /// Rows this thread has read.
    pub(crate) static ROWS_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A row that the index names must be there.
pub(crate) fn read_row<T, R>(
    rows: &T,
    revision: Revision,
    read: impl FnOnce(Record<'_>) -> R,
) -> Result<R, StoreFault>
where
    T: ReadableTable<&'static RowKey, &'static [u8]>,
{
    #[cfg(test)]
    ROWS_READ.set(ROWS_READ.get() + 1);
    let row = rows
        .get(&revision.row_key())
        .map_err(disk("reading a row"))?
        .ok_or_else(|| {
            StoreFault::damaged(format!(
                "the row of revision {}.{} is missing",
                revision.main, revision.sub
            ))
        })?;
    Ok(read(Record::decode(row.value())?))
}

/// Reads as of one revision: for readers the view's, for the writer its own, unpublished one.
pub(crate) struct Reader<'a, T> {
    pub(crate) state: &'a RwLock<State>,
    pub(crate) rows: &'a T,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    /// Bytes the answer may still take.
    pub(crate) room: Cell<usize>,
}

impl<T> Reader<'_, T>
where
    T: ReadableTable<&'static RowKey, &'static [u8]>,
{
    /// The revision to read at; 0 or less asks for the newest.
    pub(crate) fn at(&self, revision: i64) -> Result<i64, EtcdError> {
        if revision <= 0 {
            Ok(self.revision)
        } else if revision > self.revision {
            Err(EtcdError::FutureRevision)
        } else if revision < self.compacted {
            Err(EtcdError::Compacted)
        } else {
            Ok(revision)
        }
    }

    /// The versions in `range` that live at `at`, in key order; no more than `wanted`.
    ///
    /// [`EtcdError::Compacted`] if a compaction overtakes the read.
    pub(crate) fn live(
        &self,
        range: &KeyRange,
        at: i64,
        wanted: usize,
    ) -> Result<Found, EtcdError> {
        let mut found = Found::up_to(wanted);
        let mut resume: Option<Bytes> = None;
        loop {
            let state = self.state.read();
            if state.view.compacted > at {
                return Err(EtcdError::Compacted);
            }
            resume =
                state
                    .index
                    .collect_live(range, at, resume.as_ref(), KEYS_PER_LOCK, &mut found);
            if resume.is_none() {
                return Ok(found);
            }
        }
    }

    /// One key as of `at`; with what the index knows besides, if it is the newest version.
    ///
    /// [`EtcdError::Compacted`] if a compaction overtakes the read.
    pub(crate) fn lookup(
        &self,
        key: &[u8],
        at: i64,
    ) -> Result<Option<(Revision, Option<Head>)>, EtcdError> {
        let state = self.state.read();
        if state.view.compacted > at {
            return Err(EtcdError::Compacted);
        }
        Ok(state.index.live_at(key, at))
    }

    /// Takes what a version adds to the answer from its room.
    pub(crate) fn take_room(&self, kv: &KeyValue) -> Result<(), EtcdError> {
        let bytes = kv.key.len() + kv.value.len() + NUMBERS_BYTES;
        let left = self.room.get().checked_sub(bytes);
        self.room.set(left.ok_or(EtcdError::AnswerTooLarge)?);
        Ok(())
    }

    pub(crate) fn key_value(&self, revision: Revision) -> Result<KeyValue, StoreFault> {
        read_row(self.rows, revision, |record| record.to_key_value(revision))
    }
}
