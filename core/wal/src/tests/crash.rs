//! Crashes at every operation: what was acknowledged is there, what is there was appended, and the log goes on.

use proptest::prelude::*;

use super::workload::{Model, Step, run, script};
use super::{completion, open, put, roomy, small};
use crate::crash_disk::{CrashDisk, Operation};
use crate::{Batch, WalError, WalOptions};

/// Runs the script on a disk that crashes after so many operations; false if it came to its end.
fn crash_in_script(operations: usize, seed: u64, alike: bool) -> bool {
    let disk = CrashDisk::new();
    let mut model = Model::new(alike);
    disk.crash_after(operations);
    run(&disk, &small(), &mut model, &script());
    let crashed = disk.operations() > operations;
    // Whatever the power loss left, the log opens, goes on, and loses the power once more.
    let disk = disk.after_power_loss(seed);
    let (wal, recovery, found) = open(&disk, small()).expect("a crash is no corruption");
    model.check(&recovery, &found);
    for step in [
        Step::Put(vec![300]),
        Step::Relaxed(vec![20]),
        Step::Start(vec![3000]),
    ] {
        model.step(&wal, &step).unwrap();
    }
    disk.crash();
    drop(wal);
    model.settle();
    let disk = disk.after_power_loss(seed + 1);
    let (wal, recovery, found) = open(&disk, small()).expect("a crash is no corruption");
    model.check(&recovery, &found);
    put(&wal, b"and on").unwrap();
    crashed
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    for seed in 0..12 {
        for alike in [false, true] {
            let mut operations = 0;
            while crash_in_script(operations, seed * 1_000_003 + operations as u64, alike) {
                operations += 1;
            }
            assert!(
                operations > 60,
                "the script should do more than {operations} operations"
            );
        }
    }
}

#[test]
fn a_crash_while_recovering_loses_nothing_either() {
    for seed in 0..60 {
        let disk = CrashDisk::new();
        let mut model = Model::new(seed % 2 == 0);
        disk.crash_after(40 + seed as usize % 20);
        run(&disk, &small(), &mut model, &script());
        let mut disk = disk.after_power_loss(seed);
        for operations in 0.. {
            disk.crash_after(operations);
            match open(&disk, small()) {
                Ok((wal, recovery, found)) => {
                    disk.crash();
                    drop(wal);
                    model.check(&recovery, &found);
                    break;
                }
                Err(WalError::Io { .. }) => disk = disk.after_power_loss(seed ^ operations as u64),
                Err(other) => panic!("{other}"),
            }
        }
        let (_, recovery, found) = open(&disk.after_power_loss(!seed), small()).unwrap();
        model.check(&recovery, &found);
    }
}

#[test]
fn a_killed_process_loses_only_what_was_queued() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    for payload in [b"one", b"two"] {
        put(&wal, payload).unwrap();
    }
    wal.append_relaxed(Batch::one(1, b"queued")).unwrap();
    let (_, recovery, found) = open(&disk.after_kill(), small()).unwrap();
    assert_eq!((found.len(), recovery.torn), (2, None));
}

#[test]
fn what_a_failed_sync_left_in_memory_only_is_not_believed() {
    for left in [b"in memory".to_vec(), vec![7; 600]] {
        let disk = CrashDisk::new();
        let (wal, ..) = open(&disk, roomy()).unwrap();
        put(&wal, b"durable").unwrap();
        disk.fail(Operation::SyncData, 0, std::io::ErrorKind::Other);
        put(&wal, &left).unwrap_err();
        drop(wal);
        // The next process could read the record from memory, and the one after a power loss could not.
        let disk = disk.after_kill();
        let (wal, _, found) = open(&disk, roomy()).unwrap();
        put(&wal, b"next").unwrap();
        disk.crash();
        drop(wal);
        let (.., after) = open(&disk.after_power_loss(0), roomy()).unwrap();
        assert_eq!(found, after[..found.len()]);
        assert_eq!(after.len(), found.len() + 1);
    }
}

#[test]
fn an_erased_tail_stays_dead() {
    // Records that are all alike, and each a sector, so that an old one that was left behind a new one would be
    // its successor to the last bit.
    const PAYLOAD: [u8; 480] = [7; 480];
    let mut torn = 0;
    for seed in 0..120 {
        let disk = CrashDisk::new();
        let (wal, ..) = open(&disk, roomy()).unwrap();
        put(&wal, &PAYLOAD).unwrap();
        let mut batch = Batch::new();
        for _ in 0..6 {
            batch.push(1, &PAYLOAD);
        }
        let held = disk.hold_syncs();
        let (done, _) = completion();
        wal.append(batch, done).unwrap();
        assert!(held.wait_for_one());
        let next = disk.after_power_loss(seed);
        disk.crash();
        drop(wal);
        let (wal, recovery, _) = open(&next, roomy()).unwrap();
        torn += u32::from(recovery.torn.is_some());
        let last = recovery.last_sequence + 1;
        let held = next.hold_syncs();
        let (done, result) = completion();
        wal.append(Batch::one(1, &PAYLOAD), done).unwrap();
        assert!(held.wait_for_one());
        // The new record is not durable yet, though some of its bytes may be; then it is.
        for seed in 0..20 {
            let (_, recovery, _) = open(&next.after_power_loss(seed), roomy()).unwrap();
            assert!(
                recovery.last_sequence <= last,
                "{recovery:?}, appended up to {last}"
            );
        }
        drop(held);
        result.recv().unwrap().unwrap();
        let (_, recovery, _) = open(&next.after_power_loss(seed), roomy()).unwrap();
        assert_eq!(recovery.last_sequence, last);
    }
    assert!(torn > 60, "only {torn} torn tails");
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![4 => 0usize..200, 1 => 200usize..4000];
    let lengths = prop::collection::vec(length, 1..6);
    prop_oneof![
        4 => lengths.clone().prop_map(Step::Put),
        4 => lengths.clone().prop_map(Step::Start),
        2 => lengths.prop_map(Step::Relaxed),
        1 => Just(Step::Sync),
        1 => (0u64..=110).prop_map(Step::Release),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_workloads_survive_random_crashes(
        rounds in prop::collection::vec((prop::collection::vec(step(), 1..25), 0usize..120, any::<u64>(), any::<bool>()), 1..5),
        pages in prop::collection::vec(2u32..6, 5),
        alike: bool,
    ) {
        let mut disk = CrashDisk::new();
        let mut model = Model::new(alike);
        for ((steps, operations, seed, power), pages) in rounds.iter().zip(pages) {
            let options = WalOptions { segment_bytes: pages * 4096, group_bytes: 3000, ..small() };
            // Records that are too large for this round's segments are left out.
            let fits = |step: &&Step| match step {
                Step::Put(lengths) | Step::Start(lengths) | Step::Relaxed(lengths) =>
                    lengths.iter().all(|&length| length <= options.largest_payload()),
                _ => true,
            };
            let steps: Vec<Step> = steps.iter().filter(fits).cloned().collect();
            disk.crash_after(*operations);
            run(&disk, &options, &mut model, &steps);
            disk = if *power { disk.after_power_loss(*seed) } else { disk.after_kill() };
        }
        let (_, recovery, found) = open(&disk, small()).expect("a crash is no corruption");
        model.check(&recovery, &found);
    }
}
