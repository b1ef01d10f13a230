use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{PutRequest, WatchCreateRequest, WatchRequest};
use quorate_proto::v1::SnapshotPart;
use quorate_proto::v1::snapshot_part::Body;

use super::*;
use crate::store::{Store, StoreOptions};
use crate::testing::*;
use crate::watch::{WatchLimits, WatchStream};

fn parts(store: &Store) -> Vec<SnapshotPart> {
    let mut export = store.export().unwrap();
    std::iter::from_fn(|| export.next_part().unwrap()).collect()
}

fn receive(store: &Store, parts: Vec<SnapshotPart>) -> Result<Received, StoreFault> {
    let mut incoming = store.receive()?;
    for part in parts {
        match incoming.write(part)? {
            Progress::Incomplete(rest) => incoming = rest,
            Progress::Complete(received) => return Ok(received),
        }
    }
    panic!("a snapshot without an end");
}

fn files(fixture: &Fixture) -> usize {
    fs::read_dir(fixture.directory.path()).unwrap().count()
}

/// A history with everything in it, of more than one piece.
fn full() -> Fixture {
    let fixture = Fixture::new();
    fixture.put("a", "old");
    fixture.grant(7, 100).unwrap();
    let leased = PutRequest {
        key: b"leased".to_vec(),
        lease: 7,
        ..PutRequest::default()
    };
    fixture.put_with(leased).unwrap();
    for number in 0..30 {
        fixture.put(&format!("large/{number}"), &"x".repeat(100 << 10));
    }
    fixture.delete("large/3", "");
    fixture.compact(10).unwrap();
    fixture.finish_compaction();
    fixture.put("a", "new");
    fixture
}

#[test]
fn the_received_state_is_the_one_that_was_sent_also_after_a_crash() {
    let from = full();
    let to = Fixture::new();
    to.put("a", "old");
    to.grant(1, 5).unwrap();
    let parts = parts(&from.store);
    assert!(parts.len() > 4, "{} pieces", parts.len());
    let received = receive(&to.store, parts).unwrap();
    assert_eq!(received.mark(), &from.store.applied());
    assert_eq!(to.store.revision(), 2, "not before it is installed");
    to.store.install(received).unwrap();
    let same = |to: &Store| {
        assert_eq!(to.stored_bytes(), from.store.stored_bytes());
        assert_eq!(to.hash_kv(0).unwrap(), from.store.hash_kv(0).unwrap());
        assert_eq!(to.applied(), from.store.applied());
        assert_eq!(to.durable_applied(), from.store.applied());
        assert_eq!(to.received_up_to(), from.store.applied().index);
        assert_eq!(to.leases().ids(), [7]);
        assert_eq!(to.leases().remaining(7).unwrap().keys, ["leased"]);
    };
    same(&to.store);
    assert_eq!(files(&to), 1);
    same(&to.crashed().store);
    // It goes on as any other.
    let written = to.put("b", "1");
    assert_eq!(written, from.put("b", "1"));
    to.store.checkpoint().unwrap();
    let to = to.reopened();
    assert_eq!(to.store.hash_kv(0).unwrap(), from.store.hash_kv(0).unwrap());
}

#[test]
fn what_is_damaged_or_cut_off_changes_nothing() {
    let from = full();
    let to = Fixture::new();
    to.put("a", "own");
    let mut damaged = parts(&from.store);
    let Some(Body::Rows(rows)) = &mut damaged[1].body else {
        panic!("{:?}", damaged[1]);
    };
    rows.rows[0].value[50] ^= 1;
    let refused = receive(&to.store, damaged).unwrap_err();
    assert!(
        refused.to_string().contains("not what was sent"),
        "{refused}"
    );
    let mut short = parts(&from.store);
    short.remove(1);
    assert!(receive(&to.store, short).is_err());
    let empty = vec![SnapshotPart { body: None }];
    assert!(receive(&to.store, empty).is_err());
    drop(receive(&to.store, parts(&from.store)).unwrap());
    assert_eq!(files(&to), 1);
    assert_eq!(to.get("a").unwrap().value, "own");
}

#[test]
fn a_crash_while_receiving_leaves_the_old_state_and_no_file() {
    let from = full();
    let to = Fixture::new();
    to.put("a", "own");
    to.store.checkpoint().unwrap();
    let mut incoming = to.store.receive().unwrap();
    for part in parts(&from.store).into_iter().take(2) {
        match incoming.write(part).unwrap() {
            Progress::Incomplete(rest) => incoming = rest,
            Progress::Complete(_) => panic!("too early"),
        }
    }
    assert_eq!(files(&to), 2);
    let crashed = to.crashed();
    assert_eq!(files(&crashed), 1);
    assert_eq!(crashed.get("a").unwrap().value, "own");
    assert_eq!(crashed.store.received_up_to(), 0);
}

fn watch(store: &Store, key: &str, start_revision: i64) -> WatchStream {
    let stream = store.watch_stream(WatchLimits::default());
    let create = WatchCreateRequest {
        key: key.into(),
        start_revision,
        ..WatchCreateRequest::default()
    };
    let request_union = Some(RequestUnion::CreateRequest(create));
    stream.request(WatchRequest { request_union }).unwrap();
    stream
}

#[tokio::test]
async fn watchers_get_what_the_snapshot_brought_once_and_in_order() {
    let from = Fixture::new();
    let to = Fixture::new();
    for store in [&from, &to] {
        store.put("k", "1");
    }
    let stream = watch(&to.store, "k", 0);
    assert!(stream.next().await.created);
    // Delivered, and not read yet.
    from.put("k", "2");
    to.put("k", "2");
    for value in ["3", "4"] {
        from.put("k", value);
    }
    to.store
        .install(receive(&to.store, parts(&from.store)).unwrap())
        .unwrap();
    to.put("k", "5");
    let mut seen = Vec::new();
    while seen.len() < 4 {
        for event in stream.next().await.events {
            seen.push(event.kv.unwrap().mod_revision);
        }
    }
    assert_eq!(seen, [3, 4, 5, 6]);
}

#[tokio::test]
async fn watchers_of_what_is_compacted_in_the_snapshot_are_told() {
    let from = full();
    let to = Fixture::new();
    let stream = watch(&to.store, "a", 0);
    assert!(stream.next().await.created);
    to.store
        .install(receive(&to.store, parts(&from.store)).unwrap())
        .unwrap();
    let told = stream.next().await;
    assert!(told.canceled && told.compact_revision == 10, "{told:?}");
}

#[test]
fn who_reads_the_old_state_reads_on() {
    let from = Fixture::new();
    for _ in 0..99 {
        from.put("a", "new");
    }
    let to = full();
    to.store.checkpoint().unwrap();
    let directory = to.directory;
    drop(to.store);
    // Without a cache, so that it has to read from the file.
    let options = StoreOptions {
        cache_bytes: 0,
        ..StoreOptions::default()
    };
    let to = Store::open(directory.path(), options).unwrap();
    let old = to.shared.view();
    to.install(receive(&to, parts(&from.store)).unwrap())
        .unwrap();
    let rows = old.rows.range::<&crate::revision::RowKey>(..).unwrap();
    let read = rows.map(|row| row.unwrap().1.value().len()).sum::<usize>();
    assert!(read > 29 * (100 << 10), "{read}");
    drop(old);
    assert_eq!(to.hash_kv(0).unwrap(), from.store.hash_kv(0).unwrap());
    assert!(to.fault().is_none());
}

#[test]
fn a_save_ends_where_another_state_takes_the_place() {
    let from = full();
    let to = Fixture::new();
    for number in 0..10 {
        to.put(&format!("large/{number}"), &"x".repeat(100 << 10));
    }
    let mut save = to.store.snapshot().unwrap();
    assert!(save.next_piece().unwrap().is_some());
    to.store
        .install(receive(&to.store, parts(&from.store)).unwrap())
        .unwrap();
    let refused = save.next_piece().unwrap_err();
    assert_eq!(refused, crate::EtcdError::TakenOver);
    assert_eq!(save.next_piece().unwrap(), None);
    assert!(to.store.fault().is_none());
    // The next one is of the new state.
    let mut save = to.store.snapshot().unwrap();
    assert_eq!(save.revision(), from.store.revision());
    while save.next_piece().unwrap().is_some() {}
}
