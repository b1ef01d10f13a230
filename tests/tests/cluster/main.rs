//! Three server processes as one: what is written on one is read on all, and what happens to it when processes are
//! killed, paused and restarted.

mod faults;
mod leases;
mod maintenance;

use anyhow::{Context, Result, ensure};
use quorate_proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    MemberListRequest, PutRequest, RangeRequest, WatchCreateRequest, WatchRequest,
};
use quorate_proto::v3lockpb::lock_client::LockClient;
use quorate_proto::v3lockpb::{LockRequest, UnlockRequest};
use quorate_tests::cluster::{Cluster, PATIENCE, connect, status};
use quorate_tests::server::Server;
use tonic::Request;
use tonic::transport::Channel;

async fn kv(member: &Server) -> Result<KvClient<Channel>> {
    Ok(KvClient::new(connect(member).await?))
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

fn point(key: &str) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        ..RangeRequest::default()
    }
}

/// The value of a key, as a member sees it.
async fn get(member: &Server, key: &str) -> Result<Option<String>> {
    let answer = kv(member).await?.range(point(key)).await?.into_inner();
    let first = answer.kvs.first();
    Ok(first.map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_takes_writes_and_answers_reads() -> Result<()> {
    let cluster = Cluster::start(3)?;
    cluster.leader().await?;
    let mut revision = 1;
    for (number, member) in cluster.members().iter().enumerate() {
        let key = format!("from-{number}");
        let written = kv(member).await?.put(put(&key, "v")).await?.into_inner();
        let header = written.header.context("no header")?;
        ensure!(
            header.revision == revision + 1,
            "{header:?} after {revision}"
        );
        revision = header.revision;
        for reader in cluster.members() {
            ensure!(get(reader, &key).await?.as_deref() == Some("v"));
        }
        // Whoever wrote it here finds it here, without asking the others.
        let mut own = point(&key);
        own.serializable = true;
        let found = kv(member).await?.range(own).await?.into_inner();
        ensure!(found.count == 1, "not there yet where it was written");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_know_all_members() -> Result<()> {
    let cluster = Cluster::start(3)?;
    cluster.leader().await?;
    let cluster_id = status(&cluster.members()[0])
        .await?
        .header
        .context("no header")?
        .cluster_id;
    for member in cluster.members() {
        let known = async {
            loop {
                let mut client = ClusterClient::new(connect(member).await?);
                let answer = client
                    .member_list(MemberListRequest { linearizable: true })
                    .await?;
                let answer = answer.into_inner();
                let header = answer.header.context("no header")?;
                ensure!(header.cluster_id == cluster_id, "{header:?}");
                let mut clients: Vec<String> = answer
                    .members
                    .iter()
                    .flat_map(|known| known.client_ur_ls.clone())
                    .collect();
                let mut expected: Vec<String> = cluster.members().iter().map(Server::url).collect();
                clients.sort();
                expected.sort();
                // They make themselves known once there is a leader.
                if clients == expected {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, known).await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_on_one_member_sees_what_is_written_on_another() -> Result<()> {
    let cluster = Cluster::start(3)?;
    let leader = cluster.leader().await?;
    let (watched, written) = (
        &cluster.members()[(leader + 1) % 3],
        &cluster.members()[(leader + 2) % 3],
    );
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: b"w/".to_vec(),
            range_end: b"w0".to_vec(),
            ..WatchCreateRequest::default()
        })),
    };
    let (asks, asked) = tokio::sync::mpsc::channel(1);
    asks.send(create).await?;
    let requests = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut events = WatchClient::new(connect(watched).await?)
        .watch(requests)
        .await?
        .into_inner();
    ensure!(events.message().await?.context("no answer")?.created);
    let mut client = kv(written).await?;
    for number in 0..50 {
        client.put(put(&format!("w/{number}"), "v")).await?;
    }
    let mut last = 0;
    let mut seen = 0;
    while seen < 50 {
        let message = tokio::time::timeout(PATIENCE, events.message())
            .await??
            .context("ended")?;
        for event in message.events {
            let revision = event.kv.context("no key")?.mod_revision;
            ensure!(last == 0 || revision == last + 1, "{last}, then {revision}");
            last = revision;
            seen += 1;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_has_one_holder_wherever_it_is_asked_for() -> Result<()> {
    let cluster = Cluster::start(3)?;
    cluster.leader().await?;
    let mut holders = Vec::new();
    for round in 0..9 {
        let channel = connect(&cluster.members()[round % 3]).await?;
        holders.push(tokio::spawn(async move {
            let mut client = LockClient::new(channel);
            let request = LockRequest {
                name: b"job".to_vec(),
                lease: 0,
            };
            let locked = client.lock(Request::new(request)).await?.into_inner();
            // Held for two revisions of its own: another holder's would come in between.
            let own = locked.header.context("no header")?.revision;
            let key = locked.key.clone();
            let unlocked = client
                .unlock(UnlockRequest { key: locked.key })
                .await?
                .into_inner();
            let released = unlocked.header.context("no header")?.revision;
            anyhow::Ok((own, released, key))
        }));
    }
    let mut held = Vec::new();
    for holder in holders {
        let (own, released, key) = tokio::time::timeout(PATIENCE, holder).await???;
        ensure!(!key.is_empty() && own <= released, "{own} to {released}");
        held.push((released, own));
    }
    held.sort_unstable();
    for pair in held.windows(2) {
        let ((released, _), (_, own)) = (pair[0], pair[1]);
        ensure!(
            own >= released,
            "held from {own}, and another until {released}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_cluster_is_refused_and_told_so() -> Result<()> {
    let cluster = Cluster::start(3)?;
    cluster.leader().await?;
    let one = cluster.members()[0].peer_address().to_owned();
    // It takes one of ours for one of its own.
    let own = "m9=127.0.0.1:1".to_owned();
    let initial = format!("{own},other={one}");
    let stranger = Server::start_with(&["--name", "m9", "--initial-cluster", &initial])?;
    let told = async {
        while !stranger.log().contains("refused by a member") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .with_context(|| stranger.log())?;
    ensure!(
        stranger.log().contains("cluster ID mismatch"),
        "{}",
        stranger.log()
    );
    let log = cluster.members()[0].log();
    ensure!(log.matches("refused a member").count() == 1, "{log}");
    Ok(())
}
