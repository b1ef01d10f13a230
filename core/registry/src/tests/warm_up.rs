//! After a restart, absence means nothing for a while.

use std::time::Duration;

use quorate_proto::v1;
use quorate_proto::v1::session_event::Body as Event;

use super::clients::*;

fn world() -> World {
    World::with(|options| options.warm_up = Some(Duration::from_secs(30)))
}

#[test]
fn snapshots_are_incomplete_until_the_warm_up_ends_and_then_everyone_gets_a_complete_one() {
    let world = world();
    let (client, watcher) = (world.open("a"), world.open("w"));
    client.ok(register("web", instance("i", 60)));
    for name in ["web", "empty"] {
        watcher.ok(subscribe(name, None));
        assert!(!world.discover(name).complete);
    }
    let mut views = Views::default();
    for event in watcher.take() {
        let Event::Snapshot(snapshot) = &event else {
            panic!()
        };
        assert!(!snapshot.complete);
        assert_eq!(snapshot.absent_reason(), v1::RemovalReason::Unspecified);
        views.apply(&event);
    }
    client.ok(register("web", instance("j", 60)));
    assert!(
        watcher
            .take()
            .iter()
            .all(|event| views.apply(event).is_some())
    );
    let gone = views.clone();

    for _ in 0..6 {
        watcher.beat();
        world.pass(5_000);
    }
    let events = watcher.take();
    assert_eq!(events.len(), 2);
    for event in &events {
        let Event::Snapshot(snapshot) = event else {
            panic!("{event:?}")
        };
        assert!(snapshot.complete);
        assert_eq!(snapshot.absent_reason(), v1::RemovalReason::SessionLost);
        views.apply(event);
    }
    assert!(views.0.values().all(|view| view.complete));
    client.ok(register("web", instance("k", 60)));
    assert!(matches!(&watcher.take()[..], [Event::Delta(_)]));

    // Who was away when it ended learns it on coming back.
    drop(watcher);
    let back = world.open("w");
    for (name, view) in &gone.0 {
        back.ok(subscribe(name, Some(view.version)));
        assert!(matches!(&back.take()[..], [Event::Snapshot(snapshot)] if snapshot.complete));
    }
}

#[test]
fn without_a_warm_up_everything_is_complete_at_once() {
    assert!(World::new().discover("web").complete);
}

#[test]
fn a_stall_prolongs_the_warm_up() {
    let world = world();
    let wait = world.sweep();
    world.clock.advance(60_000 + wait);
    world.sweep();
    assert!(!world.discover("web").complete);
    world.pass(30_000);
    assert!(world.discover("web").complete);
}
