//! `Maintenance` over the wire, against a real server.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{
    CompactionRequest, HashKvRequest, HashKvResponse, HashRequest, LeaseGrantRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, SnapshotRequest, StatusRequest,
};
use quorate_tests::server::Server;
use serde_json::Value;
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

fn quorate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.args(arguments).output().unwrap()
}

/// What a command that must succeed prints as JSON: one row.
fn row(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    rows[0].clone()
}

fn point(key: &str, revision: i64) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        revision,
        ..RangeRequest::default()
    }
}

#[tokio::test]
async fn a_snapshot_saved_while_writes_go_on_comes_back_in_a_new_cluster() {
    let mut server = start(&[]);
    let channel = connect(&server).await;
    let mut kv = KvClient::new(channel.clone());
    let lease = LeaseGrantRequest { id: 7, ttl: 1000 };
    let mut leases = LeaseClient::new(channel.clone());
    leases.lease_grant(lease).await.unwrap();
    for number in 0..100 {
        let mut request = put(&format!("k{}", number % 40), &"x".repeat(10_000));
        request.lease = if number % 40 == 3 { 7 } else { 0 };
        kv.put(request).await.unwrap();
    }
    let compact = CompactionRequest {
        revision: 50,
        physical: false,
    };
    kv.compact(compact).await.unwrap();

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup");
    let file = file.to_str().unwrap();
    let saving = tokio::task::spawn_blocking({
        let (file, address) = (file.to_owned(), server.address().to_owned());
        move || {
            quorate(&[
                "snapshot",
                "save",
                &file,
                "--endpoints",
                &address,
                "--output",
                "json",
            ])
        }
    });
    let mut written = 0;
    while !saving.is_finished() {
        kv.put(put("busy", &written.to_string())).await.unwrap();
        written += 1;
    }
    let saved = row(&saving.await.unwrap());
    let revision = saved["revision"].as_i64().unwrap();
    assert!((101..=101 + written).contains(&revision), "{saved}");
    let there = hash_kv(&channel, revision).await.unwrap();
    assert_eq!(saved["hash"], there.hash);
    let status = quorate(&["snapshot", "status", file, "--output", "json"]);
    assert_eq!(row(&status), saved);

    let data = server.data_directory();
    let restore = || {
        let data = data.to_str().unwrap();
        quorate(&[
            "snapshot",
            "restore",
            file,
            "--data-dir",
            data,
            "--output",
            "json",
        ])
    };
    let refused = restore();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let before = there.header.unwrap();
    server.kill();
    fs::remove_dir_all(&data).unwrap();
    assert_eq!(row(&restore()), saved);
    server.restart().unwrap();

    let channel = connect(&server).await;
    let again = hash_kv(&channel, revision).await.unwrap();
    assert_eq!((again.hash, again.compact_revision), (there.hash, 50));
    let header = again.header.unwrap();
    assert_ne!(header.cluster_id, before.cluster_id);
    assert_ne!(header.member_id, before.member_id);
    assert_eq!(header.revision, revision);
    let mut kv = KvClient::new(channel.clone());
    let old = kv.range(point("k3", 60)).await.unwrap().into_inner();
    assert_eq!((old.kvs[0].lease, old.kvs[0].version), (7, 2));
    let compacted = kv.range(point("k3", 49)).await.unwrap_err();
    assert_eq!(compacted.code(), Code::OutOfRange);
    let mut leases = LeaseClient::new(channel.clone());
    let left = LeaseTimeToLiveRequest { id: 7, keys: true };
    let left = leases.lease_time_to_live(left).await.unwrap().into_inner();
    assert_eq!((left.granted_ttl, left.keys), (1000, vec![b"k3".to_vec()]));
    assert!(left.ttl > 900, "{}", left.ttl);
    let next = kv.put(put("next", "v")).await.unwrap().into_inner();
    assert_eq!(next.header.unwrap().revision, revision + 1);
    // What came after the restore is as safe as anything.
    server.restart().unwrap();
    let mut kv = KvClient::new(connect(&server).await);
    let next = kv.range(point("next", 0)).await.unwrap().into_inner();
    assert_eq!(next.kvs[0].value, "v");
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_nothing_is_left_behind() {
    let server = start(&[]);
    let mut kv = KvClient::new(connect(&server).await);
    kv.put(put("a", &"x".repeat(5000))).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup");
    let told = file.to_str().unwrap();
    row(&quorate(&[
        "snapshot",
        "save",
        told,
        "--endpoints",
        server.address(),
        "--output",
        "json",
    ]));
    let mut bytes = fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let data = directory.path().join("data");
    let refused = quorate(&[
        "snapshot",
        "restore",
        told,
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("its checksum is wrong"), "{why}");
    let status = quorate(&["snapshot", "status", told]);
    assert_eq!(status.status.code(), Some(5));
    // And a save that fails leaves what was there.
    let unreachable = quorate(&["snapshot", "save", told, "--endpoints", "127.0.0.1:1"]);
    assert_eq!(unreachable.status.code(), Some(7), "{unreachable:?}");
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn a_snapshot_is_cut_into_messages_any_client_takes() {
    let server = start(&["--max-request-size", "32MiB"]);
    let channel = connect(&server).await;
    let mut kv = KvClient::new(channel.clone());
    kv.put(put("large", &"x".repeat(10 << 20))).await.unwrap();
    let mut maintenance = MaintenanceClient::new(channel);
    let status = maintenance.status(StatusRequest {}).await.unwrap();
    let status = status.into_inner();
    assert!(status.db_size_in_use >= 10 << 20 && status.db_size_in_use <= status.db_size);
    let pieces = maintenance.snapshot(SnapshotRequest {}).await.unwrap();
    let mut pieces = pieces.into_inner();
    let (mut bytes, mut remaining) = (0, u64::MAX);
    while let Some(piece) = timeout(PATIENCE, pieces.message()).await.unwrap().unwrap() {
        assert_ne!(remaining, 0, "more after the end");
        bytes += piece.blob.len();
        remaining = piece.remaining_bytes;
    }
    assert_eq!(remaining, 0);
    assert!(bytes > 10 << 20 && bytes % 512 == 32, "{bytes}");
}
