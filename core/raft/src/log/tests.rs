//! The log on a disk that crashes: what it says is durable is there when it is opened again.

use std::collections::BTreeSet;

use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use quorate_types::ErrorCode;
use quorate_wal::crash_disk::CrashDisk;

use super::index::Located;
use super::*;
use crate::config::NodeConfig;
use crate::error::RaftFault;
use crate::testing::{self, log_id};
use crate::types::{LeaderId, Membership, Payload};

fn open_with(disk: &CrashDisk, config: &NodeConfig) -> Result<LogStore, RaftFault> {
    let recovered = open(Arc::new(disk.clone()), config)?;
    Ok(LogStore::new(
        recovered,
        config.identity(),
        config.limits.log.clone(),
        Arc::new(Leadership::new(config.member_id)),
        FaultCell::new(),
    ))
}

fn open_log(disk: &CrashDisk) -> LogStore {
    open_with(disk, &testing::config()).unwrap()
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(Payload::received(vec![index as u8; bytes].into())),
    }
}

async fn fill(log: &mut LogStore, term: u64, range: std::ops::Range<u64>, bytes: usize) {
    let entries = range.map(|index| entry(term, index, bytes));
    log.blocking_append(entries).await.unwrap();
}

async fn all(log: &mut LogStore) -> Vec<Entry> {
    let mut reader = log.get_log_reader().await;
    reader.try_get_log_entries(..).await.unwrap()
}

fn vote(term: u64) -> Vote {
    Vote {
        leader_id: LeaderId { term, node_id: 7 },
        committed: false,
    }
}

#[tokio::test]
async fn everything_is_there_after_a_power_loss() {
    for seed in 0..20 {
        let disk = CrashDisk::new();
        let mut log = open_log(&disk);
        log.save_vote(&vote(3)).await.unwrap();
        fill(&mut log, 3, 0..30, 100).await;
        log.save_committed(Some(log_id(3, 20))).await.unwrap();
        log.truncate_after(Some(log_id(3, 24))).await.unwrap();
        fill(&mut log, 4, 25..40, 100).await;
        log.purge(log_id(3, 9)).await.unwrap();
        fill(&mut log, 4, 40..41, 100).await;
        let before = all(&mut log).await;
        let disk = disk.after_power_loss(seed);
        let mut log = open_log(&disk);
        assert_eq!(all(&mut log).await, before, "seed {seed}");
        let mut reader = log.get_log_reader().await;
        assert_eq!(reader.read_vote().await.unwrap(), Some(vote(3)));
        assert_eq!(log.read_committed().await.unwrap(), Some(log_id(3, 20)));
        let state = log.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(log_id(3, 9)));
        assert_eq!(state.last_log_id, Some(log_id(4, 40)));
        let ids = reader.get_key_log_ids(log_id(3, 10)..=log_id(4, 40)).await;
        let expected = [log_id(3, 24), log_id(4, 40)];
        assert_eq!(ids.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_vote_waits_for_the_disk_and_a_commit_does_not() {
    let disk = CrashDisk::new();
    let mut log = open_log(&disk);
    fill(&mut log, 1, 0..3, 10).await;
    let held = disk.hold_syncs();
    log.save_committed(Some(log_id(1, 1))).await.unwrap();
    log.truncate_after(Some(log_id(1, 1))).await.unwrap();
    log.purge(log_id(1, 0)).await.unwrap();
    let mut voter = log.clone();
    let mut voting = tokio::spawn(async move { voter.save_vote(&vote(2)).await });
    assert!(held.wait_for_one());
    tokio::select! {
        biased;
        _ = &mut voting => panic!("a vote was given before it was durable"),
        () = tokio::task::yield_now() => {}
    }
    let mut reader = log.get_log_reader().await;
    assert_eq!(reader.read_vote().await.unwrap(), None);
    drop(held);
    voting.await.unwrap().unwrap();
    assert_eq!(reader.read_vote().await.unwrap(), Some(vote(2)));
}

#[tokio::test]
async fn entries_are_readable_before_they_are_durable_and_after_they_left_the_cache() {
    let disk = CrashDisk::new();
    let mut config = testing::config();
    config.limits.log.cache_bytes = 1000;
    let mut log = open_with(&disk, &config).unwrap();
    let held = disk.hold_syncs();
    let (sender, flushed) = oneshot_for_flush();
    let entries = (0..50).map(|index| entry(1, index, 100));
    log.append(entries, IOFlushed::signal(sender))
        .await
        .unwrap();
    assert_eq!(all(&mut log).await.len(), 50);
    drop(held);
    flushed.await.unwrap().unwrap();
    fill(&mut log, 1, 50..51, 100).await;
    assert!(
        log.shared.state.lock().index.locate(0..1, 1) != vec![Located::Cached(entry(1, 0, 100))]
    );
    let expected: Vec<Entry> = (0..51).map(|index| entry(1, index, 100)).collect();
    assert_eq!(all(&mut log).await, expected);
    let mut reader = log.get_log_reader().await;
    assert_eq!(
        reader.limited_get_log_entries(10, 12).await.unwrap(),
        expected[10..12]
    );
}

type FlushSender = openraft::type_config::alias::OneshotSenderOf<TypeConfig, Result<(), io::Error>>;
type FlushReceiver =
    openraft::type_config::alias::OneshotReceiverOf<TypeConfig, Result<(), io::Error>>;

fn oneshot_for_flush() -> (FlushSender, FlushReceiver) {
    use openraft::type_config::TypeConfigExt as _;
    TypeConfig::oneshot()
}

#[tokio::test]
async fn purging_lets_go_of_segments_and_of_nothing_else() {
    let disk = CrashDisk::new();
    let mut log = open_log(&disk);
    log.save_vote(&vote(5)).await.unwrap();
    for round in 0..40 {
        fill(&mut log, 5, round * 20..round * 20 + 20, 1000).await;
        if round > 0 {
            log.save_committed(Some(log_id(5, round * 20 + 19)))
                .await
                .unwrap();
            log.purge(log_id(5, round * 20 - 1)).await.unwrap();
        }
    }
    log.sync().unwrap();
    let before = all(&mut log).await;
    assert_eq!(before.first().unwrap().log_id, log_id(5, 39 * 20));
    drop(log);
    // 800 kB went through segments of 64 kB.
    assert!(disk.names().len() < 6, "{:?}", disk.names());
    let mut log = open_log(&disk);
    assert_eq!(all(&mut log).await, before);
    assert_eq!(
        log.get_log_reader().await.read_vote().await.unwrap(),
        Some(vote(5))
    );
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(5, 799)));
}

#[tokio::test]
async fn a_log_of_someone_else_is_refused() {
    let disk = CrashDisk::new();
    drop(open_log(&disk));
    let mut other = testing::config();
    other.member_id = 99;
    let refused = open_with(&disk, &other).err().unwrap();
    assert_eq!(refused.code(), ErrorCode::FailedPrecondition);
    assert!(
        refused.to_string().contains("member a1 of cluster c1"),
        "{refused}"
    );
    other = testing::config();
    other.cluster_id = 99;
    assert!(matches!(
        open_with(&disk, &other),
        Err(RaftFault::Foreign { .. })
    ));
    drop(open_log(&disk));
}

#[test]
fn records_that_make_no_sense_are_refused() {
    let put = |records: &[(u8, Vec<u8>)]| {
        let disk = CrashDisk::new();
        let options = testing::config().wal;
        let (wal, _) = Wal::open_on(Arc::new(disk.clone()), options, |_| Ok(())).unwrap();
        for (kind, payload) in records {
            wal.append_relaxed(Batch::one(*kind, payload)).unwrap();
        }
        drop(wal);
        open_with(&disk, &testing::config()).err().unwrap()
    };
    let identity = || {
        (
            kind::IDENTITY,
            encoding::encode_identity(testing::config().identity()),
        )
    };
    let entry = |index| (kind::ENTRY, encoding::encode_entry(&entry(1, index, 3)));
    for (records, words) in [
        (vec![entry(0)], "whose it is"),
        (
            vec![identity(), entry(0), entry(2)],
            "entry 2 comes where entry 1 should be",
        ),
        (vec![identity(), entry(3)], "entry 0 should be the first"),
        (vec![identity(), (77, Vec::new())], "kind 77"),
        (vec![identity(), (kind::VOTE, vec![0xff])], "vote"),
    ] {
        let refused = put(&records);
        assert_eq!(refused.code(), ErrorCode::Corrupt, "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[tokio::test]
async fn a_failing_disk_is_reported_and_ends_the_log() {
    let disk = CrashDisk::new();
    let mut log = open_log(&disk);
    fill(&mut log, 1, 0..3, 10).await;
    disk.fail(
        quorate_wal::crash_disk::Operation::SyncData,
        0,
        io::ErrorKind::Other,
    );
    assert!(log.blocking_append([entry(1, 3, 10)]).await.is_err());
    assert!(log.shared.fault.is_set());
    assert!(log.save_vote(&vote(9)).await.is_err());
    assert!(log.save_committed(Some(log_id(1, 1))).await.is_err());
    assert!(log.purge(log_id(1, 1)).await.is_err());
}

#[tokio::test]
async fn voters_and_votes_are_told_before_they_are_out() {
    let disk = CrashDisk::new();
    let mut log = open_log(&disk);
    let leadership = Arc::clone(&log.shared.leadership);
    let membership = |ids: &[u64]| {
        let voters: BTreeSet<u64> = ids.iter().copied().collect();
        EntryPayload::Membership(Membership::new_with_defaults(vec![voters], []))
    };
    let own = testing::config().member_id;
    for (index, (voters, sole)) in [(vec![own], true), (vec![own, 9], false), (vec![own], true)]
        .into_iter()
        .enumerate()
    {
        let entry = Entry {
            log_id: log_id(1, index as u64),
            payload: membership(&voters),
        };
        log.blocking_append([entry]).await.unwrap();
        assert_eq!(leadership.is_sole_voter(), sole);
    }
    log.truncate_after(None).await.unwrap();
    assert!(!leadership.is_sole_voter());
}
