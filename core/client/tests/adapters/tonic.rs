//! tonic: a channel that picks an instance for each call.

use std::sync::atomic::Ordering;

use quorate::ErrorCode;
use quorate::adapters::tonic::{ServiceChannel, channel};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::provider::{Provider, Speaks};
use crate::server::{Server, soon, until};

async fn check(client: &mut HealthClient<ServiceChannel>) -> Result<(), Status> {
    let request = HealthCheckRequest {
        service: "one".to_owned(),
    };
    soon(client.check(request)).await.map(drop)
}

/// Reads a streaming answer to its end.
async fn watch(client: &mut HealthClient<ServiceChannel>) -> Result<(), Status> {
    let answer = soon(client.watch(HealthCheckRequest::default())).await?;
    let mut answers = answer.into_inner();
    while soon(answers.message()).await?.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_follow_the_instances_there_are() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let one = Provider::start(&provider, "grpc", Speaks::Grpc).await;
    let mut client = HealthClient::new(channel(&consumer, "grpc").unwrap());
    check(&mut client).await.unwrap();
    assert_eq!(one.hits(), 1);
    let mut two = Provider::start(&provider, "grpc", Speaks::Grpc).await;
    while two.hits() == 0 {
        check(&mut client).await.unwrap();
    }
    two.deregister().await;
    soon(async {
        while consumer.discover("grpc").await.unwrap().instances.len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let hits = two.hits();
    two.kill();
    for _ in 0..20 {
        check(&mut client).await.unwrap();
    }
    assert_eq!(two.hits(), hits);

    assert_eq!(
        channel(&consumer, "a b").unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
    let mut nobody = HealthClient::new(channel(&consumer, "nobody").unwrap());
    let error = check(&mut nobody).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains("nobody"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_provider_is_not_noticed() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(Provider::start(&provider, "grpc", Speaks::Grpc).await);
    }
    let channel = channel(&consumer, "grpc").unwrap();
    let mut client = HealthClient::new(channel.clone().idempotent());
    while all.iter().any(|provider| provider.hits() == 0) {
        check(&mut client).await.unwrap();
    }
    all[0].kill();
    for _ in 0..60 {
        check(&mut client).await.unwrap();
    }
    // Registered all the same: what never left goes elsewhere without being idempotent.
    let mut client = HealthClient::new(channel);
    for _ in 0..60 {
        check(&mut client).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_killed_in_the_middle_of_a_call_is_noticed_only_where_it_must_be() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    for idempotent in [true, false] {
        let name = if idempotent { "twice" } else { "once" };
        let mut one = Provider::start(&provider, name, Speaks::Grpc).await;
        one.behaviour.hangs.store(true, Ordering::SeqCst);
        let mut channel = channel(&consumer, name).unwrap();
        if idempotent {
            channel = channel.idempotent();
        }
        let mut client = HealthClient::new(channel);
        let call = tokio::spawn(async move { check(&mut client).await });
        until("it is there", || one.hits() == 1).await;
        let two = Provider::start(&provider, name, Speaks::Grpc).await;
        until("the other one is known", || {
            let view = consumer.service(name).unwrap().view();
            view.is_some_and(|view| view.instances.len() == 2)
        })
        .await;
        one.kill();
        let result = soon(call).await.unwrap();
        assert_eq!(result.is_ok(), idempotent, "{result:?}");
        assert_eq!(two.hits(), usize::from(idempotent));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_repeated_only_where_that_is_allowed() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let good = Provider::start(&provider, "grpc", Speaks::Grpc).await;
    let bad = Provider::start(&provider, "grpc", Speaks::Grpc).await;
    let fail = |code: Code| bad.behaviour.grpc.store(code as i32, Ordering::SeqCst);
    fail(Code::Unavailable);
    let channel = channel(&consumer, "grpc").unwrap();
    let mut once = HealthClient::new(channel.clone());
    let mut failures = 0;
    while failures < 2 {
        let hits = good.hits() + bad.hits();
        failures += usize::from(check(&mut once).await.is_err());
        assert_eq!(good.hits() + bad.hits(), hits + 1);
    }
    let mut twice = HealthClient::new(channel.idempotent());
    let before = bad.hits();
    while bad.hits() == before {
        check(&mut twice).await.unwrap();
    }
    // The caller's own mistake is the same everywhere.
    fail(Code::NotFound);
    let mut found = false;
    while !found {
        let hits = good.hits() + bad.hits();
        if let Err(error) = check(&mut twice).await {
            assert_eq!(error.code(), Code::NotFound);
            found = true;
        }
        assert_eq!(good.hits() + bad.hits(), hits + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_at_the_end_of_a_stream_counts() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let good = Provider::start(&provider, "grpc", Speaks::Grpc).await;
    let bad = Provider::start(&provider, "grpc", Speaks::Grpc).await;
    bad.behaviour
        .grpc
        .store(Code::Internal as i32, Ordering::SeqCst);
    let mut client = HealthClient::new(channel(&consumer, "grpc").unwrap());
    // The breaker opens after five in a row, and stays open for longer than this takes.
    let mut failures = 0;
    while failures < 5 {
        failures += usize::from(watch(&mut client).await.is_err());
    }
    let hits = bad.hits();
    for _ in 0..30 {
        watch(&mut client).await.unwrap();
    }
    assert_eq!(bad.hits(), hits);
    assert!(good.hits() >= 30);
}
