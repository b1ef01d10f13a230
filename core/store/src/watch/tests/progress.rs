//! Progress, asked for and periodic.

use super::*;

#[tokio::test]
async fn progress_comes_once_behind_all_pending_events() {
    let fixture = Fixture::new();
    for value in ["2", "3"] {
        fixture.put("a", value);
    }
    let stream = stream(&fixture);
    stream.watch(WatchCreateRequest {
        start_revision: 2,
        ..create("a", "")
    });
    stream.watch(create("b", ""));
    stream.ask_progress();
    fixture.put("b", "4");
    fixture.put("c", "5");
    let mut seen = Vec::new();
    let progress = loop {
        let response = next(&stream).await;
        if response.watch_id == -1 {
            break response;
        }
        seen.push((response.watch_id, response.created));
    };
    seen.sort_unstable();
    assert_eq!(seen, [(0, false), (0, true), (1, false), (1, true)]);
    assert!(progress.events.is_empty() && !progress.created && !progress.canceled);
    assert_eq!(revision(&progress), 5);
    silent(&stream).await;
}

#[tokio::test]
async fn progress_waits_for_a_watcher_of_the_future() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    stream.watch(WatchCreateRequest {
        start_revision: 4,
        ..create("a", "")
    });
    next(&stream).await;
    stream.ask_progress();
    fixture.put("x", "2");
    silent(&stream).await;
    // Somebody else's changes bring the revision; nothing is delivered to this stream.
    let waiting = tokio::spawn(async move { next(&stream).await });
    tokio::task::yield_now().await;
    fixture.put("x", "3");
    let progress = waiting.await.unwrap();
    assert_eq!((progress.watch_id, revision(&progress)), (-1, 3));
}

#[tokio::test]
async fn a_stream_waits_for_one_revision_at_a_time_and_not_when_it_is_gone() {
    let fixture = Fixture::new();
    let waiting = || fixture.store.shared.hub.waiting_streams();
    let stream = stream(&fixture);
    for start_revision in 100..110 {
        stream.watch(WatchCreateRequest {
            start_revision,
            ..create("a", "")
        });
        let id = next(&stream).await.watch_id;
        stream.ask_progress();
        silent(&stream).await;
        assert_eq!(waiting(), 1);
        stream.cancel_watch(id);
        assert!(next(&stream).await.canceled);
        // Nothing is watched any more, so there is progress to tell.
        assert_eq!(next(&stream).await.watch_id, -1);
    }
    drop(stream);
    assert_eq!(waiting(), 0);
}

#[tokio::test]
async fn periodic_progress_is_for_quiet_watchers_that_asked() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    for key in ["a", "b"] {
        stream.watch(WatchCreateRequest {
            progress_notify: true,
            ..create(key, "")
        });
    }
    stream.watch(create("c", ""));
    for _ in 0..3 {
        next(&stream).await;
    }
    fixture.put("a", "2");
    next(&stream).await;
    stream.progress_tick();
    let progress = next(&stream).await;
    assert_eq!((progress.watch_id, revision(&progress)), (1, 2));
    assert!(progress.events.is_empty());
    silent(&stream).await;
    stream.progress_tick();
    let ids = [next(&stream).await.watch_id, next(&stream).await.watch_id];
    assert_eq!(ids, [0, 1]);
}
