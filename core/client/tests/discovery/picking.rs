//! Choosing instances: who is offered, in which shares, and what is said about it.

use std::collections::HashMap;
use std::time::Duration;

use quorate::{
    Algorithm, CacheState, ErrorCode, InstanceStatus, Outcome, PickOptions, Registered,
    Registration, Why,
};

use crate::server::{Server, soon, until};

async fn provide(
    client: &quorate::Client,
    id: &str,
    change: impl FnOnce(Registration) -> Registration,
) -> Registered {
    let registration = Registration::new("web", format!("{id}:80")).id(id);
    soon(client.register(change(registration))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_that_are_up_and_have_weight_are_offered_in_their_shares() {
    let server = Server::start().await;
    let provider = server.client();
    let all = [
        provide(&provider, "three", |r| r.weight(300)).await,
        provide(&provider, "one", |r| r.weight(100)).await,
        provide(&provider, "zero", |r| r.weight(0)).await,
        provide(&provider, "down", |r| r.status(InstanceStatus::Down)).await,
        provide(&provider, "starting", |r| {
            r.status(InstanceStatus::Starting)
        })
        .await,
        provide(&provider, "draining", |r| {
            r.status(InstanceStatus::Draining)
        })
        .await,
    ];
    let client = server
        .builder()
        .algorithm(Algorithm::WeightedRoundRobin)
        .build()
        .unwrap();
    assert_eq!(
        soon(client.discover("web")).await.unwrap().instances.len(),
        6
    );
    let web = client.service("web").unwrap();
    let mut shares: HashMap<String, u32> = HashMap::new();
    for _ in 0..4000 {
        let pick = web.pick(&PickOptions::default()).unwrap();
        assert_eq!(pick.state(), CacheState::Live);
        assert_eq!(pick.address(), format!("{}:80", pick.id()));
        assert_eq!(pick.instance().id, pick.id());
        *shares.entry(pick.id().to_owned()).or_default() += 1;
        pick.report(Outcome::Ok, Some(Duration::from_millis(1)));
    }
    assert_eq!(shares.len(), 2, "{shares:?}");
    assert!((2900..3100).contains(&shares["three"]), "{shares:?}");
    assert_eq!(client.metrics().picks, 4000);
    drop(all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pick_can_avoid_where_it_was_before() {
    let server = Server::start().await;
    let provider = server.client();
    let both = [
        provide(&provider, "a", |r| r).await,
        provide(&provider, "b", |r| r).await,
    ];
    let client = server.client();
    soon(client.discover("web")).await.unwrap();
    for _ in 0..100 {
        let options = PickOptions::default().excluding(&["a"]);
        assert_eq!(client.pick("web", &options).unwrap().id(), "b");
    }
    let options = PickOptions::default().excluding(&["a", "b"]);
    let pick = client.pick("web", &options).unwrap();
    assert_eq!(pick.why(), Why::ExcludedFallback);
    assert!(client.may_retry("web"));
    assert!(!client.may_retry("unheard-of"));
    drop(both);
}

#[tokio::test(flavor = "multi_thread")]
async fn maglev_sticks_to_the_key() {
    let server = Server::start().await;
    let provider = server.client();
    let mut all = Vec::new();
    for id in ["a", "b", "c", "d"] {
        all.push(provide(&provider, id, |r| r).await);
    }
    let client = server
        .builder()
        .algorithm(Algorithm::Maglev)
        .build()
        .unwrap();
    soon(client.discover("web")).await.unwrap();
    let mut used = std::collections::HashSet::new();
    for user in 0..50 {
        let options = PickOptions::sticky(format!("user-{user}"));
        let first = client.pick("web", &options).unwrap().id().to_owned();
        assert_eq!(client.pick("web", &options).unwrap().id(), first);
        used.insert(first);
    }
    assert_eq!(used.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_fails_is_left_alone() {
    let server = Server::start().await;
    let provider = server.client();
    let both = [
        provide(&provider, "good", |r| r).await,
        provide(&provider, "other", |r| r).await,
        provide(&provider, "bad", |r| r).await,
    ];
    let client = server.client();
    soon(client.discover("web")).await.unwrap();
    let web = client.service("web").unwrap();
    let mut failed = 0;
    for _ in 0..500 {
        let pick = web.pick(&PickOptions::default()).unwrap();
        if pick.id() == "bad" {
            failed += 1;
            pick.report(Outcome::ConnectFail, None);
        } else {
            pick.report(Outcome::Ok, Some(Duration::from_millis(2)));
        }
    }
    assert!((1..10).contains(&failed), "{failed}");
    drop(both);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_pick_of_a_service_makes_the_client_follow_it() {
    let server = Server::start().await;
    let provider = server.client();
    let client = server.client();
    let error = client.pick("web", &PickOptions::default()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoEndpoints);
    assert!(error.message().contains("yet"), "{error}");
    until("known to be empty", || {
        let error = client.pick("web", &PickOptions::default()).unwrap_err();
        error.message().contains("has no instances")
    })
    .await;
    let one = provide(&provider, "a", |r| r).await;
    until("there is one", || {
        client.pick("web", &PickOptions::default()).is_ok()
    })
    .await;
    let bad = client.pick("not a name", &PickOptions::default());
    assert_eq!(bad.unwrap_err().code(), ErrorCode::InvalidArgument);
    let web = client.service("web").unwrap();
    soon(client.close()).await;
    let closed = web.pick(&PickOptions::default()).unwrap_err();
    assert_eq!(closed.code(), ErrorCode::Closed);
    drop(one);
}
