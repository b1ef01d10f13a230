//! A place in line for a lock or an election, in the layout of etcd's concurrency package, so that
//! programs in any language stand in the same line.
//!
//! ```text
//! Enter ──► mine is the oldest ──────────────────────────► Held
//!   │                                                       ▲
//!   └─► Find the one before me ──none──► Verify mine ──ok───┤
//!         ▲         │                       │               │
//!         └─deleted─┘ Await                 └──gone──► Gone │
//! ```
//! A ticket is the key `<name>/<lease id in hex>`, attached to a lease of its own; the oldest
//! creation revision holds. Each waits for exactly the one before it to be deleted, so that a
//! release wakes one program and not all. `Enter` can be repeated: a key of this lease can only be
//! this ticket, so a ticket whose creation was answered by nobody is found again.

use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};

use crate::kv::{OpResult, RangeResult, TxnResult, prefix_end};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Do this transaction; tell [`Ticket::entered`]. May be repeated.
    Enter(TxnRequest),
    /// Read this; tell [`Ticket::found`].
    Find(RangeRequest),
    /// Wait until this key is deleted, watching from this revision; tell [`Ticket::deleted`].
    Await { key: Vec<u8>, revision: i64 },
    /// Read this; tell [`Ticket::verified`].
    Verify(RangeRequest),
    /// It is this one's turn; the ticket was created at this revision.
    Held(i64),
    /// Somebody else holds, and this one does not wait.
    Busy,
    /// The ticket is not there any more: its lease ended, or somebody deleted it.
    Gone,
}

/// A place in line.
#[derive(Debug)]
pub(crate) struct Ticket {
    prefix: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
    lease: i64,
    waits: bool,
    /// When the ticket was created; 0 until it is known.
    created: i64,
}

/// The keys of all tickets for `name` begin with this.
pub(crate) fn prefix_of(name: &str) -> Vec<u8> {
    format!("{name}/").into_bytes()
}

/// Reads the oldest ticket for `name`.
pub(crate) fn oldest(prefix: &[u8]) -> RangeRequest {
    RangeRequest {
        key: prefix.to_vec(),
        range_end: prefix_end(prefix),
        limit: 1,
        sort_target: SortTarget::Create as i32,
        sort_order: SortOrder::Ascend as i32,
        ..RangeRequest::default()
    }
}

/// Writes `value` to `key` if that is still the key created at `created`.
pub(crate) fn put_if_created(key: &[u8], value: Vec<u8>, lease: i64, created: i64) -> TxnRequest {
    TxnRequest {
        compare: vec![created_at(key, created)],
        success: vec![put(key, value, lease)],
        failure: Vec::new(),
    }
}

fn created_at(key: &[u8], revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.to_vec(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        range_end: Vec::new(),
    }
}

fn put(key: &[u8], value: Vec<u8>, lease: i64) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestPut(PutRequest {
            key: key.to_vec(),
            value,
            lease,
            ..PutRequest::default()
        })),
    }
}

fn read(request: RangeRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestRange(request)),
    }
}

impl Ticket {
    /// A ticket for `name`, not in line yet.
    pub(crate) fn new(name: &str, lease: i64, value: Vec<u8>, waits: bool) -> Self {
        let prefix = prefix_of(name);
        let mut key = prefix.clone();
        key.extend_from_slice(format!("{lease:x}").as_bytes());
        Self {
            prefix,
            key,
            value,
            lease,
            waits,
            created: 0,
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The first step.
    pub(crate) fn enter(&self) -> Step {
        let own = RangeRequest {
            key: self.key.clone(),
            ..RangeRequest::default()
        };
        Step::Enter(TxnRequest {
            compare: vec![created_at(&self.key, 0)],
            success: vec![
                put(&self.key, self.value.clone(), self.lease),
                read(oldest(&self.prefix)),
            ],
            failure: vec![read(own), read(oldest(&self.prefix))],
        })
    }

    /// The transaction of `Enter` was done.
    pub(crate) fn entered(&mut self, result: &TxnResult) -> Step {
        let first = |index: usize| match result.responses.get(index) {
            Some(OpResult::Range(range)) => range.kvs.first(),
            _ => None,
        };
        self.created = if result.succeeded {
            result.revision
        } else {
            match first(0) {
                Some(own) => own.create_revision,
                None => return Step::Gone,
            }
        };
        match first(1) {
            Some(holder) if holder.create_revision != self.created => {
                if self.waits {
                    self.find()
                } else {
                    Step::Busy
                }
            }
            _ => Step::Held(self.created),
        }
    }

    /// The ticket before this one was looked for.
    pub(crate) fn found(&self, before: &RangeResult) -> Step {
        match before.kvs.first() {
            Some(before_me) => Step::Await {
                key: before_me.key.to_vec(),
                revision: before.revision + 1,
            },
            None => Step::Verify(RangeRequest {
                key: self.key.clone(),
                ..RangeRequest::default()
            }),
        }
    }

    /// The one before this one is gone, or that is not known: look again.
    pub(crate) fn deleted(&self) -> Step {
        self.find()
    }

    /// This ticket was read.
    pub(crate) fn verified(&self, own: &RangeResult) -> Step {
        match own.kvs.first() {
            Some(own) if own.create_revision == self.created => Step::Held(self.created),
            _ => Step::Gone,
        }
    }

    /// The youngest ticket that is older than this one.
    fn find(&self) -> Step {
        Step::Find(RangeRequest {
            sort_order: SortOrder::Descend as i32,
            max_create_revision: self.created - 1,
            ..oldest(&self.prefix)
        })
    }
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
