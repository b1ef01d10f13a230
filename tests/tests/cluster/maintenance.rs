//! What members must agree on, whoever is asked.

use anyhow::{Result, ensure};
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{CompactionRequest, HashKvRequest, HashRequest};
use quorate_tests::cluster::{Cluster, connect};

use crate::{get, kv, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_have_the_same_say_the_same_hash() -> Result<()> {
    let cluster = Cluster::start(3)?;
    cluster.leader().await?;
    let mut first = kv(&cluster.members()[0]).await?;
    for number in 0..50 {
        first.put(put(&format!("k{}", number % 7), "v")).await?;
    }
    let compact = CompactionRequest {
        revision: 20,
        physical: false,
    };
    first.compact(compact).await?;
    first.put(put("last", "v")).await?;
    let mut said = Vec::new();
    for member in cluster.members() {
        // A linearizable read: from here on this member has all of it.
        ensure!(get(member, "last").await?.as_deref() == Some("v"));
        let mut maintenance = MaintenanceClient::new(connect(member).await?);
        let whole = maintenance.hash(HashRequest {}).await?.into_inner();
        let request = HashKvRequest { revision: 0 };
        let history = maintenance.hash_kv(request).await?.into_inner();
        ensure!((history.compact_revision, history.hash_revision) == (20, 52));
        said.push((whole.hash, history.hash));
    }
    ensure!(said.iter().all(|one| *one == said[0]), "{said:?}");
    Ok(())
}
