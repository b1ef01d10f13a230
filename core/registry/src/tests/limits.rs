//! What is refused rather than held.

use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_types::ErrorCode::{self, ResourceExhausted};

use super::clients::*;
use crate::SessionEnd;

#[test]
fn instances_of_a_service_are_limited_by_number() {
    let world = World::with(|options| options.limits.instances_per_service = 2);
    let client = world.open("a");
    client.ok(register("web", instance("i", 10)));
    client.ok(register("web", instance("j", 10)));
    let ack = client.call(register("web", instance("k", 10)));
    assert_eq!(ack.code, u32::from(ResourceExhausted.number()));
    assert!(ack.message.contains("has 2 instances"), "{}", ack.message);
    client.ok(register(
        "web",
        v1::Instance {
            weight: 3,
            ..instance("j", 10)
        },
    ));
    client.ok(register("api", instance("k", 10)));
    client.ok(deregister("web", "i"));
    client.ok(register("web", instance("k", 10)));
}

#[test]
fn instances_of_a_service_are_limited_by_size() {
    let world = World::with(|options| options.limits.bytes_per_service = 1_000);
    let client = world.open("a");
    let sized = |id: &str, size| v1::Instance {
        metadata: [("k".to_owned(), "v".repeat(size))].into(),
        ..instance(id, 10)
    };
    client.ok(register("web", sized("i", 600)));
    assert_eq!(
        client.fails(register("web", sized("j", 600))),
        ResourceExhausted
    );
    // Refused, it leaves the old record as it was.
    assert_eq!(
        client.fails(register("web", sized("i", 1_200))),
        ResourceExhausted
    );
    let grow = Command::Update(v1::SessionUpdate {
        service: key("web"),
        id: "i".into(),
        metadata: Some(v1::MetadataUpdate {
            entries: sized("i", 1_200).metadata,
        }),
        ..Default::default()
    });
    assert_eq!(client.fails(grow), ResourceExhausted);
    assert_eq!(world.discover("web").instances[0].metadata["k"].len(), 600);
    client.ok(register("web", sized("i", 900)));
    // A service is not left behind by a refused first instance.
    assert_eq!(
        client.fails(register("api", sized("i", 1_200))),
        ResourceExhausted
    );
    assert_eq!(world.registry.metrics().services, 1);
}

#[test]
fn instances_of_a_session_are_limited() {
    let world = World::with(|options| options.limits.instances_per_session = 2);
    let (client, other) = (world.open("a"), world.open("b"));
    client.ok(register("web", instance("i", 10)));
    client.ok(register("api", instance("i", 10)));
    assert_eq!(
        client.fails(register("web", instance("j", 10))),
        ResourceExhausted
    );
    client.ok(register(
        "web",
        v1::Instance {
            weight: 3,
            ..instance("i", 10)
        },
    ));
    // Those taken over by others do not count.
    other.ok(register("web", instance("i", 10)));
    client.ok(register("web", instance("j", 10)));
}

#[test]
fn subscriptions_sessions_services_and_watches_are_limited() {
    let world = World::with(|options| {
        options.limits.subscriptions_per_session = 1;
        options.limits.sessions = 1;
        options.limits.services_per_namespace = 1;
        options.limits.watches = 1;
    });
    let client = world.open("a");
    client.ok(subscribe("web", None));
    client.ok(subscribe("web", None));
    assert_eq!(client.fails(subscribe("api", None)), ResourceExhausted);
    let open = Command::Open(v1::SessionOpen {
        client_id: "b".into(),
        ..Default::default()
    });
    let error = world.registry.open(request([(1, open)])).unwrap_err();
    assert_eq!(error.code(), ResourceExhausted);

    assert_eq!(
        client.fails(register("api", instance("i", 10))),
        ResourceExhausted
    );
    client.ok(Command::Register(v1::SessionRegister {
        service: Some(v1::ServiceKey {
            namespace: "other".into(),
            name: "api".into(),
        }),
        instance: Some(instance("i", 10)),
    }));

    let watch = |name| {
        world.registry.watch(&v1::WatchServiceRequest {
            service: key(name),
            known: None,
        })
    };
    let code = |name| watch(name).map(|_| ()).map_err(|error| error.code());
    assert_eq!(code("api"), Err(ResourceExhausted));
    let first = watch("web").unwrap();
    assert_eq!(code("web"), Err(ResourceExhausted));
    drop(first);
    assert_eq!(code("web"), Ok(()));
    assert_eq!(world.registry.metrics().subscriptions, 1);
}

#[test]
fn a_client_that_talks_without_listening_is_cut_off() {
    let world = World::with(|options| options.limits.queued_acks = 100);
    let client = world.open("a");
    client.ok(register("web", instance("i", 10)));
    let some = || request((1..=30).map(|id| (id, heartbeat())));
    for _ in 0..3 {
        client.session.handle(some()).unwrap();
    }
    let end = client.session.handle(some()).unwrap_err();
    assert!(matches!(&end, SessionEnd::Refused(error) if error.code() == ResourceExhausted));
    // What it was answered so far it can still read; its registrations stand until the TTL.
    assert_eq!(client.session.try_next().unwrap().unwrap().events.len(), 91);
    assert_eq!(client.ended(), Some(end));
    assert_eq!(world.ids("web"), ["i"]);
    let token = client.opened.resume_token.clone();
    drop(client);
    assert!(world.resume("a", &token).opened.resumed);
}

#[tokio::test]
async fn reading_the_answers_makes_room() {
    let world = World::with(|options| options.limits.queued_acks = 100);
    let client = world.open("a");
    client.session.ready().await;
    client
        .session
        .handle(request((1..=60).map(|id| (id, heartbeat()))))
        .unwrap();
    let ready = async {
        client.session.ready().await;
        client.session.try_next()
    };
    let read = async {
        tokio::task::yield_now().await;
        client.session.try_next().unwrap().unwrap().events.len()
    };
    let both = async { tokio::join!(biased; ready, read) };
    let (after, events) = tokio::time::timeout(std::time::Duration::from_secs(10), both)
        .await
        .expect("ready");
    assert_eq!((after, events), (Ok(None), 61));
    // An ended session is always ready: `handle` says why it ended.
    client
        .session
        .handle(request((1..=60).map(|id| (id, heartbeat()))))
        .unwrap();
    client.session.detach();
    client.session.ready().await;
    let refused = client.session.handle(request([(1, heartbeat())]));
    assert_eq!(
        refused.unwrap_err().error().map(|error| error.code()),
        None::<ErrorCode>
    );
}
