//! For tests: a member on a disk that can be held up, fail and crash, and commands for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::etcdserverpb::{PutRequest, RangeRequest};
use quorate_proto::log::{Command, command::Op};
use quorate_store::{Store, StoreOptions};
use quorate_wal::crash_disk::CrashDisk;

use crate::types::LeaderId;
use crate::types::LogId;
use crate::{Member, NoPeers, Node, NodeConfig, ProposeError, RaftFault, Reply};

/// A configuration with small files, and checkpoints only when asked for.
pub(crate) fn config() -> NodeConfig {
    let member = Member {
        name: "one".to_owned(),
        ..Member::default()
    };
    let mut config = NodeConfig::new(0xc1, 0xa1, member, "crash-disk");
    config.wal.segment_bytes = 64 << 10;
    config.limits.apply.checkpoint_interval = Duration::from_secs(3600);
    config
}

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    let leader_id = LeaderId { term, node_id: 7 };
    LogId::new(leader_id, index)
}

/// A store in a directory of its own.
pub(crate) fn open_store(directory: &Path) -> Store {
    std::fs::create_dir_all(directory).unwrap();
    Store::open(directory, StoreOptions::default()).unwrap()
}

/// A store's files as `kill -9` leaves them now, in another directory.
///
/// The store may be at work meanwhile, and a copy made across one of its commits is a state no crash leaves. So each file
/// is copied until the original still reads like the copy: then there was a moment when it was just that.
pub(crate) fn copy_store(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let mut copied = std::fs::read(file.path()).unwrap();
        loop {
            let again = std::fs::read(file.path()).unwrap();
            if again == copied {
                break;
            }
            copied = again;
        }
        std::fs::write(to.join(file.file_name()), copied).unwrap();
    }
}

/// A running member and what it stands on.
pub(crate) struct TestMember {
    pub(crate) node: Node,
    pub(crate) store: Store,
    pub(crate) disk: CrashDisk,
    pub(crate) store_path: PathBuf,
    directory: tempfile::TempDir,
}

impl TestMember {
    /// A new one.
    pub(crate) async fn found(config: NodeConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store_path = directory.path().join("store");
        Self::start(CrashDisk::new(), directory, store_path, config)
            .await
            .unwrap()
    }

    /// On what is there.
    pub(crate) async fn start(
        disk: CrashDisk,
        directory: tempfile::TempDir,
        store_path: PathBuf,
        config: NodeConfig,
    ) -> Result<Self, RaftFault> {
        let started = tokio::task::spawn_blocking(move || {
            let store = open_store(&store_path);
            let peers = Arc::new(NoPeers);
            let node = Node::start_on(Arc::new(disk.clone()), config, store.clone(), peers)?;
            Ok(Self {
                node,
                store,
                disk,
                store_path,
                directory,
            })
        });
        started.await.unwrap()
    }

    /// What a power loss now leaves: the log by the dice, the store as of its last checkpoint.
    pub(crate) fn after_power_loss(&self, seed: u64) -> (CrashDisk, tempfile::TempDir, PathBuf) {
        let disk = self.disk.after_power_loss(seed);
        let directory = tempfile::tempdir().unwrap();
        let store_path = directory.path().join("store");
        copy_store(&self.store_path, &store_path);
        (disk, directory, store_path)
    }

    /// Stops it where it stands, and starts it again on the same disk.
    pub(crate) async fn restart(self, config: NodeConfig) -> Result<Self, RaftFault> {
        let Self {
            node,
            store,
            disk,
            store_path,
            directory,
        } = self;
        tokio::task::spawn_blocking(move || drop((node, store)))
            .await
            .unwrap();
        Self::start(disk, directory, store_path, config).await
    }
}

/// A Put.
pub(crate) fn put_command(key: &str, value: &[u8]) -> Command {
    Command {
        op: Some(Op::Put(PutRequest {
            key: key.as_bytes().to_vec(),
            value: value.to_vec(),
            ..PutRequest::default()
        })),
    }
}

/// Puts, and returns the revision.
pub(crate) async fn put(node: &Node, key: &str, value: &[u8]) -> Result<i64, ProposeError> {
    match node.propose(put_command(key, value)).await? {
        Reply::Put(response) => Ok(response.header.unwrap().revision),
        other => panic!("a Put was answered with {other:?}"),
    }
}

/// The value of a key in the local state.
pub(crate) fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    let request = RangeRequest {
        key: key.as_bytes().to_vec(),
        ..RangeRequest::default()
    };
    let response = store.range(&request).unwrap();
    response.kvs.first().map(|kv| kv.value.to_vec())
}
