//! Damage to durable data is refused, whatever it is; what was never durable is not called damage.

use std::path::Path;

use quorate_types::ErrorCode;

use super::{Entry, completion, entries, open, put, roomy, small};
use crate::crash_disk::{CrashDisk, Operation};
use crate::{Batch, WalError};

const BLOCK: usize = 4096;

/// A cleanly closed log of three segments, without padding between records.
fn closed_log() -> (CrashDisk, Vec<Entry>) {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, small()).unwrap();
    for i in 0..12u8 {
        put(&wal, &vec![i; 8 * (usize::from(i) + 90)]).unwrap();
    }
    drop(wal);
    let (wal, _, entries) = open(&disk, small()).unwrap();
    drop(wal);
    (disk, entries)
}

fn segments(disk: &CrashDisk) -> Vec<String> {
    disk.names()
        .into_iter()
        .filter(|name| name.ends_with(".wal"))
        .collect()
}

/// How many bytes of a segment are records.
fn end_of_records(entries: &[Entry], disk: &CrashDisk, name: &str) -> usize {
    let first = u64::from_str_radix(&name[..16], 16).unwrap();
    let names = segments(disk);
    let next = names.iter().find(|other| other.as_str() > name);
    let next = next.map_or(u64::MAX, |next| {
        u64::from_str_radix(&next[..16], 16).unwrap()
    });
    let within = entries
        .iter()
        .filter(|(sequence, ..)| (first..next).contains(sequence));
    BLOCK
        + within
            .map(|(.., payload)| 32 + payload.len())
            .sum::<usize>()
}

/// Opens a copy of the disk with one file changed.
fn open_changed(
    disk: &CrashDisk,
    name: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<Vec<Entry>, WalError> {
    let disk = disk.after_kill();
    let mut bytes = disk.contents(name).unwrap();
    change(&mut bytes);
    disk.put_contents(name, Some(bytes));
    let before: Vec<_> = segments(&disk)
        .iter()
        .map(|name| disk.contents(name))
        .collect();
    let result = open(&disk, small()).map(|(.., entries)| entries);
    if result.is_err() {
        let after: Vec<_> = segments(&disk)
            .iter()
            .map(|name| disk.contents(name))
            .collect();
        assert!(before == after, "a refusal must change nothing");
    }
    result
}

#[test]
fn no_flipped_bit_in_durable_records_goes_unnoticed() {
    let (disk, entries) = closed_log();
    let names = segments(&disk);
    assert!(names.len() > 2, "{names:?}");
    for name in &names {
        for at in (BLOCK..end_of_records(&entries, &disk, name)).step_by(3) {
            let result = open_changed(&disk, name, |bytes| bytes[at] ^= 1 << (at % 8));
            assert!(
                matches!(result, Err(WalError::Corrupt { .. })),
                "{name} {at}: {result:?}"
            );
        }
    }
}

#[test]
fn no_flipped_bit_in_a_segment_header_goes_unnoticed() {
    let (disk, _) = closed_log();
    for name in &segments(&disk) {
        for bit in 0..32 * 8 {
            let result = open_changed(&disk, name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            assert!(result.is_err(), "{name} {bit}");
        }
    }
}

#[test]
fn damage_behind_the_records_costs_none_of_them() {
    let (disk, entries) = closed_log();
    let names = segments(&disk);
    for name in &names {
        let end = end_of_records(&entries, &disk, name);
        for at in (end..2 * BLOCK).step_by(5) {
            let found = open_changed(&disk, name, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
            assert_eq!(found, entries, "{name} {at}");
        }
    }
}

#[test]
fn a_lost_sector_is_refused() {
    let (disk, entries) = closed_log();
    for name in &segments(&disk) {
        for sector in (BLOCK..end_of_records(&entries, &disk, name)).step_by(512) {
            let result = open_changed(&disk, name, |bytes| bytes[sector..sector + 512].fill(0));
            assert!(
                matches!(result, Err(WalError::Corrupt { .. })),
                "{name} {sector}"
            );
        }
    }
}

#[test]
fn after_a_kill_of_an_idle_process_damage_to_the_last_record_is_refused_too() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    // Zeros, header, mark; then the record and its mark.
    assert!(disk.wait_for(Operation::Write, 3));
    put(&wal, b"the only one").unwrap();
    assert!(disk.wait_for(Operation::Write, 5));
    let killed = disk.after_kill();
    let result = open_changed(&killed, "0000000000000001.wal", |bytes| {
        bytes[BLOCK + 32] ^= 1
    });
    assert!(
        matches!(result, Err(WalError::Corrupt { .. })),
        "{result:?}"
    );
}

#[test]
fn the_refusal_says_where_and_what_to_do() {
    let (disk, _) = closed_log();
    let name = &segments(&disk)[1];
    let first = u64::from_str_radix(&name[..16], 16).unwrap();
    let error = open_changed(&disk, name, |bytes| bytes[BLOCK] ^= 1).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    assert!(!error.is_retryable());
    let WalError::Corrupt {
        path,
        offset,
        sequence,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(path, &Path::new("crash-disk").join(name));
    assert_eq!((*offset, *sequence), (BLOCK as u64, first));
    let text = error.to_string();
    for part in [
        name.as_str(),
        "offset 4096",
        &format!("record {first}"),
        "backup",
        "join again",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_missing_segment_is_refused() {
    let (disk, _) = closed_log();
    let names = segments(&disk);
    // The first may have been released; that the caller knows.
    for name in &names[1..] {
        let disk = disk.after_kill();
        disk.put_contents(name, None);
        let result = open(&disk, small());
        assert!(matches!(result, Err(WalError::Corrupt { .. })), "{name}");
    }
}

#[test]
fn a_segment_in_another_place_or_of_another_log_is_refused() {
    let (disk, _) = closed_log();
    let (other, _) = closed_log();
    let names = segments(&disk);
    assert_eq!(names, segments(&other));
    for name in &names[1..] {
        let moved = open_changed(&disk, name, |bytes| {
            *bytes = disk.contents(&names[0]).unwrap()
        });
        assert!(matches!(moved, Err(WalError::Corrupt { .. })), "{moved:?}");
        let foreign = open_changed(&disk, name, |bytes| *bytes = other.contents(name).unwrap());
        assert!(
            matches!(foreign, Err(WalError::Corrupt { .. })),
            "{foreign:?}"
        );
    }
}

#[test]
fn a_cut_or_grown_file_is_refused() {
    let (disk, _) = closed_log();
    for name in &segments(&disk) {
        for size in [0, 10, BLOCK, 2 * BLOCK - 1, 2 * BLOCK + 1, 3 * BLOCK] {
            let result = open_changed(&disk, name, |bytes| bytes.resize(size, 0));
            assert!(
                matches!(result, Err(WalError::Corrupt { .. })),
                "{name} {size}"
            );
        }
    }
}

#[test]
fn a_record_of_this_log_in_another_place_is_none() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    for _ in 0..3 {
        put(&wal, &[7; 96]).unwrap();
    }
    drop(wal);
    // A block written to the wrong place: all of the log again, right behind its end.
    let name = "0000000000000001.wal";
    let mut bytes = disk.contents(name).unwrap();
    bytes.copy_within(BLOCK..BLOCK + 3 * 128, BLOCK + 3 * 128);
    disk.put_contents(name, Some(bytes));
    let (_, recovery, found) = open(&disk, roomy()).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(recovery.torn.unwrap().bytes, 3 * 128);
}

#[test]
fn a_record_of_another_past_is_refused() {
    let disk = CrashDisk::new();
    drop(open(&disk, roomy()).unwrap());
    let name = "0000000000000001.wal";
    // Two futures of one segment: whole records, in their place, with the right sequence.
    let futures = [b"one", b"two"].map(|payload| {
        let disk = disk.after_kill();
        let (wal, ..) = open(&disk, roomy()).unwrap();
        put(&wal, payload).unwrap();
        put(&wal, b"the same").unwrap();
        drop(wal);
        disk
    });
    let second = BLOCK + 40..BLOCK + 80;
    let other = futures[1].contents(name).unwrap();
    let result = open_changed(&futures[0], name, |bytes| {
        bytes[second.clone()].copy_from_slice(&other[second.clone()])
    });
    assert!(
        matches!(result, Err(WalError::Corrupt { sequence: 2, .. })),
        "{result:?}"
    );
}

#[test]
fn a_log_inside_a_torn_record_proves_nothing() {
    let (inner, _) = closed_log();
    let image = inner.contents(&segments(&inner)[0]).unwrap();
    let mut torn = 0;
    for seed in 0..100 {
        let disk = CrashDisk::new();
        let (wal, ..) = open(&disk, roomy()).unwrap();
        put(&wal, b"durable").unwrap();
        let held = disk.hold_syncs();
        let (done, _) = completion();
        wal.append(Batch::one(1, &image), done).unwrap();
        assert!(held.wait_for_one());
        let (_, recovery, found) = open(&disk.after_power_loss(seed), roomy()).unwrap();
        assert!(found.starts_with(&entries([&b"durable"[..]])));
        torn += u32::from(recovery.torn.is_some());
    }
    assert!(torn > 50, "only {torn} torn tails");
}

#[test]
fn files_that_are_not_ours_are_named() {
    let disk = CrashDisk::new();
    disk.put_contents("notes.txt", Some(b"ignored".to_vec()));
    drop(open(&disk, small()).unwrap());
    for name in [
        "log.wal",
        "1.wal",
        "000000000000000A.wal",
        "+00000000000000a.wal",
    ] {
        let disk = disk.after_kill();
        disk.put_contents(name, Some(vec![0; 2 * BLOCK]));
        let error = open(&disk, small()).unwrap_err();
        assert!(matches!(error, WalError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(error.code(), ErrorCode::FailedPrecondition);
    }
    let name = "0000000000000001.wal";
    let error =
        open_changed(&disk, name, |bytes| bytes[..4].copy_from_slice(b"\x7fELF")).unwrap_err();
    assert!(matches!(error, WalError::Foreign { .. }), "{error}");
    let error = open_changed(&disk, name, |bytes| bytes[8] = 2).unwrap_err();
    assert!(
        matches!(
            error,
            WalError::NewerFormat {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_damaged_record_is_noticed_when_it_is_read() {
    let disk = CrashDisk::new();
    let (wal, ..) = open(&disk, roomy()).unwrap();
    let (done, result) = completion();
    let position = wal.append(Batch::one(1, &[7; 64]), done).unwrap().positions[0];
    result.recv().unwrap().unwrap();
    drop(wal);
    let (wal, ..) = open(&disk, roomy()).unwrap();
    assert!(wal.read(position).is_ok());
    for at in [BLOCK + 9, BLOCK + 40] {
        disk.flip("0000000000000001.wal", at, 1);
        let error = wal.read(position).unwrap_err();
        assert!(
            matches!(error, WalError::Corrupt { sequence: 1, .. }),
            "{error}"
        );
        disk.flip("0000000000000001.wal", at, 1);
    }
    assert!(wal.read(position).is_ok());
}
