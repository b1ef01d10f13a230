//! What a watch is told, by etcd's rules.

use super::*;

#[tokio::test]
async fn the_past_is_told_and_joins_the_present_without_gap() {
    let fixture = Fixture::new();
    fixture.put("a", "1");
    fixture.put("a", "2");
    fixture.delete("a", "");
    let stream = stream(&fixture);
    stream.watch(WatchCreateRequest {
        start_revision: 3,
        prev_kv: true,
        ..create("a", "")
    });
    fixture.put("a", "4");
    next(&stream).await;
    let past = next(&stream).await;
    assert_eq!(
        told(&past),
        [
            ("a".into(), EventType::Put, 3),
            ("a".into(), EventType::Delete, 4),
            ("a".into(), EventType::Put, 5)
        ]
    );
    let previous: Vec<_> = past
        .events
        .iter()
        .map(|event| event.prev_kv.as_ref().map(|kv| kv.mod_revision))
        .collect();
    assert_eq!(previous, [Some(2), Some(3), None]);
    fixture.put("a", "5");
    assert_eq!(
        told(&next(&stream).await),
        [("a".into(), EventType::Put, 6)]
    );
    silent(&stream).await;
}

#[tokio::test]
async fn the_compacted_revision_itself_is_told_even_if_it_deleted() {
    for finished in [false, true] {
        let fixture = Fixture::new();
        fixture.put("a", "2");
        fixture.delete("a", "");
        fixture.compact(3).unwrap();
        if finished {
            fixture.finish_compaction();
        }
        let stream = stream(&fixture);
        stream.watch(WatchCreateRequest {
            start_revision: 3,
            prev_kv: true,
            ..create("a", "")
        });
        next(&stream).await;
        let events = next(&stream).await;
        assert_eq!(told(&events), [("a".into(), EventType::Delete, 3)]);
        // What was before is compacted, whether or not its row is gone yet.
        assert_eq!(events.events[0].prev_kv, None);
    }
}

#[tokio::test]
async fn compaction_does_not_touch_a_live_watcher() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(WatchCreateRequest {
        prev_kv: true,
        ..create("a", "")
    });
    next(&stream).await;
    for value in ["2", "3", "4"] {
        fixture.put("a", value);
    }
    fixture.compact(3).unwrap();
    fixture.finish_compaction();
    let events = next(&stream).await.events;
    let previous: Vec<_> = events
        .iter()
        .map(|event| event.prev_kv.as_ref().map(|kv| kv.mod_revision))
        .collect();
    // The event at 3 lost its previous version, 2, to the compaction.
    assert_eq!(previous, [None, None, Some(3)]);
    assert!(fixture.store.fault().is_none());
    silent(&stream).await;
}

#[tokio::test]
async fn filters_leave_nothing_of_a_batch_that_is_filtered_wholly() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(WatchCreateRequest {
        filters: vec![FilterType::Noput.into()],
        ..create("a", "")
    });
    stream.watch(WatchCreateRequest {
        filters: vec![FilterType::Nodelete.into()],
        ..create("a", "")
    });
    fixture.put("a", "2");
    fixture.delete("a", "");
    next(&stream).await;
    next(&stream).await;
    let (one, two) = (next(&stream).await, next(&stream).await);
    assert_eq!((one.watch_id, two.watch_id), (1, 0));
    assert_eq!(told(&one), [("a".into(), EventType::Put, 2)]);
    assert_eq!(told(&two), [("a".into(), EventType::Delete, 3)]);
    silent(&stream).await;
    // The same from history.
    stream.watch(WatchCreateRequest {
        filters: vec![FilterType::Noput.into()],
        start_revision: 2,
        ..create("a", "")
    });
    next(&stream).await;
    assert_eq!(
        told(&next(&stream).await),
        [("a".into(), EventType::Delete, 3)]
    );
}

#[tokio::test]
async fn a_delete_carries_key_and_revision_only_and_prev_kv_if_asked() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(WatchCreateRequest {
        prev_kv: true,
        ..create("a", "b")
    });
    fixture.put("a", "2");
    fixture.put("a", "3");
    fixture.delete("a", "");
    next(&stream).await;
    let events = next(&stream).await.events;
    assert_eq!(events[0].prev_kv, None);
    assert_eq!(events[1].prev_kv.as_ref().unwrap().value, "2");
    let delete = events[2].kv.as_ref().unwrap();
    assert_eq!((&delete.key[..], delete.mod_revision), (&b"a"[..], 4));
    assert_eq!((delete.version, delete.create_revision), (0, 0));
    assert_eq!(events[2].prev_kv.as_ref().unwrap().value, "3");
}

#[tokio::test]
async fn one_revision_is_one_response_in_order() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(create("a", "z"));
    fixture
        .txn(TxnRequest {
            success: vec![op_put("c", "1"), op_put("a", "2"), op_put("b", "3")],
            ..TxnRequest::default()
        })
        .unwrap();
    next(&stream).await;
    let keys: Vec<_> = told(&next(&stream).await)
        .into_iter()
        .map(|(key, _, revision)| (key, revision))
        .collect();
    assert_eq!(keys, [("c".into(), 2), ("a".into(), 2), ("b".into(), 2)]);
}

#[tokio::test]
async fn large_revisions_are_split_only_for_those_who_ask() {
    let fixture = Fixture::new();
    let stream = fixture.store.watch_stream(WatchLimits {
        fragment_bytes: 300,
        ..WatchLimits::default()
    });
    for fragment in [true, false] {
        stream.watch(WatchCreateRequest {
            fragment,
            ..create("k", "l")
        });
        next(&stream).await;
    }
    let value = "x".repeat(100);
    let success = (0..10).map(|n| op_put(&format!("k{n}"), &value)).collect();
    fixture
        .txn(TxnRequest {
            success,
            ..TxnRequest::default()
        })
        .unwrap();
    let mut parts = Vec::new();
    loop {
        let part = next(&stream).await;
        assert_eq!(part.watch_id, 0);
        let last = !part.fragment;
        parts.push(part);
        if last {
            break;
        }
    }
    assert!(parts.len() >= 4, "{}", parts.len());
    assert_eq!(
        parts.iter().map(|part| part.events.len()).sum::<usize>(),
        10
    );
    let whole = next(&stream).await;
    assert_eq!((whole.watch_id, whole.events.len()), (1, 10));
    assert!(!whole.fragment);
}
