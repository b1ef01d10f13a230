//! Places in line when answers are lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use quorate::ErrorCode;
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::{
    LeaseGrantResponse, LeaseKeepAliveResponse, LeaseRevokeResponse, RangeResponse, ResponseOp,
    TxnRequest, TxnResponse, WatchResponse,
};
use quorate_proto::mvccpb::event::EventType;
use quorate_proto::mvccpb::{Event, KeyValue};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::stub::{Counts, Reply, Scripts, Stub, builder, header, soon};

/// The only key of the store, if it is there.
type Store = Arc<Mutex<Option<KeyValue>>>;

fn read(kv: Option<&KeyValue>) -> ResponseOp {
    ResponseOp {
        response: Some(Response::ResponseRange(RangeResponse {
            kvs: kv.into_iter().cloned().collect(),
            ..RangeResponse::default()
        })),
    }
}

/// Enters the line as a server would, for a line of one.
fn enter(store: &Store, txn: &TxnRequest) -> TxnResponse {
    let mut kept = store.lock().unwrap();
    let Some(Request::RequestPut(put)) = &txn.success[0].request else {
        panic!("a ticket is written first");
    };
    let succeeded = kept.is_none();
    if succeeded {
        *kept = Some(KeyValue {
            key: put.key.clone().into(),
            create_revision: 42,
            mod_revision: 42,
            lease: put.lease,
            ..KeyValue::default()
        });
    }
    TxnResponse {
        header: header(42),
        succeeded,
        responses: vec![read(kept.as_ref()), read(kept.as_ref())],
    }
}

fn scripts(store: &Store) -> Scripts {
    let revoked = store.clone();
    Scripts {
        grant: Some(Box::new(|_, request| {
            Reply::Answer(LeaseGrantResponse {
                id: request.id,
                ttl: request.ttl,
                ..LeaseGrantResponse::default()
            })
        })),
        revoke: Some(Box::new(move |_, request| {
            let mut kept = revoked.lock().unwrap();
            if kept.as_ref().is_some_and(|kv| kv.lease == request.id) {
                *kept = None;
            }
            Reply::Answer(LeaseRevokeResponse::default())
        })),
        keep_alive: Some(Box::new(|_, requests| {
            requests
                .map(|request| {
                    Ok(LeaseKeepAliveResponse {
                        id: request?.id,
                        ttl: 10,
                        ..LeaseKeepAliveResponse::default()
                    })
                })
                .boxed()
        })),
        watch: Some(Box::new(|_, requests| {
            requests
                .filter_map(|_| std::future::ready(None::<Result<WatchResponse, Status>>))
                .boxed()
        })),
        ..Scripts::default()
    }
}

#[tokio::test]
async fn a_ticket_whose_creation_was_answered_by_nobody_is_used() {
    let store = Store::default();
    let kept = store.clone();
    let stub = Stub::start(Scripts {
        txn: Some(Box::new(move |n, txn| {
            let answer = enter(&kept, &txn);
            match n {
                1 => Reply::Hangup,
                2 => Reply::Fail(Status::unavailable("etcdserver: request timed out")),
                _ => Reply::Answer(answer),
            }
        })),
        ..scripts(&store)
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let guard = soon(client.lock("l").acquire()).await.unwrap();
    assert_eq!(guard.token(), 42);
    assert_eq!(
        guard.key(),
        &store.lock().unwrap().as_ref().unwrap().key[..]
    );
    assert_eq!(Counts::of(&stub.counts.grant), 1, "still the first ticket");
    soon(guard.unlock()).await.unwrap();
    assert!(store.lock().unwrap().is_none());
}

#[tokio::test]
async fn a_ticket_nobody_knows_of_is_withdrawn_with_its_lease() {
    let store = Store::default();
    let kept = store.clone();
    let stub = Stub::start(Scripts {
        txn: Some(Box::new(move |_, txn| {
            enter(&kept, &txn);
            Reply::Silence
        })),
        ..scripts(&store)
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let patience = Duration::from_millis(200);
    let error = soon(client.lock("l").timeout(patience).acquire())
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    assert!(
        store.lock().unwrap().is_none(),
        "gone when acquire() returns"
    );

    // The same by dropping the future, with nobody left but the client's own end.
    let acquire = tokio::time::timeout(patience, client.lock("l").acquire());
    assert!(acquire.await.is_err());
    drop(client);
    soon(async {
        while store.lock().unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn giving_up_is_not_losing_even_if_the_deletion_is_heard_of_first() {
    let store = Store::default();
    let (kept, deleted) = (store.clone(), CancellationToken::new());
    let (heard, seen) = (deleted.clone(), store.clone());
    let stub = Stub::start(Scripts {
        txn: Some(Box::new(move |_, txn| Reply::Answer(enter(&kept, &txn)))),
        range: Some(Box::new(move |_, _| {
            Reply::Answer(RangeResponse {
                header: header(43),
                kvs: seen.lock().unwrap().iter().cloned().collect(),
                ..RangeResponse::default()
            })
        })),
        // Deletes the key, tells the watches, and never answers.
        revoke: Some(Box::new({
            let store = store.clone();
            move |_, _| {
                *store.lock().unwrap() = None;
                deleted.cancel();
                Reply::Silence
            }
        })),
        watch: Some(Box::new(move |_, mut requests| {
            let heard = heard.clone();
            async move {
                requests.next().await;
                heard.cancelled_owned().await;
                let deletion = WatchResponse {
                    header: header(43),
                    // The first watch of the client.
                    watch_id: 1,
                    events: vec![Event {
                        r#type: EventType::Delete as i32,
                        kv: Some(KeyValue {
                            mod_revision: 43,
                            ..KeyValue::default()
                        }),
                        prev_kv: None,
                    }],
                    ..WatchResponse::default()
                };
                let rest = requests.filter_map(|_| std::future::ready(None));
                stream::iter([Ok(deletion)]).chain(rest)
            }
            .flatten_stream()
            .boxed()
        })),
        ..scripts(&store)
    })
    .await;
    let client = builder(&[stub.address])
        .request_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    let guard = soon(client.lock("l").acquire()).await.unwrap();
    let lost = guard.lost();
    assert_eq!(
        soon(guard.unlock()).await.unwrap_err().code(),
        ErrorCode::Timeout
    );
    assert!(lost.now_or_never().is_none(), "given up is not lost");
}
