//! `Maintenance` over the wire, against a real server.

use std::path::Path;
use std::time::Duration;

use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{
    CompactionRequest, HashKvRequest, HashKvResponse, HashRequest, PutRequest, RangeRequest,
};
use quorate_tests::server::Server;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Long enough for a busy machine, short enough to notice.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(flags: &[&str]) -> Server {
    Server::start_binary(Path::new(env!("CARGO_BIN_EXE_quorate")), flags).unwrap()
}

async fn connect(server: &Server) -> Channel {
    let channel = Channel::from_shared(server.url()).unwrap();
    channel.connect().await.unwrap()
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

async fn hash_kv(channel: &Channel, revision: i64) -> Result<HashKvResponse, Status> {
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let answer = maintenance.hash_kv(HashKvRequest { revision }).await?;
    Ok(answer.into_inner())
}

async fn hash(channel: &Channel) -> u32 {
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let answer = maintenance.hash(HashRequest {}).await.unwrap();
    answer.into_inner().hash
}

#[tokio::test]
async fn a_hash_is_of_a_revision_and_outlives_a_restart() {
    let mut server = start(&[]);
    let channel = connect(&server).await;
    let mut kv = KvClient::new(channel.clone());
    for value in ["1", "2", "3"] {
        kv.put(put("a", value)).await.unwrap();
    }
    let at_three = hash_kv(&channel, 3).await.unwrap();
    assert_eq!((at_three.compact_revision, at_three.hash_revision), (-1, 3));
    assert_eq!(at_three.header.unwrap().revision, 4);
    let newest = hash_kv(&channel, 0).await.unwrap();
    assert_eq!(newest.hash_revision, 4);
    assert_ne!(newest.hash, at_three.hash);
    let future = hash_kv(&channel, 5).await.unwrap_err();
    assert_eq!(future.code(), Code::OutOfRange);
    assert_eq!(
        future.message(),
        "etcdserver: mvcc: required revision is a future revision"
    );
    let compact = CompactionRequest {
        revision: 3,
        physical: true,
    };
    kv.compact(compact).await.unwrap();
    let compacted = hash_kv(&channel, 2).await.unwrap_err();
    assert_eq!(
        compacted.message(),
        "etcdserver: mvcc: required revision has been compacted"
    );
    let kept = hash_kv(&channel, 3).await.unwrap();
    assert_eq!((kept.compact_revision, kept.hash_revision), (3, 3));

    let (before, whole) = (hash_kv(&channel, 0).await.unwrap(), hash(&channel).await);
    server.restart().unwrap();
    let channel = connect(&server).await;
    let after = hash_kv(&channel, 0).await.unwrap();
    assert_eq!(
        (after.hash, after.compact_revision, after.hash_revision),
        (before.hash, 3, 4)
    );
    assert_eq!(hash(&channel).await, whole);
}

#[tokio::test]
async fn history_is_compacted_by_itself_after_its_time() {
    let server = start(&["--auto-compaction-retention", "1s"]);
    let mut kv = KvClient::new(connect(&server).await);
    kv.put(put("a", "old")).await.unwrap();
    kv.put(put("a", "new")).await.unwrap();
    let old = RangeRequest {
        key: b"a".to_vec(),
        revision: 2,
        ..RangeRequest::default()
    };
    let compacted = async {
        // No event tells of a compaction to who does not watch.
        loop {
            match kv.range(old.clone()).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(status) => break status,
            }
        }
    };
    let compacted = timeout(PATIENCE, compacted).await.unwrap();
    assert_eq!(
        compacted.message(),
        "etcdserver: mvcc: required revision has been compacted"
    );
    let newest = RangeRequest { revision: 0, ..old };
    let newest = kv.range(newest).await.unwrap().into_inner();
    assert_eq!(newest.kvs[0].value, "new");
}
