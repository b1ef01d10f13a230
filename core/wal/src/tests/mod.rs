//! Tests of the whole log on the crashing disk, and what they share.

mod basics;
mod crash;
mod damage;
mod faults;
mod grouping;
mod workload;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use crate::crash_disk::CrashDisk;
use crate::{Batch, Completion, Record, Recovery, Wal, WalError, WalOptions};

/// A record as the tests compare it.
type Entry = (u64, u8, Vec<u8>);

/// Small segments, so that everything happens soon.
fn small() -> WalOptions {
    WalOptions {
        segment_bytes: 8192,
        ..WalOptions::default()
    }
}

/// Segments of which little is used, so that nothing happens in the background.
fn roomy() -> WalOptions {
    WalOptions {
        segment_bytes: 64 << 10,
        ..WalOptions::default()
    }
}

fn open(disk: &CrashDisk, options: WalOptions) -> Result<(Wal, Recovery, Vec<Entry>), WalError> {
    let mut entries = Vec::new();
    let (wal, recovery) = Wal::open_on(Arc::new(disk.clone()), options, |record| {
        entries.push(entry(record));
        Ok(())
    })?;
    assert_eq!(recovery.records, entries.len() as u64);
    assert_eq!(recovery.last_sequence, wal.last_sequence());
    assert_eq!(wal.flushed(), wal.last_sequence());
    Ok((wal, recovery, entries))
}

fn entry(record: Record<'_>) -> Entry {
    (record.sequence, record.kind, record.payload.to_vec())
}

/// The entries that appending these payloads to an empty log gives.
fn entries<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Vec<Entry> {
    (1..)
        .zip(payloads)
        .map(|(sequence, payload)| (sequence, 1, payload.to_vec()))
        .collect()
}

/// A completion, and where its result comes out.
fn completion() -> (Completion, Receiver<Result<(), WalError>>) {
    let (sender, receiver) = mpsc::channel();
    let completion = Box::new(move |result| {
        // A test that does not look has dropped the receiver.
        let _ = sender.send(result);
    });
    (completion, receiver)
}

/// Appends one record and waits for it.
fn put(wal: &Wal, payload: &[u8]) -> Result<u64, WalError> {
    let (done, result) = completion();
    let appended = wal.append(Batch::one(1, payload), done)?;
    result.recv().expect("every completion runs")?;
    Ok(appended.last)
}
