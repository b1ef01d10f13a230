//! Elections, between our clients and with etcdctl.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use quorate::ErrorCode;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::server::{Etcd, soon};

#[tokio::test(flavor = "multi_thread")]
async fn leaders_follow_one_another_and_observers_see_each() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let (one, two, three) = (etcd.client(), etcd.client(), etcd.client());
    let election = three.election("e");
    assert_eq!(election.leader().await.unwrap(), None);
    let mut seen = election.observe();
    assert!(seen.next().now_or_never().is_none());

    let first = one.election("e").campaign("first").await.unwrap();
    let leader = soon(seen.next()).await.unwrap().unwrap();
    assert_eq!(leader.value, "first");
    assert_eq!(
        (leader.token, &leader.key[..]),
        (first.token(), first.key())
    );
    assert_eq!(election.leader().await.unwrap(), Some(leader));

    first.proclaim("first, later").await.unwrap();
    assert_eq!(
        soon(seen.next()).await.unwrap().unwrap().value,
        "first, later"
    );

    let patience = Duration::from_millis(200);
    let error = two
        .election("e")
        .timeout(patience)
        .campaign("x")
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");

    let campaign = tokio::spawn(async move { two.election("e").campaign("second").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    etcd.kill();
    etcd.run().await;
    assert!(!campaign.is_finished());
    first.resign().await.unwrap();
    let second = soon(campaign).await.unwrap().unwrap();
    let leader = soon(seen.next()).await.unwrap().unwrap();
    assert_eq!(
        (&leader.value[..], leader.token),
        (&b"second"[..], second.token())
    );

    // Deposed by hand.
    let key = String::from_utf8(second.key().to_vec()).unwrap();
    etcd.run_etcdctl(&["del", &key]).await;
    assert_eq!(
        second.proclaim("still me").await.unwrap_err().code(),
        ErrorCode::LockLost
    );
    soon(second.lost()).await;
    assert_eq!(election.leader().await.unwrap(), None);
    let third = three.election("e").campaign("third").await.unwrap();
    assert_eq!(soon(seen.next()).await.unwrap().unwrap().value, "third");
    drop(third);
    soon(three.close()).await;
    let end = soon(seen.next()).await.unwrap().unwrap_err();
    assert_eq!(end.code(), ErrorCode::Closed);
    assert!(soon(seen.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_takes_part() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let mut ctl = etcd.etcdctl(&["elect", "e", "theirs"]).spawn().unwrap();
    let mut lines = BufReader::new(ctl.stdout.take().unwrap()).lines();
    soon(lines.next_line()).await.unwrap().unwrap();
    let election = client.election("e");
    let mut seen = election.observe();
    assert_eq!(soon(seen.next()).await.unwrap().unwrap().value, "theirs");
    let ours = tokio::spawn(async move { election.campaign("ours").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!ours.is_finished());
    let pid = ctl.id().unwrap().to_string();
    std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .unwrap();
    let ours = soon(ours).await.unwrap().unwrap();
    assert_eq!(soon(seen.next()).await.unwrap().unwrap().value, "ours");

    let mut listening = etcd.etcdctl(&["elect", "-l", "e"]).spawn().unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    let key = soon(lines.next_line()).await.unwrap().unwrap();
    assert_eq!(key.as_bytes(), ours.key());
    assert_eq!(soon(lines.next_line()).await.unwrap().unwrap(), "ours");
    ours.proclaim("ours, later").await.unwrap();
    soon(lines.next_line()).await.unwrap().unwrap();
    assert_eq!(
        soon(lines.next_line()).await.unwrap().unwrap(),
        "ours, later"
    );
    ours.resign().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_observer_sees_the_newest() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let client = etcd.client();
    let leadership = client.election("e").campaign("0").await.unwrap();
    let mut seen = client.election("e").observe();
    assert_eq!(soon(seen.next()).await.unwrap().unwrap().value, "0");
    for n in 1..=200 {
        leadership.proclaim(n.to_string()).await.unwrap();
    }
    let mut shown = Vec::new();
    while shown.last() != Some(&200) {
        let value = soon(seen.next()).await.unwrap().unwrap().value;
        shown.push(std::str::from_utf8(&value).unwrap().parse::<u32>().unwrap());
    }
    assert!(shown.is_sorted() && shown.len() < 200, "{shown:?}");
}
