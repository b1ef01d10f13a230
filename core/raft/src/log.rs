//! The Raft log on the write-ahead log: entries, vote, truncations, the committed and the purged position
//! share one stream of records, so that what was said first is on disk first.
//!
//! `append`, `truncate_after`, `purge` and `save_committed` only enqueue: openraft's core awaits them inline,
//! and the log's own thread calls back when they are durable. Only `save_vote` waits for the disk: a vote
//! given out before it is durable could be given twice.

mod index;
mod reader;
mod recovery;

use std::io;
use std::sync::Arc;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use parking_lot::Mutex;
use quorate_wal::{Batch, Wal, WalError};
use tokio::sync::oneshot;

pub(crate) use self::reader::LogReader;
pub(crate) use self::recovery::{directory, open};

use self::index::LogIndex;
use self::recovery::Recovered;
use crate::config::LogLimits;
use crate::encoding::{self, Identity};
use crate::fault::{Fault, FaultCell};
use crate::leadership::Leadership;
use crate::types::{Entry, EntryPayload, LeaderId, LogId, Membership, TypeConfig, Vote};

/// What a record of the stream is. On disk: numbers are never reused.
mod kind {
    pub(super) const IDENTITY: u8 = 1;
    pub(super) const ENTRY: u8 = 2;
    pub(super) const VOTE: u8 = 3;
    pub(super) const TRUNCATION: u8 = 4;
    pub(super) const COMMITTED: u8 = 5;
    pub(super) const PURGED: u8 = 6;
}

/// The log of one member. A cheap handle; openraft's core is its only writer.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
}

struct Shared {
    wal: Arc<Wal>,
    identity: Identity,
    limits: LogLimits,
    state: Mutex<State>,
    /// Told of votes and memberships before they can have an effect elsewhere.
    leadership: Arc<Leadership>,
    fault: FaultCell,
}

struct State {
    index: LogIndex,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

impl LogStore {
    /// The log as it was recovered.
    pub(crate) fn new(
        recovered: Recovered,
        identity: Identity,
        limits: LogLimits,
        leadership: Arc<Leadership>,
        fault: FaultCell,
    ) -> Self {
        let state = State {
            index: recovered.index,
            vote: recovered.vote,
            committed: recovered.committed,
        };
        let shared = Shared {
            wal: recovered.wal,
            identity,
            limits,
            state: Mutex::new(state),
            leadership,
            fault,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Writes the first entry of a cluster's log, durably: the membership it begins with. All founders write the same
    /// one, before there is any leader, so it is committed by its nature. Blocks.
    pub(crate) fn found(&self, membership: Membership) -> Result<(), WalError> {
        self.shared.leadership.membership_changes(&membership);
        let nobody = LeaderId {
            term: 0,
            node_id: 0,
        };
        let entry = Entry {
            log_id: LogId::new(nobody, 0),
            payload: EntryPayload::Membership(membership),
        };
        let record = Batch::one(kind::ENTRY, &encoding::encode_entry(&entry));
        let appended = self.shared.wal.append_relaxed(record)?;
        self.shared.wal.sync()?;
        let mut state = self.shared.state.lock();
        for position in appended.positions {
            state.index.push(entry.clone(), position);
        }
        Ok(())
    }

    /// Blocks until the entry at this index, and all before it, are durable.
    pub(crate) fn wait_flushed(&self, index: u64) -> Result<(), WalError> {
        let position = self.shared.state.lock().index.position(index);
        match position {
            Some(position) => self.shared.wal.wait_flushed(position.sequence),
            // Purged, so it was durable long ago.
            None => Ok(()),
        }
    }

    /// Blocks until everything appended so far is durable.
    pub(crate) fn sync(&self) -> Result<(), WalError> {
        self.shared.wal.sync()
    }

    /// Up to where the log may be purged if `durable` is applied for good, so that what is kept behind it for
    /// slower members stays within the limits. `None` if nothing has to go.
    pub(crate) fn purge_point(&self, durable: u64) -> Option<u64> {
        let limits = &self.shared.limits;
        self.shared
            .state
            .lock()
            .index
            .purge_point(durable, limits.kept_bytes, limits.kept_entries)
    }

    /// The last entry; the purged position if there is none.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        self.shared.state.lock().index.last_log_id()
    }

    /// Up to where entries are purged.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.shared.state.lock().index.purged()
    }

    /// Whether nothing was ever written: no entry, no vote.
    pub(crate) fn is_pristine(&self) -> bool {
        let state = self.shared.state.lock();
        state.index.last_log_id().is_none() && state.vote.is_none()
    }
}

impl Shared {
    /// Remembers the failure before openraft hears of it, so that callers learn the cause.
    fn failed(&self, error: WalError) -> io::Error {
        self.fault.report(Fault::Log(error.clone()));
        io::Error::other(error)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let state = self.shared.state.lock();
        Ok(LogState {
            last_purged_log_id: state.index.purged(),
            last_log_id: state.index.last_log_id(),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let shared = &self.shared;
        // Before it can be known to anyone: whoever is voted for may lead from then on.
        shared.leadership.vote_changes();
        let (flushed, is_flushed) = oneshot::channel();
        let record = Batch::one(kind::VOTE, &encoding::encode_vote(vote));
        let completion = Box::new(move |result| {
            // The core waits for it, unless it was stopped.
            let _ = flushed.send(result);
        });
        shared
            .wal
            .append(record, completion)
            .map_err(|error| shared.failed(error))?;
        is_flushed
            .await
            .unwrap_or(Err(WalError::Closed))
            .map_err(|error| shared.failed(error))?;
        shared.state.lock().vote = Some(*vote);
        shared.leadership.vote_saved(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else {
            return Ok(());
        };
        let record = Batch::one(kind::COMMITTED, &encoding::encode_log_id(&committed));
        let shared = &self.shared;
        shared
            .wal
            .append_relaxed(record)
            .map_err(|error| shared.failed(error))?;
        shared.state.lock().committed = Some(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.shared.state.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let shared = &self.shared;
        let entries: Vec<Entry> = entries.into_iter().collect();
        let mut batch = Batch::new();
        for entry in &entries {
            if let EntryPayload::Membership(membership) = &entry.payload {
                shared.leadership.membership_changes(membership);
            }
            batch.push(kind::ENTRY, &encoding::encode_entry(entry));
        }
        let completion = {
            let fault = shared.fault.clone();
            Box::new(move |result: Result<(), WalError>| {
                let result = result.map_err(|error| {
                    fault.report(Fault::Log(error.clone()));
                    io::Error::other(error)
                });
                callback.io_completed(result);
            })
        };
        let appended = shared
            .wal
            .append(batch, completion)
            .map_err(|error| shared.failed(error))?;
        let flushed = shared.wal.flushed();
        let mut state = shared.state.lock();
        for (entry, position) in entries.into_iter().zip(appended.positions) {
            state.index.push(entry, position);
        }
        state.index.evict(flushed, shared.limits.cache_bytes);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let shared = &self.shared;
        let record = Batch::one(
            kind::TRUNCATION,
            &encoding::encode_truncation(last.as_ref()),
        );
        shared
            .wal
            .append_relaxed(record)
            .map_err(|error| shared.failed(error))?;
        // What is cut off may hold a membership; which one counts now is for openraft to say.
        shared.leadership.membership_unknown();
        shared
            .state
            .lock()
            .index
            .truncate_after(last.map(|id| id.index));
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        state.index.purge(upto);
        // The segments to go may hold the newest of these.
        let mut batch = Batch::one(kind::IDENTITY, &encoding::encode_identity(shared.identity));
        if let Some(vote) = &state.vote {
            batch.push(kind::VOTE, &encoding::encode_vote(vote));
        }
        if let Some(committed) = &state.committed {
            batch.push(kind::COMMITTED, &encoding::encode_log_id(committed));
        }
        batch.push(kind::PURGED, &encoding::encode_log_id(&upto));
        let oldest = state.index.oldest();
        drop(state);
        let kept = shared
            .wal
            .append_relaxed(batch)
            .map_err(|error| shared.failed(error))?;
        // The log lets go only once what was appended before is durable.
        let keep_from = oldest.map_or(kept.first, |position| position.sequence.min(kept.first));
        shared
            .wal
            .release_before(keep_from)
            .map_err(|error| shared.failed(error))
    }
}

#[cfg(test)]
mod tests;
