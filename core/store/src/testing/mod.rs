//! A store in a temporary directory, and short words for requests.

pub(crate) mod model;
pub(crate) mod random;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantResponse,
    PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use quorate_proto::log::command::Op;
use quorate_proto::log::{Command, LeaseGrant, LeaseRevoke};
use quorate_proto::mvccpb::KeyValue;

use crate::apply::{AppliedMark, ApplyBatch, CommandWithTime, Outcome, Reply};
use crate::clock::Clock;
use crate::error::EtcdError;
use crate::store::{Store, StoreOptions};

/// A clock the test moves.
#[derive(Default)]
pub(crate) struct HandClock(Mutex<Duration>);

impl HandClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Duration {
        *self.0.lock()
    }
}

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) directory: tempfile::TempDir,
}

/// A directory in memory where there is one: hundreds of stores are made, each with its syncs.
pub(crate) fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

pub(crate) fn options(clock: Arc<HandClock>) -> StoreOptions {
    StoreOptions {
        cache_bytes: 8 << 20,
        clock,
        ..StoreOptions::default()
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = temporary();
        let clock = Arc::new(HandClock::default());
        let store = Store::open(directory.path(), options(clock.clone())).unwrap();
        Self {
            store,
            clock,
            directory,
        }
    }

    /// Applies one batch, moving the mark by one.
    pub(crate) fn batch(&self, ops: Vec<Op>) -> Vec<Outcome> {
        apply(&self.store, ops)
    }

    pub(crate) fn apply(&self, op: Op) -> Outcome {
        self.batch(vec![op]).remove(0)
    }

    /// Validates, then applies, as the way through the log does.
    pub(crate) fn propose(&self, op: Op) -> Outcome {
        self.store.validate(&Command {
            op: Some(op.clone()),
        })?;
        self.apply(op)
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> i64 {
        let Reply::Put(response) = self.propose(put(key, value)).unwrap() else {
            panic!("not a put's reply");
        };
        response.header.unwrap().revision
    }

    pub(crate) fn put_with(&self, request: PutRequest) -> Result<PutResponse, EtcdError> {
        match self.propose(Op::Put(request))? {
            Reply::Put(response) => Ok(response),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn delete(&self, key: &str, range_end: &str) -> DeleteRangeResponse {
        match self.propose(delete(key, range_end)).unwrap() {
            Reply::DeleteRange(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn txn(&self, request: TxnRequest) -> Result<TxnResponse, EtcdError> {
        match self.propose(Op::Txn(request))? {
            Reply::Txn(response) => Ok(response),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        self.propose(compact(revision)).map(|_| ())
    }

    /// Runs compaction to its end.
    pub(crate) fn finish_compaction(&self) {
        while self.store.compaction_step().unwrap() {}
    }

    pub(crate) fn grant(&self, id: i64, ttl: i64) -> Result<LeaseGrantResponse, EtcdError> {
        match self.propose(grant(id, ttl))? {
            Reply::LeaseGrant(response) => Ok(response),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn revoke(&self, id: i64) -> Result<i64, EtcdError> {
        match self.propose(Op::LeaseRevoke(LeaseRevoke { id }))? {
            Reply::LeaseRevoke(response) => Ok(response.header.unwrap().revision),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, EtcdError> {
        self.store.range(request)
    }

    pub(crate) fn get(&self, key: &str) -> Option<KeyValue> {
        self.range(&range(key, "")).unwrap().kvs.pop()
    }

    /// Opens a copy of the files as a crash at this moment would leave them.
    pub(crate) fn crashed(&self) -> Self {
        let directory = temporary();
        for file in std::fs::read_dir(self.directory.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), directory.path().join(file.file_name())).unwrap();
        }
        let store = Store::open(directory.path(), options(self.clock.clone())).unwrap();
        Self {
            store,
            clock: self.clock.clone(),
            directory,
        }
    }

    /// Closes the store in order, and opens it again with other options.
    pub(crate) fn reopened_with(self, change: impl FnOnce(&mut StoreOptions)) -> Self {
        let Self {
            store,
            clock,
            directory,
        } = self;
        drop(store);
        let mut options = options(clock.clone());
        change(&mut options);
        let store = Store::open(directory.path(), options).unwrap();
        Self {
            store,
            clock,
            directory,
        }
    }

    /// Closes the store in order, and opens it again.
    pub(crate) fn reopened(self) -> Self {
        self.reopened_with(|_| {})
    }
}

pub(crate) fn apply(store: &Store, ops: Vec<Op>) -> Vec<Outcome> {
    let index = store.applied().index + 1;
    store
        .apply(ApplyBatch {
            commands: ops
                .into_iter()
                .map(|op| CommandWithTime {
                    command: Command { op: Some(op) },
                    proposed_at_ms: index,
                })
                .collect(),
            mark: AppliedMark {
                index,
                raft_state: index.to_be_bytes().to_vec(),
            },
        })
        .unwrap()
}

pub(crate) fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

pub(crate) fn put(key: &str, value: &str) -> Op {
    Op::Put(put_request(key, value))
}

pub(crate) fn delete_request(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        prev_kv: false,
    }
}

pub(crate) fn delete(key: &str, range_end: &str) -> Op {
    Op::DeleteRange(delete_request(key, range_end))
}

pub(crate) fn range(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        ..RangeRequest::default()
    }
}

pub(crate) fn compact(revision: i64) -> Op {
    Op::Compact(CompactionRequest {
        revision,
        physical: false,
    })
}

pub(crate) fn grant(id: i64, ttl_seconds: i64) -> Op {
    Op::LeaseGrant(LeaseGrant { id, ttl_seconds })
}

pub(crate) fn compare(
    key: &str,
    target: CompareTarget,
    result: CompareResult,
    with: TargetUnion,
) -> Compare {
    Compare {
        key: key.into(),
        target: target.into(),
        result: result.into(),
        target_union: Some(with),
        range_end: Vec::new(),
    }
}

pub(crate) fn operation(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

pub(crate) fn op_put(key: &str, value: &str) -> RequestOp {
    operation(Request::RequestPut(put_request(key, value)))
}

pub(crate) fn op_delete(key: &str, range_end: &str) -> RequestOp {
    operation(Request::RequestDeleteRange(delete_request(key, range_end)))
}

pub(crate) fn op_range(key: &str, range_end: &str) -> RequestOp {
    operation(Request::RequestRange(range(key, range_end)))
}

pub(crate) fn op_txn(txn: TxnRequest) -> RequestOp {
    operation(Request::RequestTxn(txn))
}
