//! Creating and ending watches, by etcd's rules.

use super::*;

#[tokio::test]
async fn created_comes_first_with_the_revision_then_events() {
    let fixture = Fixture::new();
    fixture.put("a", "1");
    let stream = stream(&fixture);
    stream.watch(create("a", ""));
    fixture.put("a", "2");
    fixture.put("b", "3");
    let created = next(&stream).await;
    assert!(created.created && !created.canceled && created.events.is_empty());
    assert_eq!((created.watch_id, revision(&created)), (0, 2));
    let events = next(&stream).await;
    assert_eq!(told(&events), [("a".into(), EventType::Put, 3)]);
    assert_eq!(events.events[0].kv.as_ref().unwrap().value, "2");
    silent(&stream).await;
}

#[tokio::test]
async fn ids_are_given_from_zero_around_those_taken() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    for watch_id in [0, 1, 0, 0] {
        stream.watch(WatchCreateRequest {
            watch_id,
            ..create("a", "")
        });
    }
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(next(&stream).await.watch_id);
    }
    assert_eq!(ids, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_duplicate_id_is_created_and_canceled_with_id_minus_one() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    for _ in 0..2 {
        stream.watch(WatchCreateRequest {
            watch_id: 7,
            ..create("a", "")
        });
    }
    assert_eq!(next(&stream).await.watch_id, 7);
    let refused = next(&stream).await;
    assert!(refused.created && refused.canceled);
    assert_eq!(refused.watch_id, -1);
    assert_eq!(
        refused.cancel_reason,
        "mvcc: duplicate watch ID provided on the WatchStream"
    );
}

#[tokio::test]
async fn an_empty_range_and_a_negative_start_are_refused() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(create("b", "a"));
    stream.watch(create("b", "b"));
    for _ in 0..2 {
        let refused = next(&stream).await;
        assert!(refused.created && refused.canceled && refused.watch_id == -1);
        assert_eq!(refused.cancel_reason, "mvcc: watcher range is empty");
    }
    stream.watch(WatchCreateRequest {
        start_revision: -1,
        ..create("a", "")
    });
    let refused = next(&stream).await;
    assert!(refused.created && refused.canceled && refused.watch_id == -1);
    assert_eq!(
        refused.cancel_reason,
        "etcdserver: mvcc: required revision has been compacted"
    );
}

#[tokio::test]
async fn an_empty_key_with_an_open_end_is_everything() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(create("", "\0"));
    fixture.put("a", "1");
    fixture.put("z", "2");
    next(&stream).await;
    let events = next(&stream).await;
    assert_eq!(
        told(&events),
        [
            ("a".into(), EventType::Put, 2),
            ("z".into(), EventType::Put, 3)
        ]
    );
}

#[tokio::test]
async fn a_start_in_the_future_waits_for_it() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(WatchCreateRequest {
        start_revision: 4,
        ..create("a", "")
    });
    for value in ["2", "3", "4"] {
        fixture.put("a", value);
    }
    let created = next(&stream).await;
    assert_eq!(revision(&created), 1);
    assert_eq!(
        told(&next(&stream).await),
        [("a".into(), EventType::Put, 4)]
    );
}

#[tokio::test]
async fn below_the_compacted_revision_it_is_created_then_canceled() {
    let fixture = Fixture::new();
    for value in ["2", "3", "4"] {
        fixture.put("a", value);
    }
    fixture.compact(4).unwrap();
    let stream = stream(&fixture);
    stream.watch(WatchCreateRequest {
        start_revision: 3,
        ..create("a", "")
    });
    let created = next(&stream).await;
    assert!(created.created && !created.canceled && created.watch_id == 0);
    let canceled = next(&stream).await;
    assert!(canceled.canceled && !canceled.created);
    assert_eq!((canceled.watch_id, canceled.compact_revision), (0, 4));
    assert_eq!(canceled.cancel_reason, "");
    fixture.put("a", "5");
    silent(&stream).await;
}

#[tokio::test]
async fn cancel_is_answered_last_and_only_for_known_ids() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(create("a", ""));
    next(&stream).await;
    fixture.put("a", "2");
    stream.cancel_watch(99);
    stream.cancel_watch(0);
    fixture.put("a", "3");
    let canceled = next(&stream).await;
    assert!(canceled.canceled && !canceled.created && canceled.watch_id == 0);
    assert_eq!((canceled.compact_revision, revision(&canceled)), (0, 2));
    silent(&stream).await;
    // The id is free again.
    stream.watch(WatchCreateRequest {
        watch_id: 5,
        ..create("a", "")
    });
    next(&stream).await;
    stream.cancel_watch(5);
    next(&stream).await;
    stream.watch(WatchCreateRequest {
        watch_id: 5,
        ..create("a", "")
    });
    assert_eq!(next(&stream).await.watch_id, 5);
}

#[tokio::test]
async fn limits_of_watchers_and_answers_hold() {
    let fixture = Fixture::new();
    let stream = fixture.store.watch_stream(WatchLimits {
        watchers: 2,
        answers: 4,
        ..WatchLimits::default()
    });
    for _ in 0..3 {
        stream.watch(create("a", ""));
    }
    next(&stream).await;
    next(&stream).await;
    let refused = next(&stream).await;
    assert!(refused.created && refused.canceled);
    for _ in 0..4 {
        stream.watch(create("a", ""));
    }
    let overrun = stream.request(WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create("a", ""))),
    });
    assert!(overrun.is_err());
}

#[tokio::test]
async fn a_dropped_stream_leaves_the_hub() {
    let fixture = Fixture::new();
    let one = stream(&fixture);
    let two = stream(&fixture);
    for stream in [&one, &two] {
        stream.watch(create("a", ""));
        stream.watch(create("a", "b"));
        stream.watch(create("a", "\0"));
    }
    assert_eq!(fixture.store.shared.hub.live_watchers(), 6);
    drop(one);
    assert_eq!(fixture.store.shared.hub.live_watchers(), 3);
    drop(two);
    assert_eq!(fixture.store.shared.hub.live_watchers(), 0);
}
