//! The rules of the session stream.

use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::ErrorCode;

use super::clients::*;
use crate::SessionEnd;

fn open(client_id: &str) -> Command {
    Command::Open(v1::SessionOpen {
        client_id: client_id.into(),
        ..Default::default()
    })
}

fn close() -> Command {
    Command::Close(v1::SessionClose {})
}

#[test]
fn a_session_begins_with_open() {
    let world = World::new();
    for first in [
        request([]),
        request([(1, heartbeat())]),
        v1::SessionRequest {
            commands: vec![v1::SessionCommand::default()],
        },
    ] {
        let error = world.registry.open(first).unwrap_err();
        assert_eq!(error.code(), ErrorCode::FailedPrecondition);
    }
    for bad in ["", "\n", &"x".repeat(256)] {
        let error = world.registry.open(request([(1, open(bad))])).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
    assert_eq!(world.registry.metrics().sessions, 0);
}

#[test]
fn opened_comes_first_and_says_who_answers() {
    let world = World::new();
    let session = world
        .registry
        .open(request([
            (5, open("a")),
            (6, register("web", instance("i", 3))),
        ]))
        .unwrap();
    let events = session.try_next().unwrap().unwrap().events;
    let bodies: Vec<_> = events
        .into_iter()
        .map(|event| event.body.unwrap())
        .collect();
    let [
        Event::Opened(opened),
        Event::Ack(first),
        Event::Ack(second),
        Event::HeartbeatAck(told),
    ] = &bodies[..]
    else {
        panic!("{bodies:?}");
    };
    assert_eq!(
        (opened.cluster_id, opened.member_id, opened.epoch),
        (7, 8, EPOCH)
    );
    assert_eq!(opened.session_id, session.id());
    assert_eq!(opened.resume_token.len(), 16);
    assert!(!opened.resumed);
    assert_eq!(opened.session_ttl_ms, 10_000);
    assert_eq!(opened.heartbeat_interval_ms, 3_333);
    assert_eq!((first.request_id, first.code), (5, 0));
    assert_eq!((second.request_id, second.code), (6, 0));
    assert_eq!((second.id.as_str(), second.ttl_ms), ("i", 3_000));
    // The first command already made the interval of Opened too long.
    assert_eq!(told.heartbeat_interval_ms, 1_000);
}

#[test]
fn a_second_open_is_an_error() {
    let world = World::new();
    let client = world.open("a");
    assert_eq!(client.fails(open("a")), ErrorCode::FailedPrecondition);
    client.ok(heartbeat());
    // With nowhere to put the error, the stream ends with it.
    let end = client
        .session
        .handle(request([(0, open("a"))]))
        .unwrap_err();
    assert_eq!(end.error().unwrap().code(), ErrorCode::FailedPrecondition);
    assert_eq!(client.ended(), Some(end));
}

#[test]
fn request_id_0_wants_no_ack() {
    let world = World::new();
    let client = world.open("a");
    let bad = instance("no port", 3);
    let commands = [
        (0, register("web", instance("i", 10))),
        (0, register("web", bad)),
    ];
    client.session.handle(request(commands)).unwrap();
    assert!(client.take().is_empty());
    assert_eq!(world.ids("web"), ["i"]);
}

#[test]
fn errors_come_as_acks_and_change_nothing() {
    let world = World::new();
    let client = world.open("a");
    let no_service = Command::Register(v1::SessionRegister {
        service: None,
        instance: Some(instance("i", 3)),
    });
    assert_eq!(client.fails(no_service), ErrorCode::InvalidArgument);
    let wrong = v1::Instance {
        weight: 65_536,
        ..instance("i", 3)
    };
    assert_eq!(
        client.fails(register("web", wrong)),
        ErrorCode::InvalidArgument
    );
    let no_instance = Command::Register(v1::SessionRegister {
        service: key("web"),
        instance: None,
    });
    assert_eq!(client.fails(no_instance), ErrorCode::InvalidArgument);
    assert_eq!(
        client.fails(subscribe("no name", None)),
        ErrorCode::InvalidArgument
    );
    assert_eq!(world.registry.metrics().services, 0);
}

#[test]
fn an_unknown_command_is_answered_and_harms_nothing() {
    let world = World::new();
    let client = world.open("a");
    let unknown = |request_id| v1::SessionRequest {
        commands: vec![v1::SessionCommand {
            request_id,
            body: None,
        }],
    };
    client.session.handle(unknown(0)).unwrap();
    assert!(client.take().is_empty());
    client.session.handle(unknown(4)).unwrap();
    let [Event::Ack(ack)] = &client.take()[..] else {
        panic!()
    };
    assert_eq!(ack.code, u32::from(ErrorCode::Unimplemented.number()));
}

#[test]
fn an_update_changes_only_what_it_names() {
    let world = World::new();
    let client = world.open("a");
    let registered = client.ok(register(
        "web",
        v1::Instance {
            zone: "z1".into(),
            metadata: [("k".into(), "v".into())].into(),
            ..instance("i", 3)
        },
    ));
    let update = |status, weight, metadata| {
        Command::Update(v1::SessionUpdate {
            service: key("web"),
            id: "i".into(),
            status,
            weight,
            metadata,
        })
    };
    let now = || world.discover("web").instances.remove(0);
    let draining = v1::InstanceStatus::Draining;

    let updated = client.ok(update(Some(draining.into()), None, None));
    assert!(updated.revision > registered.revision);
    assert_eq!(
        (now().status(), now().weight, now().revision),
        (draining, 100, updated.revision)
    );

    let updated = client.ok(update(None, Some(0), None));
    assert_eq!((now().status(), now().weight), (draining, 0));
    assert_eq!(now().metadata.len(), 1);
    assert_eq!(now().zone, "z1");

    let emptied = client.ok(update(None, None, Some(v1::MetadataUpdate::default())));
    assert!(now().metadata.is_empty());
    // The same again is no change.
    assert_eq!(
        client.ok(update(None, None, Some(v1::MetadataUpdate::default()))),
        v1::SessionAck {
            request_id: emptied.request_id + 1,
            ..emptied.clone()
        }
    );
    assert!(emptied.revision > updated.revision);

    assert_eq!(
        client.fails(update(Some(99), None, None)),
        ErrorCode::InvalidArgument
    );
    assert_eq!(
        client.fails(update(None, Some(65_536), None)),
        ErrorCode::InvalidArgument
    );
    let bad = v1::MetadataUpdate {
        entries: [(String::new(), String::new())].into(),
    };
    assert_eq!(
        client.fails(update(None, None, Some(bad))),
        ErrorCode::InvalidArgument
    );
    let missing = Command::Update(v1::SessionUpdate {
        service: key("web"),
        id: "other".into(),
        ..Default::default()
    });
    assert_eq!(client.fails(missing), ErrorCode::NotFound);
}

#[test]
fn deregistering_is_idempotent() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("i", 3)));
    assert!(client.ok(deregister("web", "i")).revision > 0);
    assert_eq!(client.ok(deregister("web", "i")).revision, 0);
    assert!(world.ids("web").is_empty());
}

#[test]
fn closing_removes_everything_at_once() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("b"));
    for id in ["i", "j"] {
        client.ok(register("web", instance(id, 3)));
    }
    client.ok(subscribe("web", None));
    watcher.ok(subscribe("web", None));
    client.take();
    watcher.take();
    let commands = [(9, close()), (10, register("web", instance("late", 3)))];
    assert_eq!(
        client.session.handle(request(commands)),
        Err(SessionEnd::Closed)
    );
    let events = client.session.try_next().unwrap().unwrap().events;
    assert!(
        matches!(&events[..], [v1::SessionEvent { body: Some(Event::Ack(ack)) }]
        if ack.request_id == 9 && ack.code == 0)
    );
    assert_eq!(client.ended(), Some(SessionEnd::Closed));
    assert_eq!(SessionEnd::Closed.error(), None);

    let [Event::Delta(delta)] = &watcher.take()[..] else {
        panic!()
    };
    assert!(delta.upserted.is_empty());
    assert_eq!(delta.removed.len(), 2);
    for removal in &delta.removed {
        assert_eq!(removal.reason(), v1::RemovalReason::Deregistered);
        assert_eq!(removal.removed_at_ms, EPOCH);
    }
    let metrics = world.registry.metrics();
    assert_eq!(
        (metrics.sessions, metrics.instances, metrics.subscriptions),
        (1, 0, 1)
    );
    // A closed session is not resumed.
    let again = world.resume("a", &client.opened.resume_token);
    assert!(!again.opened.resumed);
    assert_ne!(again.opened.session_id, client.opened.session_id);
}

#[test]
fn heartbeats_are_answered_once_however_many() {
    let world = World::new();
    let client = world.open("a");
    let commands = [(0, heartbeat()), (1, heartbeat()), (0, heartbeat())];
    client.session.handle(request(commands)).unwrap();
    let [Event::Ack(_), Event::HeartbeatAck(ack)] = &client.take()[..] else {
        panic!()
    };
    assert_eq!(ack.heartbeat_interval_ms, 0);
}

#[test]
fn the_heartbeat_interval_follows_the_shortest_ttl_and_is_told_at_once() {
    let world = World::new();
    let client = world.open("a");
    let told = || match &client.take()[..] {
        [] => None,
        [Event::HeartbeatAck(ack)] => Some(ack.heartbeat_interval_ms),
        other => panic!("{other:?}"),
    };
    client.ok(register("web", instance("ten", 10)));
    assert_eq!(told(), None);
    client.ok(register("web", instance("hour", 3_600)));
    assert_eq!(told(), None);
    client.ok(register("web", instance("one", 1)));
    assert_eq!(told(), Some(500));
    client.ok(deregister("web", "one"));
    assert_eq!(told(), Some(3_333));
    client.ok(deregister("web", "ten"));
    assert_eq!(told(), Some(10_000));
    client.ok(heartbeat());
    assert_eq!(told(), Some(0));
    client.ok(register("web", instance("hour", 6)));
    assert_eq!(told(), Some(2_000));
    client.ok(register("web", instance("hour", 9)));
    assert_eq!(told(), Some(3_000));
}
