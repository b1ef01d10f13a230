//! Opening what is stored: the state, then the log on top of it.

use std::path::Path;
use std::sync::Arc;

use quorate_raft::{Member as NodeMember, Node, NodeConfig, Peers, RaftFault};
use quorate_store::{Store, StoreFault, StoreOptions};
use quorate_types::ErrorCode;

use crate::bootstrap;
use crate::data_dir::DataDir;
use crate::doors::member::MemberOptions;
use crate::failure::{Exit, Failure};

/// Recovers, or founds, what a data directory holds. Blocks for as long as that takes.
///
/// # Errors
/// When it cannot be read or written, or is damaged.
pub(super) fn open(
    data_dir: &DataDir,
    options: &MemberOptions,
    peers: Arc<dyn Peers>,
) -> Result<(Store, Node), Failure> {
    let directory = data_dir.store();
    std::fs::create_dir_all(&directory)
        .map_err(|error| failure(data_dir.path(), ErrorCode::Io, &error))?;
    let store_options = StoreOptions {
        most_answer_bytes: options.max_answer_bytes,
        ..StoreOptions::default()
    };
    let store = Store::open(&directory, store_options)
        .map_err(|fault| store_failure(data_dir.path(), &fault))?;
    let member = NodeMember {
        name: options.name.clone(),
        peer_urls: options.peer_urls.clone(),
        client_urls: options.client_urls.clone(),
    };
    let mut config = NodeConfig::new(
        options.cluster_id,
        options.member_id,
        member,
        data_dir.wal(),
    );
    config.founding = bootstrap::founding(data_dir.identity());
    let node = Node::start(config, store.clone(), peers)
        .map_err(|fault| node_failure(data_dir.path(), &fault))?;
    Ok((store, node))
}

fn store_failure(path: &Path, fault: &StoreFault) -> Failure {
    failure(path, fault.error_code(), fault)
}

fn node_failure(path: &Path, fault: &RaftFault) -> Failure {
    failure(path, fault.code(), fault)
}

/// What went wrong with stored data, where it is, and what to do.
pub(super) fn failure(path: &Path, code: ErrorCode, what: &dyn std::fmt::Display) -> Failure {
    let exit = match code {
        ErrorCode::Io | ErrorCode::Corrupt => Exit::Storage,
        ErrorCode::FailedPrecondition => Exit::DataDirectory,
        _ => Exit::Failed,
    };
    Failure::new(
        exit,
        format!(
            "data directory {}: {what}; {}",
            path.display(),
            code.next_step()
        ),
    )
}
