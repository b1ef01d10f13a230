//! Records, transactions, watches and leases.

use std::time::Duration;

use quorate::ErrorCode;
use quorate::kv::{
    Compare, Comparison, Op, OpResult, Order, PutOptions, RangeOptions, SortBy, Txn,
};
use quorate::watch::{EventKind, WatchOptions};

use crate::server::{Etcd, soon};

#[tokio::test(flavor = "multi_thread")]
async fn records_are_written_read_and_deleted() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let first = client.put("a/1", "one").await.unwrap();
    let again = client
        .put_with("a/1", "uno", PutOptions::new().previous())
        .await
        .unwrap();
    assert_eq!(again.revision, first.revision + 1);
    assert_eq!(again.previous.unwrap().value, "one");
    client.put("a/2", "two").await.unwrap();
    client.put("b", "three").await.unwrap();

    let record = client.get("a/1").await.unwrap().unwrap();
    assert_eq!((&record.value[..], record.version), (&b"uno"[..], 2));
    assert_eq!(client.get("nothing").await.unwrap(), None);

    let options = RangeOptions::prefix("a/").sort(SortBy::Key, Order::Descending);
    let range = client.range(options.clone().limit(1)).await.unwrap();
    assert_eq!((range.count, range.more, range.kvs.len()), (2, true, 1));
    assert_eq!(range.kvs[0].key, "a/2");
    let old = client
        .range(options.revision(first.revision))
        .await
        .unwrap();
    assert_eq!(old.kvs[0].value, "one");

    let txn = Txn::new()
        .when([
            Compare::exists("b"),
            Compare::value("a/1", Comparison::Equal, "uno"),
        ])
        .then([Op::put("c", "4"), Op::get("a/2"), Op::delete_prefix("a/")])
        .otherwise([Op::get("b")]);
    let done = client.txn(txn.clone()).await.unwrap();
    assert!(done.succeeded);
    assert!(matches!(&done.responses[1], OpResult::Range(range) if range.kvs.len() == 1));
    assert_eq!(done.responses[2], OpResult::Deleted(2));
    assert!(!client.txn(txn).await.unwrap().succeeded);

    assert_eq!(client.delete("b").await.unwrap(), 1);
    assert_eq!(client.delete("b").await.unwrap(), 0);
    assert_eq!(
        client.delete_prefix("").await.unwrap_err().code(),
        ErrorCode::InvalidArgument
    );

    client.compact(done.revision).await.unwrap();
    let gone = client.range(RangeOptions::key("a/1").revision(first.revision));
    let error = gone.await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OutOfRange, "{error}");
    assert!(error.message().contains(&etcd.endpoint()), "{error}");
    let status = &client.server_status().await[0];
    assert!(status.result.as_ref().unwrap().version.starts_with("3."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_survives_a_killed_server_without_gap_or_duplicate() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let mut watch = client.watch("k/", WatchOptions::new().prefix().previous());
    soon(watch.started()).await.unwrap();
    let mut other = client.watch("other", WatchOptions::new());
    for n in 0..5 {
        client.put("k/a", n.to_string()).await.unwrap();
    }
    etcd.kill();
    etcd.run().await;
    for n in 5..10 {
        client.put("k/a", n.to_string()).await.unwrap();
    }
    client.delete("k/a").await.unwrap();
    let mut values = Vec::new();
    let last = loop {
        let batch = soon(watch.next()).await.unwrap().unwrap();
        let mut events = batch.events.into_iter();
        if let Some(end) = events.find(|event| match event.kind {
            EventKind::Put => {
                values.push(String::from_utf8(event.kv.value.to_vec()).unwrap());
                false
            }
            EventKind::Delete => true,
        }) {
            break end;
        }
    };
    assert_eq!(values, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(last.previous.unwrap().value, "9");
    assert!(client.metrics().stream_reconnects > 0);
    client.put("other", "x").await.unwrap();
    assert_eq!(soon(other.next()).await.unwrap().unwrap().events.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_misses_nothing_and_holds_up_nobody() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let mut slow = client.watch("k", WatchOptions::new());
    let mut quick = client.watch("k", WatchOptions::new());
    soon(slow.started()).await.unwrap();
    soon(quick.started()).await.unwrap();
    for n in 0..1500 {
        client.put("k", n.to_string()).await.unwrap();
        soon(quick.next()).await.unwrap().unwrap();
    }
    let mut expected = 0;
    while expected < 1500 {
        for event in soon(slow.next()).await.unwrap().unwrap().events {
            assert_eq!(event.kv.value, expected.to_string());
            expected += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_compacted_history_says_so_and_ends() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let mut revision = 0;
    for n in 0..5 {
        revision = client.put("k", n.to_string()).await.unwrap().revision;
    }
    client.compact(revision).await.unwrap();
    let mut watch = client.watch("k", WatchOptions::new().start_revision(2));
    let error = soon(watch.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::OutOfRange, "{error}");
    assert_eq!(watch.compacted(), Some(revision));
    assert!(soon(watch.next()).await.is_none());
    let mut rest = client.watch("k", WatchOptions::new().start_revision(revision));
    assert_eq!(
        soon(rest.next()).await.unwrap().unwrap().events[0].kv.value,
        "4"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lives_while_held_and_takes_its_keys_with_it() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let lease = client.lease(Duration::from_secs(1)).await.unwrap();
    let attached = PutOptions::new().lease(lease.id());
    client.put_with("k", "v", attached.clone()).await.unwrap();
    let info = client
        .lease_time_to_live(lease.id())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (info.granted, &info.keys[..]),
        (lease.ttl(), &["k".into()][..])
    );
    // Longer than it would live by itself, also over a restart.
    tokio::time::sleep(lease.ttl() * 2).await;
    etcd.kill();
    etcd.run().await;
    tokio::time::sleep(lease.ttl() * 2).await;
    assert!(!lease.is_lost());
    assert!(client.get("k").await.unwrap().is_some());

    let mut watch = client.watch("k", WatchOptions::new());
    soon(watch.started()).await.unwrap();
    let id = lease.id();
    drop(lease);
    let batch = soon(watch.next()).await.unwrap().unwrap();
    assert_eq!(batch.events[0].kind, EventKind::Delete);
    assert_eq!(client.lease_time_to_live(id).await.unwrap(), None);
    let error = client.put_with("k", "v", attached).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound, "{error}");

    let revoked_elsewhere = client.lease(Duration::from_secs(5)).await.unwrap();
    let id = format!("{:x}", revoked_elsewhere.id());
    etcd.run_etcdctl(&["lease", "revoke", &id]).await;
    soon(revoked_elsewhere.lost()).await;
    let error = revoked_elsewhere.revoke().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionExpired, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_makes_a_lease_lost_by_the_local_clock() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let lease = client.lease(Duration::from_secs(2)).await.unwrap();
    etcd.pause("-STOP");
    let began = std::time::Instant::now();
    soon(lease.lost()).await;
    let took = began.elapsed();
    etcd.pause("-CONT");
    assert!(took <= lease.ttl() + Duration::from_millis(500), "{took:?}");
    assert_eq!(client.metrics().leases_lost, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_revokes_leases_and_ends_everything() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let lease = client.lease(Duration::from_secs(60)).await.unwrap();
    let attached = PutOptions::new().lease(lease.id());
    client.put_with("k", "v", attached).await.unwrap();
    let mut watch = client.watch("k", WatchOptions::new());
    soon(watch.started()).await.unwrap();
    soon(client.close()).await;
    soon(client.close()).await;
    assert!(lease.is_lost());
    let end = soon(async {
        loop {
            if let Err(error) = watch.next().await.unwrap() {
                return error;
            }
        }
    });
    assert_eq!(end.await.code(), ErrorCode::Closed);
    assert_eq!(client.get("k").await.unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(
        client
            .lease(Duration::from_secs(1))
            .await
            .unwrap_err()
            .code(),
        ErrorCode::Closed
    );
    assert_eq!(etcd.client().get("k").await.unwrap(), None);

    // Without close(), the last handle that goes has the same effect.
    let client = etcd.client();
    let lease = client.lease(Duration::from_secs(60)).await.unwrap();
    let id = lease.id();
    drop(client);
    assert!(!lease.is_lost(), "a handle keeps its client going");
    drop(lease);
    let other = etcd.client();
    soon(async {
        while other.lease_time_to_live(id).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
