//! Tests of [`WatchSet`]: a scripted server, and a model server for reconnects.

use proptest::prelude::*;
use quorate_proto::etcdserverpb::ResponseHeader;
use quorate_proto::mvccpb::KeyValue;

use super::*;

fn spec(key: &str) -> WatchSpec {
    WatchSpec {
        key: key.into(),
        ..WatchSpec::default()
    }
}

fn event(revision: i64) -> Event {
    Event {
        kv: Some(KeyValue {
            key: "k".into(),
            mod_revision: revision,
            ..KeyValue::default()
        }),
        ..Event::default()
    }
}

fn answer(id: i64, revision: i64, events: &[i64]) -> WatchResponse {
    WatchResponse {
        header: Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        }),
        watch_id: id,
        events: events.iter().map(|&revision| event(revision)).collect(),
        ..WatchResponse::default()
    }
}

fn created(id: i64, revision: i64) -> WatchResponse {
    WatchResponse {
        created: true,
        ..answer(id, revision, &[])
    }
}

fn cancelled(id: i64, reason: &str) -> WatchResponse {
    WatchResponse {
        canceled: true,
        cancel_reason: reason.to_owned(),
        ..answer(id, 1, &[])
    }
}

fn revisions(command: &Command) -> Vec<i64> {
    let Command::Deliver {
        events, revision, ..
    } = command
    else {
        panic!("not a delivery: {command:?}");
    };
    let list: Vec<i64> = events
        .iter()
        .map(|e| e.kv.as_ref().unwrap().mod_revision)
        .collect();
    assert_eq!(list.last(), Some(revision));
    list
}

fn asked(command: &Command) -> (i64, i64) {
    let Command::Create(request) = command else {
        panic!("not a question: {command:?}");
    };
    assert!(request.fragment && request.progress_notify);
    (request.watch_id, request.start_revision)
}

fn connected() -> (WatchSet, Instant) {
    let mut set = WatchSet::default();
    let now = Instant::now();
    assert!(set.connected(now).is_empty());
    (set, now)
}

/// A set with one watch "from now", confirmed with id 1 at revision 10.
fn started() -> (WatchSet, Instant) {
    let (mut set, now) = connected();
    let command = set.add(7, spec("k"), 0, now).unwrap();
    assert_eq!(asked(&command), (1, 0));
    assert_eq!(set.received(created(1, 10)), [Command::Started(7, 11)]);
    (set, now)
}

#[test]
fn now_is_what_the_server_says_at_creation() {
    let (mut set, now) = started();
    // Nothing happened yet: after a reconnect the watch still begins at "now" as it was then.
    assert_eq!(asked(&set.connected(now)[0]), (2, 11));
}

#[test]
fn a_reconnect_goes_on_after_the_last_revision_without_duplicates() {
    let (mut set, now) = started();
    assert_eq!(
        revisions(&set.received(answer(1, 13, &[11, 13]))[0]),
        [11, 13]
    );
    set.disconnected();
    assert_eq!(set.received(answer(1, 14, &[14])), [], "of the old stream");
    assert_eq!(asked(&set.connected(now)[0]), (2, 14));
    set.received(created(2, 20));
    assert_eq!(
        revisions(&set.received(answer(2, 20, &[12, 13, 14, 15]))[0]),
        [14, 15]
    );
    assert_eq!(set.received(answer(2, 20, &[15])), []);
}

#[test]
fn watches_without_a_stream_are_asked_for_when_there_is_one() {
    let mut set = WatchSet::default();
    let now = Instant::now();
    assert_eq!(set.add(1, spec("a"), 5, now), None);
    assert_eq!(set.add(2, spec("b"), 0, now), None);
    assert_eq!(set.remove(2), None);
    assert!(set.wants_stream());
    let commands = set.connected(now);
    assert_eq!(commands.len(), 1);
    assert_eq!(asked(&commands[0]), (1, 5));
}

#[test]
fn progress_moves_the_point_to_resume_from() {
    let (mut set, now) = started();
    assert_eq!(set.received(answer(1, 500, &[])), []);
    assert_eq!(asked(&set.connected(now)[0]), (2, 501));
}

#[test]
fn a_removed_watch_is_cancelled_and_late_events_go_nowhere() {
    let (mut set, _) = started();
    assert_eq!(set.remove(7), Some(Command::Cancel(1)));
    assert_eq!(set.remove(7), None);
    assert_eq!(set.received(answer(1, 11, &[11])), []);
    assert_eq!(set.received(cancelled(1, "")), [], "the confirmation");
    assert!(set.is_empty() && !set.wants_stream());
}

#[test]
fn a_parked_watch_gets_nothing_and_resumes_where_it_was() {
    let (mut set, now) = started();
    set.received(answer(1, 11, &[11]));
    assert_eq!(set.park(7), Some(Command::Cancel(1)));
    assert_eq!(set.received(answer(1, 12, &[12])), []);
    assert!(!set.wants_stream());
    assert!(set.connected(now).is_empty(), "parked over a reconnect");
    assert_eq!(asked(&set.resume(7, now).unwrap()), (2, 12));
    assert_eq!(set.resume(7, now), None);
}

#[test]
fn compaction_ends_a_watch_and_says_where_the_history_begins() {
    let (mut set, now) = connected();
    set.add(7, spec("k"), 3, now);
    set.received(created(1, 90));
    let commands = set.received(WatchResponse {
        compact_revision: 50,
        ..cancelled(1, "")
    });
    let [Command::End(7, end)] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!(end.error.code(), ErrorCode::OutOfRange);
    assert_eq!(end.compacted, Some(50));
    assert!(
        end.error
            .message()
            .contains("revision 3 is compacted away, up to 50")
    );
    assert!(set.is_empty());
    assert!(set.connected(now).is_empty());
}

#[test]
fn a_refusal_under_id_minus_one_belongs_to_the_oldest_question() {
    let (mut set, now) = connected();
    set.add(1, spec("secret"), 0, now);
    set.add(2, spec("open"), 0, now);
    let refusal = WatchResponse {
        created: true,
        ..cancelled(-1, "etcdserver: permission denied")
    };
    let commands = set.received(refusal);
    let [Command::End(1, end)] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!(end.error.code(), ErrorCode::PermissionDenied);
    assert_eq!(set.received(created(2, 4)), [Command::Started(2, 5)]);
    assert_eq!(
        set.received(answer(-1, 9, &[])),
        [],
        "progress of the whole stream"
    );
}

#[test]
fn a_server_without_a_leader_is_left_not_the_watch() {
    let (mut set, now) = started();
    assert_eq!(
        set.received(cancelled(1, "etcdserver: no leader")),
        [Command::Reconnect]
    );
    assert_eq!(asked(&set.connected(now)[0]), (2, 11));
}

#[test]
fn a_question_left_unanswered_makes_the_stream_suspect() {
    let (mut set, now) = connected();
    assert_eq!(set.next_wakeup(), None);
    set.add(1, spec("k"), 0, now);
    assert_eq!(set.next_wakeup(), Some(now + PATIENCE));
    assert_eq!(set.poll(now + PATIENCE / 2), None);
    assert_eq!(set.poll(now + PATIENCE), Some(Command::Reconnect));
    set.connected(now + PATIENCE);
    set.received(created(2, 1));
    assert_eq!(set.next_wakeup(), None);
}

#[test]
fn fragments_are_joined_so_that_no_revision_is_split() {
    let (mut set, now) = started();
    let fragment = |events: &[i64]| WatchResponse {
        fragment: true,
        ..answer(1, 20, events)
    };
    assert_eq!(revisions(&set.received(fragment(&[11, 12, 12]))[0]), [11]);
    assert_eq!(set.received(fragment(&[12, 12])), []);
    assert_eq!(revisions(&set.received(fragment(&[12, 13]))[0]), [12; 5]);
    assert_eq!(
        revisions(&set.received(answer(1, 20, &[13, 14]))[0]),
        [13, 13, 14]
    );
    // What was incomplete when the stream broke comes again, whole.
    assert_eq!(revisions(&set.received(fragment(&[15, 16]))[0]), [15]);
    assert_eq!(asked(&set.connected(now)[0]), (2, 16));
    assert_eq!(
        revisions(&set.received(answer(2, 20, &[16, 16]))[0]),
        [16, 16]
    );
}

#[test]
fn all_end_when_no_stream_can_be_had() {
    let (mut set, now) = started();
    set.add(8, spec("z"), 0, now);
    let error = Error::new(ErrorCode::Unimplemented, "no watches here");
    assert_eq!(set.end_all(&error).len(), 2);
    assert!(set.is_empty() && set.next_wakeup().is_none());
}

proptest! {
    /// A server with a history of one event or more per revision; the stream breaks, the reader is
    /// slow, responses are cut into fragments: the reader sees each event once, in order.
    #[test]
    fn no_gap_and_no_duplicate_whatever_happens(
        sizes in proptest::collection::vec(1usize..4, 1..40),
        steps in proptest::collection::vec((0u8..6, 1usize..6), 1..120),
    ) {
        let history: Vec<i64> = sizes
            .iter()
            .zip(11i64..)
            .flat_map(|(&size, revision)| std::iter::repeat_n(revision, size))
            .collect();
        let (mut set, now) = started();
        let (mut id, mut sent, mut seen) = (Some(1), 0usize, Vec::new());
        for (step, size) in steps.into_iter().chain(std::iter::repeat_n((5, 5), 60)) {
            let mut commands = Vec::new();
            match step {
                0 => { set.disconnected(); id = None; commands = set.connected(now); }
                1 => { set.park(7); id = None; }
                2 => commands.extend(set.resume(7, now)),
                _ => {
                    if id.is_none() {
                        commands.extend(set.resume(7, now));
                    } else if sent < history.len() {
                        let end = (sent + size).min(history.len());
                        // A response may end within a revision only as a fragment.
                        let fragment = history.get(end) == Some(&history[end - 1]);
                        let response = answer(id.unwrap(), 99, &history[sent..end]);
                        sent = end;
                        commands = set.received(WatchResponse { fragment, ..response });
                    }
                }
            }
            for command in commands {
                match command {
                    Command::Create(request) => {
                        id = Some(request.watch_id);
                        set.received(created(request.watch_id, 99));
                        sent = history.partition_point(|&r| r < request.start_revision);
                    }
                    delivery => seen.extend(revisions(&delivery)),
                }
            }
        }
        prop_assert_eq!(seen, history);
    }
}
