//! Clients that read late, in pieces, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::*;

#[test]
fn a_client_that_reads_nothing_holds_a_bounded_queue() {
    let fixture = Fixture::new();
    let stream = fixture.store.watch_stream(WatchLimits {
        buffered_changes: 10,
        ..WatchLimits::default()
    });
    for (key, range_end) in [("a", "b"), ("a1", ""), ("a", "\0")] {
        stream.ask(RequestUnion::CreateRequest(create(key, range_end)));
    }
    for number in 0..500 {
        fixture.put(&format!("a{}", number % 3), &number.to_string());
        assert!(stream.queued_changes() <= 11);
    }
    // All three overflew; none is the writer's business any more.
    assert_eq!(fixture.store.shared.hub.live_watchers(), 0);
    let mut events = BTreeMap::<i64, usize>::new();
    while let Some(response) = poll_next(&stream) {
        *events.entry(response.watch_id).or_default() += response.events.len();
    }
    assert_eq!(events, BTreeMap::from([(0, 500), (1, 167), (2, 500)]));
    assert_eq!(fixture.store.shared.hub.live_watchers(), 3);
    fixture.put("a1", "now");
    let told = std::iter::from_fn(|| poll_next(&stream)).map(|response| response.watch_id);
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
}

#[test]
fn a_laggard_overtaken_by_compaction_is_told_so() {
    let fixture = Fixture::new();
    let stream = fixture.store.watch_stream(WatchLimits {
        buffered_changes: 1,
        ..WatchLimits::default()
    });
    stream.ask(RequestUnion::CreateRequest(create("a", "")));
    for value in ["2", "3", "4", "5"] {
        fixture.put("a", value);
    }
    fixture.compact(4).unwrap();
    fixture.finish_compaction();
    assert!(poll_next(&stream).unwrap().created);
    let canceled = poll_next(&stream).unwrap();
    assert!(canceled.canceled && canceled.compact_revision == 4);
    assert!(poll_next(&stream).is_none());
}

#[test]
fn a_long_history_comes_in_pieces_and_lets_live_changes_through() {
    let fixture = Fixture::new();
    fixture.batch((0..3000).map(|n| put("old", &n.to_string())).collect());
    let stream = fixture.store.watch_stream(WatchLimits::default());
    stream.ask(RequestUnion::CreateRequest(WatchCreateRequest {
        start_revision: 2,
        ..create("old", "")
    }));
    stream.ask(RequestUnion::CreateRequest(create("new", "")));
    fixture.put("new", "1");
    fixture.put("new", "2");
    let mut order = Vec::new();
    let mut old = 0;
    while let Some(response) = poll_next(&stream) {
        assert!(response.events.len() <= 1000);
        if response.watch_id == 0 {
            old += response.events.len();
        }
        if !response.created {
            order.push(response.watch_id);
        }
    }
    assert_eq!(old, 3000);
    // The new watcher does not wait until the old one has caught up.
    let new = order.iter().position(|id| *id == 1).unwrap();
    assert!(new <= 1 && order.len() >= 4, "{order:?}");
}

#[test]
fn a_history_that_is_mostly_filtered_is_told_once() {
    let fixture = Fixture::new();
    for round in 0..4 {
        for value in 0..6 {
            fixture.put("a", &value.to_string());
            fixture.put(&format!("b{round}"), &value.to_string());
        }
        fixture.delete("a", "");
    }
    for indexed_keys in [0, 10] {
        let stream = fixture.store.watch_stream(WatchLimits {
            response_events: 3,
            indexed_keys,
            ..WatchLimits::default()
        });
        stream.ask(RequestUnion::CreateRequest(WatchCreateRequest {
            start_revision: 2,
            filters: vec![0],
            ..create("a", "c")
        }));
        let told = std::iter::from_fn(|| poll_next(&stream)).flat_map(|response| response.events);
        let told: Vec<_> = told.map(|event| event.kv.unwrap().mod_revision).collect();
        assert_eq!(told, [14, 27, 40, 53]);
    }
}

#[tokio::test]
async fn next_loses_nothing_when_it_is_dropped() {
    let fixture = Fixture::new();
    let stream = fixture.store.watch_stream(WatchLimits::default());
    stream.ask(RequestUnion::CreateRequest(create("a", "")));
    assert!(stream.next().await.created);
    for number in 0..20 {
        // A waiting call is dropped before and after the change.
        assert!(poll_next(&stream).is_none());
        let mut waiting = Box::pin(stream.next());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        fixture.put("a", &number.to_string());
        drop(waiting);
        let response = tokio::time::timeout(std::time::Duration::from_secs(10), stream.next());
        assert_eq!(response.await.unwrap().events.len(), 1);
    }
}

#[test]
fn a_waiting_client_of_another_thread_is_woken() {
    let fixture = Fixture::new();
    let stream = Arc::new(fixture.store.watch_stream(WatchLimits::default()));
    stream.ask(RequestUnion::CreateRequest(create("a", "\0")));
    let reader = std::thread::spawn({
        let stream = stream.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut revisions = Vec::new();
                while revisions.len() < 200 {
                    let wait = std::time::Duration::from_secs(20);
                    let response = tokio::time::timeout(wait, stream.next()).await.unwrap();
                    let mains = response.events.iter();
                    revisions.extend(mains.map(|event| event.kv.as_ref().unwrap().mod_revision));
                }
                revisions
            })
        }
    });
    for number in 0..200 {
        fixture.put("a", &number.to_string());
    }
    assert_eq!(reader.join().unwrap(), (2..202).collect::<Vec<_>>());
}

#[test]
fn laggards_miss_nothing_while_the_writer_goes_on() {
    const REVISIONS: i64 = 3000;
    let fixture = Fixture::new();
    let readers: Vec<_> = (0..4_usize)
        .map(|number| {
            let stream = fixture.store.watch_stream(WatchLimits {
                buffered_changes: 1 + number,
                history_rows: 7,
                indexed_keys: number,
                ..WatchLimits::default()
            });
            stream.ask(RequestUnion::CreateRequest(WatchCreateRequest {
                start_revision: 2,
                prev_kv: true,
                ..create("k", "l")
            }));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let mut expected = 2;
                    while expected < REVISIONS + 2 {
                        let wait = std::time::Duration::from_secs(30);
                        let response = tokio::time::timeout(wait, stream.next()).await.unwrap();
                        for event in response.events {
                            let kv = event.kv.unwrap();
                            assert_eq!(kv.mod_revision, expected);
                            assert_eq!(event.prev_kv.is_some(), kv.version > 1);
                            expected += 1;
                        }
                    }
                });
            })
        })
        .collect();
    let mut left = REVISIONS;
    while left > 0 {
        let count = (1 + left % 5).min(left);
        left -= count;
        fixture.batch((0..count).map(|n| put(&format!("k{n}"), "v")).collect());
    }
    for reader in readers {
        reader.join().unwrap();
    }
}
