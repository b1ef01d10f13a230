//! What a program knows without a server: from disk, or from its configuration.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use quorate::{CacheState, Client, Instance, Registration, ServiceEvent};

use crate::server::{Server, soon, until};

fn quick(server: &Server, cache: &Path) -> Client {
    server
        .builder()
        .request_timeout(Duration::from_millis(700))
        .cache_dir(cache)
        .build()
        .unwrap()
}

fn files(cache: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(cache) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_without_a_server_starts_from_disk() {
    let mut server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let provider = server.client();
    let one = soon(provider.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let first = quick(&server, &cache);
    assert_eq!(
        soon(first.discover("web")).await.unwrap().instances.len(),
        1
    );
    let two = soon(provider.register(Registration::new("web", "h:2")))
        .await
        .unwrap();
    until("seen", || {
        first
            .service("web")
            .unwrap()
            .view()
            .unwrap()
            .instances
            .len()
            == 2
    })
    .await;
    soon(first.close()).await;
    assert_eq!(files(&cache).len(), 1, "written at the latest when closing");

    server.kill();
    let second = quick(&server, &cache);
    let view = soon(second.discover("web")).await.unwrap();
    assert_eq!(view.freshness.state, CacheState::Snapshot);
    assert_eq!(view.instances.len(), 2);
    assert!(view.freshness.age < Duration::from_secs(60));
    let pick = second.pick("web", &Default::default()).unwrap();
    assert_eq!(pick.state(), CacheState::Snapshot);
    drop(pick);

    server.start_again(None);
    let mut watch = second.watch_service("web").unwrap();
    soon(watch.next()).await.unwrap();
    until("live", || {
        let view = second.service("web").unwrap().view().unwrap();
        view.freshness.state == CacheState::Live && view.instances.len() == 2
    })
    .await;
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_disk_saves_the_transfer() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let provider = server.client();
    let one = soon(provider.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let first = quick(&server, directory.path());
    soon(first.discover("web")).await.unwrap();
    soon(first.close()).await;
    let before = server.registry.metrics().snapshots;
    let second = quick(&server, directory.path());
    let view = soon(second.discover("web")).await.unwrap();
    assert_eq!(view.freshness.state, CacheState::Live);
    assert_eq!(view.instances.len(), 1);
    assert_eq!(server.registry.metrics().snapshots, before);
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_as_good_as_none() {
    let mut server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let provider = server.client();
    let one = soon(provider.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    let first = quick(&server, directory.path());
    soon(first.discover("web")).await.unwrap();
    soon(first.close()).await;
    let file = files(directory.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x10;
    fs::write(&file, bytes).unwrap();
    let second = quick(&server, directory.path());
    assert_eq!(
        soon(second.discover("web")).await.unwrap().freshness.state,
        CacheState::Live
    );
    assert_eq!(second.metrics().cache_files_bad, 1);
    soon(second.close()).await;
    server.kill();
    let third = quick(&server, directory.path());
    let view = soon(third.discover("web")).await.unwrap();
    assert_eq!(
        view.freshness.state,
        CacheState::Snapshot,
        "it was made good"
    );
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_instances_are_the_last_resort() {
    let mut server = Server::start().await;
    server.kill();
    let client = server
        .builder()
        .request_timeout(Duration::from_millis(500))
        .static_instances("web", vec![Instance::new("10.0.0.9:80")])
        .build()
        .unwrap();
    let view = soon(client.discover("web")).await.unwrap();
    assert_eq!(view.freshness.state, CacheState::Static);
    assert_eq!(client.metrics().services.configured, 1);
    let mut watch = client.watch_service("web").unwrap();
    assert!(matches!(
        soon(watch.next()).await.unwrap(),
        ServiceEvent::Snapshot { .. }
    ));
    server.start_again(None);
    let provider = server.client();
    let one = soon(provider.register(Registration::new("web", "h:1")))
        .await
        .unwrap();
    until("the real ones", || {
        let view = client.service("web").unwrap().view().unwrap();
        view.freshness.state == CacheState::Live && view.instances[0].id == "h:1"
    })
    .await;
    drop(one);
}
