use std::time::Duration;

use quorate_proto::log::Command;

use super::*;
use crate::apply::{AppliedMark, ApplyBatch, CommandWithTime};
use crate::testing::*;

#[test]
fn an_empty_batch_moves_only_the_mark() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store.applied(), AppliedMark::default());
    assert!(fixture.batch(Vec::new()).is_empty());
    assert_eq!(fixture.store.applied().index, 1);
    assert_eq!(fixture.store.revision(), 1);
    assert_eq!(fixture.store.durable_applied().index, 0);
    assert_eq!(fixture.store.checkpoint().unwrap().index, 1);
    let mark = fixture.store.durable_applied();
    assert_eq!(mark.raft_state, 1_u64.to_be_bytes());
}

#[test]
fn outcomes_come_in_order_and_a_refusal_stops_nobody() {
    let fixture = Fixture::new();
    let outcomes = fixture.batch(vec![
        put("a", "1"),
        compact(99),
        put("b", "2"),
        grant(1, 5),
        grant(1, 5),
    ]);
    let ok: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, true, true, false]);
    assert_eq!(fixture.store.revision(), 3);
}

#[test]
fn compaction_is_checked_and_waited_for() {
    let fixture = Fixture::new();
    for value in 0..3000 {
        fixture.batch(vec![put("a", &value.to_string())]);
    }
    assert_eq!(fixture.compact(0), Err(EtcdError::Compacted));
    assert_eq!(fixture.compact(9999), Err(EtcdError::FutureRevision));
    assert!(!fixture.store.compaction_step().unwrap());
    fixture.compact(2500).unwrap();
    assert_eq!(fixture.compact(2500), Err(EtcdError::Compacted));
    assert_eq!(fixture.store.compacted_revision(), 2500);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut finished = Box::pin(fixture.store.compaction_finished(2500));
        let mut steps = 1;
        // 2,498 rows, about a thousand at a time.
        while fixture.store.compaction_step().unwrap() {
            steps += 1;
            tokio::select! {
                biased;
                () = &mut finished => panic!("too early"),
                () = std::future::ready(()) => {}
            }
        }
        assert_eq!(steps, 3);
        tokio::time::timeout(Duration::from_secs(10), finished)
            .await
            .unwrap();
        fixture.store.compaction_finished(2400).await;
    });
    assert_eq!(fixture.get("a").unwrap().version, 3000);
}

#[test]
fn an_interrupted_compaction_goes_on_after_a_reopen() {
    let fixture = Fixture::new();
    let ops = (0..3000).map(|value| put("a", &value.to_string()));
    fixture.batch(ops.collect());
    fixture.compact(3000).unwrap();
    assert!(fixture.store.compaction_step().unwrap());
    let fixture = fixture.reopened();
    assert_eq!(fixture.store.compacted_revision(), 3000);
    assert!(fixture.store.compaction_step().unwrap());
    fixture.finish_compaction();
    let rows = fixture.store.shared.view();
    assert_eq!(redb::ReadableTableMetadata::len(&rows.rows).unwrap(), 2);
}

#[test]
fn an_older_mark_is_refused_and_the_store_stops() {
    let fixture = Fixture::new();
    fixture.put("a", "1");
    fixture.put("a", "2");
    let fault = fixture.store.apply(ApplyBatch {
        commands: Vec::new(),
        mark: AppliedMark {
            index: 1,
            ..AppliedMark::default()
        },
    });
    assert!(matches!(fault, Err(StoreFault::Damaged { .. })));
    assert!(fixture.store.checkpoint().is_err());
    assert!(fixture.store.fault().is_some());
    // Reads of what was there still work.
    assert_eq!(fixture.get("a").unwrap().value, "2");
}

#[test]
fn a_command_of_the_future_stops_the_store_instead_of_drifting() {
    let fixture = Fixture::new();
    let fault = fixture
        .store
        .apply(ApplyBatch {
            commands: vec![CommandWithTime {
                command: Command { op: None },
                proposed_at_ms: 0,
            }],
            mark: AppliedMark {
                index: 1,
                ..AppliedMark::default()
            },
        })
        .unwrap_err();
    assert!(fault.to_string().contains("newer version"), "{fault}");
    assert_eq!(fixture.store.applied().index, 0);
}

#[test]
fn the_proposers_clock_never_goes_back() {
    let fixture = Fixture::new();
    let at = |proposed_at_ms, index| {
        let command = CommandWithTime {
            command: Command {
                op: Some(put("a", "v")),
            },
            proposed_at_ms,
        };
        let batch = ApplyBatch {
            commands: vec![command],
            mark: AppliedMark {
                index,
                ..AppliedMark::default()
            },
        };
        fixture.store.apply(batch).unwrap();
        fixture.store.proposed_at_ms()
    };
    assert_eq!((at(1000, 1), at(900, 2), at(1001, 3)), (1000, 1000, 1001));
}

#[test]
fn hashes_differ_when_histories_do() {
    let (one, other) = (Fixture::new(), Fixture::new());
    one.put("a", "1");
    other.put("a", "2");
    let (a, b) = (
        one.store.hash_kv(0).unwrap(),
        other.store.hash_kv(0).unwrap(),
    );
    assert_ne!(a.hash, b.hash);
    assert_eq!((a.revision, a.compacted_revision), (2, 0));
    one.put("b", "1");
    assert_eq!(one.store.hash_kv(2).unwrap().hash, a.hash);
    assert_eq!(one.store.hash_kv(9), Err(EtcdError::FutureRevision));
    one.compact(3).unwrap();
    assert_eq!(one.store.hash_kv(2), Err(EtcdError::Compacted));
}

#[test]
fn a_damaged_row_is_found_at_open() {
    let fixture = Fixture::new();
    fixture.put("a", "1");
    let Fixture {
        store, directory, ..
    } = fixture;
    drop(store);
    let path = directory.path().join(FILE);
    let db = Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(ROWS)
        .unwrap()
        .insert(&Revision::new(2, 0).row_key(), &b"garbage"[..])
        .unwrap();
    txn.commit().unwrap();
    drop(db);
    let fault = Store::open(directory.path(), StoreOptions::default());
    assert!(matches!(fault.err(), Some(StoreFault::Damaged { .. })));
}

#[test]
fn a_missing_row_shows_as_a_fault_and_not_as_a_missing_key() {
    let fixture = Fixture::new();
    fixture.put("a", "1");
    {
        let shared = &fixture.store.shared;
        shared
            .state
            .write()
            .index
            .put("ghost".into(), Revision::new(2, 9), 0);
    }
    assert_eq!(fixture.range(&range("ghost", "")), Err(EtcdError::Corrupt));
    assert!(fixture.store.fault().is_some());
    assert!(fixture.store.checkpoint().is_err());
}

#[test]
fn a_second_store_in_the_same_directory_is_refused() {
    let fixture = Fixture::new();
    let second = Store::open(fixture.directory.path(), StoreOptions::default());
    assert!(matches!(second.err(), Some(StoreFault::InUse { .. })));
}

#[test]
fn the_file_stops_growing_when_history_is_compacted_and_checkpoints_are_made() {
    let fixture = Fixture::new();
    let value = "x".repeat(1000);
    let mut sizes = Vec::new();
    for _ in 0..12 {
        for _ in 0..10 {
            let ops = (0..50).map(|key| put(&format!("k{key}"), &value));
            fixture.batch(ops.collect());
        }
        fixture.compact(fixture.store.revision()).unwrap();
        fixture.finish_compaction();
        fixture.store.checkpoint().unwrap();
        sizes.push(fixture.store.size_bytes());
    }
    // 50 KB live; half a MB written per round.
    assert!(sizes[11] <= sizes[3], "{sizes:?}");
}
