//! Programs find each other through a real server, whatever is killed.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use quorate::{
    CacheState, Client, ErrorCode, InstanceUpdate, Outcome, PickOptions, Registration,
    RemovalReason, ServiceEvent, ServiceView, ServiceWatch,
};
use quorate_tests::process::OwnedChild;
use quorate_tests::proxy::Proxy;
use quorate_tests::server::{Server, binary};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

async fn client(address: &str) -> Result<Client> {
    let client = Client::builder().endpoints([address]).build()?;
    client.connected().await?;
    Ok(client)
}

async fn next(watch: &mut ServiceWatch) -> Result<ServiceEvent> {
    timeout(PATIENCE, watch.next())
        .await
        .context("nothing happened")?
        .context("the watch has ended")
}

/// Reads on until the view is as wanted; every view on the way goes to `seen`.
async fn until(
    watch: &mut ServiceWatch,
    mut seen: impl FnMut(&ServiceView),
    wanted: impl Fn(&ServiceView) -> bool,
) -> Result<ServiceView> {
    loop {
        let view = match next(watch).await? {
            ServiceEvent::Snapshot { view }
            | ServiceEvent::Changed { view, .. }
            | ServiceEvent::Resync { view } => view,
            _ => continue,
        };
        seen(&view);
        if wanted(&view) {
            return Ok(view);
        }
    }
}

fn ids(view: &ServiceView) -> BTreeSet<String> {
    view.instances.iter().map(|one| one.id.clone()).collect()
}

/// A program of its own that keeps an instance registered.
fn provider(server: &Server, address: &str, ttl: &str) -> Result<OwnedChild> {
    Ok(OwnedChild::spawn(
        Command::new(binary()?)
            .args(["register", "web", address, "--ttl", ttl])
            .args(["--endpoints", server.address()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_seen_changed_and_removed_elsewhere() -> Result<()> {
    let server = Server::start()?;
    let (one, other) = (
        client(server.address()).await?,
        client(server.address()).await?,
    );
    let mut watch = other.watch_service("web")?;
    let registered = one
        .register(
            Registration::new("web", "127.0.0.1:8080")
                .weight(7)
                .metadata("tier", "gold"),
        )
        .await?;
    let view = until(&mut watch, |_| {}, |view| !view.instances.is_empty()).await?;
    let instance = view.instance("127.0.0.1:8080").context("not there")?;
    ensure!(instance.weight == 7 && instance.metadata["tier"] == "gold");
    ensure!(view.freshness.state == CacheState::Live);
    let revision = instance.revision;

    registered
        .update(InstanceUpdate {
            weight: Some(9),
            ..Default::default()
        })
        .await?;
    let view = until(&mut watch, |_| {}, |view| view.instances[0].weight == 9).await?;
    ensure!(view.instances[0].revision > revision);

    registered.deregister().await?;
    loop {
        if let ServiceEvent::Changed { removed, view, .. } = next(&mut watch).await? {
            ensure!(
                removed[0].reason == Some(RemovalReason::Deregistered),
                "{removed:?}"
            );
            ensure!(view.instances.is_empty());
            break;
        }
    }
    let error = other
        .pick("web", &PickOptions::default())
        .err()
        .context("picked nothing")?;
    ensure!(error.code() == ErrorCode::NoEndpoints);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_is_gone_at_its_ttl_and_not_before() -> Result<()> {
    let server = Server::start()?;
    let consumer = client(server.address()).await?;
    let mut watch = consumer.watch_service("web")?;
    let provider = provider(&server, "127.0.0.1:8080", "2")?;
    until(&mut watch, |_| {}, |view| view.instances.len() == 1).await?;
    let killed = Instant::now();
    drop(provider);
    loop {
        if let ServiceEvent::Changed { removed, .. } = next(&mut watch).await? {
            ensure!(
                removed[0].reason == Some(RemovalReason::SessionLost),
                "{removed:?}"
            );
            break;
        }
    }
    // Its last sign of life may have been a heartbeat interval, a third of the TTL, before.
    let took = killed.elapsed();
    ensure!(took >= Duration::from_millis(1_200), "gone after {took:?}");
    ensure!(took <= Duration::from_secs(12), "gone after {took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_takes_nothing_from_anybody() -> Result<()> {
    let mut server = Server::start()?;
    let consumer = client(server.address()).await?;
    let addresses: Vec<String> = (0..5)
        .map(|port| format!("127.0.0.1:{}", 8080 + port))
        .collect();
    let expected: BTreeSet<String> = addresses.iter().cloned().collect();
    let mut providers = Vec::new();
    for address in &addresses {
        providers.push(provider(&server, address, "3")?);
    }
    let mut watch = consumer.watch_service("web")?;
    until(&mut watch, |_| {}, |view| ids(view) == expected).await?;

    server.kill();
    loop {
        if let ServiceEvent::State { freshness } = next(&mut watch).await?
            && freshness.state == CacheState::Stale
        {
            break;
        }
    }
    for _ in 0..100 {
        let pick = consumer.pick("web", &PickOptions::default())?;
        ensure!(pick.state() == CacheState::Stale && expected.contains(pick.id()));
        pick.report(Outcome::Ok, None);
    }

    server.restart()?;
    // A newcomer sees them come back one by one; who knew them never sees one missing.
    let newcomer = client(server.address()).await?;
    let mut fresh = newcomer.watch_service("web")?;
    until(&mut fresh, |_| {}, |view| ids(view) == expected).await?;
    loop {
        match next(&mut watch).await? {
            ServiceEvent::State { freshness } if freshness.state == CacheState::Live => break,
            ServiceEvent::Changed { removed, view, .. } => {
                ensure!(removed.is_empty(), "{removed:?}");
                ensure!(ids(&view) == expected);
            }
            ServiceEvent::Resync { view } => ensure!(ids(&view) == expected),
            _ => {}
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_resumed_and_nobody_is_told() -> Result<()> {
    let server = Server::start()?;
    let proxy = Proxy::to(server.address()).await?;
    let provider = client(&proxy.address()).await?;
    let _registered = provider
        .register(Registration::new("web", "127.0.0.1:8080").ttl(Duration::from_secs(30)))
        .await?;
    let consumer = client(server.address()).await?;
    let mut watch = consumer.watch_service("web")?;
    let before = until(&mut watch, |_| {}, |view| view.instances.len() == 1).await?;

    for round in 1..=5 {
        proxy.cut();
        let resumed = async {
            while provider.metrics().sessions_resumed < round {
                // The client tells this by a counter only.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, resumed).await.context("not resumed")?;
    }
    // Had anything been pushed meanwhile, it would come before this change.
    let mark = consumer
        .register(Registration::new("web", "127.0.0.1:9999"))
        .await?;
    match next(&mut watch).await? {
        ServiceEvent::Changed {
            added,
            updated,
            removed,
            ..
        } => {
            ensure!(added.len() == 1 && added[0].id == mark.id());
            ensure!(updated.is_empty() && removed.is_empty());
        }
        other => bail!("unexpected {other:?}"),
    }
    let after = consumer.discover("web").await?;
    ensure!(after.instance("127.0.0.1:8080") == before.instance("127.0.0.1:8080"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_the_same_again_tells_nobody() -> Result<()> {
    let server = Server::start()?;
    let consumer = client(server.address()).await?;
    let one = client(server.address()).await?;
    let registration = || Registration::new("web", "127.0.0.1:8080");
    let first = one.register(registration()).await?;
    let mut watch = consumer.watch_service("web")?;
    let before = until(&mut watch, |_| {}, |view| view.instances.len() == 1).await?;
    let other = client(server.address()).await?;
    let second = other.register(registration()).await?;
    ensure!(second.revision() == before.instances[0].revision);
    // It belongs to the one that registered last: the first one's end does not end it.
    first.deregister().await.ok();
    one.close().await;
    let mark = consumer
        .register(Registration::new("web", "127.0.0.1:9999"))
        .await?;
    let view = until(
        &mut watch,
        |_| {},
        |view| view.instance(mark.id()).is_some(),
    )
    .await?;
    ensure!(view.instance("127.0.0.1:8080") == before.instance("127.0.0.1:8080"));
    ensure!(view.instances.len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_starts_without_a_server_works_from_disk() -> Result<()> {
    let mut server = Server::start()?;
    let cache = tempfile::tempdir()?;
    let build = || {
        Client::builder()
            .endpoints([server.address()])
            .cache_dir(cache.path())
            .request_timeout(Duration::from_secs(2))
            .build()
    };
    let provider = client(server.address()).await?;
    let _registered = provider
        .register(Registration::new("web", "127.0.0.1:8080"))
        .await?;
    let first = build()?;
    let mut watch = first.watch_service("web")?;
    until(&mut watch, |_| {}, |view| view.instances.len() == 1).await?;
    first.close().await;
    let second = build()?;
    server.kill();

    let view = second.discover("web").await?;
    ensure!(view.freshness.state == CacheState::Snapshot, "{view:?}");
    let pick = second.pick("web", &PickOptions::default())?;
    ensure!(pick.address() == "127.0.0.1:8080" && pick.state() == CacheState::Snapshot);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_listed_by_namespace() -> Result<()> {
    let server = Server::start()?;
    let one = client(server.address()).await?;
    let other = Client::builder()
        .endpoints([server.address()])
        .namespace("payments")
        .build()?;
    let _web = one
        .register(Registration::new("web", "127.0.0.1:1"))
        .await?;
    let _ledger = other
        .register(Registration::new("ledger", "127.0.0.1:2"))
        .await?;
    let names = |services: Vec<quorate::ServiceSummary>| -> Vec<String> {
        services.iter().map(|one| one.service.to_string()).collect()
    };
    ensure!(names(one.list_services(None).await?) == ["web"]);
    ensure!(names(other.list_services(None).await?) == ["payments/ledger"]);
    ensure!(names(one.list_services(Some("*")).await?) == ["web", "payments/ledger"]);
    ensure!(other.discover("web").await?.instances.is_empty());
    Ok(())
}
