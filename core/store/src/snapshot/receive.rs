//! Writing another node's state into a file of its own, and taking it over.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quorate_proto::v1::snapshot_part::Body;
use quorate_proto::v1::{SnapshotEnd, SnapshotLeases, SnapshotPart, SnapshotRows};
use redb::{Database, Durability, WriteTransaction};

use super::{Digest, UNFINISHED, io_fault};
use crate::apply::AppliedMark;
use crate::error::{StoreFault, disk};
use crate::index::Index;
use crate::lease_table::LeaseTable;
use crate::revision::RowKey;
use crate::store::{FILE, Store, load_index, load_leases};
use crate::tables::{self, LEASES, ROWS, Standing};
use crate::view::View;
use crate::writer::Writer;

/// Tells files apart that are received at a time.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A state that is being received. Dropped, its file goes.
pub struct Incoming {
    file: Unfinished,
    db: Database,
    /// On the heap: it is larger than all the rest.
    digest: Box<Digest>,
}

/// A state that was received in full, and is durable. Dropped, its file goes.
pub struct Received {
    file: Unfinished,
    db: Arc<Database>,
    standing: Standing,
    index: Index,
    stored_bytes: u64,
    leases: LeaseTable,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received")
            .field("mark", &self.standing.mark.index)
            .finish_non_exhaustive()
    }
}

/// A file that goes unless it was renamed.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "a snapshot's file is left behind");
        }
    }
}

impl Store {
    /// A place for another node's state.
    ///
    /// # Errors
    /// The disk failed.
    pub fn receive(&self) -> Result<Incoming, StoreFault> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{UNFINISHED}{}-{number}.redb", std::process::id());
        let path = self.shared.path.with_file_name(name);
        let file = Unfinished(Some(path.clone()));
        let (db, _) = tables::open(&path, self.shared.options.cache_bytes)?;
        Ok(Incoming {
            file,
            db,
            digest: Box::default(),
        })
    }

    /// Takes a received state over in place of this one. Readers see one or the other; watchers read on in the new
    /// history, and are cancelled where it is compacted. For the thread that applies.
    ///
    /// # Errors
    /// The disk failed. The node must stop; after a restart it has the one state or the other.
    pub fn install(&self, received: Received) -> Result<AppliedMark, StoreFault> {
        let shared = &self.shared;
        shared.written(|writer| {
            let Received {
                mut file,
                db,
                standing,
                index,
                stored_bytes,
                leases,
            } = received;
            let view = View::open(
                &db,
                standing.revision,
                standing.compacted,
                standing.mark.clone(),
            )?;
            if let Some(path) = &file.0 {
                let renamed = fs::rename(path, shared.path.with_file_name(FILE)).and_then(|()| {
                    let directory = shared.path.parent().map(File::open).transpose()?;
                    directory.map_or(Ok(()), |directory| directory.sync_all())
                });
                renamed.map_err(|error| io_fault("taking a snapshot over", error))?;
            }
            file.0 = None;
            let (revision, mark) = (standing.revision, standing.mark.clone());
            let compacted_rows = standing.compacted_rows;
            shared.received.store(mark.index, Ordering::Release);
            shared.stored_bytes.store(stored_bytes, Ordering::Release);
            let old_writer = std::mem::replace(writer, Writer::new(db, standing));
            let old_state = {
                let mut state = shared.state.write();
                *shared.leases.write() = leases;
                state.index = index;
                state.taken_over += 1;
                std::mem::replace(&mut state.view, view)
            };
            // The old database is closed behind its last reader. It writes then, into a file without a name.
            drop((old_state, old_writer));
            shared.lease_clock.lock().step_down();
            shared.compacted_rows.send_replace(compacted_rows);
            shared.hub.skip_to(revision);
            Ok(mark)
        })
    }
}

impl Incoming {
    /// Writes a piece; gives the state with the last one. Blocks for the disk.
    ///
    /// # Errors
    /// The disk failed, or what was received is not what was sent.
    pub fn write(mut self, part: SnapshotPart) -> Result<Progress, StoreFault> {
        match part.body {
            Some(Body::Rows(rows)) => self.rows(&rows)?,
            Some(Body::Leases(leases)) => self.leases(&leases)?,
            Some(Body::End(end)) => return self.end(&end).map(Progress::Complete),
            None => return Err(StoreFault::damaged("a snapshot has an empty piece")),
        }
        Ok(Progress::Incomplete(self))
    }

    fn rows(&mut self, part: &SnapshotRows) -> Result<(), StoreFault> {
        let txn = self.begin(Durability::None)?;
        {
            let mut rows = txn
                .open_table(ROWS)
                .map_err(disk("opening a snapshot's rows"))?;
            for row in &part.rows {
                let key: &RowKey = row.key.as_slice().try_into().map_err(|_| {
                    StoreFault::damaged("a row of a snapshot has a key of a wrong size")
                })?;
                self.digest.row(key, &row.value);
                rows.insert(key, &row.value[..])
                    .map_err(disk("writing a snapshot's rows"))?;
            }
        }
        txn.commit().map_err(disk("writing a snapshot's rows"))
    }

    fn leases(&mut self, part: &SnapshotLeases) -> Result<(), StoreFault> {
        let txn = self.begin(Durability::None)?;
        {
            let mut leases = txn
                .open_table(LEASES)
                .map_err(disk("opening a snapshot's leases"))?;
            for lease in &part.leases {
                let times = (lease.granted_seconds, lease.remaining_seconds);
                self.digest.lease(lease.id, times.0, times.1);
                leases
                    .insert(lease.id, times)
                    .map_err(disk("writing a snapshot's leases"))?;
            }
        }
        txn.commit().map_err(disk("writing a snapshot's leases"))
    }

    fn end(mut self, end: &SnapshotEnd) -> Result<Received, StoreFault> {
        self.digest.bytes(&end.standing);
        if self.digest.finish() != end.hash {
            return Err(StoreFault::damaged(
                "a snapshot that was received is not what was sent",
            ));
        }
        let standing = Standing::decode(&end.standing)?;
        let mut txn = self.begin(Durability::Immediate)?;
        txn.set_quick_repair(true);
        tables::write_received(&txn, &standing)?;
        txn.commit().map_err(disk("finishing a snapshot"))?;
        let (index, stored_bytes) = load_index(&self.db, standing.revision)?;
        let leases = load_leases(&self.db, &index)?;
        Ok(Received {
            file: self.file,
            db: Arc::new(self.db),
            standing,
            index,
            stored_bytes,
            leases,
        })
    }

    fn begin(&self, durability: Durability) -> Result<WriteTransaction, StoreFault> {
        let action = "writing a snapshot";
        let mut txn = self.db.begin_write().map_err(disk(action))?;
        txn.set_durability(durability).map_err(disk(action))?;
        Ok(txn)
    }
}

/// What a piece brought.
pub enum Progress {
    /// There is more to come.
    Incomplete(Incoming),
    /// That was the last.
    Complete(Received),
}

impl Received {
    /// The last log entry in it.
    #[must_use]
    pub fn mark(&self) -> &AppliedMark {
        &self.standing.mark
    }
}
