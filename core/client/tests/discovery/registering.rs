//! What is registered is visible, stays so, and goes when it should.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use quorate::{
    ErrorCode, InstanceStatus, InstanceUpdate, Registration, RemovalReason, ServiceEvent,
};
use quorate_proto::v1;

use crate::server::{Server, key, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_seen_changed_and_removed_by_others() {
    let server = Server::start().await;
    let provider = server.client();
    let consumer = server.client();
    assert!(
        soon(consumer.discover("web"))
            .await
            .unwrap()
            .instances
            .is_empty()
    );
    let mut watch = consumer.watch_service("web").unwrap();
    let first = soon(watch.next()).await.unwrap();
    assert!(matches!(first, ServiceEvent::Snapshot { view } if view.instances.is_empty()));

    let registration = Registration::new("web", "10.0.0.1:80")
        .id("one")
        .weight(7)
        .zone("z")
        .metadata("k", "v");
    let registered = soon(provider.register(registration)).await.unwrap();
    assert!(registered.revision() > 0);
    let ServiceEvent::Changed { view, added, .. } = soon(watch.next()).await.unwrap() else {
        panic!("a change");
    };
    assert_eq!(added[0].id, "one");
    assert_eq!((added[0].weight, added[0].metadata["k"].as_str()), (7, "v"));
    assert_eq!(view.instances.len(), 1);
    assert!(view.freshness.complete);

    let before = registered.revision();
    let update = InstanceUpdate {
        status: Some(InstanceStatus::Draining),
        weight: Some(9),
        metadata: Some(BTreeMap::new()),
    };
    soon(registered.update(update.clone())).await.unwrap();
    assert!(registered.revision() > before);
    let ServiceEvent::Changed { updated, .. } = soon(watch.next()).await.unwrap() else {
        panic!("a change");
    };
    assert_eq!(updated[0].status, InstanceStatus::Draining);
    assert!(updated[0].metadata.is_empty() && updated[0].zone == "z");
    let revision = registered.revision();
    soon(registered.update(update)).await.unwrap();
    assert_eq!(registered.revision(), revision, "nothing changed");

    soon(registered.deregister()).await.unwrap();
    let ServiceEvent::Changed { removed, view, .. } = soon(watch.next()).await.unwrap() else {
        panic!("a change");
    };
    assert_eq!(removed[0].reason, Some(RemovalReason::Deregistered));
    assert!(view.instances.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_handle_or_closing_the_client_deregisters() {
    let server = Server::start().await;
    let client = server.client();
    let one = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let two = soon(client.register(Registration::new("web", "h:2")))
        .await
        .unwrap();
    assert_eq!(server.ids("web"), ["h:1", "h:2"]);
    drop(one);
    until("the first is gone", || server.ids("web") == ["h:2"]).await;
    soon(client.close()).await;
    assert!(server.ids("web").is_empty(), "close waits for it");
    let error = soon(two.update(InstanceUpdate::default()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Closed);
    let again = soon(client.register(Registration::new("web", "h:3"))).await;
    assert_eq!(again.unwrap_err().code(), ErrorCode::Closed);
    let found = soon(client.discover("web")).await;
    assert_eq!(found.unwrap_err().code(), ErrorCode::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_of_a_client_ends_its_session() {
    let server = Server::start().await;
    let client = server.client();
    let registered = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.ids("web"), ["h:1"], "the handle keeps it alive");
    drop(registered);
    until("it is gone", || server.ids("web").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_registration_of_the_same_id_takes_over() {
    let server = Server::start().await;
    let client = server.client();
    let old = soon(client.register(Registration::new("web", "h:1").weight(1)))
        .await
        .unwrap();
    let new = soon(client.register(Registration::new("web", "h:1").weight(2)))
        .await
        .unwrap();
    drop(old);
    soon(new.update(InstanceUpdate {
        weight: Some(3),
        ..Default::default()
    }))
    .await
    .unwrap();
    assert_eq!(server.ids("web"), ["h:1"]);
    soon(new.deregister()).await.unwrap();
    assert!(server.ids("web").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_register_leaves_nothing_behind() {
    let server = Server::start().await;
    let client = server.client();
    soon(client.discover("web")).await.unwrap();
    server.faults.mute.store(true, Ordering::Relaxed);
    {
        let register = client.register(Registration::new("web", "h:1"));
        let answer = tokio::time::timeout(Duration::from_millis(300), register).await;
        assert!(answer.is_err());
    }
    until("it arrived", || server.ids("web") == ["h:1"]).await;
    server.faults.mute.store(false, Ordering::Relaxed);
    until("it is withdrawn", || server.ids("web").is_empty()).await;
    let kept = soon(client.register(Registration::new("web", "h:2")))
        .await
        .unwrap();
    assert_eq!(server.ids("web"), ["h:2"]);
    assert_eq!(client.metrics().registrations, 1);
    drop(kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_fails_in_time_and_leaves_nothing_behind() {
    let mut server = Server::start().await;
    server.kill();
    let client = server
        .builder()
        .request_timeout(Duration::from_millis(400))
        .build()
        .unwrap();
    let error = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert!(error.message().contains(&server.endpoint()), "{error}");
    let error = soon(client.discover("web")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    server.start_again(None);
    until("the client is back", || {
        client.metrics().sessions_opened == 1
    })
    .await;
    soon(client.discover("web")).await.unwrap();
    assert!(server.ids("web").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_removed_stays_away() {
    let server = Server::start().await;
    let client = server.client();
    let registered = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let request = v1::DeregisterRequest {
        service: Some(key("web")),
        id: "h:1".into(),
    };
    assert!(server.registry.deregister(&request).unwrap().removed);
    assert_eq!(
        soon(registered.eviction()).await,
        RemovalReason::Deregistered
    );
    assert_eq!(registered.evicted(), Some(RemovalReason::Deregistered));
    let error = soon(registered.update(InstanceUpdate::default()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    server.cut();
    until("a new stream", || client.metrics().sessions_opened == 2).await;
    assert!(server.ids("web").is_empty());
    let again = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    assert_eq!(server.ids("web"), ["h:1"]);
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_registrations_travel_in_few_messages() {
    let server = Server::start().await;
    let client = server.client();
    soon(client.discover("web")).await.unwrap();
    let before = server.faults.messages.load(Ordering::Relaxed);
    let all = (0..2000).map(|n| client.register(Registration::new("web", format!("h:{n}"))));
    let registered = soon(futures::future::join_all(all)).await;
    assert!(registered.iter().all(Result::is_ok));
    assert_eq!(server.ids("web").len(), 2000);
    let messages = server.faults.messages.load(Ordering::Relaxed) - before;
    assert!(messages < 200, "{messages} messages");
    drop(registered);
    until("all are gone", || server.ids("web").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_a_client_that_vanishes_goes_at_its_ttl() {
    let server = Server::start().await;
    let consumer = server.client();
    let mut watch = consumer.watch_service("web").unwrap();
    soon(watch.next()).await.unwrap();
    // A runtime that stops without goodbye is a process that was killed.
    let endpoint = server.endpoint();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async move {
            let client = quorate::Client::builder()
                .endpoints([endpoint])
                .build()
                .unwrap();
            let registration = Registration::new("web", "h:1").ttl(Duration::from_secs(1));
            std::mem::forget(client.register(registration).await.unwrap());
        });
        runtime
    })
    .join()
    .unwrap();
    let added = soon(watch.next()).await.unwrap();
    assert!(matches!(added, ServiceEvent::Changed { .. }));
    runtime.shutdown_background();
    let started = std::time::Instant::now();
    let ServiceEvent::Changed { removed, .. } = soon(watch.next()).await.unwrap() else {
        panic!("a change");
    };
    assert_eq!(removed[0].reason, Some(RemovalReason::SessionLost));
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_listed_by_namespace() {
    let server = Server::start().await;
    let client = server.client();
    let other = server.builder().namespace("team").build().unwrap();
    let web = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let down = Registration::new("api", "h:2").status(InstanceStatus::Down);
    let api = soon(client.register(down)).await.unwrap();
    let team = soon(other.register(Registration::new("web", "h:3")))
        .await
        .unwrap();
    let listed = soon(client.list_services(None)).await.unwrap();
    let names: Vec<_> = listed.iter().map(|s| s.service.name().to_owned()).collect();
    assert_eq!(names, ["api", "web"]);
    assert_eq!((listed[0].instances, listed[0].up), (1, 0));
    assert_eq!(
        soon(client.list_services(Some("team")))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        soon(client.list_services(Some("*"))).await.unwrap().len(),
        3
    );
    drop((web, api, team));
}
