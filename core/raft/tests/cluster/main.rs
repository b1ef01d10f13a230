//! Three members in one process: elections, writes and reads anywhere, and what happens when lines are cut.

#[path = "../support/commands.rs"]
mod commands;
mod members;

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::log::{Command, LeaseGrant, LeaseRevoke, command::Op};
use quorate_raft::{ProposeError, Reply};

use crate::commands::{get, put};
use crate::members::{Cluster, PATIENCE};

fn other_than(cluster: &Cluster, leader: u64) -> u64 {
    cluster.ids().into_iter().find(|id| *id != leader).unwrap()
}

fn rest(cluster: &Cluster, without: u64) -> Vec<u64> {
    cluster
        .ids()
        .into_iter()
        .filter(|id| *id != without)
        .collect()
}

/// Puts, again and again while nobody leads.
async fn put_at_last(cluster: &Cluster, id: u64, key: &str, value: &[u8]) -> i64 {
    let node = cluster.node(id);
    let written = async {
        loop {
            match put(&node, key, value).await {
                Ok(revision) => return revision,
                Err(
                    ProposeError::NoLeader { .. }
                    | ProposeError::LeaderChanged
                    | ProposeError::Timeout,
                ) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let written = tokio::time::timeout(PATIENCE, written).await;
    written.expect("the write goes through")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_elect_a_leader_and_each_takes_writes_and_answers_reads() {
    let cluster = Cluster::found(3).await;
    cluster.leader().await;
    let mut revision = 1;
    for id in cluster.ids() {
        let key = format!("from-{id}");
        let written = put(&cluster.node(id), &key, b"v").await.unwrap();
        assert_eq!(written, revision + 1);
        revision = written;
        // Whoever wrote it here finds it here without asking anyone.
        assert_eq!(get(&cluster.store(id), &key).unwrap(), b"v");
        for reader in cluster.ids() {
            cluster.node(reader).read_barrier().await.unwrap();
            assert_eq!(get(&cluster.store(reader), &key).unwrap(), b"v");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_becomes_known_to_all() {
    let cluster = Cluster::found(3).await;
    cluster.leader().await;
    let known = async {
        for id in cluster.ids() {
            loop {
                let members = cluster.node(id).status().members;
                let all = members.iter().all(|known| {
                    known.member.client_urls == [format!("client://{}", known.id)]
                        && known.member.peer_urls == [format!("test://{}", known.id)]
                });
                if all && members.len() == 3 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_on_all_members_get_a_revision_each() {
    let cluster = Arc::new(Cluster::found(3).await);
    cluster.leader().await;
    let mut writers = Vec::new();
    for writer in 0..30_u64 {
        let cluster = Arc::clone(&cluster);
        writers.push(tokio::spawn(async move {
            let node = cluster.node(writer % 3 + 1);
            let mut revisions = Vec::new();
            for number in 0..20 {
                let key = format!("{writer}/{number}");
                revisions.push(put(&node, &key, b"v").await.unwrap());
            }
            assert!(revisions.is_sorted(), "{revisions:?}");
            revisions
        }));
    }
    let mut all = Vec::new();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (2..602).collect::<Vec<i64>>());
    let mut hashes = Vec::new();
    for id in cluster.ids() {
        cluster.node(id).read_barrier().await.unwrap();
        hashes.push(cluster.store(id).hash_kv(0).unwrap());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_on_a_follower_is_the_leaders() {
    let cluster = Cluster::found(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.node(other_than(&cluster, leader));
    let op = Some(Op::LeaseRevoke(LeaseRevoke { id: 7 }));
    let refused = follower.propose(Command { op }).await.unwrap_err();
    assert_eq!(refused.to_string(), "etcdserver: requested lease not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::found(3).await;
    let first = cluster.leader().await;
    put(&cluster.node(first), "before", b"1").await.unwrap();
    cluster.stop(first).await;
    let left = rest(&cluster, first);
    let second = cluster.leader_of(&left).await;
    assert_ne!(first, second);
    for &id in &left {
        put_at_last(&cluster, id, &format!("after-{id}"), b"2").await;
        cluster.node(id).read_barrier().await.unwrap();
        assert_eq!(get(&cluster.store(id), "before").unwrap(), b"1");
    }
    cluster.start(first).await;
    cluster.node(first).read_barrier().await.unwrap();
    for &id in &left {
        let key = format!("after-{id}");
        assert_eq!(get(&cluster.store(first), &key).unwrap(), b"2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_cut_off_acknowledges_and_confirms_nothing() {
    let cluster = Cluster::found(3).await;
    let old = cluster.leader().await;
    put(&cluster.node(old), "k", b"1").await.unwrap();
    cluster.cut_off(old);
    let left = rest(&cluster, old);
    let lost = tokio::spawn({
        let node = cluster.node(old);
        async move { put(&node, "k", b"lost").await }
    });
    let stale = tokio::spawn({
        let node = cluster.node(old);
        async move { node.read_barrier().await }
    });
    cluster.leader_of(&left).await;
    put_at_last(&cluster, left[0], "k", b"2").await;
    assert!(stale.await.unwrap().is_err(), "a read of the past");
    let lost = lost.await.unwrap().unwrap_err();
    assert!(
        matches!(
            lost,
            ProposeError::Timeout | ProposeError::LeaderChanged | ProposeError::NoLeader { .. }
        ),
        "{lost}"
    );
    cluster.heal();
    cluster.leader().await;
    for id in cluster.ids() {
        cluster.node(id).read_barrier().await.unwrap();
        assert_eq!(get(&cluster.store(id), "k").unwrap(), b"2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_made_once_at_most() {
    let cluster = Cluster::found(3).await;
    let leader = cluster.leader().await;
    let follower = other_than(&cluster, leader);
    let before = put(&cluster.node(leader), "before", b"1").await.unwrap();
    // The leader hears the follower; what it says does not arrive.
    cluster.cut(leader, follower);
    let answer = put(&cluster.node(follower), "once", b"1").await;
    assert!(
        matches!(
            answer,
            Err(ProposeError::LeaderChanged | ProposeError::Timeout)
        ),
        "{answer:?}"
    );
    cluster.heal();
    let after = put_at_last(&cluster, follower, "after", b"1").await;
    assert!(
        after - before <= 2,
        "made more than once: {before} to {after}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_writes_and_reads_end_in_time() {
    let mut cluster = Cluster::found(3).await;
    let leader = cluster.leader().await;
    for id in rest(&cluster, leader) {
        cluster.stop(id).await;
    }
    let node = cluster.node(leader);
    let (written, read) = tokio::join!(put(&node, "k", b"v"), node.read_barrier());
    for error in [written.unwrap_err(), read.unwrap_err()] {
        assert!(
            matches!(error, ProposeError::Timeout | ProposeError::NoLeader { .. }),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_leader_of_a_term_decides_in_it() {
    let cluster = Cluster::found(3).await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader);
    let term = node.leads_in().unwrap();
    let grant = Op::LeaseGrant(LeaseGrant {
        id: 7,
        ttl_seconds: 100,
    });
    node.propose(Command { op: Some(grant) }).await.unwrap();
    let revoke = || {
        let op = Some(Op::LeaseRevoke(LeaseRevoke { id: 7 }));
        vec![Command { op }]
    };
    let early = node.propose_in_term(term - 1, revoke()).await;
    assert!(matches!(early[..], [Err(ProposeError::NoLeader { .. })]));
    let follower = cluster.node(other_than(&cluster, leader));
    assert_eq!(follower.leads_in(), None);
    let foreign = follower.propose_in_term(term, revoke()).await;
    assert!(matches!(foreign[..], [Err(ProposeError::NoLeader { .. })]));
    let now = node.propose_in_term(term, revoke()).await;
    assert!(matches!(now[..], [Ok(Reply::LeaseRevoke(_))]), "{now:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_restart() {
    let mut cluster = Cluster::found(3).await;
    cluster.leader().await;
    put_at_last(&cluster, 1, "k", b"v").await;
    for id in cluster.ids() {
        cluster.stop(id).await;
    }
    for id in cluster.ids() {
        cluster.start(id).await;
    }
    cluster.leader().await;
    for id in cluster.ids() {
        cluster.node(id).read_barrier().await.unwrap();
        assert_eq!(get(&cluster.store(id), "k").unwrap(), b"v");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_for_long_gets_a_snapshot_while_writes_go_on() {
    let mut cluster = Cluster::found_keeping(3, 20).await;
    let leader = cluster.leader().await;
    let away = other_than(&cluster, leader);
    put(&cluster.node(away), "k", b"before").await.unwrap();
    cluster.stop(away).await;
    let left = rest(&cluster, away);
    for number in 0..300 {
        put_at_last(&cluster, left[number % 2], &format!("{number}"), b"v").await;
    }
    let purged = async {
        // A checkpoint is made every 200 ms, and lets go of what is behind it.
        while left
            .iter()
            .any(|id| cluster.node(*id).status().first_log < 100)
        {
            put_at_last(&cluster, left[0], "k", b"more").await;
        }
    };
    tokio::time::timeout(PATIENCE, purged).await.unwrap();
    let writer = tokio::spawn({
        let node = cluster.node(left[0]);
        async move {
            for number in 0..100 {
                // While the leadership changes, some fail.
                let _ = put(&node, &format!("during/{number}"), b"v").await;
            }
        }
    });
    cluster.start(away).await;
    cluster.node(away).read_barrier().await.unwrap();
    writer.await.unwrap();
    assert!(cluster.store(away).received_up_to() > 100);
    put_at_last(&cluster, away, "k", b"after").await;
    let mut hashes = Vec::new();
    for id in cluster.ids() {
        cluster.node(id).read_barrier().await.unwrap();
        assert_eq!(get(&cluster.store(id), "k").unwrap(), b"after");
        hashes.push(cluster.store(id).hash_kv(0).unwrap());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    // And it is a member like any other: it restarts, and leads if it has to.
    cluster.stop(away).await;
    cluster.start(away).await;
    cluster.leader().await;
    cluster.node(away).read_barrier().await.unwrap();
    assert_eq!(get(&cluster.store(away), "299").unwrap(), b"v");
}
