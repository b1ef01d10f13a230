//! Random requests, over few keys so that they meet.

use proptest::prelude::*;
use quorate_proto::etcdserverpb::compare::TargetUnion;
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::*;
use quorate_proto::log::command::Op;
use quorate_proto::log::{LeaseCheckpoint, LeaseGrant, LeaseRemaining, LeaseRevoke};

use super::operation;

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec!["a", "ab", "b", "ba", "bb", "c", "d"]).prop_map(Into::into)
}

fn range_end() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![0]),
        2 => prop::sample::select(vec!["b", "bb", "c", "e"]).prop_map(Into::into),
    ]
}

pub(crate) fn key_range() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (key(), range_end())
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"xyz".to_vec()), 0..4)
}

fn put() -> impl Strategy<Value = PutRequest> {
    (key(), value(), 0_i64..4, any::<bool>(), 0_u8..8).prop_map(
        |(key, value, lease, prev_kv, ignore)| PutRequest {
            key,
            value: if ignore == 0 { Vec::new() } else { value },
            lease: if ignore == 1 { 0 } else { lease.min(2) },
            prev_kv,
            ignore_value: ignore == 0,
            ignore_lease: ignore == 1,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (key_range(), any::<bool>()).prop_map(|((key, range_end), prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

pub(crate) fn range() -> impl Strategy<Value = RangeRequest> {
    let revision = || prop_oneof![3 => Just(0_i64), 1 => 1_i64..40];
    (
        key_range(),
        (0_i64..4, revision(), 0_i32..3, 0_i32..5),
        (prop::bool::weighted(0.2), prop::bool::weighted(0.2)),
        (revision(), revision(), revision(), revision()),
    )
        .prop_map(
            |((key, range_end), (limit, revision, sort_order, sort_target), only, bounds)| {
                RangeRequest {
                    key,
                    range_end,
                    limit,
                    revision,
                    sort_order,
                    sort_target,
                    serializable: false,
                    keys_only: only.0,
                    count_only: only.1,
                    min_mod_revision: bounds.0,
                    max_mod_revision: bounds.1,
                    min_create_revision: bounds.2,
                    max_create_revision: bounds.3,
                }
            },
        )
}

fn compare() -> impl Strategy<Value = Compare> {
    (key_range(), 0_i32..4, 0_i32..5, 0_i64..6, value()).prop_map(
        |((key, range_end), result, target, number, value)| Compare {
            key,
            range_end,
            result,
            target,
            target_union: Some(match target {
                0 => TargetUnion::Version(number),
                1 => TargetUnion::CreateRevision(number * 2),
                2 => TargetUnion::ModRevision(number * 4),
                3 => TargetUnion::Value(value),
                _ => TargetUnion::Lease(number % 3),
            }),
        },
    )
}

fn request() -> impl Strategy<Value = RequestOp> {
    prop_oneof![
        3 => put().prop_map(|request| operation(Request::RequestPut(request))),
        2 => range().prop_map(|request| operation(Request::RequestRange(request))),
        1 => delete().prop_map(|request| operation(Request::RequestDeleteRange(request))),
    ]
}

fn txn_of(inner: impl Strategy<Value = RequestOp> + Clone) -> impl Strategy<Value = TxnRequest> {
    (
        prop::collection::vec(compare(), 0..3),
        prop::collection::vec(inner.clone(), 0..4),
        prop::collection::vec(inner, 0..4),
    )
        .prop_map(|(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        })
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let leaf = request().boxed();
    let nested = txn_of(leaf.clone())
        .prop_map(|txn| operation(Request::RequestTxn(txn)))
        .boxed();
    txn_of(prop_oneof![4 => leaf, 1 => nested].boxed())
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => put().prop_map(Op::Put),
        3 => delete().prop_map(Op::DeleteRange),
        6 => txn().prop_map(Op::Txn),
        1 => (-1_i64..40).prop_map(|revision| Op::Compact(CompactionRequest {
            revision,
            physical: false,
        })),
        2 => (1_i64..4, -1_i64..9).prop_map(|(id, ttl_seconds)| Op::LeaseGrant(LeaseGrant {
            id,
            ttl_seconds,
        })),
        1 => (1_i64..4).prop_map(|id| Op::LeaseRevoke(LeaseRevoke { id })),
        1 => (1_i64..5, 0_i64..9).prop_map(|(id, remaining_seconds)| {
            Op::LeaseCheckpoint(LeaseCheckpoint {
                leases: vec![LeaseRemaining { id, remaining_seconds }],
            })
        }),
    ]
}
