//! One write and one sync for all that waits; bounds; order among many threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::{completion, open, put, roomy, small};
use crate::crash_disk::{CrashDisk, Operation};
use crate::{Batch, WalError, WalOptions};

#[test]
fn what_waits_behind_a_sync_shares_the_next() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    assert!(disk.wait_for(Operation::Write, 3));
    let (writes, syncs) = (
        disk.count(Operation::Write),
        disk.count(Operation::SyncData),
    );
    let held = disk.hold_syncs();
    let (done, first) = completion();
    wal.append(Batch::one(1, b"first"), done).unwrap();
    assert!(held.wait_for_one());
    let results: Vec<_> = (0..99)
        .map(|_| {
            let (done, result) = completion();
            wal.append(Batch::one(1, b"waits"), done).unwrap();
            result
        })
        .collect();
    assert_eq!(wal.flushed(), 0);
    drop(held);
    first.recv().unwrap().unwrap();
    for result in results {
        result.recv().unwrap().unwrap();
    }
    assert_eq!(disk.count(Operation::SyncData) - syncs, 2);
    // Two groups, and perhaps the mark that the writer leaves when it has nothing to do.
    assert!((2..=3).contains(&(disk.count(Operation::Write) - writes)));
    drop(wal);
    assert_eq!(open(&disk, roomy()).unwrap().2.len(), 100);
}

#[test]
fn many_threads_share_syncs_and_keep_their_order() {
    const THREADS: u8 = 8;
    const EACH: u8 = 50;
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let appended = Arc::new(Mutex::new(Vec::new()));
    let held = disk.hold_syncs();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (wal, told, appended) = (&wal, &told, &appended);
            scope.spawn(move || {
                for i in 0..EACH {
                    let told = Arc::clone(told);
                    let batch = Batch::one(thread, &[i, 0, 0, 0]);
                    let completion = Box::new(move |result: Result<(), WalError>| {
                        result.unwrap();
                        told.lock().push((thread, i));
                    });
                    let last = wal.append(batch, completion).unwrap().last;
                    appended.lock().push((last, thread, i));
                }
            });
        }
    });
    drop(held);
    wal.sync().unwrap();
    let appends = usize::from(THREADS) * usize::from(EACH);
    let syncs = disk.count(Operation::SyncData);
    assert!(syncs < appends / 4, "{syncs} syncs for {appends} appends");
    drop(wal);
    let mut appended = appended.lock().clone();
    appended.sort_unstable();
    let order: Vec<_> = appended.iter().map(|&(_, thread, i)| (thread, i)).collect();
    assert_eq!(
        *told.lock(),
        order,
        "completions run in the order of the sequences"
    );
    let (.., found) = open(&disk, small()).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|(_, kind, payload)| (*kind, payload[0]))
        .collect();
    assert_eq!(found, order);
}

#[test]
fn threads_on_a_real_disk_share_syncs_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let options = WalOptions {
        segment_bytes: 1 << 20,
        ..WalOptions::default()
    };
    let (wal, _) =
        crate::Wal::open(&directory.path().join("log"), options.clone(), |_| Ok(())).unwrap();
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let last = put(&wal, &[7; 300]).unwrap();
                    assert!(wal.flushed() >= last);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(wal.flushed(), done.load(Ordering::Relaxed));
    drop(wal);
    let (_, recovery) =
        crate::Wal::open(&directory.path().join("log"), options, |_| Ok(())).unwrap();
    assert_eq!((recovery.records, recovery.torn), (400, None));
}

#[test]
fn a_group_has_a_limit() {
    let disk = CrashDisk::new();
    let options = WalOptions {
        group_bytes: 3000,
        ..roomy()
    };
    let (wal, ..) = open(&disk, options).unwrap();
    let syncs = disk.count(Operation::SyncData);
    let held = disk.hold_syncs();
    let (done, _) = completion();
    wal.append(Batch::one(1, b"first"), done).unwrap();
    assert!(held.wait_for_one());
    // Groups of three, and one that is larger than the limit by itself.
    for length in [1000, 1000, 1000, 1000, 1000, 1000, 4000, 1000] {
        let (done, _) = completion();
        wal.append(Batch::one(1, &vec![7; length]), done).unwrap();
    }
    drop(held);
    wal.sync().unwrap();
    assert_eq!(disk.count(Operation::SyncData) - syncs, 1 + 4);
}

#[test]
fn a_full_queue_blocks_and_loses_nothing() {
    for (options, length) in [
        (
            WalOptions {
                queue_appends: 4,
                ..roomy()
            },
            1,
        ),
        (
            WalOptions {
                queue_bytes: 400,
                ..roomy()
            },
            100,
        ),
    ] {
        let disk = CrashDisk::new();
        let (wal, ..) = open(&disk, options).unwrap();
        let held = disk.hold_syncs();
        thread::scope(|scope| {
            let appender = scope.spawn(|| {
                for _ in 0..40 {
                    let (done, _) = completion();
                    let last = wal
                        .append(Batch::one(1, &vec![7; length]), done)
                        .unwrap()
                        .last;
                    // At most one group on its way to the disk and one in the queue.
                    let waiting = last - wal.flushed();
                    assert!(waiting <= 8, "{waiting} wait");
                }
            });
            assert!(held.wait_for_one());
            drop(held);
            appender.join().unwrap();
        });
        // Relaxed appends fill the queue, too, and then have it written.
        for _ in 0..40 {
            wal.append_relaxed(Batch::one(1, &vec![7; length])).unwrap();
        }
        wal.sync().unwrap();
        assert_eq!(wal.flushed(), 80);
    }
}

#[test]
fn an_append_larger_than_the_queue_goes_alone() {
    let options = WalOptions {
        queue_bytes: 100,
        group_bytes: 10,
        ..roomy()
    };
    let (wal, ..) = open(&CrashDisk::new(), options).unwrap();
    for _ in 0..3 {
        put(&wal, &[7; 5000]).unwrap();
    }
}

#[test]
fn a_completion_may_append() {
    let disk = CrashDisk::new();
    let options = WalOptions {
        queue_appends: 1,
        ..roomy()
    };
    let (wal, ..) = open(&disk, options).unwrap();
    let wal = Arc::new(wal);
    let (done, result) = completion();
    let again = Arc::clone(&wal);
    wal.append(
        Batch::one(1, b"a"),
        Box::new(move |first| {
            first.unwrap();
            // More than the queue takes: on this thread there is no one else to make room.
            again.append_relaxed(Batch::one(1, b"b")).unwrap();
            again.append_relaxed(Batch::one(1, b"c")).unwrap();
            again.append(Batch::one(1, b"d"), done).unwrap();
        }),
    )
    .unwrap();
    result.recv().unwrap().unwrap();
    assert_eq!(wal.flushed(), 4);
}
