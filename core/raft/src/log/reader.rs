//! Reading entries: from the cache, else from the disk.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use openraft::OptionalSend;
use openraft::storage::RaftLogReader;
use quorate_wal::{Position, Wal};

use super::Shared;
use super::index::Located;
use crate::encoding;
use crate::fault::Fault;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Most bytes of one answer where openraft lets the answer be short.
const ANSWER_BYTES: usize = 4 << 20;

/// Reads what a [`LogStore`](super::LogStore) has.
pub(crate) struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn read(&self, range: std::ops::Range<u64>, limit: usize) -> io::Result<Vec<Entry>> {
        let located = self.shared.state.lock().index.locate(range, limit);
        let cold: Vec<Position> = located
            .iter()
            .filter_map(|located| match located {
                Located::Cached(_) => None,
                Located::OnDisk(position) => Some(*position),
            })
            .collect();
        let mut cold = if cold.is_empty() {
            Vec::new()
        } else {
            self.read_cold(cold).await?
        }
        .into_iter();
        let entries = located.into_iter().map(|located| match located {
            Located::Cached(entry) => Ok(entry),
            Located::OnDisk(_) => cold
                .next()
                .ok_or_else(|| io::Error::other("an entry read from the log is missing")),
        });
        entries.collect()
    }

    /// Reads entries from the disk, off the consensus thread.
    async fn read_cold(&self, positions: Vec<Position>) -> io::Result<Vec<Entry>> {
        let wal = Arc::clone(&self.shared.wal);
        let entries = tokio::task::spawn_blocking(move || {
            let read = positions
                .into_iter()
                .map(|position| read_one(&wal, position));
            read.collect::<Result<Vec<Entry>, Fault>>()
        });
        entries.await.map_err(io::Error::other)?.map_err(|fault| {
            self.shared.fault.report(fault.clone());
            io::Error::other(fault)
        })
    }
}

fn read_one(wal: &Wal, position: Position) -> Result<Entry, Fault> {
    let record = wal.read(position).map_err(Fault::Log)?;
    encoding::decode_entry(Bytes::from(record.payload))
        .map_err(|error| Fault::Damaged(error.to_string()))
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start..end, usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.shared.state.lock().vote)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, ANSWER_BYTES).await
    }

    async fn get_key_log_ids(
        &mut self,
        range: RangeInclusive<LogId>,
    ) -> Result<Vec<LogId>, io::Error> {
        let state = self.shared.state.lock();
        Ok(state.index.leaders(range.start().index, range.end().index))
    }
}
