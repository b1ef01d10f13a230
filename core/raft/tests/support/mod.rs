//! A member on a temporary directory.

pub(crate) mod commands;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quorate_raft::{Member, NoPeers, Node, NodeConfig, RaftFault};
use quorate_store::{Store, StoreOptions};

pub(crate) use commands::{get, put};

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
        let node = Node::start(config, store.clone(), Arc::new(NoPeers))?;
        Ok((node, store))
    });
    started.await.expect("starting does not panic")
}
