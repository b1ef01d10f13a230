//! Errors of the disk: final when they touch the log, harmless when they only touch what was prepared.

use std::io::ErrorKind;
use std::sync::mpsc;

use quorate_types::ErrorCode;

use super::workload::{Model, run, script};
use super::{completion, entries, open, put, roomy, small};
use crate::crash_disk::{CrashDisk, Operation};
use crate::{Batch, Wal, WalError};

/// Every later call tells the failure, and the disk is left alone.
fn assert_failed(wal: &Wal, disk: &CrashDisk) {
    let operations = disk.operations();
    assert!(wal.failure().is_some());
    let (done, result) = completion();
    assert!(wal.append(Batch::one(1, b"later"), done).is_err());
    assert!(
        result.recv().is_err(),
        "a completion that was not taken is dropped"
    );
    assert!(wal.append_relaxed(Batch::one(1, b"later")).is_err());
    assert!(wal.release_before(1).is_err());
    assert!(wal.sync().is_err());
    assert_eq!(disk.operations(), operations);
}

#[test]
fn a_failed_sync_is_final() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    put(&wal, b"durable").unwrap();
    disk.fail(Operation::SyncData, 0, ErrorKind::Other);
    let error = put(&wal, b"lost").unwrap_err();
    assert_eq!(error.code(), ErrorCode::Io);
    assert!(
        error
            .to_string()
            .contains("sync crash-disk/0000000000000001.wal"),
        "{error}"
    );
    assert_eq!(wal.flushed(), 1);
    assert_failed(&wal, &disk);
    let operations = disk.operations();
    drop(wal);
    assert_eq!(disk.operations(), operations, "closing must not try again");
    let (_, _, found) = open(&disk.after_power_loss(0), roomy()).unwrap();
    assert_eq!(found, entries([&b"durable"[..]]));
}

#[test]
fn a_failed_write_is_final() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    put(&wal, b"durable").unwrap();
    // It meets the record, or the mark that the idle writer leaves before it.
    disk.fail(Operation::Write, 0, ErrorKind::Other);
    put(&wal, b"lost").unwrap_err();
    assert_failed(&wal, &disk);
}

#[test]
fn all_that_waits_is_told_in_order() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    let held = disk.hold_syncs();
    let (told, results) = mpsc::channel();
    for _ in 0..10 {
        let told = told.clone();
        let last = wal.last_sequence() + 1;
        let completion = Box::new(move |result: Result<(), WalError>| {
            told.send((last, result.is_err())).unwrap()
        });
        wal.append(Batch::one(1, b"a"), completion).unwrap();
        assert!(held.wait_for_one());
    }
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wal.wait_flushed(10));
        disk.fail(Operation::SyncData, 0, ErrorKind::Other);
        drop(held);
        waiting.join().unwrap()
    });
    waiting.unwrap_err();
    let expected: Vec<_> = (1..=10).map(|last| (last, true)).collect();
    assert_eq!(results.iter().take(10).collect::<Vec<_>>(), expected);
    assert_failed(&wal, &disk);
}

#[test]
fn a_fault_at_any_operation_loses_nothing_acknowledged() {
    let kinds = [
        Operation::Create,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDirectory,
        Operation::Allocate,
        Operation::Write,
        Operation::SyncData,
    ];
    for operation in kinds {
        let mut reached = 0;
        for after in 0.. {
            let disk = CrashDisk::new();
            let mut model = Model::default();
            disk.fail(operation, after, ErrorKind::PermissionDenied);
            run(&disk, &small(), &mut model, &script());
            if disk.count(operation) <= after {
                break;
            }
            reached += 1;
            let disk = match after % 3 {
                0 => disk.after_kill(),
                _ => disk.after_power_loss(after as u64),
            };
            let (wal, recovery, found) = open(&disk, small()).expect("a fault is no corruption");
            model.check(&recovery, &found);
            put(&wal, b"and on").unwrap();
        }
        assert!(reached > 0, "{operation:?} never happened");
    }
}

#[test]
fn no_space_for_the_first_segment_is_said_clearly() {
    let disk = CrashDisk::new();
    disk.limit_space(Some(8191));
    let error = open(&disk, small()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    assert!(
        error
            .to_string()
            .contains("crash-disk for a log segment of 8192 bytes"),
        "{error}"
    );
    assert!(disk.names().is_empty(), "what was begun is removed");
    disk.limit_space(Some(8192));
    put(&open(&disk, small()).unwrap().0, b"fits").unwrap();
}

#[test]
fn no_space_for_the_next_segment_ends_the_log_where_it_is() {
    let disk = CrashDisk::new();
    disk.limit_space(Some(8192));
    let (wal, ..) = open(&disk, small()).unwrap();
    put(&wal, &[1; 3000]).unwrap();
    let error = put(&wal, &[2; 3000]).unwrap_err();
    assert!(
        matches!(error, WalError::NoSpace { bytes: 8192, .. }),
        "{error}"
    );
    assert!(matches!(wal.failure(), Some(WalError::NoSpace { .. })));
    drop(wal);
    assert_eq!(disk.names(), ["0000000000000001.wal"]);
    disk.limit_space(None);
    let (wal, _, found) = open(&disk, small()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(put(&wal, &[2; 3000]).unwrap(), 2);
}

#[test]
fn space_that_comes_back_in_time_is_enough() {
    let disk = CrashDisk::new();
    disk.limit_space(Some(64 << 10));
    let (wal, ..) = open(&disk, roomy()).unwrap();
    put(&wal, &[1; 30_000]).unwrap();
    assert!(
        disk.wait_for(Operation::Allocate, 2),
        "the next segment should be prepared"
    );
    disk.limit_space(None);
    put(&wal, &[2; 50_000]).unwrap();
    assert_eq!(disk.names()[1], "0000000000000002.wal");
}

#[test]
fn a_segment_that_cannot_be_removed_stays_until_the_next_release() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    for _ in 0..6 {
        put(&wal, &[7; 3000]).unwrap();
    }
    disk.fail(Operation::Remove, 0, ErrorKind::PermissionDenied);
    wal.release_before(4).unwrap();
    assert!(disk.wait_for(Operation::Remove, 1));
    put(&wal, b"the log goes on").unwrap();
    drop(wal);
    let (wal, recovery, _) = open(&disk, small()).unwrap();
    assert_eq!(recovery.first_sequence, 1);
    wal.release_before(4).unwrap();
    drop(wal);
    assert_eq!(open(&disk, small()).unwrap().1.first_sequence, 4);
}

#[test]
fn a_release_waits_for_what_was_appended_before_it() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    for _ in 0..6 {
        put(&wal, &[7; 3000]).unwrap();
    }
    drop(wal);
    // Goes on in a large segment: from then on nothing happens in the background.
    let (wal, ..) = open(&disk, roomy()).unwrap();
    put(&wal, &[7; 3000]).unwrap();
    let removed = disk.count(Operation::Remove);
    disk.fail(Operation::SyncData, 0, ErrorKind::Other);
    wal.append_relaxed(Batch::one(1, b"what the released records said"))
        .unwrap();
    wal.release_before(6).unwrap();
    wal.sync().unwrap_err();
    drop(wal);
    assert_eq!(disk.count(Operation::Remove), removed);
}

#[test]
fn a_completion_that_panics_ends_the_log_and_not_the_others() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    let held = disk.hold_syncs();
    wal.append(Batch::one(1, b"a"), Box::new(|_| panic!("on purpose")))
        .unwrap();
    assert!(held.wait_for_one());
    let mut results = Vec::new();
    for _ in 0..3 {
        let (done, result) = completion();
        wal.append(Batch::one(1, b"b"), done).unwrap();
        results.push(result);
    }
    drop(held);
    for result in results {
        assert!(matches!(
            result.recv().unwrap(),
            Err(WalError::WriterPanicked)
        ));
    }
    assert_failed(&wal, &disk);
}
