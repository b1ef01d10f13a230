//! reqwest: by name, with a pick for each request, or by its resolver.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate::ErrorCode;
use quorate::adapters::reqwest::{CallError, Caller, Resolver};

use crate::provider::{Provider, Speaks};
use crate::server::{Server, soon};

fn http() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_enough_and_a_killed_provider_is_not_noticed() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let mut web = Vec::new();
    for _ in 0..3 {
        web.push(Provider::start(&provider, "web", Speaks::Http).await);
    }
    let http = http().build().unwrap();
    let caller = Caller::new(consumer, http.clone());
    let get = async || {
        let request = http.get("http://web/items").build().unwrap();
        let answer = soon(caller.send(request)).await.unwrap();
        assert!(answer.status().is_success());
        answer.text().await.unwrap()
    };
    let mut seen = BTreeSet::new();
    while seen.len() < 3 {
        seen.insert(get().await);
    }
    web[0].kill();
    for _ in 0..60 {
        assert_ne!(get().await, web[0].address);
    }
    web[1].behaviour.http.store(503, Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(get().await, web[2].address);
    }
    // A port makes it an address.
    let direct = format!("http://{}/", web[1].address);
    let answer = caller
        .send(http.get(direct).build().unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_names_and_services_without_instances_are_told_apart() {
    let server = Server::start().await;
    let http = http().build().unwrap();
    let caller = Caller::new(server.client(), http.clone());
    for (url, expected) in [
        ("http://nobody/", ErrorCode::NoEndpoints),
        ("http://a!b/", ErrorCode::InvalidArgument),
    ] {
        let request = http.get(url).build().unwrap();
        match soon(caller.send(request)).await {
            Err(CallError::NoInstance(error)) => assert_eq!(error.code(), expected, "{error}"),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resolver_knows_ports_and_passes_over_a_killed_provider() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let mut web = [
        Provider::start(&provider, "web", Speaks::Http).await,
        Provider::start(&provider, "web", Speaks::Http).await,
    ];
    // A connection for each request, so that each is resolved.
    let http = http()
        .dns_resolver(Resolver::new(consumer.clone()))
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let get = async || {
        let answer = soon(http.get("http://web/items").send()).await.unwrap();
        answer.text().await.unwrap()
    };
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        seen.insert(get().await);
    }
    web[0].kill();
    for _ in 0..20 {
        assert_eq!(get().await, web[1].address);
    }
    let error = soon(http.get("http://nobody/").send()).await.unwrap_err();
    assert!(format!("{error:?}").contains("nobody"), "{error:?}");
}
