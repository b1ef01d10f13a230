//! tower: a pick for each request, and tower's own balancer on our instances.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use quorate::adapters::HttpPolicy;
use quorate::adapters::tower::{Balance, Discovery, ToInstance};
use quorate::{Client, Error, ErrorCode, InstanceUpdate};
use tower::balance::p2c;
use tower::discover::Change;
use tower::load::Constant;
use tower::{BoxError, Service, ServiceExt};

use crate::provider::{Provider, Speaks};
use crate::server::{Server, soon, until};

type Body = Full<Bytes>;

fn hyper() -> Hyper<HttpConnector, Body> {
    Hyper::builder(TokioExecutor::new()).build_http()
}

/// A service for HTTP requests.
trait Http:
    Service<Request<Body>, Response = hyper::Response<Incoming>, Error = BoxError, Future: Send> + Send
{
}

impl<S> Http for S where
    S: Service<Request<Body>, Response = hyper::Response<Incoming>, Error = BoxError, Future: Send>
        + Send
{
}

/// Calls instances of `web`, each by a connection pool.
fn balance(client: &Client) -> impl Http + use<> {
    let http = hyper();
    Balance::new(
        client.service("web").unwrap(),
        move |instance| ToInstance::new(http.clone(), instance),
        HttpPolicy,
    )
}

/// Sends a request and answers the status and who answered.
async fn send(http: &mut impl Http, method: Method) -> Result<(StatusCode, String), BoxError> {
    let request = Request::builder().method(method).uri("/items?page=2");
    let request = request.body(Body::from("order"))?;
    let answer = soon(http.ready().await?.call(request)).await?;
    let status = answer.status();
    let body = soon(answer.into_body().collect()).await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_spread_and_a_killed_provider_is_not_noticed() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let mut web = Vec::new();
    for _ in 0..3 {
        web.push(Provider::start(&provider, "web", Speaks::Http).await);
    }
    let mut balance = balance(&consumer);
    let mut seen = BTreeSet::new();
    while seen.len() < 3 {
        let (status, by) = send(&mut balance, Method::GET).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        seen.insert(by);
    }
    web[0].kill();
    for _ in 0..60 {
        let (status, by) = send(&mut balance, Method::GET).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_ne!(by, web[0].address);
    }
    // It never left, so even what must not be done twice goes elsewhere.
    web[1].kill();
    for _ in 0..20 {
        let (_, by) = send(&mut balance, Method::GET).await.unwrap();
        assert_eq!(by, web[2].address);
    }
    let (status, by) = send(&mut balance, Method::POST).await.unwrap();
    assert_eq!((status, &by), (StatusCode::OK, &web[2].address));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_killed_in_the_middle_of_a_request_is_noticed_only_where_it_must_be() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let mut other = Provider::start(&provider, "web", Speaks::Http).await;
    for (method, repeated) in [(Method::GET, true), (Method::POST, false)] {
        other.deregister().await;
        let mut one = Provider::start(&provider, "web", Speaks::Http).await;
        one.behaviour.hangs.store(true, Ordering::SeqCst);
        let known = |count| {
            let view = consumer.service("web").unwrap().view();
            view.is_some_and(|view| {
                let instances = &view.instances;
                instances.len() == count && instances.iter().any(|it| it.id == one.address)
            })
        };
        until("only it is known", || known(1)).await;
        let mut balance = balance(&consumer);
        let sent = tokio::spawn(async move { send(&mut balance, method).await });
        until("it is there", || one.hits() == 1).await;
        other = Provider::start(&provider, "web", Speaks::Http).await;
        until("the other one is known", || known(2)).await;
        one.kill();
        let result = soon(sent).await.unwrap();
        assert_eq!(result.is_ok(), repeated, "{result:?}");
        assert_eq!(other.hits(), usize::from(repeated));
        one.deregister().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_repeated_only_if_it_may_be() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let mut good = Provider::start(&provider, "web", Speaks::Http).await;
    let bad = Provider::start(&provider, "web", Speaks::Http).await;
    bad.behaviour.http.store(500, Ordering::SeqCst);
    let mut balance = balance(&consumer);
    let mut failed = 0;
    // Its breaker opens after five.
    while failed < 2 {
        let hits = good.hits() + bad.hits();
        let (status, _) = send(&mut balance, Method::POST).await.unwrap();
        failed += usize::from(status == StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(good.hits() + bad.hits(), hits + 1, "once, come what may");
    }
    let before = bad.hits();
    while bad.hits() == before {
        let (status, by) = send(&mut balance, Method::GET).await.unwrap();
        assert_eq!((status, &by), (StatusCode::OK, &good.address));
    }
    // With nobody else to ask, the answer is what there is.
    good.deregister().await;
    let one_left = async {
        loop {
            let view = consumer.discover("web").await.unwrap();
            if view.instances.len() == 1 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(one_left).await;
    let (status, by) = send(&mut balance, Method::GET).await.unwrap();
    assert_eq!(
        (status, &by),
        (StatusCode::INTERNAL_SERVER_ERROR, &bad.address)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_instances_is_an_error_that_says_so() {
    let server = Server::start().await;
    let mut balance = balance(&server.client());
    let error = send(&mut balance, Method::GET).await.unwrap_err();
    let error = error.downcast_ref::<Error>().unwrap();
    assert_eq!(error.code(), ErrorCode::NoEndpoints, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_tells_what_comes_changes_and_goes() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let one = Provider::start(&provider, "web", Speaks::Http).await;
    let watch = consumer.watch_service("web").unwrap();
    let mut changes = Discovery::new(watch, |instance| instance.clone());
    let mut next = async || match soon(changes.next()).await.unwrap().unwrap() {
        Change::Insert(id, instance) => (id, Some(instance)),
        Change::Remove(id) => (id, None),
    };
    let (id, instance) = next().await;
    assert_eq!(
        (&id, &instance.unwrap().address),
        (&one.address, &one.address)
    );
    let mut two = Provider::start(&provider, "web", Speaks::Http).await;
    assert_eq!(next().await.0, two.address);

    // Another weight is nothing to tower, but none at all is.
    let weight = |weight| InstanceUpdate {
        weight: Some(weight),
        ..InstanceUpdate::default()
    };
    one.update(weight(7)).await;
    one.update(weight(0)).await;
    assert_eq!(next().await, (one.address.clone(), None));
    let version = InstanceUpdate {
        metadata: Some([("canary".to_owned(), "yes".to_owned())].into()),
        ..weight(5)
    };
    one.update(version.clone()).await;
    assert_eq!(next().await.1.unwrap().metadata["canary"], "yes");
    two.update(version).await;
    assert_eq!(next().await.1.unwrap().address, two.address);
    two.deregister().await;
    assert_eq!(next().await, (two.address.clone(), None));
    soon(consumer.close()).await;
    assert!(soon(changes.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn towers_own_balancer_calls_our_instances() {
    let server = Server::start().await;
    let (provider, consumer) = (server.client(), server.client());
    let one = Provider::start(&provider, "web", Speaks::Http).await;
    let mut two = Provider::start(&provider, "web", Speaks::Http).await;
    let http = hyper();
    let watch = consumer.watch_service("web").unwrap();
    let discovery = Discovery::new(watch, move |instance| {
        Constant::new(ToInstance::new(http.clone(), instance), 1)
    });
    let mut balance = p2c::Balance::new(discovery);
    while one.hits() == 0 || two.hits() == 0 {
        send(&mut balance, Method::GET).await.unwrap();
    }
    two.deregister().await;
    soon(async {
        while consumer.discover("web").await.unwrap().instances.len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A request may still be given to the one that is about to be taken out.
    send(&mut balance, Method::GET).await.unwrap();
    let hits = two.hits();
    for _ in 0..20 {
        let (_, by) = send(&mut balance, Method::GET).await.unwrap();
        assert_eq!(by, one.address);
    }
    assert_eq!(two.hits(), hits);
}
