//! A member on a temporary directory, and commands for it.

use std::path::Path;
use std::time::Duration;

use quorate_proto::etcdserverpb::{PutRequest, RangeRequest};
use quorate_proto::log::{Command, command::Op};
use quorate_raft::{Member, Node, NodeConfig, ProposeError, RaftFault, Reply};
use quorate_store::{Store, StoreOptions};

/// A configuration whose files and waits are small.
pub(crate) fn config(directory: &Path) -> NodeConfig {
    let member = Member {
        name: "one".to_owned(),
        ..Member::default()
    };
    let mut config = NodeConfig::new(0xc1, 0xa1, member, directory.join("wal"));
    config.wal.segment_bytes = 256 << 10;
    config.limits.apply.checkpoint_interval = Duration::from_millis(200);
    config
}

/// Opens store and node, off the runtime as they block.
pub(crate) async fn start_with(
    directory: &Path,
    config: NodeConfig,
) -> Result<(Node, Store), RaftFault> {
    let directory = directory.to_owned();
    let started = tokio::task::spawn_blocking(move || {
        let path = directory.join("store");
        std::fs::create_dir_all(&path).expect("a directory for the store");
        let store = Store::open(&path, StoreOptions::default())?;
        let node = Node::start(config, store.clone())?;
        Ok((node, store))
    });
    started.await.expect("starting does not panic")
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
        Reply::Put(response) => Ok(response.header.expect("a header").revision),
        other => panic!("a Put was answered with {other:?}"),
    }
}

/// The value of a key in the local state.
pub(crate) fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    let request = RangeRequest {
        key: key.as_bytes().to_vec(),
        ..RangeRequest::default()
    };
    let response = store.range(&request).expect("a range over one key");
    response.kvs.first().map(|kv| kv.value.to_vec())
}
