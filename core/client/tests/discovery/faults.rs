//! Broken streams, lost messages, silent and restarted servers: what a program notices of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use quorate::{CacheState, Client, InstanceUpdate, Registration, ServiceEvent, ServiceWatch};

use crate::server::{Server, soon, until};

/// The next event that is about instances.
async fn next_change(watch: &mut ServiceWatch) -> ServiceEvent {
    loop {
        let event = soon(watch.next()).await.expect("not closed");
        if !matches!(event, ServiceEvent::State { .. }) {
            return event;
        }
    }
}

fn state(client: &Client, service: &str) -> Option<CacheState> {
    let view = client.service(service).unwrap().view();
    view.map(|view| view.freshness.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_is_resumed_without_a_flicker() {
    let server = Server::start().await;
    let provider = server.client();
    let consumer = server.client();
    let registered = soon(provider.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let mut watch = consumer.watch_service("web").unwrap();
    assert!(matches!(
        next_change(&mut watch).await,
        ServiceEvent::Snapshot { .. }
    ));
    let before = server.registry.metrics();
    for round in 1..=3 {
        server.cut();
        until("both are back", || {
            provider.metrics().sessions_resumed == round
                && consumer.metrics().sessions_resumed == round
        })
        .await;
    }
    until("live", || state(&consumer, "web") == Some(CacheState::Live)).await;
    let after = server.registry.metrics();
    assert_eq!(
        after.registrations, before.registrations,
        "nothing was registered again"
    );
    assert_eq!(
        after.registrations_unchanged, before.registrations_unchanged,
        "not even in vain"
    );
    assert_eq!(after.snapshots, before.snapshots, "nothing was pushed");
    assert_eq!(server.ids("web"), ["h:1"]);
    soon(registered.update(InstanceUpdate {
        weight: Some(5),
        ..Default::default()
    }))
    .await
    .unwrap();
    let ServiceEvent::Changed { updated, .. } = next_change(&mut watch).await else {
        panic!("a change, and nothing before it");
    };
    assert_eq!(updated[0].weight, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_survived_and_everything_comes_back() {
    let mut server = Server::start().await;
    let providers = [server.client(), server.client(), server.client()];
    let mut registered = Vec::new();
    for (n, provider) in providers.iter().enumerate() {
        let registration = Registration::new("web", format!("h:{n}"));
        registered.push(soon(provider.register(registration)).await.unwrap());
    }
    let consumer = server.client();
    let mut watch = consumer.watch_service("web").unwrap();
    next_change(&mut watch).await;
    let web = consumer.service("web").unwrap();
    let pick = || web.pick(&Default::default()).expect("always somebody");

    server.kill();
    until("stale", || pick().state() == CacheState::Stale).await;
    assert_eq!(web.view().unwrap().instances.len(), 3);
    // An update while there is nobody to tell it to is told later.
    let update = InstanceUpdate {
        weight: Some(9),
        ..Default::default()
    };
    assert!(registered[0].update(update).now_or_never().is_none());

    server.start_again(Some(Duration::from_millis(1500)));
    let mut fewest = usize::MAX;
    until("live and complete", || {
        drop(pick());
        let view = web.view().unwrap();
        fewest = fewest.min(view.instances.len());
        view.freshness.state == CacheState::Live && view.freshness.complete
    })
    .await;
    assert_eq!(fewest, 3, "nobody ever seemed gone");
    until("all are registered again", || server.ids("web").len() == 3).await;
    let told = soon(watch.next()).await;
    assert!(told.is_some());
    for provider in &providers {
        assert_eq!(provider.metrics().sessions_resumed, 0);
    }
    until("the update came", || {
        web.view()
            .unwrap()
            .instance("h:0")
            .is_some_and(|i| i.weight == 9)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_is_noticed_and_made_good() {
    let server = Server::start().await;
    let provider = server.client();
    let consumer = server.client();
    let one = soon(provider.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let mut watch = consumer.watch_service("web").unwrap();
    next_change(&mut watch).await;
    server.faults.lose_deltas.store(1, Ordering::Relaxed);
    let two = soon(provider.register(Registration::new("web", "h:2")))
        .await
        .unwrap();
    until("it is lost", || {
        server.faults.lose_deltas.load(Ordering::Relaxed) == 0
    })
    .await;
    let three = soon(provider.register(Registration::new("web", "h:3")))
        .await
        .unwrap();
    let ServiceEvent::Resync { view } = next_change(&mut watch).await else {
        panic!("told that the thread was lost");
    };
    assert_eq!(view.instances.len(), 3);
    assert_eq!(consumer.metrics().resyncs, 1);
    drop((one, two, three));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_message_is_noticed_and_made_good() {
    let server = Server::start().await;
    let provider = server.client();
    let consumer = server.client();
    let one = soon(provider.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let mut watch = consumer.watch_service("web").unwrap();
    next_change(&mut watch).await;
    server.faults.falsify_deltas.store(1, Ordering::Relaxed);
    let two = soon(provider.register(Registration::new("web", "h:2")))
        .await
        .unwrap();
    let ServiceEvent::Resync { view } = next_change(&mut watch).await else {
        panic!("told that the thread was lost");
    };
    assert_eq!(view.instances.len(), 2);
    assert_eq!(consumer.metrics().hash_mismatches, 1);
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_left() {
    let server = Server::start().await;
    let client = server.client();
    // A short TTL makes for short intervals.
    let registration = Registration::new("web", "h:1").ttl(Duration::from_secs(1));
    let registered = soon(client.register(registration)).await.unwrap();
    until("heartbeats", || client.metrics().heartbeats > 0).await;
    server.faults.mute.store(true, Ordering::Relaxed);
    until("silence is noticed", || {
        client.metrics().sessions_broken > 0
    })
    .await;
    server.faults.mute.store(false, Ordering::Relaxed);
    until("back", || state(&client, "web") == Some(CacheState::Live)).await;
    until("registered", || server.ids("web") == ["h:1"]).await;
    drop(registered);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_an_instance_with_a_short_ttl() {
    let server = Server::start().await;
    let provider = server.client();
    let consumer = server.client();
    let registration = Registration::new("web", "h:1").ttl(Duration::from_secs(1));
    let registered = soon(provider.register(registration)).await.unwrap();
    let mut watch = consumer.watch_service("web").unwrap();
    next_change(&mut watch).await;
    let quiet = tokio::time::timeout(Duration::from_millis(2500), watch.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert!(provider.metrics().heartbeats >= 5);
    drop(registered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_is_left_for_another() {
    let servers = [Server::start().await, Server::start().await];
    let client = Client::builder()
        .endpoints(servers.iter().map(Server::endpoint))
        .build()
        .unwrap();
    let registered = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let (first, other) = if servers[0].ids("web").is_empty() {
        (&servers[1], &servers[0])
    } else {
        (&servers[0], &servers[1])
    };
    assert!(other.ids("web").is_empty());
    first.registry.drain(Duration::from_secs(60), "maintenance");
    until("it moved", || other.ids("web") == ["h:1"]).await;
    assert_eq!(client.metrics().sessions_broken, 0);
    drop(registered);
    until("it left", || other.ids("web").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_is_left_for_another() {
    let mut servers = [Server::start().await, Server::start().await];
    let client = Client::builder()
        .endpoints(servers.iter().map(Server::endpoint))
        .connect_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    let registered = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let used = usize::from(servers[0].ids("web").is_empty());
    servers[used].kill();
    until("it moved", || servers[1 - used].ids("web") == ["h:1"]).await;
    drop(registered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deregistration_while_disconnected_is_remembered() {
    let mut server = Server::start().await;
    let client = server.client();
    let one = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let two = soon(client.register(Registration::new("web", "h:2")))
        .await
        .unwrap();
    server.kill();
    until("it is noticed", || client.metrics().sessions_broken == 1).await;
    drop(one);
    server.start_again(None);
    until("the other is back", || server.ids("web") == ["h:2"]).await;
    assert_eq!(client.metrics().registrations, 1);
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_without_a_server_does_not_hang() {
    let mut server = Server::start().await;
    let client = server
        .builder()
        .request_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    let registered = soon(client.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let mut watch = client.watch_service("web").unwrap();
    server.kill();
    let started = std::time::Instant::now();
    soon(client.close()).await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    while soon(watch.next()).await.is_some() {}
    drop(registered);
}
