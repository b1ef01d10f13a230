//! An instance belongs to whoever registered it last.

use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::ErrorCode;

use super::clients::*;

#[test]
fn a_takeover_is_silent_and_the_old_sessions_end_does_not_matter() {
    let world = World::new();
    let watcher = world.open("w");
    watcher.ok(subscribe("web", None));
    let old = world.open("old");
    let first = old.ok(register("web", instance("i", 5)));
    watcher.take();
    let new = world.open("new");
    let second = new.ok(register("web", instance("i", 5)));
    assert_eq!(first.revision, second.revision);
    assert!(
        old.take()
            .iter()
            .all(|event| matches!(event, Event::HeartbeatAck(_)))
    );

    // Neither deregistering, closing, nor expiring.
    old.ok(deregister("web", "i"));
    let third = world.open("third");
    third.ok(register("web", instance("i", 5)));
    new.session
        .handle(request([(0, Command::Close(v1::SessionClose {}))]))
        .unwrap_err();
    let fourth = world.open("fourth");
    fourth.ok(register("web", instance("i", 5)));
    drop(third);
    for _ in 0..10 {
        world.pass(2_000);
        fourth.beat();
        watcher.beat();
    }
    assert_eq!(world.ids("web"), ["i"]);
    assert!(watcher.take().is_empty());
    assert_eq!(world.registry.metrics().instances, 1);
    assert_eq!(world.registry.metrics().registrations_unchanged, 3);
}

#[test]
fn the_old_owner_cannot_update_but_can_take_it_back() {
    let world = World::new();
    let (old, new) = (world.open("old"), world.open("new"));
    old.ok(register("web", instance("i", 5)));
    new.ok(register("web", instance("i", 5)));
    let update = || {
        Command::Update(v1::SessionUpdate {
            service: key("web"),
            id: "i".into(),
            weight: Some(1),
            ..Default::default()
        })
    };
    assert_eq!(old.fails(update()), ErrorCode::Conflict);
    old.ok(register("web", instance("i", 5)));
    old.ok(update());
    assert_eq!(new.fails(update()), ErrorCode::Conflict);
}

#[test]
fn sessions_and_unary_clients_take_over_from_each_other() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("i", 5)));
    world.register("web", instance("i", 5));
    // The session's heartbeats do not keep it any more, its own do.
    world.pass(4_000);
    client.beat();
    assert_eq!(world.heartbeat("web", "i"), Ok(5_000));
    world.pass(4_000);
    client.beat();
    assert_eq!(world.ids("web"), ["i"]);
    client.ok(register("web", instance("i", 5)));
    assert_eq!(world.heartbeat("web", "i"), Err(ErrorCode::Conflict));
    world.pass(4_000);
    client.beat();
    world.pass(4_000);
    client.beat();
    assert_eq!(world.ids("web"), ["i"]);
    world.register("web", instance("i", 5));
    world.pass(5_000);
    assert!(world.ids("web").is_empty());
    assert_eq!(
        world.discover("web").removed[0].reason(),
        v1::RemovalReason::LeaseExpired
    );
    assert!(
        client
            .take()
            .iter()
            .all(|event| !matches!(event, Event::Evicted(_)))
    );
}

#[test]
fn a_session_is_told_when_another_removes_its_instance() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("i", 10)));
    assert!(world.deregister("web", "i"));
    let [Event::Evicted(evicted)] = &client.take()[..] else {
        panic!()
    };
    assert_eq!(
        evicted.service,
        key("web").map(|k| v1::ServiceKey {
            namespace: "default".into(),
            ..k
        })
    );
    let removal = evicted.removal.clone().unwrap();
    assert_eq!(
        (removal.id.as_str(), removal.reason()),
        ("i", v1::RemovalReason::Deregistered)
    );
    // Its own removals it is not told.
    client.ok(register("web", instance("i", 10)));
    client.ok(deregister("web", "i"));
    assert!(client.take().is_empty());
    assert!(!world.deregister("web", "i"));
}
