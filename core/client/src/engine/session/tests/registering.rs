//! The redo log: what is said, again, and no more.

use std::time::Duration;

use quorate_proto::v1;
use quorate_proto::v1::session_event::Body;
use quorate_types::{ErrorCode, InstanceStatus, RemovalReason};

use super::bench::{Bench, REQUEST_TIMEOUT, name, service, shown};
use crate::engine::session::Output;
use crate::engine::session::registrations::{InstanceUpdate, Notice};

fn weight(weight: u16) -> InstanceUpdate {
    InstanceUpdate {
        weight: Some(weight),
        ..Default::default()
    }
}

/// A live session with `a` registered by owner 1.
fn registered() -> Bench {
    let mut bench = Bench::live();
    let ticket = bench.register("a", 1);
    assert_eq!(ticket, 1);
    let told = bench.pull();
    bench.ack(&told[0], 10);
    assert_eq!(bench.answer(ticket), Some(Ok(10)));
    bench.drain_outputs();
    bench
}

impl Bench {
    fn update(&mut self, id: &str, owner: u64, update: InstanceUpdate) -> u64 {
        let ticket = self.ticket();
        self.session
            .update(self.now, &name(id), owner, update, ticket);
        ticket
    }

    fn deregister(&mut self, id: &str, owner: u64) -> u64 {
        let ticket = self.ticket();
        self.session
            .deregister(self.now, &name(id), owner, Some(ticket));
        ticket
    }

    fn evict(&mut self, id: &str, reason: v1::RemovalReason, revision: u64) {
        self.hear(Body::Evicted(v1::SessionEvicted {
            service: Some((&service("web")).into()),
            removal: Some(v1::Removal {
                id: id.to_owned(),
                reason: reason as i32,
                revision,
                removed_at_ms: 0,
            }),
        }));
    }

    fn evicted(&mut self) -> Option<(u64, RemovalReason)> {
        self.drain_outputs()
            .into_iter()
            .find_map(|output| match output {
                Output::Notice(Notice::Evicted(owner, reason)) => Some((owner, reason)),
                _ => None,
            })
    }

    fn reopen(&mut self, resumed: bool) -> Vec<String> {
        self.break_stream();
        self.connect();
        self.open(resumed);
        let told = self.pull();
        shown(&told)
    }
}

#[test]
fn a_resumed_session_does_not_register_again() {
    let mut bench = registered();
    assert_eq!(bench.reopen(true), ["subscribe other 1"]);
}

#[test]
fn a_fresh_session_registers_everything_again_before_it_subscribes() {
    let mut bench = registered();
    bench.register("b", 2);
    let told = bench.pull();
    bench.ack(&told[0], 1);
    assert_eq!(
        bench.reopen(false),
        ["register a 1", "register b 2", "subscribe other 1"]
    );
}

#[test]
fn what_was_not_answered_is_said_again_and_only_that() {
    let mut bench = registered();
    let ticket = bench.register("b", 2);
    bench.pull();
    assert_eq!(bench.reopen(true), ["register b 2", "subscribe other 1"]);
    assert!(bench.answer(ticket).is_none());
}

#[test]
fn an_answer_that_does_not_come_is_asked_for_again() {
    let mut bench = registered();
    bench.update("a", 1, weight(5));
    bench.pull();
    let said = bench.pass(REQUEST_TIMEOUT, true);
    assert!(shown(&said).contains(&"register a 5".to_owned()));
}

#[test]
fn updates_replace_each_other_while_one_is_under_way() {
    let mut bench = registered();
    let first = bench.update("a", 1, weight(2));
    let told = bench.pull();
    assert_eq!(shown(&told), ["register a 2"]);
    let second = bench.update("a", 1, weight(3));
    let third = bench.update(
        "a",
        1,
        InstanceUpdate {
            status: Some(InstanceStatus::Draining),
            ..Default::default()
        },
    );
    assert!(bench.pull().is_empty(), "one at a time");
    bench.ack(&told[0], 11);
    assert_eq!(bench.answer(first), Some(Ok(11)));
    assert_eq!(bench.answer(second), None);
    let told = bench.pull();
    assert_eq!(shown(&told), ["register a 3"], "both in one");
    bench.ack(&told[0], 12);
    assert_eq!(bench.answer(second), Some(Ok(12)));
    assert_eq!(bench.answer(third), Some(Ok(12)));
}

#[test]
fn an_update_that_changes_nothing_is_not_sent() {
    let mut bench = registered();
    let ticket = bench.update("a", 1, weight(1));
    assert_eq!(bench.answer(ticket), Some(Ok(10)));
    assert!(bench.pull().is_empty());
}

#[test]
fn a_refused_registration_is_forgotten() {
    let mut bench = Bench::live();
    let ticket = bench.register("a", 1);
    let told = bench.pull();
    bench.refuse(&told[0], ErrorCode::ResourceExhausted);
    let error = bench.answer(ticket).unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    let told = bench.pull();
    assert_eq!(
        shown(&told),
        ["deregister a"],
        "in case an earlier try came through"
    );
    bench.ack(&told[0], 0);
    assert_eq!(bench.session.registered(), 0);
    assert_eq!(bench.reopen(false), ["subscribe other 1"]);
}

#[test]
fn a_refused_update_goes_back_to_what_was_accepted() {
    let mut bench = registered();
    let ticket = bench.update("a", 1, weight(2));
    let told = bench.pull();
    bench.refuse(&told[0], ErrorCode::PermissionDenied);
    assert!(bench.answer(ticket).unwrap().is_err());
    assert_eq!(shown(&bench.pull()), ["register a 1"]);
    assert_eq!(bench.reopen(false), ["register a 1", "subscribe other 1"]);
}

#[test]
fn a_refusal_nobody_waits_for_is_tried_again_more_and_more_rarely() {
    let mut bench = registered();
    let mut refused = 0;
    let mut waited = Vec::new();
    bench.break_stream();
    bench.connect();
    bench.open(false);
    let mut told = bench.pull();
    while refused < 8 {
        let register = told
            .iter()
            .find(|c| shown(std::slice::from_ref(*c)) == ["register a 1"]);
        let Some(register) = register.cloned() else {
            panic!("{told:?}");
        };
        bench.refuse(&register, ErrorCode::ResourceExhausted);
        refused += 1;
        let start = bench.now;
        loop {
            told = bench.pass(Duration::from_millis(20), true);
            assert!(bench.now - start < Duration::from_secs(31), "given up");
            if shown(&told).contains(&"register a 1".to_owned()) {
                break;
            }
        }
        waited.push(bench.now - start);
    }
    assert!(
        waited.iter().sum::<Duration>() > Duration::from_secs(3),
        "{waited:?}"
    );
    assert_eq!(bench.session.registered(), 1);
}

#[test]
fn out_of_time_means_withdrawn() {
    let mut bench = Bench::live();
    let ticket = bench.register("a", 1);
    bench.pull();
    bench.pass(REQUEST_TIMEOUT, true);
    let error = bench.answer(ticket).unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert_eq!(bench.session.registered(), 0);
    assert_eq!(bench.reopen(false), ["deregister a", "subscribe other 1"]);
}

#[test]
fn without_a_server_the_error_says_why() {
    let mut bench = Bench::new();
    let ticket = bench.register("a", 1);
    bench.connect();
    bench.pull();
    bench.session.ended(bench.now, "h:1: connection refused");
    bench.pass(REQUEST_TIMEOUT, false);
    let error = bench.answer(ticket).unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.message().contains("connection refused"), "{error}");
}

#[test]
fn what_was_never_sent_is_withdrawn_without_a_word() {
    let mut bench = Bench::new();
    let ticket = bench.register("a", 1);
    bench.session.abandon(ticket);
    bench.connect();
    bench.open(false);
    assert!(bench.pull().is_empty());
}

#[test]
fn an_abandoned_registration_is_taken_back() {
    let mut bench = Bench::live();
    let ticket = bench.register("a", 1);
    let told = bench.pull();
    bench.session.abandon(ticket);
    bench.ack(&told[0], 1);
    assert_eq!(shown(&bench.pull()), ["deregister a"]);
    assert!(bench.answer(ticket).is_none());
}

#[test]
fn an_abandoned_update_is_still_wanted() {
    let mut bench = registered();
    let ticket = bench.update("a", 1, weight(4));
    bench.session.abandon(ticket);
    assert_eq!(shown(&bench.pull()), ["register a 4"]);
}

#[test]
fn deregistering_is_answered_and_remembered() {
    let mut bench = registered();
    let ticket = bench.deregister("a", 1);
    let told = bench.pull();
    assert_eq!(shown(&told), ["deregister a"]);
    assert_eq!(bench.reopen(false), ["deregister a", "subscribe other 1"]);
    assert!(bench.answer(ticket).is_none());
    bench.pass(REQUEST_TIMEOUT, true);
    assert_eq!(
        bench.answer(ticket).unwrap().unwrap_err().code(),
        ErrorCode::Timeout
    );
    let told = bench.pass(REQUEST_TIMEOUT, true);
    let last = told
        .into_iter()
        .rfind(|c| shown(std::slice::from_ref(c)) == ["deregister a"]);
    bench.refuse(&last.expect("still said"), ErrorCode::NotFound);
    assert_eq!(
        bench.reopen(false),
        ["subscribe other 1"],
        "as good as gone"
    );
}

#[test]
fn deregistering_what_is_anothers_by_now_does_nothing() {
    let mut bench = registered();
    let second = bench.register("a", 2);
    let ticket = bench.deregister("a", 1);
    assert_eq!(bench.answer(ticket), Some(Ok(0)));
    assert_eq!(shown(&bench.pull()), ["register a 2"]);
    let update = bench.update("a", 1, weight(9));
    assert_eq!(
        bench.answer(update).unwrap().unwrap_err().code(),
        ErrorCode::NotFound
    );
    assert_eq!(bench.session.registered(), 1);
    assert!(bench.answer(second).is_none());
}

#[test]
fn the_first_callers_timeout_is_not_the_second_ones() {
    let mut bench = Bench::live();
    let first = bench.register("a", 1);
    bench.pull();
    bench.pass(REQUEST_TIMEOUT / 2, true);
    let second = bench.register("a", 2);
    let said = bench.pass(REQUEST_TIMEOUT / 2, true);
    assert!(bench.answer(first).unwrap().is_err());
    assert!(bench.answer(second).is_none());
    let told = said
        .into_iter()
        .rfind(|c| shown(std::slice::from_ref(c)) == ["register a 2"]);
    bench.ack(&told.expect("still wanted"), 11);
    assert_eq!(bench.answer(second), Some(Ok(11)));
    assert_eq!(bench.session.registered(), 1);
}

#[test]
fn a_failed_takeover_leaves_the_earlier_registration() {
    let mut bench = registered();
    let second = bench.register("a", 2);
    let told = bench.pull();
    bench.session.abandon(second);
    bench.ack(&told[0], 11);
    // Accepted before the caller left: then it is the new owner's, who must deregister.
    let fallback = bench.pull();
    assert_eq!(shown(&fallback), ["register a 1"]);
    bench.ack(&fallback[0], 12);
    let update = bench.update("a", 1, weight(7));
    let told = bench.pull();
    assert_eq!(shown(&told), ["register a 7"]);
    bench.ack(&told[0], 13);
    assert_eq!(bench.answer(update), Some(Ok(13)));
}

#[test]
fn registering_again_while_it_is_being_deregistered_ends_registered() {
    let mut bench = registered();
    bench.deregister("a", 1);
    let told = bench.pull();
    let ticket = bench.register("a", 3);
    bench.ack(&told[0], 11);
    let told = bench.pull();
    assert_eq!(shown(&told), ["register a 3"]);
    bench.ack(&told[0], 12);
    assert_eq!(bench.answer(ticket), Some(Ok(12)));
}

#[test]
fn removed_on_purpose_by_others_it_stays_away() {
    for reason in [v1::RemovalReason::Deregistered, v1::RemovalReason::Operator] {
        let mut bench = registered();
        bench.evict("a", reason, 11);
        let (owner, _) = bench.evicted().expect("the handle is told");
        assert_eq!(owner, 1);
        let ticket = bench.update("a", 1, weight(2));
        assert_eq!(
            bench.answer(ticket).unwrap().unwrap_err().code(),
            ErrorCode::NotFound
        );
        assert_eq!(bench.reopen(false), ["subscribe other 1"]);
    }
}

#[test]
fn removed_on_purpose_while_an_update_is_under_way_it_is_not_left_behind() {
    let mut bench = registered();
    let ticket = bench.update("a", 1, weight(2));
    let told = bench.pull();
    // The server removed it before it read the update, which puts it back there.
    bench.evict("a", v1::RemovalReason::Deregistered, 11);
    let refused = bench.answer(ticket).unwrap().unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotFound);
    assert_eq!(bench.evicted().expect("the handle is told").0, 1);
    bench.ack(&told[0], 12);
    let told = bench.pull();
    assert_eq!(shown(&told), ["deregister a"]);
    bench.ack(&told[0], 13);
    assert_eq!(bench.session.registered(), 0);
    assert_eq!(bench.reopen(false), ["subscribe other 1"]);
}

#[test]
fn removed_for_silence_or_a_move_it_is_put_back() {
    for reason in [
        v1::RemovalReason::SessionLost,
        v1::RemovalReason::LeaseExpired,
        v1::RemovalReason::Moved,
        v1::RemovalReason::Unspecified,
    ] {
        let mut bench = registered();
        bench.evict("a", reason, 11);
        assert_eq!(bench.evicted(), None);
        assert_eq!(shown(&bench.pull()), ["register a 1"]);
    }
}

#[test]
fn an_eviction_older_than_the_registration_is_ignored() {
    let mut bench = registered();
    bench.evict("a", v1::RemovalReason::Operator, 9);
    assert_eq!(bench.evicted(), None);
    assert_eq!(bench.session.registered(), 1);
    bench.evict("unknown", v1::RemovalReason::Operator, 9);
}

#[test]
fn the_handle_learns_the_revision_of_each_registration() {
    let mut bench = registered();
    bench.break_stream();
    bench.connect();
    bench.open(false);
    let told = bench.pull();
    bench.drain_outputs();
    bench.ack(&told[0], 99);
    let notices = bench.drain_outputs();
    assert!(
        notices.contains(&Output::Notice(Notice::Standing(1, 99))),
        "{notices:?}"
    );
}
