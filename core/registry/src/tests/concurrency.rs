//! Many at once: nothing is orphaned, nobody is left with an old view.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;

use super::clients::*;

const ROUNDS: u32 = 1_500;

/// Sessions and a unary client take the same few instances from each other while one is
/// superseded and resumed and a subscriber looks on.
#[test]
fn instances_fought_over_always_have_one_owner() {
    let world = World::new();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let fighters: Vec<_> = (0..4u64)
            .map(|n| {
                scope.spawn({
                    let world = &world;
                    move || fight(world, n)
                })
            })
            .collect();
        let watching = scope.spawn(|| watch(&world, &over));
        for fighter in fighters {
            fighter.join().unwrap();
        }
        over.store(true, Ordering::SeqCst);
        let view = watching.join().unwrap();
        let now = world.discover("web");
        assert_eq!(Some(view.version), now.version);
        assert_eq!(view.instances.len(), now.instances.len());
        assert!(view.version.revision > 0);
    });
    let metrics = world.registry.metrics();
    assert_eq!(
        metrics.instances,
        world.discover("web").instances.len() as u64
    );
    assert_eq!((metrics.sessions, metrics.subscriptions), (3, 0));
    // An instance whose owner does not know of it would stay for ever.
    world.pass(120_000);
    assert!(world.ids("web").is_empty());
    let metrics = world.registry.metrics();
    assert_eq!((metrics.instances, metrics.sessions), (0, 0));
}

fn fight(world: &World, n: u64) {
    let random = fastrand::Rng::with_seed(n);
    let mut random = random;
    let mut client = (n != 0).then(|| world.open(&format!("c{n}")));
    for _ in 0..ROUNDS {
        let id = ["i", "j", "k"][random.usize(..3)];
        let wire = v1::Instance {
            weight: random.u32(..2),
            ..instance(id, 30)
        };
        let Some(current) = &client else {
            if random.bool() {
                world.register("web", wire);
            } else {
                world.deregister("web", id);
            }
            continue;
        };
        match random.u32(..8) {
            0 => {
                let token = current.opened.resume_token.clone();
                client = Some(world.resume(&format!("c{n}"), &token));
            }
            1 | 2 => drop(current.call(deregister("web", id))),
            3 => drop(current.call(Command::Update(v1::SessionUpdate {
                service: key("web"),
                id: id.into(),
                weight: Some(random.u32(..9)),
                ..Default::default()
            }))),
            _ => drop(current.ok(register("web", wire))),
        }
    }
}

fn watch(world: &World, over: &AtomicBool) -> View {
    let request = v1::WatchServiceRequest {
        service: key("web"),
        known: None,
    };
    let watch = world.registry.watch(&request).unwrap();
    let mut views = Views::default();
    loop {
        // Read before looking: what changed until then must be seen.
        let last_look = over.load(Ordering::SeqCst);
        while let Some(response) = watch.try_next().unwrap() {
            use v1::watch_service_response::Body;
            match response.body.unwrap() {
                Body::Snapshot(snapshot) => views.snapshot(&snapshot),
                Body::Delta(delta) => views.delta(&delta),
            }
        }
        if last_look {
            return views.0.remove("web").unwrap();
        }
        thread::yield_now();
    }
}
