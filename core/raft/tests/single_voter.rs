//! A cluster of one: writes, reads, restarts.

mod support;

use std::path::Path;

use quorate_raft::{Node, ProposeError};
use quorate_store::{EtcdError, Store};
use support::{config, get, put, start_with};

async fn start(directory: &Path) -> (Node, Store) {
    let started = start_with(directory, config(directory)).await;
    started.expect("the node starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founds_a_cluster_leads_and_answers() {
    let directory = tempfile::tempdir().unwrap();
    let (node, store) = start(directory.path()).await;
    assert!(node.is_leader());
    assert_eq!(put(&node, "a", b"1").await.unwrap(), 2);
    assert_eq!(put(&node, "b", b"2").await.unwrap(), 3);
    node.read_barrier().await.unwrap();
    assert_eq!(get(&store, "a").unwrap(), b"1");
    let status = node.status();
    assert!(status.is_leader && status.term >= 1, "{status:?}");
    assert_eq!(node.term(), status.term);
    assert_eq!(status.leader, Some(0xa1));
    assert_eq!(status.members.len(), 1);
    assert_eq!(status.members[0].member.name, "one");
    assert!(!status.members[0].is_learner);
    assert_eq!(status.last_log, status.applied);
    node.shutdown().await;
    assert!(matches!(
        put(&node, "c", b"3").await,
        Err(ProposeError::Stopped)
    ));
    assert!(matches!(
        node.read_barrier().await,
        Err(ProposeError::Stopped)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_command_is_answered_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (node, _store) = start(directory.path()).await;
    // Refused before it is proposed.
    let refused = put(&node, "", b"1").await;
    assert!(matches!(
        refused,
        Err(ProposeError::Etcd(EtcdError::EmptyKey))
    ));
    // Refused by the state.
    let mut with_lease = support::commands::put_command("k", b"v");
    let Some(quorate_proto::log::command::Op::Put(request)) = &mut with_lease.op else {
        unreachable!()
    };
    request.lease = 77;
    let (refused, taken) = tokio::join!(node.propose(with_lease), put(&node, "ok", b"v"));
    assert!(matches!(
        refused,
        Err(ProposeError::Etcd(EtcdError::LeaseNotFound))
    ));
    assert_eq!(taken.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_crash_and_after_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected: Vec<(String, String)> = Vec::new();
    let mut last_revision = 1;
    for round in 0..6 {
        let (node, store) = start(directory.path()).await;
        for (key, value) in &expected {
            assert_eq!(get(&store, key).as_deref(), Some(value.as_bytes()), "{key}");
        }
        assert_eq!(store.revision(), last_revision);
        for number in 0..20 {
            let (key, value) = (format!("{round}/{number}"), format!("v{round}-{number}"));
            last_revision = put(&node, &key, value.as_bytes()).await.unwrap();
            expected.push((key, value));
        }
        if round % 2 == 0 {
            node.shutdown().await;
        }
        // Otherwise dropped as it is, like a crash of the process.
        tokio::task::spawn_blocking(move || drop((node, store)))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_name_and_new_addresses_are_announced() {
    let directory = tempfile::tempdir().unwrap();
    let (node, store) = start(directory.path()).await;
    tokio::task::spawn_blocking(move || drop((node, store)))
        .await
        .unwrap();
    let mut changed = config(directory.path());
    changed.member.client_urls = vec!["http://127.0.0.1:1".to_owned()];
    let (node, _store) = start_with(directory.path(), changed.clone()).await.unwrap();
    assert_eq!(node.status().members[0].member, changed.member);
    put(&node, "a", b"1").await.unwrap();
}
