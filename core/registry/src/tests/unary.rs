//! The way of simple clients.

use std::time::Duration;

use quorate_proto::v1;
use quorate_proto::v1::watch_service_response::Body;
use quorate_types::ErrorCode;

use super::clients::*;

#[test]
fn register_answers_what_it_chose() {
    let world = World::new();
    let response = world.register(
        "web",
        v1::Instance {
            address: "10.0.0.1:80".into(),
            ..Default::default()
        },
    );
    assert_eq!(
        (response.id.as_str(), response.ttl_ms),
        ("10.0.0.1:80", 10_000)
    );
    let found = world.discover("web").instances.remove(0);
    assert_eq!(found.revision, response.revision);
    assert_eq!(found.status(), v1::InstanceStatus::Up);
    assert!(world.deregister("web", "10.0.0.1:80"));
    assert!(!world.deregister("web", "10.0.0.1:80"));
    assert!(!world.deregister("never", "i"));
}

#[test]
fn bad_arguments_are_refused() {
    let world = World::new();
    let code = |service, instance| {
        let request = v1::RegisterRequest { service, instance };
        world.registry.register(request).unwrap_err().code()
    };
    assert_eq!(
        code(None, Some(instance("i", 3))),
        ErrorCode::InvalidArgument
    );
    assert_eq!(code(key("web"), None), ErrorCode::InvalidArgument);
    assert_eq!(
        code(key("web"), Some(v1::Instance::default())),
        ErrorCode::InvalidArgument
    );
    let no_service = v1::DiscoverRequest { service: None };
    assert!(world.registry.discover(&no_service).is_err());
    assert!(
        world
            .registry
            .watch(&v1::WatchServiceRequest::default())
            .is_err()
    );
    assert!(
        world
            .registry
            .heartbeat(&v1::HeartbeatRequest::default())
            .is_err()
    );
    assert!(
        world
            .registry
            .deregister(&v1::DeregisterRequest::default())
            .is_err()
    );
    assert_eq!(world.registry.metrics().services, 0);
}

#[test]
fn an_unknown_service_is_empty_and_discovering_it_leaves_nothing_behind() {
    let world = World::new();
    let snapshot = world.discover("none");
    assert!(snapshot.instances.is_empty() && snapshot.complete);
    assert_eq!(snapshot.version.unwrap().epoch, EPOCH);
    assert_eq!(world.registry.metrics().services, 0);
}

#[tokio::test]
async fn a_watch_gives_a_snapshot_then_deltas() {
    let world = World::new();
    world.register("web", instance("i", 10));
    let request = v1::WatchServiceRequest {
        service: key("web"),
        known: None,
    };
    let watch = world.registry.watch(&request).unwrap();
    let mut views = Views::default();
    let next = async || {
        tokio::time::timeout(Duration::from_secs(10), watch.next())
            .await
            .expect("in time")
    };
    let Some(Body::Snapshot(snapshot)) = next().await.unwrap().body else {
        panic!()
    };
    views.snapshot(&snapshot);
    world.register("web", instance("j", 10));
    world.deregister("web", "i");
    let Some(Body::Delta(delta)) = next().await.unwrap().body else {
        panic!()
    };
    views.delta(&delta);
    assert_eq!(views.0["web"].instances.keys().collect::<Vec<_>>(), ["j"]);
    assert_eq!(watch.try_next(), Ok(None));

    // With the newest known there is nothing to say, until something changes.
    let known = world.discover("web").version;
    let second = world
        .registry
        .watch(&v1::WatchServiceRequest {
            service: key("web"),
            known,
        })
        .unwrap();
    assert_eq!(second.try_next(), Ok(None));
    world.register("web", instance("k", 10));
    assert!(matches!(
        second.try_next().unwrap().unwrap().body,
        Some(Body::Delta(_))
    ));

    world.registry.drain(Duration::ZERO, "going down");
    assert_eq!(next().await.unwrap_err().code(), ErrorCode::Unavailable);
    assert_eq!(
        world.registry.watch(&request).unwrap_err().code(),
        ErrorCode::Unavailable
    );
    drop((watch, second));
    assert_eq!(world.registry.metrics().subscriptions, 0);
}
