//! Opening: replays the records of the stream into what the log holds.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use quorate_wal::{Directory, Disk, Record, Wal, WalError};

use super::index::LogIndex;
use super::kind;
use crate::config::NodeConfig;
use crate::encoding::{self, Identity, Unreadable};
use crate::error::RaftFault;
use crate::types::{LogId, Vote};

/// The log as it was found.
pub(crate) struct Recovered {
    pub(super) wal: Arc<Wal>,
    pub(super) index: LogIndex,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
}

/// Opens the directory of a log, and creates it if it is missing.
pub(crate) fn directory(path: &Path) -> Result<Arc<dyn Disk>, RaftFault> {
    let directory = Directory::open(path).map_err(|source| WalError::Io {
        action: "open",
        path: path.to_owned(),
        source: Arc::new(source),
    })?;
    Ok(Arc::new(directory))
}

/// Opens the log of this member, or begins it.
///
/// # Errors
/// The log's own; and if it is another member's.
pub(crate) fn open(disk: Arc<dyn Disk>, config: &NodeConfig) -> Result<Recovered, RaftFault> {
    let mut replay = Replay::new(config.limits.log.cache_bytes);
    let (wal, report) = Wal::open_on(disk, config.wal.clone(), |record| {
        replay.visit(record).map_err(|error| WalError::Rejected {
            sequence: record.sequence,
            reason: error.to_string(),
        })
    })?;
    if let Some(torn) = &report.torn {
        tracing::info!(
            segment = %torn.path.display(),
            bytes = torn.bytes,
            "erased the end of an interrupted write, which no one was told is durable"
        );
    }
    replay.finish(wal, config)
}

/// Takes the records in order.
struct Replay {
    identity: Option<Identity>,
    index: LogIndex,
    vote: Option<Vote>,
    committed: Option<LogId>,
    cache_bytes: usize,
}

impl Replay {
    fn new(cache_bytes: usize) -> Self {
        Self {
            identity: None,
            index: LogIndex::default(),
            vote: None,
            committed: None,
            cache_bytes,
        }
    }

    fn visit(&mut self, record: Record<'_>) -> Result<(), Unreadable> {
        match record.kind {
            kind::IDENTITY => {
                let identity = encoding::decode_identity(record.payload)?;
                if self.identity.is_some_and(|known| known != identity) {
                    return Err(Unreadable::new("the log", "it has two owners"));
                }
                self.identity = Some(identity);
            }
            kind::ENTRY => self.visit_entry(record)?,
            kind::VOTE => self.vote = Some(encoding::decode_vote(record.payload)?),
            kind::TRUNCATION => {
                let after = encoding::decode_truncation(record.payload)?;
                self.index.truncate_after(after.map(|id| id.index));
            }
            kind::COMMITTED => self.committed = Some(encoding::decode_log_id(record.payload)?),
            kind::PURGED => self.index.purge(encoding::decode_log_id(record.payload)?),
            unknown => {
                return Err(Unreadable::new(
                    "the log",
                    format_args!("this release knows no records of kind {unknown}"),
                ));
            }
        }
        Ok(())
    }

    fn visit_entry(&mut self, record: Record<'_>) -> Result<(), Unreadable> {
        let entry = encoding::decode_entry(Bytes::copy_from_slice(record.payload))?;
        let index = entry.log_id.index;
        // Segments go as a whole, so the oldest may begin with entries that were purged later.
        if self
            .index
            .purged()
            .is_some_and(|purged| index <= purged.index)
        {
            return Ok(());
        }
        if let Some(expected) = self.index.expected()
            && index != expected
        {
            return Err(Unreadable::new(
                "the log",
                format_args!("entry {index} comes where entry {expected} should be"),
            ));
        }
        self.index.push(entry, record.position);
        // All that is replayed is durable.
        self.index.evict(u64::MAX, self.cache_bytes);
        Ok(())
    }

    fn finish(self, wal: Wal, config: &NodeConfig) -> Result<Recovered, RaftFault> {
        let owner = config.identity();
        match self.identity {
            Some(found) if found != owner => {
                return Err(RaftFault::Foreign {
                    directory: config.wal_dir.clone(),
                    found,
                    expected: owner,
                });
            }
            Some(_) => {}
            None if wal.last_sequence() == 0 => {
                let record =
                    quorate_wal::Batch::one(kind::IDENTITY, &encoding::encode_identity(owner));
                wal.append_relaxed(record)?;
                wal.sync()?;
            }
            None => return Err(config.damaged_log("it does not say whose it is")),
        }
        let begin = self.index.purged().map_or(0, |purged| purged.index + 1);
        if let Some(first) = self.index.first()
            && first != begin
        {
            return Err(config.damaged_log(&format!(
                "it begins with entry {first}, and entry {begin} should be the first"
            )));
        }
        Ok(Recovered {
            wal: Arc::new(wal),
            index: self.index,
            vote: self.vote,
            committed: self.committed,
        })
    }
}
