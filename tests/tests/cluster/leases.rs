//! Leases on a cluster: kept alive through any member, and never over before their time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
    PutRequest,
};
use quorate_tests::cluster::{Cluster, PATIENCE, connect};
use quorate_tests::server::Server;
use tonic::transport::Channel;

use super::{get, kv};

async fn client(member: &Server) -> Result<LeaseClient<Channel>> {
    Ok(LeaseClient::new(connect(member).await?))
}

async fn grant(member: &Server, ttl: i64) -> Result<i64> {
    let request = LeaseGrantRequest { id: 0, ttl };
    Ok(client(member)
        .await?
        .lease_grant(request)
        .await?
        .into_inner()
        .id)
}

async fn attach(member: &Server, key: &str, lease: i64) -> Result<()> {
    let put = PutRequest {
        key: key.into(),
        value: b"v".to_vec(),
        lease,
        ..PutRequest::default()
    };
    kv(member).await?.put(put).await?;
    Ok(())
}

/// Renews once; the TTL granted, 0 if the lease is gone.
async fn renew(member: &Server, id: i64) -> Result<i64> {
    let requests = tokio_stream::once(LeaseKeepAliveRequest { id });
    let mut answers = client(member)
        .await?
        .lease_keep_alive(requests)
        .await?
        .into_inner();
    Ok(answers.message().await?.context("no answer")?.ttl)
}

async fn time_left(member: &Server, id: i64) -> Result<(i64, usize)> {
    let request = LeaseTimeToLiveRequest { id, keys: true };
    let left = client(member)
        .await?
        .lease_time_to_live(request)
        .await?
        .into_inner();
    Ok((left.ttl, left.keys.len()))
}

/// Waits until a key is gone; how long that took.
async fn until_gone(member: &Server, key: &str) -> Result<Duration> {
    let begin = Instant::now();
    let gone = async {
        while get(member, key).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(begin.elapsed())
    };
    tokio::time::timeout(PATIENCE, gone).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_member_grants_renews_tells_and_revokes() -> Result<()> {
    let cluster = Cluster::start(3)?;
    cluster.leader().await?;
    for granting in 0..3 {
        let members = cluster.members();
        let id = grant(&members[granting], 60).await?;
        let key = format!("k{granting}");
        attach(&members[(granting + 1) % 3], &key, id).await?;
        for member in members {
            ensure!(renew(member, id).await? == 60);
            let (left, keys) = time_left(member, id).await?;
            ensure!((50..=60).contains(&left) && keys == 1, "{left} {keys}");
        }
        let revoke = LeaseRevokeRequest { id };
        let revoking = &members[(granting + 2) % 3];
        client(revoking).await?.lease_revoke(revoke).await?;
        for member in members {
            ensure!(get(member, &key).await?.is_none());
            ensure!(renew(member, id).await? == 0);
            ensure!(time_left(member, id).await?.0 == -1);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_the_leader_that_kept_it_and_ends_after_its_time() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    let leader = cluster.leader().await?;
    let id = grant(&cluster.members()[leader], 3).await?;
    attach(&cluster.members()[leader], "k", id).await?;
    let renewed = Instant::now();
    ensure!(renew(&cluster.members()[(leader + 1) % 3], id).await? == 3);
    cluster.member(leader).kill();
    let left = &cluster.members()[(leader + 2) % 3];
    until_gone(left, "k").await?;
    let lived = renewed.elapsed();
    ensure!(lived >= Duration::from_secs(3), "over after {lived:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_ends_no_lease_that_was_renewed_elsewhere() -> Result<()> {
    let cluster = Cluster::start(3)?;
    let old = cluster.leader().await?;
    let (paused, other) = (&cluster.members()[old], &cluster.members()[(old + 1) % 3]);
    let id = grant(other, 4).await?;
    attach(other, "k", id).await?;
    paused.signal(rustix::process::Signal::STOP)?;
    // Kept alive through the new leader for longer than the old one would have waited.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(7) {
        // Without an answer there is no leader yet.
        let answer = tokio::time::timeout(Duration::from_secs(3), renew(other, id)).await;
        if let Ok(Ok(ttl)) = answer {
            ensure!(ttl == 4, "the lease is gone after {:?}", begin.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    paused.signal(rustix::process::Signal::CONT)?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        ensure!(renew(other, id).await? == 4, "the old leader ended it");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ensure!(get(other, "k").await?.is_some());
    Ok(())
}
