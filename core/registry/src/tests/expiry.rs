//! What silence does, and what a stall of the server must not do.

use quorate_proto::v1;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::ErrorCode;

use super::clients::*;
use crate::SessionEnd;

#[test]
fn each_instance_lives_its_own_ttl_after_the_sessions_last_sign_of_life() {
    let world = World::new();
    let client = world.open("a");
    for (id, ttl) in [("a3", 3), ("b6", 6), ("c20", 20)] {
        client.ok(register("web", instance(id, ttl)));
    }
    world.pass(1_000);
    client.beat();
    drop(client);
    world.pass(2_999);
    assert_eq!(world.ids("web"), ["a3", "b6", "c20"]);
    world.pass(1);
    assert_eq!(world.ids("web"), ["b6", "c20"]);
    world.pass(3_000);
    assert_eq!(world.ids("web"), ["c20"]);
    world.pass(13_999);
    assert_eq!(world.registry.metrics().sessions, 1);
    world.pass(1);
    assert!(world.ids("web").is_empty());
    let metrics = world.registry.metrics();
    assert_eq!((metrics.sessions, metrics.sessions_expired), (0, 1));
    assert_eq!((metrics.removed_session_lost, metrics.instances), (3, 0));
    let removed = world.discover("web").removed;
    assert_eq!(removed.len(), 3);
    assert!(
        removed
            .iter()
            .all(|removal| removal.reason() == v1::RemovalReason::SessionLost)
    );
    assert_eq!(removed[2].removed_at_ms, EPOCH + 21_000);
}

#[test]
fn any_message_is_a_sign_of_life_for_all_instances() {
    let world = World::new();
    let client = world.open("a");
    for id in ["i", "j", "k"] {
        client.ok(register("web", instance(id, 3)));
    }
    for _ in 0..20 {
        world.pass(2_500);
        client.ok(subscribe("other", None));
    }
    assert_eq!(world.ids("web").len(), 3);
}

#[test]
fn an_attached_but_silent_session_expires_too() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("i", 3)));
    client.take();
    world.pass(3_000);
    assert!(world.ids("web").is_empty());
    let [Event::Evicted(evicted), Event::HeartbeatAck(interval)] = &client.take()[..] else {
        panic!();
    };
    let removal = evicted.removal.clone().unwrap();
    assert_eq!(
        (removal.id.as_str(), removal.reason()),
        ("i", v1::RemovalReason::SessionLost)
    );
    assert_eq!(interval.heartbeat_interval_ms, 3_333);
    // It still can come back to life, until the session's own TTL.
    client.ok(register("web", instance("i", 3)));
    world.pass(3_000);
    assert_eq!(client.ended(), None);
    world.pass(7_000);
    assert_eq!(client.ended(), Some(SessionEnd::Expired));
    assert_eq!(
        SessionEnd::Expired.error().unwrap().code(),
        ErrorCode::SessionExpired
    );
    assert_eq!(
        client.session.handle(request([(1, heartbeat())])),
        Err(SessionEnd::Expired)
    );
    assert_eq!(world.registry.metrics().sessions, 0);
}

#[test]
fn a_shorter_ttl_that_comes_later_is_not_missed() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("long", 3_600)));
    client.ok(register("web", instance("short", 1)));
    drop(client);
    world.register("api", instance("i", 3_600));
    world.register("api", instance("i", 1));
    world.pass(1_000);
    assert_eq!(world.ids("web"), ["long"]);
    assert!(world.ids("api").is_empty());
    world.pass(3_599_000);
    assert!(world.ids("web").is_empty());
}

#[test]
fn unary_instances_live_by_their_own_heartbeats() {
    let world = World::new();
    for id in ["i", "j", "k"] {
        world.register("web", instance(id, 3));
    }
    world.pass(2_000);
    assert_eq!(world.heartbeat("web", "i"), Ok(3_000));
    world.register("web", instance("j", 3));
    world.pass(1_000);
    assert_eq!(world.ids("web"), ["i", "j"]);
    world.pass(1_999);
    assert_eq!(world.ids("web"), ["i", "j"]);
    world.pass(1);
    assert!(world.ids("web").is_empty());
    assert_eq!(world.heartbeat("web", "i"), Err(ErrorCode::NotFound));
    assert_eq!(world.heartbeat("none", "i"), Err(ErrorCode::NotFound));
    assert_eq!(world.registry.metrics().removed_lease_expired, 3);
}

#[test]
fn a_stall_of_the_server_is_credited_to_all() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("session", 3)));
    world.register("web", instance("unary", 3));
    let wait = world.sweep();
    world.clock.advance(60_000 + wait);
    assert_eq!(world.sweep(), wait.min(500));
    assert_eq!(world.ids("web"), ["session", "unary"]);
    let metrics = world.registry.metrics();
    // Both have just begun, so there is nothing to set back for their way back but this.
    assert_eq!(
        (metrics.stalls, metrics.stall_credited_ms),
        (1, 60_000 + wait)
    );
    world.pass(3_000 - 1);
    assert_eq!(world.ids("web").len(), 2);
    world.pass(1);
    assert!(world.ids("web").is_empty());
}

#[test]
fn after_a_stall_clients_that_gave_up_have_time_to_come_back() {
    let world = World::new();
    world.pass(60_000);
    let client = world.open("a");
    client.ok(register("web", instance("i", 2)));
    let token = client.opened.resume_token.clone();
    drop(client);
    world.clock.advance(25_000);
    world.pass(7_000);
    assert_eq!(world.ids("web"), ["i"], "its client may be on its way");
    let back = world.resume("a", &token);
    drop(back);
    world.pass(20_000);
    assert!(world.ids("web").is_empty());
}

#[test]
fn a_stall_shorter_than_the_shortest_ttl_costs_nothing() {
    let world = World::new();
    world.pass(60_000);
    let client = world.open("a");
    client.ok(register("web", instance("i", 1)));
    world.pass(400); // It will speak again at 500 ms.
    world.clock.advance(1_200);
    world.sweep();
    assert_eq!(world.ids("web"), ["i"]);
}

#[test]
fn a_sign_of_life_right_after_a_stall_is_not_credited_twice() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("i", 3)));
    let wait = world.sweep();
    world.clock.advance(60_000 + wait);
    client.beat();
    world.pass(2_999);
    assert_eq!(world.ids("web"), ["i"]);
    world.pass(1);
    assert!(world.ids("web").is_empty());
}

#[test]
fn a_sweep_does_a_bounded_amount_of_work_and_asks_to_be_called_again() {
    let world = World::new();
    for session in 0..3 {
        let client = world.open(&format!("c{session}"));
        let commands = (0..1_500).map(|n| {
            (
                0,
                register(
                    &format!("s{}", n % 7),
                    instance(&format!("{session}-{n}"), 3),
                ),
            )
        });
        client.session.handle(request(commands)).unwrap();
    }
    world.pass(2_999);
    assert_eq!(world.registry.metrics().instances, 4_500);
    world.clock.advance(1);
    let mut calls = 0;
    while world.registry.metrics().instances > 0 {
        let before = world.registry.metrics().instances;
        let wait = world.registry.sweep();
        let after = world.registry.metrics().instances;
        assert!(before - after <= 1_025);
        assert_eq!(wait.is_zero(), after > 0);
        calls += 1;
    }
    assert!((4..=6).contains(&calls), "{calls}");
    assert!(world.sweep() > 0);
}

#[test]
fn tombstones_are_kept_for_a_while_and_then_the_service_is_forgotten() {
    let world = World::new();
    world.register("web", instance("i", 3));
    world.pass(1_000);
    world.deregister("web", "i");
    world.register("web", instance("j", 3));
    world.pass(300_000);
    let removed = world.discover("web").removed;
    assert_eq!(removed.len(), 2);
    world.pass(300_000);
    assert_eq!(world.discover("web").removed.len(), 1);
    assert_eq!(world.registry.metrics().services, 1);
    let version = world.discover("web").version.unwrap();
    world.pass(3_000);
    assert_eq!(world.registry.metrics().services, 0);
    // Nobody sees a version go back, even if the wall clock does.
    world.clock.set_wall_clock_back(3_600_000);
    assert!(world.discover("web").version.unwrap().revision >= version.revision);
    let again = world.register("web", instance("i", 3));
    assert!(again.revision > version.revision);
}

#[test]
fn a_registration_wins_over_its_own_tombstone() {
    let world = World::new();
    let first = world.register("web", instance("i", 3));
    world.deregister("web", "i");
    let removal = world.discover("web").removed.remove(0);
    assert!(removal.revision > first.revision);
    world.clock.set_wall_clock_back(1_000_000);
    let again = world.register("web", instance("i", 3));
    assert!(again.revision > removal.revision);
    assert!(world.discover("web").removed.is_empty());
}

#[test]
fn deadlines_do_not_pile_up() {
    let world = World::new();
    let client = world.open("a");
    for _ in 0..100 {
        client.ok(register("web", instance("i", 60)));
        world.register("api", instance("i", 60));
    }
    assert!(world.registry.deadlines() <= 3);
    for ttl in (2..60).rev() {
        client.ok(register("web", instance("i", ttl)));
        world.register("api", instance("i", ttl));
    }
    // Each shorter TTL had to be looked at earlier; what is out of date goes when its turn comes.
    for n in 0..100 {
        client.beat();
        assert_eq!(world.heartbeat("api", "i"), Ok(2_000));
        client.ok(register("web", instance("i", 2 + n % 2)));
        world.register("api", instance("i", 2 + n % 2));
        world.pass(1_000);
        world.register("api", instance("i", 2));
    }
    let left = world.registry.deadlines();
    assert!(left <= 4, "{left}");
}
