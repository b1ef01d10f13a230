//! Single calls: what is repeated, what is not, and what the error says.

use std::time::{Duration, Instant};

use quorate::ErrorCode;
use quorate::kv::{Compare, Op, Txn};
use quorate_proto::etcdserverpb::{PutResponse, RangeResponse, TxnResponse};
use tonic::Status;

use crate::stub::{Counts, Reply, Scripts, Stub, builder, header, nobody, soon};

fn range_at(revision: i64) -> Reply<RangeResponse> {
    Reply::Answer(RangeResponse {
        header: header(revision),
        ..RangeResponse::default()
    })
}

fn put_at(revision: i64) -> Reply<PutResponse> {
    Reply::Answer(PutResponse {
        header: header(revision),
        ..PutResponse::default()
    })
}

fn no_leader<T>() -> Reply<T> {
    Reply::Fail(Status::unavailable("etcdserver: no leader"))
}

#[tokio::test]
async fn a_read_is_repeated_until_the_server_is_back() {
    let stub = Stub::start(Scripts {
        range: Some(Box::new(|n, _| match n {
            1 => no_leader(),
            2 => Reply::Hangup,
            3 => Reply::Fail(Status::unavailable("etcdserver: leader changed")),
            _ => range_at(7),
        })),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    assert_eq!(soon(client.get("k")).await.unwrap(), None);
    assert_eq!(Counts::of(&stub.counts.range), 4);
    assert_eq!(client.metrics().retries, 3);
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_reported_and_never_repeated() {
    let stub = Stub::start(Scripts {
        put: Some(Box::new(|n, _| match n {
            1 => no_leader(),
            2 => Reply::Hangup,
            _ => put_at(3),
        })),
        txn: Some(Box::new(|_, _| Reply::Hangup)),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    for sent in 1..=2 {
        let error = soon(client.put("k", "v")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
        let message = error.message();
        assert!(message.contains("the outcome is unknown"), "{message}");
        assert!(
            message.contains(&format!("put \"k\" at {}", stub.address)),
            "{message}"
        );
        assert_eq!(Counts::of(&stub.counts.put), sent);
    }
    assert_eq!(soon(client.put("k", "v")).await.unwrap().revision, 3);
    let txn = Txn::new()
        .when([Compare::missing("k")])
        .then([Op::put("k", "v")]);
    let error = soon(client.txn(txn)).await.unwrap_err();
    assert!(
        error.message().contains("the outcome is unknown"),
        "{error}"
    );
    assert_eq!(Counts::of(&stub.counts.txn), 1);
}

#[tokio::test]
async fn a_transaction_that_reads_is_repeated() {
    let stub = Stub::start(Scripts {
        txn: Some(Box::new(|n, _| match n {
            1 => Reply::Hangup,
            _ => Reply::Answer(TxnResponse::default()),
        })),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let read = Txn::new().then([Op::get("k")]);
    soon(client.txn(read)).await.unwrap();
    assert_eq!(Counts::of(&stub.counts.txn), 2);
}

#[tokio::test]
async fn a_write_that_was_not_sent_goes_to_another_server() {
    let stub = Stub::start(Scripts {
        put: Some(Box::new(|n, _| put_at(n as i64))),
        ..Scripts::default()
    })
    .await;
    // Shuffled: sooner or later one begins at an address where nobody is.
    let mut failed_over = 0;
    for n in 1..=20 {
        let down = [nobody().await, nobody().await, stub.address];
        let client = builder(&down).build().unwrap();
        assert_eq!(soon(client.put("k", "v")).await.unwrap().revision, n);
        failed_over += client.metrics().retries;
        assert_eq!(client.metrics().retries, client.metrics().server_failures);
    }
    assert!(failed_over > 0);
    assert_eq!(Counts::of(&stub.counts.put), 20, "each exactly once");
}

#[tokio::test]
async fn nobody_there_is_unavailable_within_the_timeout() {
    let client = builder(&[nobody().await])
        .request_timeout(Duration::from_millis(600))
        .build()
        .unwrap();
    let began = Instant::now();
    let error = soon(client.put("k", "v")).await.unwrap_err();
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.message().contains("refused"), "{error}");
    assert!(
        !error.message().contains("unknown"),
        "it was never sent: {error}"
    );
    assert!(client.metrics().retries > 1);
}

#[tokio::test]
async fn silence_is_a_timeout_and_other_servers_are_tried_for_reads() {
    let silent = || Scripts {
        range: Some(Box::new(|_, _| Reply::Silence)),
        put: Some(Box::new(|_, _| Reply::Silence)),
        ..Scripts::default()
    };
    let lone = Stub::start(silent()).await;
    let client = builder(&[lone.address])
        .request_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let began = Instant::now();
    let error = soon(client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    assert!(
        error.message().contains("the outcome is unknown"),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_millis(600));

    let good = Stub::start(Scripts {
        range: Some(Box::new(|_, _| range_at(1))),
        ..Scripts::default()
    })
    .await;
    let mut met = 0;
    while met == 0 {
        let silent = Stub::start(silent()).await;
        let client = builder(&[silent.address, good.address])
            .request_timeout(Duration::from_millis(500))
            .build()
            .unwrap();
        soon(client.get("k")).await.unwrap();
        met = Counts::of(&silent.counts.range);
        // And from then on it is left alone.
        soon(client.get("k")).await.unwrap();
        assert_eq!(Counts::of(&silent.counts.range), met);
    }
}

#[tokio::test]
async fn a_pause_a_server_asks_for_is_kept() {
    let asking = |pause: &'static str| {
        move |n: usize| {
            if n > 1 {
                return range_at(1);
            }
            let mut status = Status::unavailable("draining");
            let pause = pause.parse().unwrap();
            status
                .metadata_mut()
                .insert("grpc-retry-pushback-ms", pause);
            Reply::Fail(status)
        }
    };
    let short = asking("400");
    let stub = Stub::start(Scripts {
        range: Some(Box::new(move |n, _| short(n))),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let began = Instant::now();
    soon(client.get("k")).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(400));

    let long = asking("60000");
    let stub = Stub::start(Scripts {
        range: Some(Box::new(move |n, _| long(n))),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let began = Instant::now();
    for _ in 0..3 {
        let error = soon(client.get("k")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "at once, not after the timeout"
    );
    assert_eq!(Counts::of(&stub.counts.range), 1);
}

#[tokio::test]
async fn an_answer_is_an_answer() {
    let stub = Stub::start(Scripts {
        put: Some(Box::new(|_, _| {
            Reply::Fail(Status::resource_exhausted(
                "etcdserver: mvcc: database space exceeded",
            ))
        })),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address]).build().unwrap();
    let error = soon(client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    assert!(!error.message().contains("unknown"), "{error}");
    assert_eq!(Counts::of(&stub.counts.put), 1);
    let error = soon(client.delete("k")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unimplemented);
}

#[tokio::test]
async fn closing_ends_a_call_that_waits() {
    let stub = Stub::start(Scripts {
        range: Some(Box::new(|_, _| Reply::Silence)),
        ..Scripts::default()
    })
    .await;
    let client = builder(&[stub.address])
        .request_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.get("k").await }
    });
    soon(async {
        while Counts::of(&stub.counts.range) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    soon(client.close()).await;
    assert_eq!(
        soon(waiting).await.unwrap().unwrap_err().code(),
        ErrorCode::Closed
    );
}
