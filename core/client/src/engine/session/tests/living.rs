//! Opening, keeping alive, breaking, moving.

use std::time::Duration;

use quorate_proto::v1;
use quorate_proto::v1::session_event::Body;
use quorate_types::ErrorCode;

use super::bench::{Bench, INTERVAL, REQUEST_TIMEOUT, shown};
use crate::engine::session::{Output, Parting};

#[test]
fn nothing_happens_before_something_is_wanted() {
    let mut bench = Bench::new();
    assert!(bench.session.next_timer().is_none());
    assert!(bench.pull().is_empty() && bench.drain_outputs().is_empty());
    bench.follow("web");
    assert!(bench.wants_server());
    bench.follow("api");
    assert!(!bench.wants_server(), "once is enough");
}

#[test]
fn open_goes_first_and_alone() {
    let mut bench = Bench::new();
    bench.register("a", 1);
    bench.follow("web");
    assert!(bench.pull().is_empty(), "there is no stream yet");
    bench.connect();
    let open = bench.open(false);
    assert_eq!(
        (open.client_id.as_str(), open.client_name.as_str()),
        ("client", "test")
    );
    assert!(open.resume_token.is_empty());
    assert_eq!(shown(&bench.pull()), ["register a 1", "subscribe web"]);
    assert!(bench.drain_outputs().contains(&Output::Opened));
}

#[test]
fn it_comes_back_with_its_token() {
    let mut bench = Bench::live();
    bench.break_stream();
    bench.connect();
    let open = bench.open(true);
    assert_eq!(&open.resume_token[..], b"token");
    assert_eq!(open.client_id, "client");
    let counts = bench.session.counts();
    assert_eq!((counts.opened, counts.resumed, counts.broken), (2, 1, 1));
}

#[test]
fn heartbeats_come_before_each_interval_ends() {
    let mut bench = Bench::live();
    let said = bench.pass(INTERVAL * 20, true);
    assert!(said.len() >= 20 && said.len() <= 26, "{}", said.len());
    assert!(shown(&said).iter().all(|command| command == "heartbeat"));
    assert!(bench.parted().is_none());
}

#[test]
fn other_messages_are_signs_of_life_too() {
    let mut bench = Bench::live();
    let mut heartbeats = 0;
    for n in 0..20u16 {
        let said = bench.pass(INTERVAL / 2, true);
        heartbeats += said.len();
        bench.register("a", n);
        for command in bench.pull() {
            bench.ack(&command, 1);
        }
    }
    assert_eq!(heartbeats, 0);
}

#[test]
fn the_server_may_change_the_interval_within_reason() {
    let mut bench = Bench::live();
    let interval = |ms| {
        Body::HeartbeatAck(v1::SessionHeartbeatAck {
            heartbeat_interval_ms: ms,
        })
    };
    bench.hear(interval(200));
    assert!(bench.pass(Duration::from_secs(2), true).len() >= 10);
    bench.hear(interval(1));
    assert!(
        bench.pass(Duration::from_secs(1), true).len() <= 13,
        "not a flood"
    );
    bench.hear(interval(u32::MAX));
    assert!(!bench.pass(Duration::from_secs(61), true).is_empty());
}

#[test]
fn a_silent_server_is_left_after_three_intervals() {
    let mut bench = Bench::live();
    let start = bench.now;
    let mut said = Vec::new();
    while bench.parted().is_none() {
        said.extend(bench.pass(Duration::from_millis(50), false));
        assert!(bench.now - start < INTERVAL * 10, "not noticed");
    }
    let silence = bench.now - start;
    // It is counted from the first message that was not answered.
    assert!(
        silence > INTERVAL * 3 && silence < INTERVAL * 5,
        "{silence:?}"
    );
    assert!(
        said.iter()
            .filter(|c| shown(std::slice::from_ref(*c)) == ["heartbeat"])
            .count()
            >= 2
    );
    assert!(bench.wants_server());
    assert!(!bench.in_contact("other"));
}

#[test]
fn a_stream_without_room_does_not_keep_the_driver_busy() {
    let mut bench = Bench::live();
    // Nothing is pulled for as long as the server reads nothing.
    let mut timers = 0;
    let end = bench.now + INTERVAL * 10;
    while let Some(at) = bench.session.next_timer().filter(|at| *at <= end) {
        bench.now = at.max(bench.now);
        bench.session.timer(bench.now);
        timers += 1;
        assert!(timers < 50, "busy");
    }
    assert_eq!(shown(&bench.pull()), ["heartbeat"]);
}

#[test]
fn an_own_pause_is_not_held_against_the_server() {
    let mut bench = Bench::live();
    bench.pass(INTERVAL, false);
    // The process is stopped for a minute, with a heartbeat unanswered.
    bench.now += Duration::from_secs(60);
    bench.session.timer(bench.now);
    assert!(bench.parted().is_none());
    assert_eq!(
        shown(&bench.pull()),
        ["heartbeat"],
        "a sign of life at once"
    );
    bench.hear(Body::HeartbeatAck(Default::default()));
    bench.pass(INTERVAL * 5, true);
    assert!(bench.parted().is_none());
    bench.pass(INTERVAL * 5, false);
    assert!(bench.parted().is_some(), "a real silence still counts");
}

#[test]
fn a_server_that_does_not_answer_open_is_left() {
    let mut bench = Bench::new();
    bench.follow("web");
    bench.connect();
    assert_eq!(shown(&bench.pull()), ["open"]);
    bench.pass(REQUEST_TIMEOUT - Duration::from_millis(1), false);
    assert!(bench.parted().is_none());
    bench.pass(Duration::from_millis(1), false);
    assert_eq!(bench.parted(), Some(Parting::Failed));
    assert!(
        bench
            .session
            .last_failure()
            .unwrap()
            .contains("did not answer")
    );
    assert!(bench.wants_server());
}

#[test]
fn a_session_that_breaks_at_once_again_and_again_is_opened_ever_more_rarely() {
    let mut bench = Bench::new();
    bench.follow("web");
    let start = bench.now;
    for opened in 0..12 {
        while !bench.wants_server() {
            bench.pass(Duration::from_millis(10), false);
        }
        bench.session.dialled(bench.now);
        bench.open(opened > 0);
        bench.session.ended(bench.now, "flapping");
    }
    let took = bench.now - start;
    assert!(took > Duration::from_secs(15), "{took:?}");
    // A session that lasts makes up for it.
    while !bench.wants_server() {
        bench.pass(Duration::from_millis(10), false);
    }
    bench.session.dialled(bench.now);
    bench.open(true);
    bench.pass(INTERVAL * 2, true);
    bench.session.ended(bench.now, "broken");
    assert!(bench.wants_server(), "at once");
}

#[test]
fn a_drained_server_is_left_and_given_its_time() {
    let mut bench = Bench::live();
    bench.hear(Body::Drain(v1::SessionDrain {
        reconnect_after_ms: 2500,
        reason: "upgrade".into(),
    }));
    assert_eq!(
        bench.parted(),
        Some(Parting::Drained(Duration::from_millis(2500)))
    );
    assert!(bench.wants_server());
    assert!(bench.session.last_failure().unwrap().contains("upgrade"));
    assert_eq!(bench.session.counts().broken, 0);
}

#[test]
fn with_several_servers_a_session_moves_at_a_random_age() {
    let mean = Duration::from_secs(600);
    let mut ages = Vec::new();
    let mut bench = Bench::with(|settings| settings.rotate_after = Some(mean));
    bench.follow("web");
    for _ in 0..20 {
        bench.connect();
        bench.open(true);
        let start = bench.now;
        loop {
            bench.pass(Duration::from_secs(1), true);
            assert!(bench.now - start < mean * 2, "not moved");
            if let Some(parting) = bench.parted() {
                assert_eq!(parting, Parting::Rotated);
                break;
            }
        }
        ages.push(bench.now - start);
    }
    assert!(
        ages.iter()
            .all(|age| *age >= mean / 2 && *age <= mean * 3 / 2 + INTERVAL)
    );
    assert!(
        ages.iter()
            .max()
            .unwrap()
            .abs_diff(*ages.iter().min().unwrap())
            > mean / 3
    );
    assert_eq!(bench.session.counts().broken, 0);
}

#[test]
fn answers_of_a_former_stream_mean_nothing() {
    let mut bench = Bench::live();
    let ticket = bench.register("a", 1);
    let told = bench.pull();
    bench.break_stream();
    bench.ack(&told[0], 1);
    assert!(bench.answer(ticket).is_none());
    bench.connect();
    bench.ack(&told[0], 1);
    bench.open(true);
    bench.ack(&told[0], 1);
    assert!(bench.answer(ticket).is_none());
    let again = bench.pull();
    assert_eq!(shown(&again)[0], "register a 1");
    bench.ack(&again[0], 4);
    assert_eq!(bench.answer(ticket), Some(Ok(4)));
}

#[test]
fn a_session_the_server_does_not_know_is_opened_afresh() {
    let mut bench = Bench::live();
    bench.register("a", 1);
    let told = bench.pull();
    bench.refuse(&told[0], ErrorCode::SessionExpired);
    assert_eq!(bench.parted(), Some(Parting::Failed));
    bench.pass(Duration::from_millis(100), false);
    bench.connect();
    assert!(bench.open(false).resume_token.is_empty());
    assert_eq!(shown(&bench.pull()), ["register a 1", "subscribe other 1"]);
}

#[test]
fn much_goes_in_few_messages_of_bounded_size() {
    let mut bench = Bench::live();
    for n in 0..1500 {
        bench.register(&n.to_string(), 1);
    }
    let mut sizes = Vec::new();
    while let Some(message) = bench.session.next_message(bench.now) {
        sizes.push(message.commands.len());
    }
    assert_eq!(sizes, [512, 512, 476]);
    let large = "x".repeat(8000);
    for n in 0..300 {
        let ticket = bench.ticket();
        let mut instance = super::bench::instance(&n.to_string(), 2);
        instance.metadata.insert("k".into(), large.clone());
        let web = super::bench::service("api");
        bench
            .session
            .register(bench.now, &web, instance, ticket, ticket);
    }
    use prost::Message;
    let mut messages = 0;
    while let Some(message) = bench.session.next_message(bench.now) {
        messages += 1;
        assert!(message.encoded_len() < 1100 * 1024);
    }
    assert_eq!(messages, 3);
}
