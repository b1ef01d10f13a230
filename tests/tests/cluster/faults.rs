//! Processes that are killed, paused, and started again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quorate_tests::cluster::{Cluster, PATIENCE};
use quorate_tests::server::Server;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use super::{get, kv, put};

const WRITERS: usize = 6;

/// What a writer knows of its own key: numbers that only grow.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: u64,
    sent: u64,
}

/// Writes ever higher numbers to a key of its own, through whichever member answers, until it is told to stop.
fn writer(urls: Vec<String>, writer: usize, stop: Arc<AtomicBool>) -> JoinHandle<Result<Known>> {
    tokio::spawn(async move {
        let channels: Vec<Channel> = urls
            .into_iter()
            .map(|url| {
                let endpoint = Endpoint::from_shared(url)?;
                let endpoint = endpoint.connect_timeout(Duration::from_secs(1));
                Ok(endpoint.timeout(Duration::from_secs(3)).connect_lazy())
            })
            .collect::<Result<_>>()?;
        let mut known = Known::default();
        let mut at = writer;
        while !stop.load(Ordering::Relaxed) {
            let channel = channels[at % channels.len()].clone();
            let mut client = quorate_proto::etcdserverpb::kv_client::KvClient::new(channel);
            known.sent += 1;
            let key = format!("writer/{writer}");
            match client.put(put(&key, &known.sent.to_string())).await {
                Ok(_) => known.acknowledged = known.sent,
                // Nobody knows whether it was written: the next number goes through another member.
                Err(_) => at += 1,
            }
        }
        Ok(known)
    })
}

struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Result<Known>>>,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let urls: Vec<String> = cluster.members().iter().map(Server::url).collect();
        let writers = (0..WRITERS)
            .map(|number| writer(urls.clone(), number, Arc::clone(&stop)))
            .collect();
        Self { stop, writers }
    }

    async fn stop(self) -> Result<Vec<Known>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut known = Vec::new();
        for writer in self.writers {
            known.push(tokio::time::timeout(PATIENCE, writer).await???);
        }
        Ok(known)
    }
}

/// Every member has, for every writer, what was acknowledged or something newer it sent; and all have the same.
async fn check(cluster: &Cluster, known: &[Known]) -> Result<()> {
    let mut stored: HashMap<usize, u64> = HashMap::new();
    for member in cluster.members() {
        for (writer, known) in known.iter().enumerate() {
            let value = get(member, &format!("writer/{writer}")).await?;
            let value: u64 = value.map_or(Ok(0), |value| value.parse())?;
            ensure!(
                known.acknowledged <= value && value <= known.sent,
                "writer {writer} has {known:?}, stored is {value}"
            );
            let first = *stored.entry(writer).or_insert(value);
            ensure!(
                first == value,
                "members differ for writer {writer}: {first}, {value}"
            );
        }
    }
    Ok(())
}

/// Waits until at least one more write is acknowledged by a member.
async fn write_at_last(member: &Server, key: &str, value: &str) -> Result<()> {
    let written = async {
        loop {
            let attempt = async { anyhow::Ok(kv(member).await?.put(put(key, value)).await?) };
            if attempt.await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, written).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_leaders_lose_no_acknowledged_write() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    cluster.leader().await?;
    let load = Load::start(&cluster);
    for round in 0..3 {
        let leader = cluster.leader().await?;
        // The moment of death is the experiment.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..500))).await;
        cluster.member(leader).kill();
        let other = &cluster.members()[(leader + 1) % 3];
        write_at_last(other, "round", &round.to_string()).await?;
        cluster.member(leader).restart()?;
    }
    let known = load.stop().await?;
    ensure!(
        known.iter().all(|known| known.acknowledged > 0),
        "{known:?}"
    );
    cluster.leader().await?;
    check(&cluster, &known).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_is_replaced_and_answers_nothing_of_old() -> Result<()> {
    let cluster = Cluster::start(3)?;
    let old = cluster.leader().await?;
    let (paused, other) = (&cluster.members()[old], &cluster.members()[(old + 1) % 3]);
    write_at_last(other, "k", "before").await?;
    let load = Load::start(&cluster);
    paused.signal(Signal::STOP)?;
    write_at_last(other, "k", "after").await?;
    let new = cluster.leader().await?;
    ensure!(new != old);
    paused.signal(Signal::CONT)?;
    // It may wait or fail until it knows the new leader. It must not answer from its past.
    let read = async {
        loop {
            match get(paused, "k").await {
                Ok(value) => return value,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let value = tokio::time::timeout(PATIENCE, read).await?;
    ensure!(value.as_deref() == Some("after"), "{value:?}");
    let known = load.stop().await?;
    cluster.leader().await?;
    check(&cluster, &known).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_killed_at_once_come_back_with_everything() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    cluster.leader().await?;
    let load = Load::start(&cluster);
    tokio::time::sleep(Duration::from_millis(700)).await;
    for number in 0..3 {
        cluster.member(number).kill();
    }
    let known = load.stop().await?;
    ensure!(
        known.iter().any(|known| known.acknowledged > 0),
        "{known:?}"
    );
    for number in 0..3 {
        cluster.member(number).spawn()?;
    }
    for number in 0..3 {
        cluster.member(number).until_ready()?;
    }
    cluster.leader().await?;
    check(&cluster, &known).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_is_left_refuses_in_time_and_serves_stale_reads() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    let leader = cluster.leader().await?;
    write_at_last(&cluster.members()[leader], "k", "v").await?;
    cluster.member((leader + 1) % 3).kill();
    cluster.member((leader + 2) % 3).kill();
    let left = &cluster.members()[leader];
    let mut client = kv(left).await?;
    let refused = client.put(put("k", "never")).await;
    let refused = refused.err().map(|status| status.code());
    ensure!(refused == Some(tonic::Code::Unavailable), "{refused:?}");
    let mut stale = super::point("k");
    stale.serializable = true;
    let found = client.range(stale).await?.into_inner();
    ensure!(found.count == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_missed_more_than_the_log_keeps_comes_back() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    let leader = cluster.leader().await?;
    let away = (leader + 1) % 3;
    cluster.member(away).kill();
    // The log keeps 64 MiB behind what is in the state for good, in segments of as much.
    let large = "x".repeat(1 << 20);
    let mut client = kv(&cluster.members()[leader]).await?;
    for number in 0..150 {
        let key = format!("large/{}", number % 8);
        client.put(put(&key, &format!("{number}{large}"))).await?;
    }
    cluster.member(away).restart()?;
    let back = &cluster.members()[away];
    // Until it has everything, it answers nothing of old.
    let read = async {
        loop {
            if let Ok(value) = get(back, "large/5").await {
                return value;
            }
        }
    };
    let value = tokio::time::timeout(PATIENCE, read).await;
    let value = value.with_context(|| back.log())?;
    ensure!(value.is_some_and(|value| value.starts_with("149x")));
    ensure!(
        back.log().contains("took over a snapshot"),
        "{}",
        back.log()
    );
    // It is a member like any other: with it, one of the others can go.
    cluster.member((leader + 2) % 3).kill();
    write_at_last(&cluster.members()[away], "k", "v").await?;
    cluster.member(away).restart()?;
    let value = get(&cluster.members()[away], "k").await?;
    ensure!(value.as_deref() == Some("v"), "{value:?}");
    Ok(())
}
