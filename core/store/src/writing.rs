//! One write transaction under way: single puts, deletes and leases.
//!
//! The index and the lease table are changed as it goes; readers ignore what is newer than their
//! view. If the transaction can't be committed the store is faulted, and the node ends.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use quorate_proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, LeaseGrantResponse, LeaseRevokeResponse, PutRequest,
    PutResponse,
};
use quorate_proto::log::{LeaseCheckpoint, LeaseGrant};
use quorate_proto::mvccpb::event::EventType;
use quorate_proto::mvccpb::{Event, KeyValue};
use redb::Table;

use crate::error::{EtcdError, Stop, StoreFault, disk};
use crate::index::Head;
use crate::key_range::KeyRange;
use crate::lease_table::{LeaseTable, MAXIMUM_LEASE_TTL};
use crate::range::header;
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::store::stored_size;
use crate::tables::Standing;
use crate::view::{Reader, State};
use crate::watch::{Change, Transaction};

/// A lease came or went; the lease clock hears of it once it is committed.
pub(crate) enum LeaseChange {
    Granted { id: i64, ttl: i64 },
    Revoked { id: i64 },
}

/// The transaction of one batch.
pub(crate) struct Writing<'a, 'txn> {
    pub(crate) state: &'a RwLock<State>,
    pub(crate) leases: &'a RwLock<LeaseTable>,
    pub(crate) rows: Table<'txn, &'static RowKey, &'static [u8]>,
    pub(crate) lease_rows: Table<'txn, i64, (i64, i64)>,
    /// Shortest TTL given out, in seconds.
    pub(crate) minimum_lease_ttl: i64,
    pub(crate) standing: Standing,
    /// Changes of the command under way.
    pub(crate) changes: Vec<Change>,
    /// Changes of finished commands, one per revision.
    pub(crate) transactions: Vec<Arc<Transaction>>,
    pub(crate) lease_changes: Vec<LeaseChange>,
    /// The size of the rows written.
    pub(crate) written_bytes: u64,
    /// A row under construction; kept to reuse its memory.
    pub(crate) row: Vec<u8>,
}

impl<'txn> Writing<'_, 'txn> {
    /// The revision of the next change, and of those made by the command under way.
    fn next_main(&self) -> i64 {
        self.standing.revision + 1
    }

    /// The revision as the command under way sees it.
    pub(crate) fn revision(&self) -> i64 {
        if self.changes.is_empty() {
            self.standing.revision
        } else {
            self.next_main()
        }
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.changes.is_empty()
    }

    /// Reads that see this transaction's own writes.
    pub(crate) fn reader(&self) -> Reader<'_, Table<'txn, &'static RowKey, &'static [u8]>> {
        Reader {
            state: self.state,
            rows: &self.rows,
            revision: self.revision(),
            compacted: self.standing.compacted,
            room: Cell::new(usize::MAX),
        }
    }

    /// Ends a command: what it changed, if anything, is one revision.
    pub(crate) fn finish_transaction(&mut self) {
        if !self.changes.is_empty() {
            let main = self.next_main();
            self.standing.revision = main;
            let changes = std::mem::take(&mut self.changes);
            self.transactions
                .push(Arc::new(Transaction::new(main, changes)));
        }
    }

    fn head(&self, key: &[u8]) -> Option<Head> {
        self.state.read().index.head(key)
    }

    fn write_row(&mut self, revision: Revision, record: Record<'_>) -> Result<(), StoreFault> {
        record.encode(&mut self.row);
        self.rows
            .insert(&revision.row_key(), &self.row[..])
            .map_err(disk("writing a row"))?;
        self.written_bytes += stored_size(&self.row);
        Ok(())
    }

    fn next_revision(&self) -> Revision {
        // A transaction's changes are bounded by memory long before this saturates.
        let sub = u32::try_from(self.changes.len()).unwrap_or(u32::MAX);
        Revision::new(self.next_main(), sub)
    }

    /// The checks of a put in a transaction that depend on the state. etcd's order: where more
    /// than one fails, it decides which error is told.
    pub(crate) fn check_put(&self, request: &PutRequest) -> Result<(), EtcdError> {
        if (request.ignore_value || request.ignore_lease) && self.head(&request.key).is_none() {
            return Err(EtcdError::KeyNotFound);
        }
        self.check_lease(request)
    }

    /// Whether the lease a put names is there. A put by itself makes this its first check.
    pub(crate) fn check_lease(&self, request: &PutRequest) -> Result<(), EtcdError> {
        let lease = request.lease;
        if lease != 0 && !request.ignore_lease && !self.leases.read().contains(lease) {
            return Err(EtcdError::LeaseNotFound);
        }
        Ok(())
    }

    /// Writes a key; the checks have been made.
    pub(crate) fn put(&mut self, request: PutRequest) -> Result<PutResponse, StoreFault> {
        let old = self.head(&request.key);
        let old_kv = match old {
            Some(old) if request.prev_kv || request.ignore_value => {
                Some(self.reader().key_value(old.revision)?)
            }
            _ => None,
        };
        let key = Bytes::from(request.key);
        let value = match &old_kv {
            Some(old) if request.ignore_value => old.value.clone(),
            _ => Bytes::from(request.value),
        };
        let old_lease = old.map_or(0, |old| old.lease);
        let lease = if request.ignore_lease {
            old_lease
        } else {
            request.lease
        };
        let revision = self.next_revision();
        let head = self.state.write().index.put(key.clone(), revision, lease);
        self.write_row(
            revision,
            Record::Put {
                key: &key,
                value: &value,
                create_revision: head.create_revision,
                version: head.version,
                lease,
            },
        )?;
        if old_lease != lease {
            self.leases.write().reattach(&key, old_lease, lease);
        }
        self.changes.push(Change {
            event: Event {
                r#type: EventType::Put.into(),
                kv: Some(KeyValue {
                    key,
                    value,
                    create_revision: head.create_revision,
                    mod_revision: revision.main,
                    version: head.version,
                    lease,
                }),
                prev_kv: None,
            },
            previous: old.map(|old| old.revision),
        });
        Ok(PutResponse {
            header: header(self.revision()),
            prev_kv: old_kv.filter(|_| request.prev_kv),
        })
    }

    /// Deletes what is in a range, in key order.
    pub(crate) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, StoreFault> {
        let range = KeyRange::borrowed(&request.key, &request.range_end);
        let doomed: Vec<(Bytes, Head)> = match range.single() {
            Some(key) => self
                .head(key)
                .map(|head| (key.clone(), head))
                .into_iter()
                .collect(),
            None => {
                let state = self.state.read();
                let heads = state.index.heads(&range);
                heads.map(|(key, head)| (key.clone(), head)).collect()
            }
        };
        let mut prev_kvs = Vec::new();
        if request.prev_kv {
            let reader = self.reader();
            for (_, head) in &doomed {
                prev_kvs.push(reader.key_value(head.revision)?);
            }
        }
        let deleted = doomed.len();
        for (key, head) in doomed {
            self.delete(key, head)?;
        }
        Ok(DeleteRangeResponse {
            header: header(self.revision()),
            deleted: i64::try_from(deleted).unwrap_or(i64::MAX),
            prev_kvs,
        })
    }

    fn delete(&mut self, key: Bytes, head: Head) -> Result<(), StoreFault> {
        let revision = self.next_revision();
        self.write_row(revision, Record::Tombstone { key: &key })?;
        self.state.write().index.delete(&key, revision);
        if head.lease != 0 {
            self.leases.write().reattach(&key, head.lease, 0);
        }
        self.changes.push(Change {
            event: Event {
                r#type: EventType::Delete.into(),
                kv: Some(KeyValue {
                    key,
                    mod_revision: revision.main,
                    ..KeyValue::default()
                }),
                prev_kv: None,
            },
            previous: Some(head.revision),
        });
        Ok(())
    }

    pub(crate) fn grant_lease(&mut self, request: &LeaseGrant) -> Result<LeaseGrantResponse, Stop> {
        if request.id == 0 {
            return Err(EtcdError::LeaseNotFound.into());
        }
        if request.ttl_seconds > MAXIMUM_LEASE_TTL {
            return Err(EtcdError::LeaseTtlTooLarge.into());
        }
        if self.leases.read().contains(request.id) {
            return Err(EtcdError::LeaseExists.into());
        }
        let ttl = request.ttl_seconds.max(self.minimum_lease_ttl);
        self.lease_rows
            .insert(request.id, (ttl, 0))
            .map_err(disk("writing a lease"))?;
        self.leases.write().insert(request.id, ttl, 0);
        self.lease_changes.push(LeaseChange::Granted {
            id: request.id,
            ttl,
        });
        Ok(LeaseGrantResponse {
            header: header(self.revision()),
            id: request.id,
            ttl,
            error: String::new(),
        })
    }

    /// Ends a lease and deletes its keys, in key order, in one revision.
    pub(crate) fn revoke_lease(&mut self, id: i64) -> Result<LeaseRevokeResponse, Stop> {
        let lease = self
            .leases
            .write()
            .remove(id)
            .ok_or(EtcdError::LeaseNotFound)?;
        self.lease_rows
            .remove(id)
            .map_err(disk("deleting a lease"))?;
        self.lease_changes.push(LeaseChange::Revoked { id });
        for key in lease.keys {
            if let Some(head) = self.head(&key) {
                self.delete(key, head)?;
            }
        }
        Ok(LeaseRevokeResponse {
            header: header(self.revision()),
        })
    }

    /// Notes how much leases have left, for a later leader. Unknown leases are skipped: they may
    /// have been revoked since the checkpoint was proposed.
    pub(crate) fn checkpoint_leases(
        &mut self,
        request: &LeaseCheckpoint,
    ) -> Result<(), StoreFault> {
        for lease in &request.leases {
            let mut leases = self.leases.write();
            let Some(ttl) = leases.get(lease.id).map(|known| known.ttl) else {
                continue;
            };
            // All of it is the same as no checkpoint.
            let remaining = match lease.remaining_seconds {
                left if left >= ttl => 0,
                left => left.max(1),
            };
            leases.checkpoint(lease.id, remaining);
            self.lease_rows
                .insert(lease.id, (ttl, remaining))
                .map_err(disk("writing a lease"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
