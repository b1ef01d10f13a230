//! Locks, between our clients and with etcdctl.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use quorate::kv::RangeOptions;
use quorate::{Client, ErrorCode};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::server::{Etcd, soon};

/// How many stand in line, the holder included.
async fn in_line(client: &Client, name: &str) -> u64 {
    let options = RangeOptions::prefix(format!("{name}/")).count_only();
    client.range(options).await.unwrap().count
}

async fn until_in_line(client: &Client, name: &str, count: u64) {
    soon(async {
        while in_line(client, name).await != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_in_order_with_growing_tokens() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let inside = Arc::new(AtomicU32::new(0));
    let tasks = (0..8).map(|_| {
        let (client, inside) = (etcd.client(), inside.clone());
        tokio::spawn(async move {
            let (mut tokens, mut losses) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                let guard = client.lock("l").acquire().await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                tokens.push(guard.token());
                assert!(!guard.is_lost());
                losses.push(guard.lost());
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                guard.unlock().await.unwrap();
            }
            let any_lost = losses.into_iter().any(|lost| lost.now_or_never().is_some());
            assert!(!any_lost, "given up is not lost");
            tokens
        })
    });
    let mut all = Vec::new();
    for tokens in soon(futures::future::join_all(tasks)).await {
        let tokens = tokens.unwrap();
        assert!(tokens.is_sorted());
        all.extend(tokens);
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 40);
    assert_eq!(in_line(&etcd.client(), "l").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_leaves_the_line_and_trying_never_enters_it() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let guard = client.lock("l").acquire().await.unwrap();
    assert_eq!(guard.key(), format!("l/{}", hex(&guard)).as_bytes());
    let before = client.get("x").await.unwrap();
    assert_eq!(before, None);

    let began = Instant::now();
    let wait = Duration::from_millis(300);
    let error = client.lock("l").timeout(wait).acquire().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    assert!(began.elapsed() >= wait && began.elapsed() < wait * 3);
    assert_eq!(in_line(&client, "l").await, 1, "the ticket is gone");

    let error = client.lock("l").try_acquire().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict, "{error}");
    guard.unlock().await.unwrap();
    let guard = client.lock("l").try_acquire().await.unwrap();
    drop(guard);
    until_in_line(&client, "l", 0).await;
    let error = client.lock("").acquire().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

fn hex(guard: &quorate::lock::LockGuard) -> String {
    let key = String::from_utf8(guard.key().to_vec()).unwrap();
    let id = key.rsplit_once('/').unwrap().1.to_owned();
    assert!(i64::from_str_radix(&id, 16).unwrap() > 0);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_an_acquire_at_any_point_leaves_nothing_behind() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (holder, waiter) = (etcd.client(), etcd.client());
    let guard = holder.lock("l").acquire().await.unwrap();
    for polls in 0..60 {
        let mut acquire = waiter.lock("l").acquire().boxed();
        for _ in 0..polls {
            if (&mut acquire).now_or_never().is_some() {
                panic!("the lock is held");
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    until_in_line(&holder, "l", 1).await;
    guard.unlock().await.unwrap();
    // And when it would be its turn.
    for polls in 0..40 {
        let mut acquire = waiter.lock("l").acquire().boxed();
        for _ in 0..polls {
            if (&mut acquire).now_or_never().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    until_in_line(&holder, "l", 0).await;
    soon(waiter.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_survives_a_killed_server_and_a_deleted_key_is_a_lost_lock() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let (one, two) = (etcd.client(), etcd.client());
    let guard = one.lock("l").acquire().await.unwrap();
    let waiting = tokio::spawn(two.lock("l").acquire());
    until_in_line(&one, "l", 2).await;
    etcd.kill();
    etcd.run().await;
    assert_eq!(in_line(&one, "l").await, 2);
    assert!(!guard.is_lost() && !waiting.is_finished());

    // Somebody takes the lock away by hand.
    let lost = guard.lost();
    let key = String::from_utf8(guard.key().to_vec()).unwrap();
    etcd.run_etcdctl(&["del", &key]).await;
    soon(lost).await;
    let next = soon(waiting).await.unwrap().unwrap();
    assert!(next.token() > guard.token());
    assert_eq!(
        guard.unlock().await.unwrap_err().code(),
        ErrorCode::LockLost
    );
    next.unlock().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_line_that_is_lost_is_taken_again() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, two) = (etcd.client(), etcd.client());
    let guard = one.lock("l").acquire().await.unwrap();
    let waiting = tokio::spawn(two.lock("l").acquire());
    until_in_line(&one, "l", 2).await;
    let places = one.range(RangeOptions::prefix("l/")).await.unwrap().kvs;
    let lease = places
        .iter()
        .find(|kv| kv.key != guard.key())
        .unwrap()
        .lease;
    let id = format!("{lease:x}");
    etcd.run_etcdctl(&["lease", "revoke", &id]).await;
    // It notices at its next renewal, and stands in line again.
    soon(async {
        loop {
            let places = one.range(RangeOptions::prefix("l/")).await.unwrap().kvs;
            if places.len() == 2 && places.iter().all(|kv| kv.lease != lease) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    guard.unlock().await.unwrap();
    soon(waiting)
        .await
        .unwrap()
        .unwrap()
        .unlock()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_and_we_stand_in_the_same_line() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    // etcdctl holds, we wait.
    let mut ctl = etcd.etcdctl(&["lock", "l"]).spawn().unwrap();
    let mut lines = BufReader::new(ctl.stdout.take().unwrap()).lines();
    let theirs = soon(lines.next_line()).await.unwrap().unwrap();
    assert!(theirs.starts_with("l/"), "{theirs}");
    assert_eq!(
        client.lock("l").try_acquire().await.unwrap_err().code(),
        ErrorCode::Conflict
    );
    let waiting = tokio::spawn(client.lock("l").acquire());
    until_in_line(&client, "l", 2).await;
    assert!(!waiting.is_finished());
    let pid = ctl.id().unwrap().to_string();
    std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .unwrap();
    let guard = soon(waiting).await.unwrap().unwrap();

    // We hold, etcdctl waits.
    let mut ctl = etcd
        .etcdctl(&["lock", "l", "echo", "got it"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(ctl.stdout.take().unwrap()).lines();
    until_in_line(&client, "l", 2).await;
    assert!(lines.next_line().now_or_never().is_none());
    guard.unlock().await.unwrap();
    assert_eq!(soon(lines.next_line()).await.unwrap().unwrap(), "got it");
    assert!(soon(ctl.wait()).await.unwrap().success());
    until_in_line(&client, "l", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_releases_locks_and_ends_waiting() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, two) = (etcd.client(), etcd.client());
    let guard = one.lock("l").acquire().await.unwrap();
    let waiting = tokio::spawn(two.lock("l").acquire());
    until_in_line(&one, "l", 2).await;
    soon(two.close()).await;
    assert_eq!(
        soon(waiting).await.unwrap().unwrap_err().code(),
        ErrorCode::Closed
    );
    assert_eq!(in_line(&one, "l").await, 1, "gone when close() returns");
    soon(one.close()).await;
    assert!(guard.is_lost());
    assert_eq!(in_line(&etcd.client(), "l").await, 0);
    assert_eq!(guard.unlock().await.unwrap_err().code(), ErrorCode::Closed);
}
