//! The one writer: transactions of the disk, and the publication of what they hold.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use redb::{Database, Durability, WriteTransaction};

use crate::apply::{AppliedMark, ApplyBatch, Outcome};
use crate::error::{StoreFault, disk};
use crate::store::{Shared, stored_size};
use crate::tables::{LEASES, META, ROWS, Standing};
use crate::view::View;
use crate::watch::Transaction;
use crate::writing::{LeaseChange, Writing};

/// Rows one step of compaction deletes at most: what a command behind it may have to wait for.
const ROWS_PER_STEP: usize = 1024;
/// Keys one step of compaction looks at.
const KEYS_PER_STEP: usize = 16 * 1024;

/// What only the writer knows.
pub(crate) struct Writer {
    pub(crate) db: Arc<Database>,
    pub(crate) standing: Standing,
    pub(crate) durable: AppliedMark,
    /// Where compaction goes on; `None` is at the start.
    compaction_cursor: Option<Bytes>,
}

/// A committed batch, to be published.
struct Written {
    outcomes: Vec<Outcome>,
    transactions: Vec<Arc<Transaction>>,
    lease_changes: Vec<LeaseChange>,
    written_bytes: u64,
}

impl Writer {
    pub(crate) fn new(db: Arc<Database>, standing: Standing) -> Self {
        Self {
            db,
            durable: standing.mark.clone(),
            standing,
            compaction_cursor: None,
        }
    }

    /// Applies a batch in one transaction of the disk, and publishes it.
    pub(crate) fn apply(
        &mut self,
        shared: &Shared,
        batch: ApplyBatch,
    ) -> Result<Vec<Outcome>, StoreFault> {
        if batch.mark.index < self.standing.mark.index {
            return Err(StoreFault::damaged(format!(
                "entry {} was applied after entry {}",
                batch.mark.index, self.standing.mark.index
            )));
        }
        let txn = begin(&self.db, Durability::None)?;
        let written = self.write(shared, &txn, batch)?;
        txn.commit().map_err(disk("committing a batch"))?;
        shared
            .stored_bytes
            .fetch_add(written.written_bytes, Ordering::AcqRel);
        self.publish(shared)?;
        {
            let mut clock = shared.lease_clock.lock();
            let now = shared.options.clock.now();
            for change in written.lease_changes {
                match change {
                    LeaseChange::Granted { id, ttl } => {
                        clock.granted(id, crate::leases::seconds(ttl), now);
                    }
                    LeaseChange::Revoked { id } => clock.revoked(id),
                }
            }
        }
        shared
            .hub
            .publish(&written.transactions, self.standing.revision);
        Ok(written.outcomes)
    }

    fn write(
        &mut self,
        shared: &Shared,
        txn: &WriteTransaction,
        batch: ApplyBatch,
    ) -> Result<Written, StoreFault> {
        let action = "opening the tables";
        let mut writing = Writing {
            state: &shared.state,
            leases: &shared.leases,
            rows: txn.open_table(ROWS).map_err(disk(action))?,
            lease_rows: txn.open_table(LEASES).map_err(disk(action))?,
            minimum_lease_ttl: shared.options.minimum_lease_ttl,
            standing: self.standing.clone(),
            changes: Vec::new(),
            transactions: Vec::new(),
            lease_changes: Vec::new(),
            written_bytes: 0,
            row: Vec::new(),
        };
        let mut outcomes = Vec::with_capacity(batch.commands.len());
        for command in batch.commands {
            outcomes.push(writing.apply(command)?);
        }
        writing.standing.mark = batch.mark;
        let mut meta = txn.open_table(META).map_err(disk(action))?;
        writing.standing.write(&mut meta)?;
        if writing.standing.compacted != self.standing.compacted {
            self.compaction_cursor = None;
        }
        self.standing = writing.standing;
        Ok(Written {
            outcomes,
            transactions: writing.transactions,
            lease_changes: writing.lease_changes,
            written_bytes: writing.written_bytes,
        })
    }

    /// Lets readers see what was committed.
    fn publish(&self, shared: &Shared) -> Result<(), StoreFault> {
        let view = View::open(
            &self.db,
            self.standing.revision,
            self.standing.compacted,
            self.standing.mark.clone(),
        )?;
        // The old view is dropped after the lock: freeing it may take redb's own locks.
        let old = std::mem::replace(&mut shared.state.write().view, view);
        drop(old);
        Ok(())
    }

    /// Makes everything applied so far survive a crash.
    pub(crate) fn checkpoint(&mut self) -> Result<AppliedMark, StoreFault> {
        // What earlier transactions wrote without sync becomes durable with this one.
        let mut txn = begin(&self.db, Durability::Immediate)?;
        txn.set_quick_repair(true);
        txn.commit().map_err(disk("writing a checkpoint"))?;
        self.durable = self.standing.mark.clone();
        Ok(self.durable.clone())
    }

    /// Deletes a bounded number of compacted rows. Returns whether there are more.
    pub(crate) fn compaction_step(&mut self, shared: &Shared) -> Result<bool, StoreFault> {
        let target = self.standing.compacted;
        if self.standing.compacted_rows >= target {
            return Ok(false);
        }
        if shared.compaction_holds.are_there() {
            return Ok(true);
        }
        let cursor = self.compaction_cursor.as_ref();
        let found =
            shared
                .state
                .read()
                .index
                .superseded(target, cursor, ROWS_PER_STEP, KEYS_PER_STEP);
        let finished = found.resume.is_none();
        if !found.rows.is_empty() || finished {
            let mut standing = self.standing.clone();
            if finished {
                standing.compacted_rows = target;
            }
            let txn = begin(&self.db, Durability::None)?;
            let mut freed = 0;
            {
                let mut rows = txn.open_table(ROWS).map_err(disk("opening the rows"))?;
                for revision in &found.rows {
                    let row = rows
                        .remove(&revision.row_key())
                        .map_err(disk("deleting a compacted row"))?;
                    freed += row.map_or(0, |row| stored_size(row.value()));
                }
                let mut meta = txn.open_table(META).map_err(disk("opening the tables"))?;
                standing.write(&mut meta)?;
            }
            txn.commit().map_err(disk("committing a compaction"))?;
            shared.stored_bytes.fetch_sub(freed, Ordering::AcqRel);
            self.standing = standing;
            shared.state.write().index.forget(&found.keys);
            // A new view, so that the old one does not pin the pages just freed.
            self.publish(shared)?;
        }
        self.compaction_cursor = found.resume;
        if finished {
            shared.compacted_rows.send_replace(target);
        }
        Ok(!finished)
    }
}

fn begin(db: &Database, durability: Durability) -> Result<WriteTransaction, StoreFault> {
    let action = "opening a write transaction";
    let mut txn = db.begin_write().map_err(disk(action))?;
    txn.set_durability(durability).map_err(disk(action))?;
    Ok(txn)
}
