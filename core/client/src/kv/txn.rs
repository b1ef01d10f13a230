//! Transactions: if all comparisons hold, do these operations, otherwise those, as one revision.

use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::{self as wire, DeleteRangeRequest, RequestOp, TxnRequest};
use quorate_types::Error;

use super::{PutOptions, PutResult, RangeOptions, RangeResult, check_key, prefix_end, unsigned};
use crate::driver::call::Repeat;

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// The stored one is greater.
    Greater,
    /// The stored one is less.
    Less,
}

/// A condition on one key, or on every key of a prefix. A missing key has revisions, version and
/// lease 0, and no value: a comparison of its value never holds.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Compare {
    wire: wire::Compare,
}

impl Compare {
    fn new(
        key: Vec<u8>,
        comparison: Comparison,
        target: CompareTarget,
        union: TargetUnion,
    ) -> Self {
        let result = match comparison {
            Comparison::Equal => CompareResult::Equal,
            Comparison::NotEqual => CompareResult::NotEqual,
            Comparison::Greater => CompareResult::Greater,
            Comparison::Less => CompareResult::Less,
        };
        Self {
            wire: wire::Compare {
                result: result as i32,
                target: target as i32,
                key,
                range_end: Vec::new(),
                target_union: Some(union),
            },
        }
    }

    /// The key is there.
    pub fn exists(key: impl Into<Vec<u8>>) -> Self {
        Self::create_revision(key, Comparison::Greater, 0)
    }

    /// The key is not there.
    pub fn missing(key: impl Into<Vec<u8>>) -> Self {
        Self::create_revision(key, Comparison::Equal, 0)
    }

    /// The key's value.
    pub fn value(
        key: impl Into<Vec<u8>>,
        comparison: Comparison,
        value: impl Into<Vec<u8>>,
    ) -> Self {
        let union = TargetUnion::Value(value.into());
        Self::new(key.into(), comparison, CompareTarget::Value, union)
    }

    /// How many changes since the creation.
    pub fn version(key: impl Into<Vec<u8>>, comparison: Comparison, version: i64) -> Self {
        let union = TargetUnion::Version(version);
        Self::new(key.into(), comparison, CompareTarget::Version, union)
    }

    /// The revision at which the key was created.
    pub fn create_revision(key: impl Into<Vec<u8>>, comparison: Comparison, revision: i64) -> Self {
        let union = TargetUnion::CreateRevision(revision);
        Self::new(key.into(), comparison, CompareTarget::Create, union)
    }

    /// The revision of the key's last change.
    pub fn mod_revision(key: impl Into<Vec<u8>>, comparison: Comparison, revision: i64) -> Self {
        let union = TargetUnion::ModRevision(revision);
        Self::new(key.into(), comparison, CompareTarget::Mod, union)
    }

    /// The lease the key is attached to.
    pub fn lease(key: impl Into<Vec<u8>>, comparison: Comparison, lease: i64) -> Self {
        let union = TargetUnion::Lease(lease);
        Self::new(key.into(), comparison, CompareTarget::Lease, union)
    }

    /// Takes the key as a prefix: the condition must hold for every key that begins with it.
    pub fn prefix(mut self) -> Self {
        self.wire.range_end = prefix_end(&self.wire.key);
        self
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Op {
    kind: OpKind,
}

#[derive(Clone, Debug, PartialEq)]
enum OpKind {
    Put(Vec<u8>, Vec<u8>, PutOptions),
    Range(RangeOptions),
    Delete(Vec<u8>, Vec<u8>),
    Txn(Txn),
}

impl Op {
    /// Writes a key.
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self::put_with(key, value, PutOptions::new())
    }

    /// Writes a key, with options.
    pub fn put_with(
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        options: PutOptions,
    ) -> Self {
        Self {
            kind: OpKind::Put(key.into(), value.into(), options),
        }
    }

    /// Reads a key.
    pub fn get(key: impl Into<Vec<u8>>) -> Self {
        Self::range(RangeOptions::key(key))
    }

    /// Reads a range.
    pub fn range(options: RangeOptions) -> Self {
        Self {
            kind: OpKind::Range(options),
        }
    }

    /// Deletes a key.
    pub fn delete(key: impl Into<Vec<u8>>) -> Self {
        Self {
            kind: OpKind::Delete(key.into(), Vec::new()),
        }
    }

    /// Deletes all keys that begin with `prefix`.
    pub fn delete_prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let prefix = prefix.into();
        let end = prefix_end(&prefix);
        Self {
            kind: OpKind::Delete(prefix, end),
        }
    }

    /// A transaction within the transaction.
    pub fn txn(txn: Txn) -> Self {
        Self {
            kind: OpKind::Txn(txn),
        }
    }

    /// The range it reads, if it is of that kind.
    pub fn into_range(self) -> Option<RangeOptions> {
        match self.kind {
            OpKind::Range(options) => Some(options),
            OpKind::Put(..) | OpKind::Delete(..) | OpKind::Txn(_) => None,
        }
    }

    fn into_wire(self) -> Result<RequestOp, Error> {
        let request = match self.kind {
            OpKind::Put(key, value, options) => Request::RequestPut(options.into_wire(key, value)?),
            OpKind::Range(options) => Request::RequestRange(options.into_wire()?),
            OpKind::Delete(key, range_end) => {
                Request::RequestDeleteRange(delete_request(key, range_end)?)
            }
            OpKind::Txn(txn) => Request::RequestTxn(txn.into_wire()?),
        };
        Ok(RequestOp {
            request: Some(request),
        })
    }

    fn only_reads(&self) -> bool {
        match &self.kind {
            OpKind::Range(_) => true,
            OpKind::Put(..) | OpKind::Delete(..) => false,
            OpKind::Txn(txn) => txn.only_reads(),
        }
    }
}

pub(crate) fn delete_request(
    key: Vec<u8>,
    range_end: Vec<u8>,
) -> Result<DeleteRangeRequest, Error> {
    check_key(&key)?;
    Ok(DeleteRangeRequest {
        key,
        range_end,
        prev_kv: false,
    })
}

/// A transaction under construction: `Txn::new().when(..).then(..).otherwise(..)`. Each of the
/// three may be given several times. The server takes at most 128 of each.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Txn {
    compares: Vec<Compare>,
    then: Vec<Op>,
    otherwise: Vec<Op>,
}

impl Txn {
    /// A transaction without conditions, which always takes its `then`.
    pub fn new() -> Self {
        Self::default()
    }

    /// All of these must hold.
    pub fn when(mut self, compares: impl IntoIterator<Item = Compare>) -> Self {
        self.compares.extend(compares);
        self
    }

    /// What to do if all comparisons hold.
    pub fn then(mut self, ops: impl IntoIterator<Item = Op>) -> Self {
        self.then.extend(ops);
        self
    }

    /// What to do if one does not.
    pub fn otherwise(mut self, ops: impl IntoIterator<Item = Op>) -> Self {
        self.otherwise.extend(ops);
        self
    }

    pub(crate) fn into_wire(self) -> Result<TxnRequest, Error> {
        let ops = |ops: Vec<Op>| -> Result<Vec<RequestOp>, Error> {
            ops.into_iter().map(Op::into_wire).collect()
        };
        for compare in &self.compares {
            check_key(&compare.wire.key)?;
        }
        Ok(TxnRequest {
            compare: self.compares.into_iter().map(|c| c.wire).collect(),
            success: ops(self.then)?,
            failure: ops(self.otherwise)?,
        })
    }

    pub(crate) fn repeat(&self) -> Repeat {
        if self.only_reads() {
            Repeat::Safe
        } else {
            Repeat::IfNotSent
        }
    }

    fn only_reads(&self) -> bool {
        self.then.iter().chain(&self.otherwise).all(Op::only_reads)
    }
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxnResult {
    /// Whether all comparisons held, so that `then` was done and not `otherwise`.
    pub succeeded: bool,
    /// The store's revision right after it.
    pub revision: i64,
    /// One for each operation done, in their order.
    pub responses: Vec<OpResult>,
}

/// What one operation of a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpResult {
    /// Of a write.
    Put(PutResult),
    /// Of a read.
    Range(RangeResult),
    /// Of a deletion: how many keys are gone.
    Deleted(u64),
    /// Of a nested transaction.
    Txn(TxnResult),
}

impl From<wire::TxnResponse> for TxnResult {
    fn from(wire: wire::TxnResponse) -> Self {
        let responses = wire.responses.into_iter().filter_map(|op| op.response);
        Self {
            succeeded: wire.succeeded,
            revision: wire.header.map_or(0, |header| header.revision),
            responses: responses
                .map(|response| match response {
                    Response::ResponsePut(put) => OpResult::Put(put.into()),
                    Response::ResponseRange(range) => OpResult::Range(range.into()),
                    Response::ResponseDeleteRange(delete) => {
                        OpResult::Deleted(unsigned(delete.deleted))
                    }
                    Response::ResponseTxn(txn) => OpResult::Txn(txn.into()),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_types::ErrorCode;

    use super::*;

    #[test]
    fn only_transactions_that_read_are_repeated() {
        let read = Txn::new().then([Op::get("a")]).otherwise([Op::get("b")]);
        assert_eq!(read.repeat(), Repeat::Safe);
        assert_eq!(
            Txn::new().then([Op::txn(read.clone())]).repeat(),
            Repeat::Safe
        );
        for op in [
            Op::put("a", "1"),
            Op::delete("a"),
            Op::txn(Txn::new().otherwise([Op::delete_prefix("a")])),
        ] {
            assert_eq!(read.clone().otherwise([op]).repeat(), Repeat::IfNotSent);
        }
    }

    #[test]
    fn it_reaches_the_wire_in_order() {
        let wire = Txn::new()
            .when([
                Compare::missing("a"),
                Compare::value("b", Comparison::NotEqual, "x"),
            ])
            .then([Op::put("a", "1"), Op::get("b")])
            .otherwise([Op::delete_prefix("c/")])
            .into_wire()
            .unwrap();
        assert_eq!(
            wire.compare[0].target_union,
            Some(TargetUnion::CreateRevision(0))
        );
        assert_eq!(wire.compare[0].target(), CompareTarget::Create);
        assert_eq!(wire.compare[1].result(), CompareResult::NotEqual);
        assert!(matches!(
            wire.success[0].request,
            Some(Request::RequestPut(_))
        ));
        assert!(matches!(
            wire.success[1].request,
            Some(Request::RequestRange(_))
        ));
        let Some(Request::RequestDeleteRange(delete)) = &wire.failure[0].request else {
            panic!("a deletion");
        };
        assert_eq!(delete.range_end, b"c0");
    }

    #[test]
    fn an_empty_key_anywhere_is_refused() {
        for txn in [
            Txn::new().when([Compare::exists("")]),
            Txn::new().then([Op::put("", "1")]),
            Txn::new().otherwise([Op::txn(Txn::new().then([Op::delete("")]))]),
        ] {
            assert_eq!(
                txn.into_wire().unwrap_err().code(),
                ErrorCode::InvalidArgument
            );
        }
    }
}
