//! The store's public face: opening, applying, reading.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use quorate_proto::etcdserverpb::{RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use quorate_proto::log::Command;
use redb::{Database, ReadableDatabase, ReadableTable};
use tokio::sync::watch;

use crate::apply::{AppliedMark, ApplyBatch, Outcome};
use crate::backup::SnapshotSource;
use crate::clock::{Clock, MonotonicClock};
use crate::error::{EtcdError, Stop, StoreFault, disk};
use crate::hash::{HashKv, fold, hash_kv, hash_state};
use crate::index::{Head, Index};
use crate::lease_clock::LeaseClock;
use crate::lease_table::LeaseTable;
use crate::leases::Leases;
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::snapshot;
use crate::tables::{self, LEASES, ROWS};
use crate::validate;
use crate::view::{Reader, State, View};
use crate::watch::Hub;
use crate::writer::Writer;

/// The database's file in the store's directory.
pub(crate) const FILE: &str = "store.redb";
/// How often a read of the newest state starts over when a compaction overtakes it.
const READ_ATTEMPTS: usize = 8;

/// How a store behaves.
#[derive(Clone)]
pub struct StoreOptions {
    /// Memory for pages of the database, in bytes.
    pub cache_bytes: usize,
    /// Operations a transaction may have; nested ones share their parent's.
    pub max_txn_ops: usize,
    /// Most bytes of keys and values one read may answer. Not so of the ranges in a transaction
    /// that writes: whether that fails must not depend on the node.
    pub most_answer_bytes: usize,
    /// Shortest lease granted, in seconds. Part of the state machine: the same on every node.
    pub minimum_lease_ttl: i64,
    /// What a new leader adds to every lease: at least an election timeout.
    pub lease_extension: Duration,
    /// How often the time left of long leases is written to the log.
    pub lease_checkpoint_interval: Duration,
    /// Keeps the leases' time.
    pub clock: Arc<dyn Clock>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            max_txn_ops: 128,
            most_answer_bytes: 256 << 20,
            minimum_lease_ttl: 2,
            lease_extension: Duration::from_secs(2),
            lease_checkpoint_interval: Duration::from_secs(300),
            clock: Arc::new(MonotonicClock::default()),
        }
    }
}

/// The consistent state machine of one node. Cheap to clone: clones are the same store.
///
/// [`Self::apply`], [`Self::checkpoint`] and [`Self::compaction_step`] are for one thread, which
/// may block on the disk. All else may be called from anywhere, and waits for no disk but for
/// pages that are not in the cache.
///
/// Dropping the last clone, watch streams included, writes what was applied to the disk, and so
/// blocks: sync the log before, so that it is never behind the state, and drop it on a thread
/// that may block.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    pub(crate) path: PathBuf,
    pub(crate) state: RwLock<State>,
    pub(crate) leases: RwLock<LeaseTable>,
    pub(crate) lease_clock: Mutex<LeaseClock>,
    /// The last log entry of the snapshot the state began with; 0 if it was never another member's.
    pub(crate) received: AtomicU64,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) fault: OnceLock<StoreFault>,
    pub(crate) hub: Hub,
    /// Compaction has deleted the rows up to this revision.
    pub(crate) compacted_rows: watch::Sender<i64>,
    /// While there are any, it deletes none.
    pub(crate) compaction_holds: Holds,
    /// The rows' sizes, with their keys'.
    pub(crate) stored_bytes: AtomicU64,
}

impl Shared {
    /// Notes the first fault: from then on nothing is written.
    pub(crate) fn fail(&self, fault: &StoreFault) {
        if self.fault.set(fault.clone()).is_ok() {
            tracing::error!(%fault, "the store failed");
        }
    }

    /// A request's error; a fault is noted, and shows as a damaged store.
    pub(crate) fn refuse(&self, stop: Stop) -> EtcdError {
        match stop {
            Stop::Refused(error) => error,
            Stop::Fault(fault) => {
                self.fail(&fault);
                EtcdError::Corrupt
            }
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.state.read().view.clone()
    }

    pub(crate) fn written<T>(
        &self,
        write: impl FnOnce(&mut Writer) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let mut writer = self.writer.lock();
        if let Some(fault) = self.fault.get() {
            return Err(fault.clone());
        }
        write(&mut writer).inspect_err(|fault| self.fail(fault))
    }
}

impl Store {
    /// Opens the store in `directory`, or creates it; the directory must exist. Blocks while it
    /// reads all rows once, to rebuild the index.
    ///
    /// # Errors
    /// The file can't be used: damaged, foreign, newer, in use, or the disk fails.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self, StoreFault> {
        let path = directory.join(FILE);
        snapshot::remove_unfinished(directory)?;
        let (db, standing) = tables::open(&path, options.cache_bytes)?;
        let received = tables::received(&db)?;
        let (index, stored_bytes) = load_index(&db, standing.revision)?;
        let leases = load_leases(&db, &index)?;
        let db = Arc::new(db);
        let view = View::open(
            &db,
            standing.revision,
            standing.compacted,
            standing.mark.clone(),
        )?;
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                state: RwLock::new(State {
                    index,
                    view,
                    taken_over: 0,
                }),
                leases: RwLock::new(leases),
                lease_clock: Mutex::new(LeaseClock::new(options.lease_checkpoint_interval)),
                compacted_rows: watch::Sender::new(standing.compacted_rows),
                compaction_holds: Holds::default(),
                stored_bytes: AtomicU64::new(stored_bytes),
                hub: Hub::new(standing.revision),
                received: AtomicU64::new(received),
                writer: Mutex::new(Writer::new(db, standing)),
                fault: OnceLock::new(),
                options,
            }),
        })
    }

    /// Applies committed commands in one transaction of the disk, without sync; answers in order.
    /// When it returns, readers and watchers can see all of it.
    ///
    /// # Errors
    /// The disk failed. The store accepts nothing any more, and the node must stop; after a
    /// restart the log is applied again from the last checkpoint.
    pub fn apply(&self, batch: ApplyBatch) -> Result<Vec<Outcome>, StoreFault> {
        self.shared
            .written(|writer| writer.apply(&self.shared, batch))
    }

    /// Makes everything applied so far survive a crash, and says up to where that is. Blocks for
    /// the disk's sync.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn checkpoint(&self) -> Result<AppliedMark, StoreFault> {
        self.shared.written(Writer::checkpoint)
    }

    /// Deletes about a thousand rows that the last compaction made superfluous, unless it is
    /// [held](Self::compaction_is_held). Returns whether there are more: call it again after the
    /// commands that wait meanwhile.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn compaction_step(&self) -> Result<bool, StoreFault> {
        self.shared
            .written(|writer| writer.compaction_step(&self.shared))
    }

    /// Whether a [snapshot](Self::snapshot) keeps compaction from deleting rows: then
    /// [`Self::compaction_step`] does nothing.
    #[must_use]
    pub fn compaction_is_held(&self) -> bool {
        self.shared.compaction_holds.are_there()
    }

    /// Begins a snapshot of all that is applied by now. Writes go on while it is made.
    ///
    /// # Errors
    /// The state can't be read.
    pub fn snapshot(&self) -> Result<SnapshotSource, EtcdError> {
        let mut source = Err(EtcdError::Compacted);
        for _ in 0..READ_ATTEMPTS {
            source = SnapshotSource::begin(self).map_err(|stop| self.shared.refuse(stop));
            if !matches!(source, Err(EtcdError::Compacted)) {
                break;
            }
        }
        source
    }

    /// Resolves when the rows compacted at `revision` are deleted. Safe to drop.
    pub async fn compaction_finished(&self, revision: i64) {
        let mut done = self.shared.compacted_rows.subscribe();
        // The sender lives in this very store, so it can't be gone.
        let _ = done.wait_for(|done| *done >= revision).await;
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> AppliedMark {
        self.shared.state.read().view.mark.clone()
    }

    /// The last entry that survives a crash; waits while a batch is applied.
    #[must_use]
    pub fn durable_applied(&self) -> AppliedMark {
        self.shared.writer.lock().durable.clone()
    }

    /// The last log entry of the snapshot this state began with; 0 if it was never another member's. The log may
    /// end before it: what a snapshot has need not be in it.
    #[must_use]
    pub fn received_up_to(&self) -> u64 {
        self.shared.received.load(Ordering::Acquire)
    }

    /// The newest wall clock a proposer put into the log, Unix ms; never goes back.
    #[must_use]
    pub fn proposed_at_ms(&self) -> u64 {
        self.shared.writer.lock().standing.proposed_at_ms
    }

    /// What made the store stop, if something did.
    #[must_use]
    pub fn fault(&self) -> Option<StoreFault> {
        self.shared.fault.get().cloned()
    }

    /// Checks a command as far as that needs no state; call it before proposing.
    ///
    /// # Errors
    /// The command can never be applied.
    pub fn validate(&self, command: &Command) -> Result<(), EtcdError> {
        validate::command(command, self.shared.options.max_txn_ops)
    }

    /// Reads from the local state, which may be behind the leader's.
    ///
    /// # Errors
    /// The request is invalid, its revision is not kept or not there yet, or its answer too large.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, EtcdError> {
        validate::range(request)?;
        self.read(request.revision > 0, |reader| reader.range(request))
    }

    /// Answers a transaction that only reads (see [`crate::is_read_only`]) from the local state.
    ///
    /// # Errors
    /// As [`Self::range`]; a transaction that writes is refused.
    pub fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, EtcdError> {
        validate::txn(request, self.shared.options.max_txn_ops)?;
        self.read(true, |reader| reader.read_txn(request))
    }

    fn read<R>(
        &self,
        only_once: bool,
        read: impl Fn(&Reader<'_, Rows>) -> Result<R, Stop>,
    ) -> Result<R, EtcdError> {
        let attempts = if only_once { 1 } else { READ_ATTEMPTS };
        let mut result = Err(EtcdError::Compacted);
        for _ in 0..attempts {
            let view = self.shared.view();
            result = read(&Reader {
                state: &self.shared.state,
                rows: &view.rows,
                revision: view.revision,
                compacted: view.compacted,
                room: Cell::new(self.shared.options.most_answer_bytes),
            })
            .map_err(|stop| self.shared.refuse(stop));
            if !matches!(result, Err(EtcdError::Compacted)) {
                break;
            }
        }
        result
    }

    /// The newest revision that can be read.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.shared.state.read().view.revision
    }

    /// How many keys a range over all of them looks at: also those deleted since the last
    /// compaction.
    #[must_use]
    pub fn indexed_keys(&self) -> usize {
        self.shared.state.read().index.len()
    }

    /// The oldest revision that can be read; 0 if nothing was compacted yet.
    #[must_use]
    pub fn compacted_revision(&self) -> i64 {
        self.shared.state.read().view.compacted
    }

    /// The size of the database's file.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        std::fs::metadata(&self.shared.path).map_or(0, |file| file.len())
    }

    /// The size of the history that is stored, without what surrounds it on the disk; compaction
    /// makes it smaller.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.shared.stored_bytes.load(Ordering::Acquire)
    }

    /// Hashes the history up to `revision`; 0 is the newest. Reads all of it, so call it where
    /// that may take long. Replicas that agree have the same hash.
    ///
    /// # Errors
    /// The revision is not kept or not there yet.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, EtcdError> {
        self.read(false, |reader| {
            let at = reader.at(revision)?;
            hash_kv(&self.shared, reader, at)
        })
    }

    /// Hashes the whole state: history, revisions, leases. Replicas that have applied the same
    /// commands have the same hash, whatever they look like on the disk. Reads all of it, so call
    /// it where that may take long.
    ///
    /// # Errors
    /// Compactions overtook it again and again, or the state can't be read.
    pub fn hash_state(&self) -> Result<u32, EtcdError> {
        let mut hash = Err(EtcdError::Compacted);
        for _ in 0..READ_ATTEMPTS {
            hash = hash_state(&self.shared, &self.shared.view())
                .map(fold)
                .map_err(|stop| self.shared.refuse(stop));
            if !matches!(hash, Err(EtcdError::Compacted)) {
                break;
            }
        }
        hash
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> Leases<'_> {
        Leases {
            shared: &self.shared,
        }
    }
}

/// How many want compaction to wait.
#[derive(Default)]
pub(crate) struct Holds(AtomicUsize);

impl Holds {
    pub(crate) fn hold(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn release(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn are_there(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

pub(crate) type Rows = redb::ReadOnlyTable<&'static RowKey, &'static [u8]>;

/// What a row counts for.
pub(crate) fn stored_size(row: &[u8]) -> u64 {
    (size_of::<RowKey>() + row.len()) as u64
}

/// Rebuilds the index from the rows, and sums up their sizes.
pub(crate) fn load_index(db: &Database, newest: i64) -> Result<(Index, u64), StoreFault> {
    let action = "reading the rows";
    let rows = db
        .begin_read()
        .map_err(disk(action))?
        .open_table(ROWS)
        .map_err(disk(action))?;
    let mut index = Index::default();
    let mut stored_bytes = 0;
    for row in rows.iter().map_err(disk(action))? {
        let (key, row) = row.map_err(disk(action))?;
        let revision = Revision::from_row_key(key.value())
            .filter(|revision| revision.main <= newest)
            .ok_or_else(|| StoreFault::damaged("a row has an impossible revision"))?;
        stored_bytes += stored_size(row.value());
        let record = Record::decode(row.value())?;
        let head = match record {
            Record::Put {
                create_revision,
                version,
                lease,
                ..
            } => Some(Head {
                revision,
                create_revision,
                version,
                lease,
            }),
            Record::Tombstone { .. } => None,
        };
        index.load(record.key(), revision, head);
    }
    Ok((index, stored_bytes))
}

/// Reads the leases, and attaches their keys again.
pub(crate) fn load_leases(db: &Database, index: &Index) -> Result<LeaseTable, StoreFault> {
    let action = "reading the leases";
    let rows = db
        .begin_read()
        .map_err(disk(action))?
        .open_table(LEASES)
        .map_err(disk(action))?;
    let mut leases = LeaseTable::default();
    for row in rows.iter().map_err(disk(action))? {
        let (id, row) = row.map_err(disk(action))?;
        let (ttl, remaining) = row.value();
        leases.insert(id.value(), ttl, remaining);
    }
    for (key, lease) in index.leased() {
        leases.reattach(key, 0, lease);
    }
    Ok(leases)
}

#[cfg(test)]
mod tests;
