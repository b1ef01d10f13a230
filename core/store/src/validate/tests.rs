use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{PutRequest, RangeRequest, RequestOp, TxnRequest};
use quorate_proto::log::command::Op;
use quorate_proto::log::{Command, LeaseGrant};

use crate::error::EtcdError;
use crate::testing::*;

fn check(op: Op) -> Result<(), EtcdError> {
    super::command(&Command { op: Some(op) }, 128)
}

fn success(operations: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        success: operations,
        ..TxnRequest::default()
    }
}

fn check_success(operations: Vec<RequestOp>) -> Result<(), EtcdError> {
    check(Op::Txn(success(operations)))
}

#[test]
fn empty_keys_are_refused_everywhere() {
    let empty = Err(EtcdError::EmptyKey);
    assert_eq!(check(put("", "v")), empty);
    assert_eq!(check(delete("", "z")), empty);
    assert_eq!(check_success(vec![op_put("", "v")]), empty);
    assert_eq!(check_success(vec![op_delete("", "")]), empty);
    assert_eq!(check_success(vec![op_range("", "z")]), empty);
    let nested = success(vec![op_txn(success(vec![op_put("", "v")]))]);
    assert_eq!(check(Op::Txn(nested)), empty);
    let compared = TxnRequest {
        compare: vec![Default::default()],
        ..TxnRequest::default()
    };
    assert_eq!(check(Op::Txn(compared)), empty);
}

#[test]
fn what_is_ignored_must_not_be_given() {
    let request = PutRequest {
        ignore_value: true,
        ..put_request("a", "v")
    };
    assert_eq!(check(Op::Put(request)), Err(EtcdError::ValueProvided));
    let request = PutRequest {
        ignore_lease: true,
        lease: 5,
        ..put_request("a", "v")
    };
    assert_eq!(check(Op::Put(request)), Err(EtcdError::LeaseProvided));
}

#[test]
fn the_largest_of_compares_and_branches_counts() {
    let ranges = |count| vec![op_range("a", ""); count];
    assert_eq!(check_success(ranges(128)), Ok(()));
    assert_eq!(check_success(ranges(129)), Err(EtcdError::TooManyOps));
    let both = TxnRequest {
        success: ranges(100),
        failure: ranges(100),
        ..TxnRequest::default()
    };
    assert_eq!(check(Op::Txn(both)), Ok(()));
    let failure = TxnRequest {
        failure: ranges(129),
        ..TxnRequest::default()
    };
    assert_eq!(check(Op::Txn(failure)), Err(EtcdError::TooManyOps));
}

#[test]
fn a_nested_transaction_gets_what_its_parent_left() {
    let nested = |outer: usize, inner: usize| {
        let mut operations = vec![op_range("a", ""); outer - 1];
        operations.push(op_txn(success(vec![op_range("a", ""); inner])));
        check_success(operations)
    };
    assert_eq!(nested(28, 100), Ok(()));
    assert_eq!(nested(29, 100), Err(EtcdError::TooManyOps));
}

#[test]
fn an_empty_operation_is_key_not_found() {
    let empty = RequestOp { request: None };
    assert_eq!(check_success(vec![empty]), Err(EtcdError::KeyNotFound));
    assert_eq!(
        super::command(&Command { op: None }, 128),
        Err(EtcdError::KeyNotFound)
    );
}

#[test]
fn a_transactions_ranges_are_checked_too() {
    let range = RangeRequest {
        sort_order: 9,
        ..range("a", "")
    };
    assert_eq!(
        check_success(vec![operation(Request::RequestRange(range))]),
        Err(EtcdError::InvalidSortOption)
    );
}

#[test]
fn no_key_changes_twice_in_one_transaction() {
    let duplicate = Err(EtcdError::DuplicateKey);
    assert_eq!(
        check_success(vec![op_put("a", "1"), op_put("a", "2")]),
        duplicate
    );
    assert_eq!(
        check_success(vec![op_put("b", "1"), op_delete("a", "c")]),
        duplicate
    );
    assert_eq!(
        check_success(vec![op_delete("a", "c"), op_put("b", "1")]),
        duplicate
    );
    assert_eq!(
        check_success(vec![op_delete("a", "\0"), op_put("zz", "1")]),
        duplicate
    );
    assert_eq!(
        check_success(vec![op_put("c", "1"), op_delete("a", "c")]),
        Ok(())
    );
    assert_eq!(
        check_success(vec![op_delete("a", "c"), op_delete("b", "d")]),
        Ok(())
    );
    // The branches exclude each other.
    let both = TxnRequest {
        success: vec![op_put("a", "1")],
        failure: vec![op_put("a", "2")],
        ..TxnRequest::default()
    };
    assert_eq!(check(Op::Txn(both)), Ok(()));
}

#[test]
fn nested_transactions_are_compared_with_what_surrounds_them() {
    let duplicate = Err(EtcdError::DuplicateKey);
    let both_branches = |key: &str| {
        op_txn(TxnRequest {
            success: vec![op_put(key, "1")],
            failure: vec![op_put(key, "2")],
            ..TxnRequest::default()
        })
    };
    assert_eq!(check_success(vec![both_branches("a")]), Ok(()));
    assert_eq!(
        check_success(vec![both_branches("a"), op_put("a", "3")]),
        duplicate
    );
    assert_eq!(
        check_success(vec![op_put("a", "3"), both_branches("a")]),
        duplicate
    );
    assert_eq!(
        check_success(vec![both_branches("a"), both_branches("a")]),
        duplicate
    );
    assert_eq!(
        check_success(vec![op_delete("a", "b"), both_branches("a")]),
        duplicate
    );
    let exclusive = op_txn(TxnRequest {
        success: vec![op_put("a", "1")],
        failure: vec![op_delete("a", "z")],
        ..TxnRequest::default()
    });
    assert_eq!(check_success(vec![exclusive.clone()]), Ok(()));
    assert_eq!(check_success(vec![exclusive, op_put("q", "1")]), duplicate);
}

#[test]
fn leases_need_an_id_and_have_a_longest_ttl() {
    let grant = |id, ttl_seconds| check(Op::LeaseGrant(LeaseGrant { id, ttl_seconds }));
    assert_eq!(grant(1, 9_000_000_000), Ok(()));
    assert_eq!(grant(1, 9_000_000_001), Err(EtcdError::LeaseTtlTooLarge));
    assert_eq!(grant(0, 10), Err(EtcdError::LeaseNotFound));
}
