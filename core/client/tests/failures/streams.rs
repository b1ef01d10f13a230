//! Watches and leases whose streams break, stay silent, or bring bad news.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use quorate::ErrorCode;
use quorate::watch::WatchOptions;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeResponse,
    WatchCreateRequest, WatchRequest, WatchResponse,
};
use quorate_proto::mvccpb::{Event, KeyValue};
use tokio::sync::Semaphore;
use tonic::{Status, Streaming};

use crate::stub::{Counts, Reply, Scripts, Stub, builder, header, soon};

type Responses<T> = BoxStream<'static, Result<T, Status>>;

fn events(watch_id: i64, revisions: &[i64]) -> WatchResponse {
    let event = |&revision| Event {
        kv: Some(KeyValue {
            key: "k".into(),
            mod_revision: revision,
            ..KeyValue::default()
        }),
        ..Event::default()
    };
    WatchResponse {
        header: header(100),
        watch_id,
        events: revisions.iter().map(event).collect(),
        ..WatchResponse::default()
    }
}

fn created(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse {
        header: header(revision),
        created: true,
        ..events(watch_id, &[])
    }
}

/// Waits for the first watch asked for, then says what `answer` makes of it.
fn after_create<F>(mut requests: Streaming<WatchRequest>, answer: F) -> Responses<WatchResponse>
where
    F: FnOnce(WatchCreateRequest) -> Vec<Result<WatchResponse, Status>> + Send + 'static,
{
    async move {
        let first = requests.next().await.unwrap().unwrap();
        let Some(RequestUnion::CreateRequest(create)) = first.request_union else {
            panic!("a watch is asked for first: {first:?}");
        };
        // The rest of the requests is read, so that the stream stays open.
        let rest = requests.filter_map(|_| std::future::ready(None));
        stream::iter(answer(create)).chain(rest)
    }
    .flatten_stream()
    .boxed()
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_whatever_breaks() {
    let stub = Stub::start(Scripts {
        watch: Some(Box::new(|n, requests| {
            after_create(requests, move |create| {
                let id = create.watch_id;
                let start = create.start_revision;
                match n {
                    1 => {
                        assert_eq!(start, 0);
                        let broken = Err(Status::unavailable("etcdserver: no leader"));
                        vec![Ok(created(id, 4)), Ok(events(id, &[5, 6])), broken]
                    }
                    // Ends in the middle of a revision.
                    2 => {
                        assert_eq!(start, 7);
                        let part = WatchResponse {
                            fragment: true,
                            ..events(id, &[7, 8])
                        };
                        vec![Ok(created(id, 9)), Ok(part), Err(Status::internal("reset"))]
                    }
                    // Says "canceled" for a reason of its own.
                    3 => {
                        assert_eq!(start, 8);
                        let cancel = WatchResponse {
                            canceled: true,
                            cancel_reason: "etcdserver: server stopped".to_owned(),
                            ..created(id, 9)
                        };
                        vec![Ok(cancel)]
                    }
                    // Sends too much.
                    _ => {
                        assert_eq!(start, 8);
                        vec![Ok(created(id, 9)), Ok(events(id, &[6, 7, 8, 8, 9]))]
                    }
                }
            })
        })),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let mut watch = client.watch("k", WatchOptions::new());
    assert_eq!(soon(watch.started()).await.unwrap(), 5);
    let mut seen = Vec::new();
    while seen.last() != Some(&9) {
        let batch = soon(watch.next()).await.unwrap().unwrap();
        seen.extend(batch.events.iter().map(|event| event.kv.mod_revision));
        assert_eq!(seen.last(), Some(&batch.revision));
    }
    assert_eq!(seen, [5, 6, 7, 8, 8, 9]);
    assert_eq!(client.metrics().stream_reconnects, 3);
}

#[tokio::test]
async fn a_refused_watch_ends_with_the_reason() {
    let stub = Stub::start(Scripts::default()).await;
    let client = builder(&[stub.address]).build().unwrap();
    let mut watch = client.watch("k", WatchOptions::new());
    let error = soon(watch.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unimplemented, "{error}");
    assert!(soon(watch.next()).await.is_none());
    assert_eq!(Counts::of(&stub.counts.watch), 1);

    let stub = Stub::start(Scripts {
        watch: Some(Box::new(|_, requests| {
            after_create(requests, |_| {
                vec![Ok(WatchResponse {
                    canceled: true,
                    cancel_reason: "etcdserver: permission denied".to_owned(),
                    ..created(-1, 1)
                })]
            })
        })),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let mut watch = client.watch("k", WatchOptions::new());
    let error = soon(watch.started()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied, "{error}");
}

#[tokio::test]
async fn the_stream_closes_with_the_last_watch_and_the_last_handle() {
    let open = Arc::new(Semaphore::new(1));
    let counted = open.clone();
    let stub = Stub::start(Scripts {
        watch: Some(Box::new(move |_, requests| {
            let permit = counted.clone().try_acquire_owned().expect("one at a time");
            after_create(requests, |create| vec![Ok(created(create.watch_id, 1))])
                .inspect(move |_| {
                    let _ = &permit;
                })
                .boxed()
        })),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    for _ in 0..3 {
        let mut one = client.watch("k", WatchOptions::new());
        soon(one.started()).await.unwrap();
        assert_eq!(open.available_permits(), 0);
        drop(one);
        drop(soon(open.acquire()).await.unwrap());
    }
    let mut last = client.watch("k", WatchOptions::new());
    soon(last.started()).await.unwrap();
    drop(client);
    assert!(
        last.next().now_or_never().is_none(),
        "it keeps the client going"
    );
    drop(last);
    drop(soon(open.acquire()).await.unwrap());
}

fn grants() -> Scripts {
    Scripts {
        grant: Some(Box::new(|_, request| {
            Reply::Answer(LeaseGrantResponse {
                id: request.id,
                ttl: request.ttl,
                ..LeaseGrantResponse::default()
            })
        })),
        revoke: Some(Box::new(|_, _| {
            Reply::Answer(LeaseRevokeResponse::default())
        })),
        ..Scripts::default()
    }
}

fn renew(
    requests: Streaming<LeaseKeepAliveRequest>,
    ttl: i64,
) -> Responses<LeaseKeepAliveResponse> {
    requests
        .map(move |request| {
            Ok(LeaseKeepAliveResponse {
                id: request?.id,
                ttl,
                ..LeaseKeepAliveResponse::default()
            })
        })
        .boxed()
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_is_recognised() {
    let stub = Stub::start(Scripts {
        grant: Some(Box::new(|n, _| match n {
            1 => Reply::Hangup,
            _ => Reply::Fail(Status::failed_precondition(
                "etcdserver: lease already exists",
            )),
        })),
        keep_alive: Some(Box::new(|_, requests| renew(requests, 9))),
        ..grants()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let lease = soon(client.lease(Duration::from_secs(9))).await.unwrap();
    assert_eq!(lease.ttl(), Duration::from_secs(9));
    assert_eq!(Counts::of(&stub.counts.grant), 2);
}

#[tokio::test]
async fn an_id_that_is_taken_is_replaced() {
    let stub = Stub::start(Scripts {
        grant: Some(Box::new(|n, request| match n {
            1 => Reply::Fail(Status::failed_precondition(
                "etcdserver: lease already exists",
            )),
            _ => Reply::Answer(LeaseGrantResponse {
                id: request.id,
                ttl: 30,
                ..LeaseGrantResponse::default()
            }),
        })),
        ..grants()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let lease = soon(client.lease(Duration::from_secs(9))).await.unwrap();
    assert_eq!(lease.ttl(), Duration::from_secs(30), "as granted");
    assert_eq!(Counts::of(&stub.counts.grant), 2);
    assert_eq!(
        Counts::of(&stub.counts.revoke),
        0,
        "somebody else's is not revoked"
    );
}

#[tokio::test]
async fn a_time_to_live_of_zero_is_a_lost_lease() {
    let stub = Stub::start(Scripts {
        keep_alive: Some(Box::new(|_, requests| renew(requests, 0))),
        ..grants()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let began = Instant::now();
    let lease = soon(client.lease(Duration::from_secs(3))).await.unwrap();
    soon(lease.lost()).await;
    assert!(lease.is_lost() && began.elapsed() < Duration::from_secs(2));
    assert_eq!(client.metrics().leases_lost, 1);
}

#[tokio::test]
async fn a_silent_stream_is_replaced_before_the_lease_is_lost() {
    let stub = Stub::start(Scripts {
        keep_alive: Some(Box::new(|n, requests| match n {
            1 => stream::pending().boxed(),
            2 => stream::iter([Err(Status::unavailable("etcdserver: no leader"))]).boxed(),
            _ => renew(requests, 3),
        })),
        ..grants()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let lease = soon(client.lease(Duration::from_secs(3))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!lease.is_lost());
    assert_eq!(Counts::of(&stub.counts.keep_alive), 3);
    assert_eq!(client.metrics().stream_reconnects, 2);
}

#[tokio::test]
async fn all_leases_share_one_stream_and_go_when_dropped() {
    let stub = Stub::start(Scripts {
        keep_alive: Some(Box::new(|_, requests| renew(requests, 1))),
        ..grants()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let mut leases = Vec::new();
    for _ in 0..50 {
        leases.push(soon(client.lease(Duration::from_secs(1))).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(leases.iter().all(|lease| !lease.is_lost()));
    assert_eq!(Counts::of(&stub.counts.keep_alive), 1);
    drop(leases);
    soon(async {
        while Counts::of(&stub.counts.revoke) < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
