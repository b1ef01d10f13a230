//! Power losses and failing disks: what was acknowledged is there, and a node that can't go on says so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quorate_store::Progress;
use quorate_types::ErrorCode;
use quorate_wal::crash_disk::{CrashDisk, Operation};

use crate::testing::{TestMember, config, get, open_store, put};
use crate::{Fault, Founding, ProposeError, RaftFault};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_power_fails_under_load() {
    for seed in 0..12 {
        let member = TestMember::found(config()).await;
        for number in 0..seed {
            put(&member.node, &format!("old/{number}"), b"x")
                .await
                .unwrap();
        }
        if seed % 2 == 0 {
            member.node.checkpoint().await.unwrap();
        }
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (node, acknowledged) = (member.node.clone(), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    for number in 0..10_000 {
                        let key = format!("{writer}/{number}");
                        if put(&node, &key, key.as_bytes()).await.is_err() {
                            return;
                        }
                        acknowledged.lock().push(key);
                    }
                })
            })
            .collect();
        let enough = 20 + 7 * seed as usize;
        while acknowledged.lock().len() < enough {
            tokio::task::yield_now().await;
        }
        // First what is acknowledged, then the crash: more may have been acknowledged since.
        let expected = acknowledged.lock().clone();
        let (disk, directory, store_path) = member.after_power_loss(seed);
        for writer in &writers {
            writer.abort();
        }
        let after = TestMember::start(disk, directory, store_path, config())
            .await
            .unwrap();
        for number in 0..seed {
            assert!(
                get(&after.store, &format!("old/{number}")).is_some(),
                "seed {seed}"
            );
        }
        for key in expected {
            let value = get(&after.store, &key);
            assert_eq!(
                value.as_deref(),
                Some(key.as_bytes()),
                "seed {seed}, key {key}"
            );
        }
        put(&after.node, "new", b"1").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_applies_from_the_checkpoint_on_and_gives_the_same_state() {
    let mut member = TestMember::found(config()).await;
    for round in 0..3 {
        for number in 0..10 {
            put(&member.node, &format!("{round}/{number}"), b"x")
                .await
                .unwrap();
        }
        if round == 1 {
            member.node.checkpoint().await.unwrap();
        }
    }
    let hash = member.store.hash_kv(0).unwrap();
    let term = member.node.term();
    let (disk, directory, store_path) = member.after_power_loss(1);
    assert!(open_store(&store_path).revision() < member.store.revision());
    member = TestMember::start(disk, directory, store_path, config())
        .await
        .unwrap();
    assert_eq!(member.store.hash_kv(0).unwrap(), hash);
    assert!(member.node.term() > term);
    member = member.restart(config()).await.unwrap();
    assert_eq!(member.store.hash_kv(0).unwrap(), hash);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_log_ends_the_node_and_is_told_to_everyone() {
    let member = TestMember::found(config()).await;
    let node = &member.node;
    put(node, "a", b"1").await.unwrap();
    member
        .disk
        .fail(Operation::SyncData, 0, io::ErrorKind::Other);
    let waiting: Vec<_> = (0..50)
        .map(|number| {
            let node = node.clone();
            tokio::spawn(async move { put(&node, &format!("b/{number}"), b"2").await })
        })
        .collect();
    for waiting in waiting {
        let answer = waiting.await.unwrap();
        assert!(
            matches!(answer, Err(ProposeError::Fault(Fault::Log(_)))),
            "{answer:?}"
        );
    }
    let fault = tokio::time::timeout(Duration::from_secs(20), node.fatal())
        .await
        .unwrap();
    assert!(matches!(fault, Fault::Log(_)), "{fault}");
    assert!(matches!(
        node.read_barrier().await,
        Err(ProposeError::Fault(_))
    ));
    assert!(matches!(
        put(node, "c", b"3").await,
        Err(ProposeError::Fault(_))
    ));
    tokio::time::timeout(Duration::from_secs(60), node.shutdown())
        .await
        .unwrap();
    // The disk is well again, and so is the member, with what was acknowledged.
    let (disk, directory, store_path) = member.after_power_loss(3);
    let after = TestMember::start(disk, directory, store_path, config())
        .await
        .unwrap();
    assert_eq!(get(&after.store, "a").unwrap(), b"1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_the_node_and_a_restart_with_space_goes_on() {
    let member = TestMember::found(config()).await;
    member.disk.limit_space(Some(256 << 10));
    let mut acknowledged = 0;
    let refused = loop {
        match put(&member.node, &format!("{acknowledged}"), &[7; 10_000]).await {
            Ok(_) => acknowledged += 1,
            Err(refused) => break refused,
        }
        assert!(acknowledged < 1000, "the disk was never full");
    };
    let ProposeError::Fault(fault) = refused else {
        panic!("{refused}");
    };
    assert_eq!(fault.code(), ErrorCode::ResourceExhausted, "{fault}");
    member.disk.limit_space(None);
    let after = member.restart(config()).await.unwrap();
    for number in 0..acknowledged {
        assert!(get(&after.store, &format!("{number}")).is_some());
    }
    put(&after.node, "more", b"1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_and_state_that_do_not_fit_are_refused() {
    let member = TestMember::found(config()).await;
    put(&member.node, "a", b"1").await.unwrap();
    member.node.checkpoint().await.unwrap();
    // The log is gone.
    let (_, directory, store_path) = member.after_power_loss(1);
    let empty = CrashDisk::new();
    let refused = TestMember::start(empty, directory, store_path, config())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), ErrorCode::Corrupt);
    assert!(refused.to_string().contains("is empty"), "{refused}");
    // The store is another cluster's.
    let mut other = config();
    other.cluster_id = 5;
    let (_, directory, store_path) = member.after_power_loss(1);
    let empty = CrashDisk::new();
    let refused = TestMember::start(empty, directory, store_path, other)
        .await
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("belongs to cluster c1"),
        "{refused}"
    );
    // The store is gone, and the log no longer has all.
    let mut tight = config();
    tight.limits.log.kept_entries = 0;
    let member = member.restart(tight).await.unwrap();
    put(&member.node, "b", b"1").await.unwrap();
    member.node.checkpoint().await.unwrap();
    member.node.until_purged().await;
    // With the next write, the purge is durable too.
    put(&member.node, "c", b"1").await.unwrap();
    let (disk, directory, _) = member.after_power_loss(2);
    let gone = directory.path().join("gone");
    let refused: RaftFault = TestMember::start(disk, directory, gone, config())
        .await
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("begins behind entry"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_before_the_state_is_refused() {
    let member = TestMember::found(config()).await;
    let (early, ..) = member.after_power_loss(1);
    put(&member.node, "a", b"1").await.unwrap();
    member.node.checkpoint().await.unwrap();
    let (_, directory, store_path) = member.after_power_loss(1);
    let refused = TestMember::start(early, directory, store_path, config()).await;
    let refused = refused.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::Corrupt);
    assert!(refused.to_string().contains("ends before"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_wherever_the_disk_crashes() {
    // Checkpoints, purges and new segments all the time, so that the crash hits them too.
    let mut busy = config();
    busy.wal.segment_bytes = 8 << 10;
    busy.limits.apply.checkpoint_bytes = 2000;
    busy.limits.log.kept_entries = 4;
    busy.limits.log.cache_bytes = 1000;
    let mut reached = 0;
    for operations in (0..240).step_by(6) {
        let disk = CrashDisk::new();
        disk.crash_after(operations);
        let directory = tempfile::tempdir().unwrap();
        let store_path = directory.path().join("store");
        let started = TestMember::start(disk.clone(), directory, store_path, busy.clone()).await;
        let mut acknowledged = 0;
        let member = match started {
            // It crashed while it was founded: there must be nothing, or all of it.
            Err(_) => {
                let directory = tempfile::tempdir().unwrap();
                let store_path = directory.path().join("store");
                let disk = disk.after_power_loss(operations as u64);
                TestMember::start(disk, directory, store_path, busy.clone())
                    .await
                    .unwrap()
            }
            Ok(member) => {
                let value = [7; 300];
                while put(&member.node, &acknowledged.to_string(), &value)
                    .await
                    .is_ok()
                {
                    acknowledged += 1;
                }
                let (disk, directory, store_path) = member.after_power_loss(operations as u64);
                drop(member);
                TestMember::start(disk, directory, store_path, busy.clone())
                    .await
                    .unwrap()
            }
        };
        for number in 0..acknowledged {
            let value = get(&member.store, &number.to_string());
            assert!(
                value.is_some(),
                "{number} of {acknowledged}, crashed at {operations}"
            );
        }
        put(&member.node, "new", b"1").await.unwrap();
        reached = acknowledged;
    }
    assert!(
        reached > 30,
        "only {reached} writes: the crashes came too early to mean much"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_makes_no_sense_ends_the_start() {
    let member = TestMember::found(config()).await;
    member.node.propose_bytes(b"\xff\xff nonsense").await;
    let fault = member.node.fatal().await;
    assert!(matches!(fault, Fault::Damaged(_)), "{fault}");
    assert_eq!(fault.code(), ErrorCode::Corrupt);
    let answer = put(&member.node, "a", b"1").await;
    assert!(matches!(answer, Err(ProposeError::Fault(_))), "{answer:?}");
    let refused = member.restart(config()).await.err().unwrap();
    assert!(
        matches!(refused, RaftFault::Failed(Fault::Damaged(_))),
        "{refused}"
    );
}

/// How far entries are committed is written without a sync, so a crash may forget it; and on a real disk
/// a new leader's first entry takes a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_address_is_announced_also_when_the_last_one_may_not_be_committed() {
    let mut member = TestMember::found(config()).await;
    for start in 0..4 {
        let mut config = config();
        config.member.client_urls = vec![format!("http://127.0.0.1:{}", 1_000 + start)];
        let (disk, directory, store_path) = member.after_power_loss(start);
        let started = Arc::new(AtomicBool::new(false));
        let slow = {
            let (disk, started) = (disk.clone(), Arc::clone(&started));
            // Syncs take their time, until it has started: they get through between two holds.
            std::thread::spawn(move || {
                while !started.load(Ordering::SeqCst) {
                    let held = disk.hold_syncs();
                    std::thread::sleep(Duration::from_millis(20));
                    drop(held);
                    std::thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let next = TestMember::start(disk, directory, store_path, config).await;
        started.store(true, Ordering::SeqCst);
        slow.join().unwrap();
        member = next.unwrap_or_else(|error| panic!("start {start}: {error}"));
    }
}

/// The log learns of a snapshot after the state has it, and a crash may come in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_came_as_a_snapshot_may_be_ahead_of_the_log() {
    let from = TestMember::found(config()).await;
    for number in 0..10 {
        put(&from.node, &format!("{number}"), b"1").await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let store_path = directory.path().join("store");
    let to = open_store(&store_path);
    let mut export = from.store.export().unwrap();
    let mut incoming = Some(to.receive().unwrap());
    while let Some(part) = export.next_part().unwrap() {
        match incoming.take().unwrap().write(part).unwrap() {
            Progress::Incomplete(rest) => incoming = Some(rest),
            Progress::Complete(state) => drop(to.install(state).unwrap()),
        }
    }
    drop(to);
    let mut config = config();
    config.founding = Founding::Joins;
    let member = TestMember::start(CrashDisk::new(), directory, store_path, config)
        .await
        .unwrap();
    assert_eq!(get(&member.store, "9").unwrap(), b"1");
    let status = member.node.status();
    assert!(status.applied >= from.node.status().applied, "{status:?}");
    assert_eq!(status.members.len(), 1);
}
