//! `kill -9` at any moment loses no acknowledged write: killed in a loop under load, and checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::{PutRequest, RangeRequest};
use quorate_tests::server::Server;
use tonic::transport::Channel;

const WRITERS: usize = 8;

/// What one writer knows of its own key: sequence numbers only grow.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The last value that the server acknowledged, and at which revision.
    acknowledged: u64,
    revision: i64,
    /// The last value that was sent; it may or may not have arrived.
    sent: u64,
}

async fn connect(server: &Server) -> Result<KvClient<Channel>> {
    let channel = Channel::from_shared(server.url())?
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await?;
    Ok(KvClient::new(channel))
}

/// Writes ever higher numbers to one key until the server is gone.
async fn write(
    mut client: KvClient<Channel>,
    writer: usize,
    mut known: Known,
    stop: Arc<AtomicBool>,
) -> Known {
    while !stop.load(Ordering::Relaxed) {
        known.sent += 1;
        let put = PutRequest {
            key: format!("writer/{writer}").into_bytes(),
            value: known.sent.to_string().into_bytes(),
            ..Default::default()
        };
        match client.put(put).await {
            Ok(response) => {
                known.acknowledged = known.sent;
                known.revision = response
                    .into_inner()
                    .header
                    .map_or(known.revision, |header| header.revision);
            }
            Err(_) => break,
        }
    }
    known
}

async fn stored(client: &mut KvClient<Channel>) -> Result<(i64, HashMap<String, (u64, i64)>)> {
    let response = client
        .range(RangeRequest {
            key: b"writer/".to_vec(),
            range_end: b"writer0".to_vec(),
            ..Default::default()
        })
        .await?
        .into_inner();
    let revision = response.header.context("no header")?.revision;
    let mut values = HashMap::new();
    for kv in response.kvs {
        let value = std::str::from_utf8(&kv.value)?.parse()?;
        values.insert(
            String::from_utf8(kv.key.to_vec())?,
            (value, kv.mod_revision),
        );
    }
    Ok((revision, values))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost() -> Result<()> {
    let rounds: usize = std::env::var("QUORATE_KILL_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(12);
    let seed = fastrand::u64(..);
    println!("seed {seed}, {rounds} rounds");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Server::start()?;
    let mut known = [Known::default(); WRITERS];
    for round in 0..rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for (writer, known) in known.iter().enumerate() {
            let client = connect(&server).await?;
            writers.push(tokio::spawn(write(client, writer, *known, stop.clone())));
        }
        // The moment of death is the experiment, so here time itself is what is waited for.
        tokio::time::sleep(Duration::from_millis(random.u64(5..400))).await;
        server.kill();
        for (writer, task) in writers.into_iter().enumerate() {
            known[writer] = task.await?;
        }
        server.restart().with_context(|| format!("round {round}"))?;
        let mut client = connect(&server).await?;
        let (revision, values) = stored(&mut client).await?;
        for (writer, known) in known.iter_mut().enumerate() {
            let found = values.get(&format!("writer/{writer}")).copied();
            let (value, mod_revision) = found.unwrap_or_default();
            ensure!(
                known.acknowledged <= value && value <= known.sent,
                "round {round}, seed {seed}: writer {writer} has {known:?}, stored is {value} at {mod_revision}"
            );
            ensure!(
                revision >= known.revision
                    && (value > known.acknowledged || mod_revision == known.revision),
                "round {round}, seed {seed}: writer {writer} has {known:?}, store is at {revision}, key at {mod_revision}"
            );
            known.acknowledged = value;
            known.revision = mod_revision;
        }
    }
    ensure!(
        known.iter().map(|known| known.acknowledged).sum::<u64>() > 100,
        "hardly anything was written: {known:?}"
    );
    Ok(())
}
