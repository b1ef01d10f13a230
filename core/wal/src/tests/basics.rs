//! What a log does when nothing goes wrong.

use std::sync::Arc;

use super::{completion, entries, entry, open, put, roomy, small};
use crate::crash_disk::{CrashDisk, Operation};
use quorate_types::ErrorCode;

use crate::{Batch, StoredRecord, Wal, WalError};

#[test]
fn what_was_appended_comes_back_in_order() {
    let disk = CrashDisk::new();
    let (wal, recovery, replayed) = open(&disk, small()).unwrap();
    assert_eq!(
        (
            recovery.first_sequence,
            recovery.last_sequence,
            replayed.len()
        ),
        (1, 0, 0)
    );
    put(&wal, b"one").unwrap();
    let mut batch = Batch::one(2, b"two");
    batch.push(3, b"");
    let (done, result) = completion();
    let appended = wal.append(batch, done).unwrap();
    assert_eq!((appended.first, appended.last), (2, 3));
    result.recv().unwrap().unwrap();
    assert_eq!(wal.flushed(), 3);
    drop(wal);
    let (wal, recovery, replayed) = open(&disk, small()).unwrap();
    assert_eq!(
        replayed,
        [
            (1, 1, b"one".to_vec()),
            (2, 2, b"two".to_vec()),
            (3, 3, vec![])
        ]
    );
    assert_eq!(recovery.torn, None);
    assert_eq!(put(&wal, b"four").unwrap(), 4);
}

#[test]
fn a_real_directory_works_alike() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let options = roomy();
    let payloads: Vec<Vec<u8>> = (0..300u32)
        .map(|i| vec![i as u8; (i * 7) as usize % 3000])
        .collect();
    let (wal, _) = Wal::open(&path, options.clone(), |_| Ok(())).unwrap();
    let mut positions = Vec::new();
    for payload in &payloads {
        positions.extend(
            wal.append_relaxed(Batch::one(1, payload))
                .unwrap()
                .positions,
        );
    }
    wal.sync().unwrap();
    for (position, payload) in positions.iter().zip(&payloads) {
        assert_eq!(wal.read(*position).unwrap().payload, *payload);
    }
    drop(wal);
    let mut replayed = Vec::new();
    let (wal, recovery) = Wal::open(&path, options.clone(), |record| {
        replayed.push(entry(record));
        Ok(())
    })
    .unwrap();
    assert_eq!(replayed, entries(payloads.iter().map(Vec::as_slice)));
    assert!(recovery.segments > 3, "{recovery:?}");
    wal.release_before(200).unwrap();
    drop(wal);
    let (wal, recovery) = Wal::open(&path, options, |_| Ok(())).unwrap();
    assert!((2..=200).contains(&recovery.first_sequence), "{recovery:?}");
    assert_eq!(wal.first_sequence(), recovery.first_sequence);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), recovery.segments);
}

#[test]
fn positions_from_append_and_from_replay_agree_and_read_the_record() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    let mut given = Vec::new();
    for i in 0..60u8 {
        let (done, _) = completion();
        given.extend(
            wal.append(Batch::one(i, &vec![i; usize::from(i) * 9]), done)
                .unwrap()
                .positions,
        );
    }
    wal.sync().unwrap();
    drop(wal);
    let mut replayed = Vec::new();
    let (wal, _) = Wal::open_on(Arc::new(disk), small(), |record| {
        replayed.push(record.position);
        Ok(())
    })
    .unwrap();
    assert_eq!(given, replayed);
    for (i, position) in given.into_iter().enumerate() {
        let expected = StoredRecord {
            sequence: i as u64 + 1,
            kind: i as u8,
            payload: vec![i as u8; i * 9],
        };
        assert_eq!(position.payload_bytes(), i * 9);
        assert_eq!(wal.read(position).unwrap(), expected);
    }
}

#[test]
fn a_queued_record_and_a_released_one_cannot_be_read() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    let position = wal
        .append_relaxed(Batch::one(1, b"queued"))
        .unwrap()
        .positions[0];
    assert!(matches!(wal.read(position), Err(WalError::NotWritten(1))));
    wal.sync().unwrap();
    assert_eq!(wal.read(position).unwrap().payload, b"queued");
    for _ in 0..10 {
        put(&wal, &[7; 3000]).unwrap();
    }
    wal.release_before(10).unwrap();
    drop(wal);
    let (wal, ..) = open(&disk, small()).unwrap();
    assert!(matches!(wal.read(position), Err(WalError::Released(1))));
}

#[test]
fn relaxed_records_cost_no_write_of_their_own() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    put(&wal, b"first").unwrap();
    let syncs = disk.count(Operation::SyncData);
    for _ in 0..10 {
        wal.append_relaxed(Batch::one(1, b"relaxed")).unwrap();
    }
    assert_eq!(wal.flushed(), 1);
    put(&wal, b"last").unwrap();
    assert_eq!(wal.flushed(), 12);
    assert_eq!(disk.count(Operation::SyncData), syncs + 1);
    wal.append_relaxed(Batch::one(1, b"at the end")).unwrap();
    drop(wal);
    assert_eq!(open(&disk, roomy()).unwrap().2.len(), 13);
}

#[test]
fn waiting_asks_for_the_sync() {
    let (wal, ..) = open(&CrashDisk::new(), small()).unwrap();
    let appended = wal.append_relaxed(Batch::one(1, b"a")).unwrap();
    wal.wait_flushed(appended.last).unwrap();
    assert!(matches!(wal.wait_flushed(2), Err(WalError::NotAppended(2))));
    wal.sync().unwrap();
}

#[test]
fn an_empty_batch_waits_for_those_before() {
    let (wal, ..) = open(&CrashDisk::new(), small()).unwrap();
    wal.append_relaxed(Batch::one(1, b"a")).unwrap();
    let (done, result) = completion();
    let appended = wal.append(Batch::new(), done).unwrap();
    assert_eq!((appended.first, appended.last), (2, 1));
    result.recv().unwrap().unwrap();
    assert_eq!(wal.flushed(), 1);
}

#[test]
fn a_record_that_fits_no_segment_is_refused() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    let limit = small().largest_payload();
    put(&wal, &vec![1; limit]).unwrap();
    put(&wal, &vec![2; limit]).unwrap();
    let refused = wal
        .append_relaxed(Batch::one(1, &vec![3; limit + 1]))
        .unwrap_err();
    assert!(matches!(refused, WalError::RecordTooLarge { .. }));
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    drop(wal);
    assert_eq!(open(&disk, small()).unwrap().2.len(), 2);
}

#[test]
fn the_segment_size_may_change_between_runs() {
    let disk = CrashDisk::new();
    drop(open(&disk, small()).unwrap());
    // The first segment is empty and too small for this record: it is replaced.
    let (wal, ..) = open(&disk, roomy()).unwrap();
    put(&wal, &[1; 20_000]).unwrap();
    drop(wal);
    let (wal, recovery, _) = open(&disk, small()).unwrap();
    assert_eq!(recovery.segments, 1);
    for _ in 0..30 {
        put(&wal, &[2; 3000]).unwrap();
    }
    drop(wal);
    let (_, recovery, replayed) = open(&disk, roomy()).unwrap();
    assert_eq!(replayed.len(), 31);
    assert!(recovery.segments > 3);
}

#[test]
fn release_keeps_the_active_segment_and_the_records_asked_for() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    for _ in 0..20 {
        put(&wal, &[7; 1500]).unwrap();
    }
    wal.release_before(8).unwrap();
    drop(wal);
    let (wal, recovery, replayed) = open(&disk, small()).unwrap();
    assert_eq!(recovery.first_sequence, 7, "it shares its segment with 8");
    assert_eq!(replayed.len(), 14);
    wal.release_before(u64::MAX).unwrap();
    drop(wal);
    let (_, recovery, replayed) = open(&disk, small()).unwrap();
    assert_eq!((recovery.segments, recovery.last_sequence), (1, 20));
    assert!(!replayed.is_empty());
}

#[test]
fn a_new_log_costs_one_segment_and_a_fuller_one_prepares_the_next() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    put(&wal, b"little").unwrap();
    drop(wal);
    assert_eq!(disk.count(Operation::Allocate), 1);
    let (wal, ..) = open(&disk, roomy()).unwrap();
    put(&wal, &[7; 20_000]).unwrap();
    assert!(disk.wait_for(Operation::Allocate, 2));
    assert_eq!(disk.names(), ["0000000000000001.wal", "spare.tmp"]);
    drop(wal);
}

#[test]
fn the_visitor_can_refuse() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    put(&wal, b"unknown").unwrap();
    drop(wal);
    let refused = Wal::open_on(Arc::new(disk.clone()), small(), |record| {
        Err(WalError::Rejected {
            sequence: record.sequence,
            reason: "kind 1 is not known".to_owned(),
        })
    });
    assert_eq!(
        refused.unwrap_err().to_string(),
        "cannot replay record 1: kind 1 is not known"
    );
    assert_eq!(open(&disk, small()).unwrap().2.len(), 1);
}

#[test]
fn the_last_handle_may_go_in_a_completion() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    let wal = Arc::new(wal);
    let (done, result) = completion();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let last = Arc::clone(&wal);
    wal.append(
        Batch::one(1, b"a"),
        Box::new(move |outcome| {
            // Until the test has dropped its own handle.
            let _ = held.recv();
            drop(last);
            done(outcome);
        }),
    )
    .unwrap();
    drop(wal);
    hold.send(()).unwrap();
    result.recv().unwrap().unwrap();
}
