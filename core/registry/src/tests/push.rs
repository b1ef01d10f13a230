//! What subscribers are sent, and what not.

use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;

use super::clients::*;

fn update(id: &str, weight: u32) -> Command {
    Command::Update(v1::SessionUpdate {
        service: key("web"),
        id: id.into(),
        weight: Some(weight),
        ..Default::default()
    })
}

#[test]
fn a_snapshot_first_then_deltas() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("w"));
    client.ok(register("web", instance("i", 10)));
    watcher.ok(subscribe("web", None));
    let mut views = Views::default();
    let [event @ Event::Snapshot(snapshot)] = &watcher.take()[..] else {
        panic!()
    };
    assert!(snapshot.complete);
    assert_eq!(snapshot.absent_reason(), v1::RemovalReason::SessionLost);
    assert_eq!(snapshot.version.unwrap().epoch, EPOCH);
    assert!(views.apply(event).is_some());

    client.ok(register("web", instance("j", 10)));
    client.ok(update("i", 7));
    client.ok(deregister("web", "j"));
    let [event @ Event::Delta(delta)] = &watcher.take()[..] else {
        panic!()
    };
    // Three changes, one delta; each id once.
    assert_eq!(delta.upserted.len(), 1);
    assert_eq!(delta.removed.len(), 1);
    assert!(views.apply(event).is_some());
    assert_eq!(views.0["web"].instances["i"].weight, 7);
    assert!(watcher.take().is_empty());
}

#[test]
fn identical_registrations_are_told_to_nobody() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("w"));
    let first = client.ok(register("web", instance("i", 10)));
    watcher.ok(subscribe("web", None));
    watcher.take();
    world.pass(1_000);
    let again = client.ok(register("web", instance("i", 10)));
    assert_eq!(again.revision, first.revision);
    client.ok(update("i", 100));
    assert!(watcher.take().is_empty());
    assert_eq!(world.registry.metrics().registrations_unchanged, 1);
}

#[test]
fn who_has_the_newest_gets_only_the_ack() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("w"));
    client.ok(register("web", instance("i", 10)));
    let version = world.discover("web").version;
    let ack = watcher.ok(subscribe("web", version));
    assert_eq!(ack.revision, version.unwrap().revision, "nothing follows");
    assert!(watcher.take().is_empty());
    client.ok(update("i", 7));
    assert!(matches!(&watcher.take()[..], [Event::Delta(delta)]
        if delta.from_revision == version.unwrap().revision));
    // Of a service nobody knows, too.
    let version = world.discover("unknown").version;
    watcher.ok(subscribe("unknown", version));
    assert!(watcher.take().is_empty());
}

#[test]
fn the_ack_says_whether_a_view_follows() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("w"));
    client.ok(register("web", instance("i", 10)));
    let version = world.discover("web").version;
    client.ok(update("i", 7));
    assert_eq!(watcher.ok(subscribe("web", version)).revision, 0);
    let newest = world.discover("web").version;
    assert_eq!(
        watcher.ok(subscribe("web", newest)).revision,
        newest.unwrap().revision
    );
    assert_eq!(watcher.ok(subscribe("web", None)).revision, 0);
}

#[test]
fn who_has_an_older_version_gets_a_delta_if_history_reaches() {
    let world = World::with(|options| options.limits.tombstones_per_service = 2);
    let client = world.open("a");
    client.ok(register("web", instance("i", 10)));
    let old = world.discover("web").version.unwrap();
    for id in ["j", "k"] {
        client.ok(register("web", instance(id, 10)));
        client.ok(deregister("web", id));
    }
    let sent = |known: v1::ViewVersion| {
        let watcher = world.open("w");
        watcher.ok(subscribe("web", Some(known)));
        watcher.take().remove(0)
    };
    assert!(matches!(sent(old), Event::Delta(delta) if delta.removed.len() == 2));
    // Another epoch, a version from the future, or other content at the same version.
    let now = world.discover("web").version.unwrap();
    for wrong in [
        v1::ViewVersion {
            epoch: old.epoch - 1,
            ..old
        },
        v1::ViewVersion {
            revision: now.revision + 1,
            ..now
        },
        v1::ViewVersion {
            content_hash: now.content_hash + 1,
            ..now
        },
        v1::ViewVersion { revision: 0, ..old },
    ] {
        assert!(matches!(sent(wrong), Event::Snapshot(snapshot) if snapshot.complete));
    }
    // One tombstone too many: the oldest is forgotten, and with it the way from `old`.
    client.ok(register("web", instance("l", 10)));
    client.ok(deregister("web", "l"));
    assert!(matches!(sent(old), Event::Snapshot(snapshot) if snapshot.removed.len() == 2));
    assert!(matches!(sent(now), Event::Delta(_)));
}

#[test]
fn subscribing_again_starts_from_what_the_client_says() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("w"));
    client.ok(register("web", instance("i", 10)));
    watcher.ok(subscribe("web", None));
    let [Event::Snapshot(snapshot)] = &watcher.take()[..] else {
        panic!()
    };
    watcher.ok(subscribe("web", snapshot.version));
    assert!(watcher.take().is_empty());
    watcher.ok(subscribe("web", None));
    assert!(matches!(&watcher.take()[..], [Event::Snapshot(_)]));
    assert_eq!(world.registry.metrics().subscriptions, 1);
}

#[test]
fn nothing_comes_after_unsubscribing_and_empty_services_are_forgotten() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("w"));
    let unsubscribe = |name| Command::Unsubscribe(v1::SessionUnsubscribe { service: key(name) });
    watcher.ok(subscribe("web", None));
    assert_eq!(world.registry.metrics().services, 1);
    watcher.take();
    client.ok(register("web", instance("i", 10)));
    watcher.ok(unsubscribe("web"));
    client.ok(update("i", 7));
    assert!(
        watcher
            .take()
            .iter()
            .all(|event| matches!(event, Event::Delta(d)
        if d.upserted[0].weight == 100))
    );
    watcher.ok(unsubscribe("web"));
    watcher.ok(unsubscribe("never"));
    watcher.ok(subscribe("empty", None));
    assert_eq!(world.registry.metrics().services, 2);
    drop(watcher);
    assert_eq!(world.registry.metrics().services, 1);
    assert_eq!(world.registry.metrics().subscriptions, 0);
}

#[test]
fn the_order_of_removal_and_registration_does_not_confuse_a_slow_subscriber() {
    let world = World::new();
    let (client, watcher) = (world.open("a"), world.open("w"));
    client.ok(register("web", instance("i", 10)));
    watcher.ok(subscribe("web", None));
    let mut views = Views::default();
    views.apply(&watcher.take()[0]);
    for weight in 1..50 {
        client.ok(deregister("web", "i"));
        client.ok(register(
            "web",
            v1::Instance {
                weight,
                ..instance("i", 10)
            },
        ));
    }
    let [event @ Event::Delta(delta)] = &watcher.take()[..] else {
        panic!()
    };
    assert!(delta.removed.is_empty());
    views.apply(event);
    assert_eq!(views.0["web"].instances["i"].weight, 49);
}

#[test]
fn messages_are_bounded_and_nothing_is_left_behind() {
    let world = World::with(|options| options.limits.services_per_message = 3);
    let (client, watcher) = (world.open("a"), world.open("w"));
    for n in 0..10 {
        client.ok(register(&format!("s{n}"), instance("i", 10)));
    }
    let all = (0..10).map(|n| (0, subscribe(&format!("s{n}"), None)));
    watcher.session.handle(request(all)).unwrap();
    let mut sizes = Vec::new();
    while let Some(message) = watcher.session.try_next().unwrap() {
        sizes.push(message.events.len());
    }
    assert_eq!(sizes, [3, 3, 3, 1]);

    let world = World::with(|options| options.limits.message_bytes = 2_000);
    let (client, watcher) = (world.open("a"), world.open("w"));
    for n in 0..10 {
        let metadata = [("k".to_owned(), "v".repeat(900))].into();
        client.ok(register(
            &format!("s{n}"),
            v1::Instance {
                metadata,
                ..instance("i", 10)
            },
        ));
    }
    let all = (0..10).map(|n| (0, subscribe(&format!("s{n}"), None)));
    watcher.session.handle(request(all)).unwrap();
    let mut sizes = Vec::new();
    while let Some(message) = watcher.session.try_next().unwrap() {
        sizes.push(message.events.len());
    }
    assert_eq!(sizes, [2, 2, 2, 2, 2]);
}

#[tokio::test]
async fn a_change_wakes_the_one_who_waits() {
    let world = World::new();
    let watcher = world.open("w");
    watcher.ok(subscribe("web", None));
    watcher.take();
    let wait = async {
        let message = watcher.session.next().await.unwrap();
        assert!(matches!(message.events[0].body, Some(Event::Delta(_))));
    };
    let change = async {
        tokio::task::yield_now().await;
        world.register("web", instance("i", 10));
    };
    let both = async { tokio::join!(wait, change) };
    tokio::time::timeout(std::time::Duration::from_secs(10), both)
        .await
        .expect("woken");
}
