//! Sessions that lose their connection and come back.

use quorate_proto::v1;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::ErrorCode;

use super::clients::*;
use crate::SessionEnd;

#[test]
fn a_resumed_session_stands_as_it_was_and_nobody_hears_of_it() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("w"));
    client.ok(register("web", instance("i", 10)));
    watcher.ok(subscribe("web", None));
    watcher.take();
    let (token, id) = (client.opened.resume_token.clone(), client.session.id());
    drop(client);
    world.pass(9_000);
    watcher.beat();
    let client = world.resume("a", &token);
    assert!(client.opened.resumed);
    assert_eq!(client.session.id(), id);
    assert_eq!(client.opened.resume_token, token);
    // Coming back is a sign of life.
    world.pass(9_000);
    assert_eq!(world.ids("web"), ["i"]);
    assert!(watcher.take().is_empty());
    client.ok(register("web", instance("i", 10)));
    assert!(watcher.take().is_empty());
    let metrics = world.registry.metrics();
    assert_eq!(
        (
            metrics.sessions_opened,
            metrics.sessions_resumed,
            metrics.sessions
        ),
        (2, 1, 2)
    );
}

#[test]
fn a_session_can_be_resumed_as_long_as_its_longest_ttl() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("i", 30)));
    let token = client.opened.resume_token.clone();
    drop(client);
    world.pass(29_999);
    assert!(world.resume("a", &token).opened.resumed);
    world.pass(30_000);
    assert!(!world.resume("a", &token).opened.resumed);
}

#[test]
fn a_session_without_instances_can_be_resumed_for_the_minimum() {
    let world = World::new();
    let token = world.open("a").opened.resume_token;
    world.pass(9_999);
    let client = world.resume("a", &token);
    assert!(client.opened.resumed);
    assert_eq!(client.opened.session_ttl_ms, 10_000);
    drop(client);
    world.pass(10_000);
    assert_eq!(world.registry.metrics().sessions, 0);
    assert!(!world.resume("a", &token).opened.resumed);
}

#[test]
fn a_token_is_worth_nothing_to_another_client() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("i", 10)));
    for token in [&client.opened.resume_token[..], &[0; 16], b"short"] {
        let thief = world.resume("b", token);
        assert!(!thief.opened.resumed);
        assert_ne!(thief.session.id(), client.session.id());
    }
    assert_eq!(client.ended(), None);
}

#[test]
fn of_two_connections_with_one_token_the_newer_wins() {
    let world = World::new();
    let older = world.open("a");
    older.ok(register("web", instance("i", 10)));
    older.ok(subscribe("web", None));
    let newer = world.resume("a", &older.opened.resume_token);
    assert!(newer.opened.resumed);
    assert_eq!(older.ended(), Some(SessionEnd::Superseded));
    assert_eq!(
        SessionEnd::Superseded.error().unwrap().code(),
        ErrorCode::Conflict
    );
    let refused = older.session.handle(request([(1, deregister("web", "i"))]));
    assert_eq!(refused, Err(SessionEnd::Superseded));
    // The older one's going away does not detach the newer.
    drop(older);
    newer.ok(heartbeat());
    assert_eq!(world.ids("web"), ["i"]);
    assert_eq!(world.registry.metrics().subscriptions, 0);
}

#[test]
fn what_others_removed_while_away_is_told_on_resuming_until_it_is_settled() {
    let world = World::new();
    let client = world.open("a");
    for id in ["short", "taken", "stays"] {
        client.ok(register(
            "web",
            instance(id, if id == "short" { 5 } else { 60 }),
        ));
    }
    let token = client.opened.resume_token.clone();
    drop(client);
    assert!(world.deregister("web", "taken"));
    world.pass(6_000);
    assert_eq!(world.ids("web"), ["stays"]);
    let told = |client: &Client| {
        let mut told: Vec<_> = client
            .take()
            .into_iter()
            .map(|event| match event {
                Event::Evicted(evicted) => {
                    let removal = evicted.removal.unwrap();
                    (removal.id.clone(), removal.reason())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        told.sort();
        told
    };
    let both = [
        ("short".to_owned(), v1::RemovalReason::SessionLost),
        ("taken".to_owned(), v1::RemovalReason::Deregistered),
    ];
    let client = world.resume("a", &token);
    assert!(client.opened.resumed);
    assert_eq!(told(&client), both);
    // The notice may have been lost with the connection.
    drop(client);
    let client = world.resume("a", &token);
    assert_eq!(told(&client), both);
    client.ok(register("web", instance("short", 60)));
    client.ok(deregister("web", "taken"));
    drop(client);
    assert!(told(&world.resume("a", &token)).is_empty());
}

#[test]
fn too_many_evictions_to_remember_mean_register_again() {
    let world = World::with(|options| options.limits.instances_per_session = 1);
    let client = world.open("a");
    for id in ["i", "j"] {
        client.ok(register("web", instance(id, 60)));
        assert!(world.deregister("web", id));
    }
    let token = client.opened.resume_token.clone();
    drop(client);
    let client = world.resume("a", &token);
    assert!(!client.opened.resumed);
    drop(client);
    assert!(world.resume("a", &token).opened.resumed);
}
