//! Subscriptions: what is asked, what is believed, what is asked again.

use std::time::Duration;

use quorate_proto::v1;
use quorate_proto::v1::session_event::Body;
use quorate_types::ErrorCode;

use super::bench::{Bench, REQUEST_TIMEOUT, instance, service, shown, snapshot};
use crate::engine::session::Output;
use crate::engine::view::CacheState;

/// A live session that follows `web`, which has these instances at revision 5.
fn following(ids: &[&str]) -> Bench {
    let mut bench = Bench::live();
    bench.follow("web");
    let told = bench.pull();
    assert_eq!(shown(&told), ["subscribe web"]);
    bench.ack(&told[0], 0);
    assert!(!bench.in_contact("web"), "the answer is the snapshot");
    bench.snapshot("web", 5, ids);
    assert!(bench.in_contact("web"));
    assert!(
        bench
            .drain_outputs()
            .contains(&Output::Changed(service("web")))
    );
    bench
}

fn gap() -> v1::ServiceDelta {
    v1::ServiceDelta {
        service: Some((&service("web")).into()),
        from_revision: 8,
        version: Some(v1::ViewVersion {
            epoch: 1,
            revision: 9,
            content_hash: 0,
        }),
        ..Default::default()
    }
}

impl Bench {
    fn reopen_cluster(&mut self, cluster: u64) -> Vec<v1::SessionCommand> {
        self.break_stream();
        self.connect();
        self.open_cluster(true, cluster);
        self.pull()
    }

    fn state(&self, name: &str) -> Option<CacheState> {
        let subscription = self.session.subscription(&service(name)).unwrap();
        subscription.view.state(subscription.in_contact)
    }
}

#[test]
fn a_new_stream_asks_only_for_what_is_newer() {
    let mut bench = following(&["a", "b"]);
    let told = bench.reopen_cluster(7);
    assert_eq!(shown(&told), ["subscribe other 1", "subscribe web 5"]);
    assert_eq!(bench.state("web"), Some(CacheState::Stale));
    bench.ack(&told[1], 5);
    assert_eq!(bench.state("web"), Some(CacheState::Live), "nothing newer");
    assert_eq!(bench.ids("web"), ["a", "b"]);
}

#[test]
fn what_is_old_is_not_live_before_the_new_has_come() {
    let mut bench = following(&["a", "b"]);
    let told = bench.reopen_cluster(7);
    bench.ack(&told[1], 0);
    assert_eq!(bench.state("web"), Some(CacheState::Stale), "news follow");
    bench.snapshot("web", 6, &["a", "b"]);
    assert_eq!(bench.state("web"), Some(CacheState::Live));
}

#[test]
fn another_cluster_is_asked_for_everything() {
    let mut bench = following(&["a"]);
    let told = bench.reopen_cluster(8);
    assert_eq!(shown(&told), ["subscribe other", "subscribe web"]);
    assert_eq!(bench.ids("web"), ["a"], "until it answers");
}

#[test]
fn breaking_is_told_to_those_who_watch() {
    let mut bench = following(&["a"]);
    bench.session.ended(bench.now, "broken");
    let outputs = bench.drain_outputs();
    assert!(outputs.contains(&Output::Changed(service("web"))));
    assert_eq!(bench.ids("web"), ["a"]);
}

#[test]
fn a_gap_fetches_everything_soon_and_once() {
    let mut bench = following(&["a"]);
    bench.hear(Body::Delta(gap()));
    bench.hear(Body::Delta(gap()));
    let said = bench.pass(Duration::from_millis(100), true);
    assert_eq!(shown(&said), ["subscribe web"]);
    bench.hear(Body::Delta(gap()));
    assert!(
        bench.pass(Duration::from_millis(500), true).is_empty(),
        "it is on its way"
    );
    bench.ack(&said[0], 0);
    bench.snapshot("web", 9, &["a", "b"]);
    assert_eq!(bench.ids("web"), ["a", "b"]);
    let subscription = bench.session.subscription(&service("web")).unwrap();
    assert_eq!(subscription.resyncs, 1);
    let quiet = bench.pass(Duration::from_secs(30), true);
    assert!(shown(&quiet).iter().all(|command| command == "heartbeat"));
}

#[test]
fn a_server_that_never_makes_sense_is_not_asked_all_the_time() {
    let mut bench = following(&["a"]);
    let mut wrong = snapshot("web", 1, 6, &[instance("a", 1)]);
    wrong.version.as_mut().unwrap().content_hash = 1;
    bench.hear(Body::Delta(gap()));
    let mut asked = 0;
    for _ in 0..600 {
        for command in bench.pass(Duration::from_millis(100), true) {
            if shown(std::slice::from_ref(&command)) == ["subscribe web"] {
                asked += 1;
                bench.ack(&command, 0);
                bench.hear(Body::Snapshot(wrong.clone()));
            }
        }
    }
    assert!((5..25).contains(&asked), "{asked} times in a minute");
    assert_eq!(bench.ids("web"), ["a"]);
}

#[test]
fn a_snapshot_that_does_not_come_is_asked_for_again() {
    let mut bench = Bench::live();
    bench.follow("web");
    let told = bench.pull();
    bench.ack(&told[0], 0);
    let said = bench.pass(Duration::from_secs(10), true);
    assert!(shown(&said).contains(&"subscribe web".to_owned()));
}

#[test]
fn an_unanswered_subscription_is_sent_again() {
    let mut bench = Bench::live();
    bench.follow("web");
    bench.pull();
    let said = bench.pass(REQUEST_TIMEOUT, true);
    assert!(shown(&said).contains(&"subscribe web".to_owned()));
}

#[test]
fn held_removals_are_checked_after_a_second() {
    let mut bench = following(&["a", "b", "c", "d"]);
    bench.snapshot("web", 6, &["a"]);
    assert_eq!(bench.ids("web"), ["a", "b", "c", "d"]);
    assert!(bench.pass(Duration::from_millis(700), true).is_empty());
    let said = bench.pass(Duration::from_millis(400), true);
    assert!(
        shown(&said).contains(&"subscribe web".to_owned()),
        "{:?}",
        shown(&said)
    );
    bench.snapshot("web", 6, &["a"]);
    assert_eq!(bench.ids("web"), ["a"]);
}

#[test]
fn held_removals_survive_a_broken_stream_and_are_checked_on_the_next() {
    let mut bench = following(&["a", "b", "c", "d"]);
    bench.snapshot("web", 6, &["a"]);
    let told = bench.reopen_cluster(7);
    assert_eq!(shown(&told), ["subscribe other 1", "subscribe web"]);
    bench.snapshot("web", 6, &["a"]);
    assert_eq!(
        bench.ids("web"),
        ["a", "b", "c", "d"],
        "the second is not over"
    );
    let said = bench.pass(Duration::from_secs(1), true);
    assert!(shown(&said).contains(&"subscribe web".to_owned()));
    bench.snapshot("web", 6, &["a"]);
    assert_eq!(bench.ids("web"), ["a"]);
}

#[test]
fn a_refused_subscription_is_told_and_tried_again() {
    let mut bench = Bench::live();
    bench.follow("web");
    let told = bench.pull();
    bench.refuse(&told[0], ErrorCode::PermissionDenied);
    let subscription = bench.session.subscription(&service("web")).unwrap();
    assert_eq!(
        subscription.refused.as_ref().unwrap().code(),
        ErrorCode::PermissionDenied
    );
    let told = bench.pass(Duration::from_secs(1), true);
    let again = told
        .iter()
        .find(|c| shown(std::slice::from_ref(*c)) == ["subscribe web"]);
    bench.ack(&again.unwrap().clone(), 0);
    bench.snapshot("web", 5, &["a"]);
    let subscription = bench.session.subscription(&service("web")).unwrap();
    assert!(subscription.refused.is_none());
}

#[test]
fn the_disk_is_read_before_the_server_is_asked() {
    let mut bench = Bench::live();
    bench.session.follow(&service("web"), Vec::new(), true);
    assert!(bench.pull().is_empty());
    let kept = snapshot("web", 1, 5, &[instance("a", 1)]);
    bench.session.loaded(&service("web"), Some((7, kept)));
    assert_eq!(bench.state("web"), Some(CacheState::Snapshot));
    let told = bench.pull();
    assert_eq!(shown(&told), ["subscribe web 5"]);
    bench.ack(&told[0], 5);
    assert_eq!(bench.state("web"), Some(CacheState::Live));
}

#[test]
fn a_disk_view_of_another_cluster_is_no_base() {
    let mut bench = Bench::live();
    bench.session.follow(&service("web"), Vec::new(), true);
    let kept = snapshot("web", 1, 5, &[instance("a", 1)]);
    bench.session.loaded(&service("web"), Some((8, kept)));
    assert_eq!(shown(&bench.pull()), ["subscribe web"]);
    assert_eq!(bench.ids("web"), ["a"]);
}

#[test]
fn nothing_on_disk_is_no_obstacle() {
    let mut bench = Bench::live();
    bench.session.follow(&service("web"), Vec::new(), true);
    bench.session.loaded(&service("web"), None);
    assert_eq!(shown(&bench.pull()), ["subscribe web"]);
    bench.session.loaded(&service("unknown"), None);
}

#[test]
fn what_is_no_longer_followed_is_unsubscribed() {
    let mut bench = following(&["a"]);
    bench.session.leave(&service("web"));
    assert_eq!(shown(&bench.pull()), ["unsubscribe web"]);
    bench.snapshot("web", 6, &["a", "b"]);
    assert!(bench.session.subscription(&service("web")).is_none());
    bench.follow("web");
    assert_eq!(shown(&bench.pull()), ["subscribe web"]);
    bench.session.leave(&service("web"));
    bench.follow("web");
    assert_eq!(
        shown(&bench.pull()),
        ["subscribe web"],
        "the end was not told yet"
    );
}

#[test]
fn messages_that_cannot_be_placed_are_ignored() {
    let mut bench = following(&["a"]);
    bench.hear(Body::Snapshot(v1::ServiceSnapshot::default()));
    bench.hear(Body::Delta(v1::ServiceDelta::default()));
    bench.hear(Body::Evicted(v1::SessionEvicted::default()));
    bench.hear(Body::Ack(v1::SessionAck {
        request_id: 999,
        ..Default::default()
    }));
    bench.hear(Body::Opened(v1::SessionOpened::default()));
    let empty = v1::SessionResponse {
        events: vec![v1::SessionEvent { body: None }],
    };
    bench.session.received(bench.now, empty);
    assert_eq!(bench.ids("web"), ["a"]);
    assert!(bench.in_contact("web") && bench.parted().is_none());
}
