//! The end of a session.

use std::time::Duration;

use quorate_types::ErrorCode;

use super::bench::{Bench, INTERVAL, shown};
use crate::engine::session::{Output, Parting};

const PATIENCE: Duration = Duration::from_secs(3);

fn closed(bench: &mut Bench) -> bool {
    bench.drain_outputs().contains(&Output::Closed)
}

#[test]
fn without_a_session_there_is_nothing_to_end() {
    let mut bench = Bench::new();
    bench.session.close(bench.now, PATIENCE);
    assert!(closed(&mut bench));
    bench.follow("web");
    assert!(!bench.wants_server());
}

#[test]
fn the_server_is_told_and_waited_for() {
    let mut bench = Bench::live();
    bench.register("a", 1);
    let told = bench.pull();
    bench.ack(&told[0], 1);
    let late = bench.register("b", 1);
    bench.session.close(bench.now, PATIENCE);
    let told = bench.pull();
    assert_eq!(shown(&told), ["close"]);
    assert!(!closed(&mut bench) && bench.pull().is_empty());
    bench.ack(&told[0], 0);
    assert_eq!(
        bench.answer(late).unwrap().unwrap_err().code(),
        ErrorCode::Closed
    );
    assert_eq!(bench.parted(), Some(Parting::Closed));
    assert!(closed(&mut bench));
    assert!(bench.session.next_timer().is_none());
}

#[test]
fn a_stream_that_ends_after_it_was_told_is_an_answer() {
    let mut bench = Bench::live();
    bench.session.close(bench.now, PATIENCE);
    bench.pull();
    bench.session.ended(bench.now, "end");
    assert!(closed(&mut bench));
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_long() {
    let mut bench = Bench::live();
    bench.session.close(bench.now, PATIENCE);
    bench.pass(PATIENCE - INTERVAL / 10, false);
    assert!(!closed(&mut bench));
    bench.pass(INTERVAL / 5, false);
    assert!(closed(&mut bench));
}

#[test]
fn while_disconnected_it_tries_to_tell_what_a_server_may_hold() {
    let mut bench = Bench::live();
    bench.register("a", 1);
    let told = bench.pull();
    bench.ack(&told[0], 1);
    bench.break_stream();
    bench.session.close(bench.now, PATIENCE);
    bench.connect();
    bench.open(true);
    let told = bench.pull();
    assert_eq!(shown(&told), ["close"]);
    bench.ack(&told[0], 0);
    assert!(closed(&mut bench));
}

#[test]
fn while_disconnected_with_nothing_registered_it_just_ends() {
    let mut bench = Bench::live();
    bench.break_stream();
    bench.session.close(bench.now, PATIENCE);
    assert!(closed(&mut bench));
}
