use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};

use crate::error::EtcdError;
use crate::testing::*;

#[test]
fn reads_see_the_transactions_own_writes() {
    let fixture = Fixture::new();
    fixture.put("a", "0");
    let response = fixture
        .txn(TxnRequest {
            success: vec![
                op_range("a", "z"),
                op_put("a", "1"),
                op_put("b", "2"),
                op_range("a", "z"),
                op_delete("c", "d"),
            ],
            ..TxnRequest::default()
        })
        .unwrap();
    assert!(response.succeeded);
    assert_eq!(response.header.unwrap().revision, 3);
    let Some(Response::ResponseRange(before)) = &response.responses[0].response else {
        panic!();
    };
    assert_eq!((before.count, before.header.unwrap().revision), (1, 2));
    let Some(Response::ResponseRange(after)) = &response.responses[3].response else {
        panic!();
    };
    assert_eq!((after.count, after.header.unwrap().revision), (2, 3));
    assert_eq!(after.kvs[0].value, "1");
    assert_eq!(after.kvs[0].mod_revision, 3);
    assert_eq!(fixture.get("b").unwrap().create_revision, 3);
}

fn version_is(key: &str, version: i64) -> Compare {
    compare(
        key,
        CompareTarget::Version,
        CompareResult::Equal,
        TargetUnion::Version(version),
    )
}

fn holds(fixture: &Fixture, compare: Compare) -> bool {
    let txn = TxnRequest {
        compare: vec![compare],
        ..TxnRequest::default()
    };
    fixture.txn(txn).unwrap().succeeded
}

#[test]
fn one_revision_per_mutating_transaction_and_none_for_others() {
    let fixture = Fixture::new();
    let revision = |success| {
        let txn = TxnRequest {
            success,
            ..TxnRequest::default()
        };
        fixture.txn(txn).unwrap().header.unwrap().revision
    };
    assert_eq!(revision(vec![op_put("a", "1"), op_put("b", "2")]), 2);
    assert_eq!(revision(vec![op_range("a", "")]), 2);
    assert_eq!(revision(vec![op_delete("x", "z")]), 2);
    assert_eq!(revision(vec![op_delete("a", "z")]), 3);
    assert_eq!(fixture.delete("a", "z").header.unwrap().revision, 3);
    assert_eq!(fixture.store.revision(), 3);
}

#[test]
fn every_target_compares() {
    let fixture = Fixture::new();
    fixture.grant(5, 10).unwrap();
    fixture.put("a", "1");
    fixture
        .put_with(PutRequest {
            lease: 5,
            ..put_request("a", "m")
        })
        .unwrap();
    let cases = [
        (
            CompareTarget::Version,
            TargetUnion::Version(2),
            TargetUnion::Version(1),
        ),
        (
            CompareTarget::Create,
            TargetUnion::CreateRevision(2),
            TargetUnion::CreateRevision(1),
        ),
        (
            CompareTarget::Mod,
            TargetUnion::ModRevision(3),
            TargetUnion::ModRevision(2),
        ),
        (
            CompareTarget::Lease,
            TargetUnion::Lease(5),
            TargetUnion::Lease(4),
        ),
        (
            CompareTarget::Value,
            TargetUnion::Value("m".into()),
            TargetUnion::Value("c".into()),
        ),
    ];
    for (target, same, smaller) in cases {
        let check = |result, with: &TargetUnion| {
            holds(&fixture, compare("a", target, result, with.clone()))
        };
        assert!(check(CompareResult::Equal, &same), "{target:?}");
        assert!(!check(CompareResult::NotEqual, &same));
        assert!(check(CompareResult::NotEqual, &smaller));
        assert!(check(CompareResult::Greater, &smaller));
        assert!(!check(CompareResult::Greater, &same));
        assert!(!check(CompareResult::Less, &smaller));
    }
}

#[test]
fn a_missing_key_is_zeros_but_has_no_value() {
    let fixture = Fixture::new();
    assert!(holds(&fixture, version_is("a", 0)));
    let created = TargetUnion::CreateRevision(0);
    let equal = CompareResult::Equal;
    assert!(holds(
        &fixture,
        compare("a", CompareTarget::Create, equal, created)
    ));
    for result in [
        CompareResult::Equal,
        CompareResult::NotEqual,
        CompareResult::Less,
    ] {
        let value = TargetUnion::Value(Vec::new());
        assert!(!holds(
            &fixture,
            compare("a", CompareTarget::Value, result, value)
        ));
    }
}

#[test]
fn a_range_compare_must_hold_for_every_key() {
    let fixture = Fixture::new();
    fixture.put("a1", "x");
    fixture.put("a2", "x");
    let over = |end: &str, compare: Compare| Compare {
        range_end: end.into(),
        ..compare
    };
    assert!(holds(&fixture, over("b", version_is("a", 1))));
    fixture.put("a2", "y");
    assert!(!holds(&fixture, over("b", version_is("a", 1))));
    let value = |value: &str| {
        let union = TargetUnion::Value(value.into());
        compare("a", CompareTarget::Value, CompareResult::Equal, union)
    };
    assert!(!holds(&fixture, over("b", value("x"))));
    fixture.put("a2", "x");
    assert!(holds(&fixture, over("\0", value("x"))));
    // No key at all counts as one of zeros.
    assert!(holds(&fixture, over("z", version_is("x", 0))));
}

#[test]
fn nested_compares_look_at_the_state_before() {
    let fixture = Fixture::new();
    let nested = TxnRequest {
        compare: vec![version_is("a", 0)],
        success: vec![op_put("b", "then")],
        failure: vec![op_put("b", "else")],
    };
    let response = fixture
        .txn(TxnRequest {
            success: vec![op_put("a", "1"), op_txn(nested)],
            ..TxnRequest::default()
        })
        .unwrap();
    assert_eq!(fixture.get("b").unwrap().value, "then");
    let Some(Response::ResponseTxn(inner)) = &response.responses[1].response else {
        panic!();
    };
    assert!(inner.succeeded);
    assert_eq!(fixture.get("a").unwrap().mod_revision, 2);
    assert_eq!(fixture.get("b").unwrap().mod_revision, 2);
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let refused = |last: RequestOp| {
        let txn = TxnRequest {
            success: vec![op_put("a", "1"), last],
            ..TxnRequest::default()
        };
        let error = fixture.txn(txn).unwrap_err();
        assert_eq!(fixture.store.revision(), 1);
        assert_eq!(fixture.get("a"), None);
        error
    };
    let leased = PutRequest {
        lease: 77,
        ..put_request("b", "")
    };
    let ignoring = PutRequest {
        ignore_value: true,
        ..put_request("b", "")
    };
    let future = RangeRequest {
        revision: 2,
        ..range("a", "")
    };
    let nested = TxnRequest {
        success: vec![operation(Request::RequestPut(leased.clone()))],
        ..TxnRequest::default()
    };
    let put = |request| operation(Request::RequestPut(request));
    assert_eq!(refused(put(leased)), EtcdError::LeaseNotFound);
    assert_eq!(refused(op_txn(nested)), EtcdError::LeaseNotFound);
    assert_eq!(refused(put(ignoring)), EtcdError::KeyNotFound);
    let range = operation(Request::RequestRange(future));
    assert_eq!(refused(range), EtcdError::FutureRevision);
}

#[test]
fn only_the_branch_that_runs_is_checked() {
    let fixture = Fixture::new();
    let leased = PutRequest {
        lease: 77,
        ..put_request("b", "")
    };
    let txn = TxnRequest {
        compare: vec![version_is("a", 1)],
        success: vec![operation(Request::RequestPut(leased))],
        failure: vec![op_put("c", "1")],
    };
    assert!(!fixture.txn(txn).unwrap().succeeded);
    assert!(fixture.get("c").is_some());
}

#[test]
fn reading_transactions_are_answered_locally_from_one_revision() {
    let fixture = Fixture::new();
    fixture.put("a", "1");
    let txn = TxnRequest {
        compare: vec![version_is("a", 1)],
        success: vec![op_range("a", ""), op_range("", "")],
        failure: Vec::new(),
    };
    assert!(crate::is_read_only(&txn));
    assert_eq!(fixture.store.read_txn(&txn), Err(EtcdError::EmptyKey));
    let txn = TxnRequest {
        success: vec![op_range("a", ""), op_range("a", "z")],
        ..txn
    };
    let response = fixture.store.read_txn(&txn).unwrap();
    assert!(response.succeeded && response.responses.len() == 2);
    assert_eq!(response.header.unwrap().revision, 2);
    assert!(!crate::is_read_only(&TxnRequest {
        failure: vec![op_txn(TxnRequest::default())],
        ..txn.clone()
    }));
    assert!(!crate::is_read_only(&TxnRequest {
        failure: vec![op_delete("a", "")],
        ..txn
    }));
}
