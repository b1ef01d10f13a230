//! Which removals are believed, and when.

use super::super::guard::HOLD;
use super::*;

#[test]
fn an_incomplete_snapshot_removes_nothing_until_a_complete_one() {
    let server = Server::with(&["a", "b", "c", "d"]);
    let (mut view, now) = following(&server);
    let mut restarted = Server {
        epoch: 2,
        revision: 100,
        ..Server::default()
    };
    restarted.put("a", 100);
    let mut snapshot = restarted.snapshot();
    snapshot.complete = false;
    snapshot.absent_reason = 0;
    assert_eq!(view.apply_snapshot(now, snapshot), Applied::Taken);
    assert_eq!(ids(&view), ["a", "b", "c", "d"]);
    assert!(!view.complete());
    assert!(
        view.known().is_none(),
        "the same version may be complete by now"
    );
    // Deltas apply to what the server listed.
    let from = restarted.revision;
    let upserted = vec![restarted.put("b", 3)];
    let delta = restarted.delta(from, upserted, vec![]);
    assert_eq!(view.apply_delta(now, delta), Applied::Taken);
    assert_eq!(ids(&view), ["a", "b", "c", "d"]);
    assert_eq!(view.instances()[1].weight, 3);
    assert_eq!(
        view.apply_snapshot(now, restarted.snapshot()),
        Applied::Taken
    );
    assert_eq!(ids(&view), ["a", "b"]);
    assert!(view.complete());
    assert_eq!(reason_of(&view, "d"), Some(RemovalReason::SessionLost));
}

#[test]
fn an_incomplete_snapshot_with_a_tombstone_removes_that_one() {
    let server = Server::with(&["a", "b"]);
    let (mut view, now) = following(&server);
    let mut restarted = server.clone();
    restarted.epoch = 2;
    let removal = restarted.drop("a", LEFT);
    restarted.instances.clear();
    let mut snapshot = restarted.snapshot();
    snapshot.complete = false;
    snapshot.removed = vec![removal];
    view.apply_snapshot(now, snapshot);
    assert_eq!(ids(&view), ["b"]);
    assert_eq!(reason_of(&view, "a"), Some(RemovalReason::Deregistered));
}

#[test]
fn an_older_tombstone_does_not_explain_a_newer_record() {
    let mut server = Server::with(&["a", "b"]);
    let old = server.drop("a", LEFT);
    server.put("a", 1);
    let (mut view, now) = following(&server);
    server.instances.remove("a");
    server.revision += 1;
    let mut snapshot = server.snapshot();
    snapshot.complete = false;
    snapshot.removed = vec![old];
    view.apply_snapshot(now, snapshot);
    assert_eq!(ids(&view), ["a", "b"]);
}

#[test]
fn an_empty_snapshot_without_a_reason_is_refused_until_one_comes() {
    let mut server = Server::with(&["a", "b"]);
    let (mut view, now) = following(&server);
    server.instances.clear();
    server.revision += 1;
    let mut empty = server.snapshot();
    empty.absent_reason = 0;
    view.apply_snapshot(now, empty.clone());
    assert_eq!(ids(&view), ["a", "b"]);
    assert_eq!(view.counts().empties_refused, 1);
    let due = view.fetch_due().expect("it asks again");
    view.fetch_asked();
    view.apply_snapshot(due, empty);
    assert_eq!(ids(&view), ["a", "b"], "still no reason");
    assert_eq!(view.fetch_due(), None, "asking once is enough");
    server.revision += 1;
    view.apply_snapshot(due, server.snapshot());
    assert!(view.instances().is_empty());
    assert_eq!(view.state(true), Some(CacheState::Live));
}

#[test]
fn what_was_kept_so_as_not_to_be_empty_goes_when_others_come() {
    let mut server = Server::with(&["a"]);
    let (mut view, now) = following(&server);
    server.instances.clear();
    server.revision += 1;
    let mut empty = server.snapshot();
    empty.absent_reason = 0;
    view.apply_snapshot(now, empty.clone());
    let due = view.fetch_due().unwrap();
    view.fetch_asked();
    view.apply_snapshot(due, empty);
    assert_eq!(ids(&view), ["a"]);
    let from = server.revision;
    let upserted = vec![server.put("b", 1)];
    let delta = server.delta(from, upserted, vec![]);
    assert_eq!(view.apply_delta(due, delta), Applied::Taken);
    assert_eq!(ids(&view), ["b"]);
}

#[test]
fn a_delta_may_empty_only_with_reasons() {
    let mut server = Server::with(&["a", "b"]);
    let (mut view, now) = following(&server);
    let from = server.revision;
    let removed = vec![
        server.drop("a", EXPIRED),
        server.drop("b", v1::RemovalReason::Unspecified),
    ];
    let delta = server.delta(from, vec![], removed);
    assert_eq!(view.apply_delta(now, delta), Applied::Taken);
    assert_eq!(ids(&view), ["b"]);
    assert_eq!(view.counts().empties_refused, 1);
    let (mut view, now) = following(&Server::with(&["a", "b"]));
    let mut server = Server::with(&["a", "b"]);
    let removed = vec![server.drop("a", EXPIRED), server.drop("b", EXPIRED)];
    view.apply_delta(now, server.delta(2, vec![], removed));
    assert!(
        view.instances().is_empty(),
        "two instances may well both die"
    );
}

#[test]
fn losing_most_at_once_is_held_and_believed_when_confirmed() {
    let mut server = Server::with(&["a", "b", "c", "d"]);
    let (mut view, now) = following(&server);
    let from = server.revision;
    let removed = vec![
        server.drop("a", EXPIRED),
        server.drop("b", EXPIRED),
        server.drop("c", EXPIRED),
    ];
    view.apply_delta(now, server.delta(from, vec![], removed));
    assert_eq!(ids(&view), ["a", "b", "c", "d"]);
    assert_eq!(view.fetch_due(), Some(now + HOLD));
    assert_eq!(view.counts().shrinks_held, 1);
    assert!(view.known().is_none() && !view.complete());
    // One comes back, one is confirmed gone on purpose, before the fetch.
    let from = server.revision;
    let upserted = vec![server.put("b", 9)];
    view.apply_delta(now, server.delta(from, upserted, vec![]));
    assert_eq!(ids(&view), ["a", "b", "c", "d"]);
    // A snapshot that was not asked for settles nothing.
    view.apply_snapshot(now, server.snapshot());
    assert_eq!(ids(&view), ["a", "b", "c", "d"]);
    let due = now + HOLD;
    view.fetch_asked();
    view.apply_snapshot(due, server.snapshot());
    assert_eq!(ids(&view), ["b", "d"]);
    assert_eq!(reason_of(&view, "a"), Some(RemovalReason::LeaseExpired));
    assert_eq!(view.known(), Some(server.version()));
}

#[test]
fn a_held_removal_that_was_a_mistake_leaves_no_trace() {
    let mut server = Server::with(&["a", "b", "c"]);
    let (mut view, now) = following(&server);
    let before = server.clone();
    let from = server.revision;
    let removed = ["a", "b", "c"].map(|id| server.drop(id, EXPIRED)).to_vec();
    view.apply_delta(now, server.delta(from, vec![], removed));
    assert_eq!(ids(&view), ["a", "b", "c"]);
    for id in before.instances.keys() {
        server.put(id, 100);
    }
    view.apply_snapshot(now, server.snapshot());
    assert_eq!(ids(&view), ["a", "b", "c"]);
    assert_eq!(view.fetch_due(), None);
    assert!(view.departures().is_empty());
    assert_eq!(view.known(), Some(server.version()));
}

#[test]
fn meant_removals_are_never_held() {
    let mut server = Server::with(&["a", "b", "c", "d"]);
    let (mut view, now) = following(&server);
    let from = server.revision;
    let removed = vec![
        server.drop("a", LEFT),
        server.drop("b", v1::RemovalReason::Operator),
        server.drop("c", LEFT),
        server.drop("d", EXPIRED),
    ];
    view.apply_delta(now, server.delta(from, vec![], removed));
    assert!(view.instances().is_empty());
    assert_eq!(view.counts().shrinks_held, 0);
}

#[test]
fn losing_two_of_three_is_ordinary() {
    let mut server = Server::with(&["a", "b", "c"]);
    let (mut view, now) = following(&server);
    let from = server.revision;
    let removed = vec![server.drop("a", EXPIRED), server.drop("b", EXPIRED)];
    view.apply_delta(now, server.delta(from, vec![], removed));
    assert_eq!(ids(&view), ["c"]);
}

#[test]
fn a_complete_snapshot_that_loses_most_is_held_too() {
    let server = Server::with(&["a", "b", "c", "d"]);
    let (mut view, now) = following(&server);
    let restarted = Server {
        epoch: 2,
        ..Server::default()
    };
    view.apply_snapshot(now, restarted.snapshot());
    assert_eq!(ids(&view), ["a", "b", "c", "d"]);
    view.fetch_asked();
    view.apply_snapshot(now + HOLD, restarted.snapshot());
    assert!(view.instances().is_empty());
    assert_eq!(reason_of(&view, "a"), Some(RemovalReason::SessionLost));
}
