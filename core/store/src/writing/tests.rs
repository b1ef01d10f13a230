use std::collections::BTreeSet;

use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
use quorate_proto::log::command::Op;

use crate::apply::Reply;
use crate::error::EtcdError;
use crate::testing::*;

fn leased(key: &str, lease: i64) -> PutRequest {
    PutRequest {
        lease,
        ..put_request(key, "v")
    }
}

fn keys_of(fixture: &Fixture, lease: i64) -> Vec<String> {
    let keys = fixture.store.leases().remaining(lease).unwrap().keys;
    let keys = keys.iter().map(|key| String::from_utf8_lossy(key).into());
    keys.collect()
}

#[test]
fn ignore_value_keeps_the_value_and_ignore_lease_the_lease() {
    let fixture = Fixture::new();
    fixture.grant(1, 10).unwrap();
    fixture.put_with(leased("a", 1)).unwrap();
    let keep_lease = PutRequest {
        ignore_lease: true,
        ..put_request("a", "new")
    };
    fixture.put_with(keep_lease).unwrap();
    let kv = fixture.get("a").unwrap();
    assert_eq!((&kv.value[..], kv.lease, kv.version), (&b"new"[..], 1, 2));
    let keep_value = PutRequest {
        ignore_value: true,
        ..put_request("a", "")
    };
    let response = fixture.put_with(keep_value).unwrap();
    assert_eq!(response.prev_kv, None);
    let kv = fixture.get("a").unwrap();
    assert_eq!((&kv.value[..], kv.lease, kv.version), (&b"new"[..], 0, 3));
}

#[test]
fn ignoring_on_a_missing_key_is_key_not_found() {
    let fixture = Fixture::new();
    for (ignore_value, ignore_lease) in [(true, false), (false, true), (true, true)] {
        let request = PutRequest {
            ignore_value,
            ignore_lease,
            ..put_request("a", "")
        };
        assert_eq!(fixture.put_with(request), Err(EtcdError::KeyNotFound));
    }
    fixture.put("a", "1");
    fixture.delete("a", "");
    let request = PutRequest {
        ignore_value: true,
        ..put_request("a", "")
    };
    assert_eq!(fixture.put_with(request), Err(EtcdError::KeyNotFound));
}

#[test]
fn a_put_looks_for_its_lease_first_and_a_transaction_for_the_key() {
    let fixture = Fixture::new();
    let request = PutRequest {
        ignore_value: true,
        lease: 7,
        ..put_request("a", "")
    };
    let put = RequestOp {
        request: Some(Request::RequestPut(request.clone())),
    };
    assert_eq!(fixture.put_with(request), Err(EtcdError::LeaseNotFound));
    let txn = TxnRequest {
        success: vec![put],
        ..TxnRequest::default()
    };
    assert_eq!(
        fixture.propose(Op::Txn(txn)).err(),
        Some(EtcdError::KeyNotFound)
    );
}

#[test]
fn previous_versions_are_returned_only_if_asked_for() {
    let fixture = Fixture::new();
    let asking = |value: &str| PutRequest {
        prev_kv: true,
        ..put_request("a", value)
    };
    assert_eq!(fixture.put_with(asking("1")).unwrap().prev_kv, None);
    let old = fixture.put_with(asking("2")).unwrap().prev_kv.unwrap();
    assert_eq!((&old.value[..], old.mod_revision), (&b"1"[..], 2));
    fixture.put("b", "3");
    let Ok(Reply::DeleteRange(deleted)) = fixture.propose(Op::DeleteRange(DeleteRangeRequest {
        prev_kv: true,
        ..delete_request("a", "z")
    })) else {
        panic!();
    };
    let old: Vec<_> = deleted.prev_kvs.iter().map(|kv| &kv.value[..]).collect();
    assert_eq!((deleted.deleted, old), (2, vec![&b"2"[..], b"3"]));
}

#[test]
fn a_put_moves_or_drops_the_lease_and_a_delete_drops_it() {
    let fixture = Fixture::new();
    fixture.grant(1, 10).unwrap();
    fixture.grant(2, 10).unwrap();
    fixture.put_with(leased("b", 1)).unwrap();
    fixture.put_with(leased("a", 1)).unwrap();
    assert_eq!(keys_of(&fixture, 1), ["a", "b"]);
    fixture.put_with(leased("a", 2)).unwrap();
    assert_eq!(
        (keys_of(&fixture, 1), keys_of(&fixture, 2)),
        (vec!["b".into()], vec!["a".into()])
    );
    fixture.put("a", "no lease");
    assert!(keys_of(&fixture, 2).is_empty());
    fixture.delete("b", "");
    assert!(keys_of(&fixture, 1).is_empty());
    // Neither revoke touches a key any more.
    fixture.revoke(1).unwrap();
    fixture.revoke(2).unwrap();
    assert!(fixture.get("a").is_some());
}

#[test]
fn a_put_needs_its_lease() {
    let fixture = Fixture::new();
    let error = fixture.put_with(leased("a", 9)).unwrap_err();
    assert_eq!(error, EtcdError::LeaseNotFound);
    assert_eq!(fixture.store.revision(), 1);
}

#[test]
fn a_grant_answers_with_the_ttl_it_gave() {
    let fixture = Fixture::new();
    let granted = fixture.grant(4, 60).unwrap();
    assert_eq!((granted.id, granted.ttl), (4, 60));
    assert_eq!(granted.header.unwrap().revision, 1, "a grant is no change");
    assert_eq!(fixture.grant(4, 60), Err(EtcdError::LeaseExists));
    assert_eq!(fixture.grant(5, 1).unwrap().ttl, 2, "raised to the minimum");
    assert_eq!(fixture.grant(6, -7).unwrap().ttl, 2);
    assert_eq!(
        fixture.grant(7, 9_000_000_001),
        Err(EtcdError::LeaseTtlTooLarge)
    );
    assert_eq!(fixture.store.leases().ids(), [4, 5, 6]);
}

#[test]
fn applying_checks_grants_even_if_nobody_validated_them() {
    let fixture = Fixture::new();
    assert_eq!(fixture.apply(grant(0, 5)), Err(EtcdError::LeaseNotFound));
    assert_eq!(
        fixture.apply(grant(1, i64::MAX)),
        Err(EtcdError::LeaseTtlTooLarge)
    );
}

#[test]
fn a_revoke_deletes_its_keys_in_key_order_in_one_revision() {
    let fixture = Fixture::new();
    fixture.grant(1, 10).unwrap();
    for key in ["c", "a", "b"] {
        fixture.put_with(leased(key, 1)).unwrap();
    }
    fixture.put("d", "stays");
    let stream = fixture.store.watch_stream(Default::default());
    stream
        .request(quorate_proto::etcdserverpb::WatchRequest {
            request_union: Some(
                quorate_proto::etcdserverpb::watch_request::RequestUnion::CreateRequest(
                    quorate_proto::etcdserverpb::WatchCreateRequest {
                        range_end: vec![0],
                        ..Default::default()
                    },
                ),
            ),
        })
        .unwrap();
    assert_eq!(fixture.revoke(1).unwrap(), 6);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let events = runtime.block_on(async {
        stream.next().await;
        stream.next().await.events
    });
    let keys: Vec<_> = events
        .iter()
        .map(|e| &e.kv.as_ref().unwrap().key[..])
        .collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
    let mains: BTreeSet<_> = events
        .iter()
        .map(|e| e.kv.as_ref().unwrap().mod_revision)
        .collect();
    assert_eq!(mains, BTreeSet::from([6]));
    assert!(fixture.get("d").is_some() && fixture.get("a").is_none());
    assert_eq!(fixture.revoke(1), Err(EtcdError::LeaseNotFound));
    // A lease without keys is no change.
    fixture.grant(2, 10).unwrap();
    assert_eq!(fixture.revoke(2).unwrap(), 6);
}
