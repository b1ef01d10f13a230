//! The open segments of a log, shared by the threads that write, read and release.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::disk::Disk;
use crate::error::{Attempt, WalError};
use crate::record::{HEADER, Header, Position, Role, StoredRecord};
use crate::segment::{self, Segment};

/// All segments by their first sequence; the last one is active.
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    open: RwLock<BTreeMap<u64, Segment>>,
    /// The highest sequence whose bytes have been handed to the operating system.
    written: AtomicU64,
}

impl Segments {
    pub(crate) fn new(disk: Arc<dyn Disk>, open: BTreeMap<u64, Segment>, written: u64) -> Self {
        Self {
            disk,
            open: RwLock::new(open),
            written: AtomicU64::new(written),
        }
    }

    /// Adds the new active segment; it replaces an empty one with the same first sequence.
    pub(crate) fn insert(&self, segment: Segment) {
        self.open.write().insert(segment.header.first, segment);
    }

    pub(crate) fn set_written(&self, sequence: u64) {
        self.written.store(sequence, Ordering::Release);
    }

    /// The lowest sequence that is kept, or the next one if there is none.
    pub(crate) fn first_sequence(&self) -> u64 {
        let open = self.open.read();
        *open
            .keys()
            .next()
            .expect("there is always an active segment")
    }

    pub(crate) fn path(&self, first: u64) -> PathBuf {
        self.disk.directory().join(segment::name(first))
    }

    /// Removes, durably, the segments all of whose records are below `before`: the oldest first, one by one, so
    /// that a crash leaves no gap. Never the active one.
    pub(crate) fn release(&self, before: u64) -> Result<(), WalError> {
        while let Some(first) = self.oldest_below(before) {
            self.disk
                .remove(&segment::name(first))
                .attempt("remove", self.path(first))?;
            self.disk
                .sync_dir()
                .attempt("sync", self.disk.directory())?;
            self.open.write().remove(&first);
        }
        Ok(())
    }

    fn oldest_below(&self, before: u64) -> Option<u64> {
        let open = self.open.read();
        let mut firsts = open.keys();
        let oldest = *firsts.next()?;
        (*firsts.next()? <= before).then_some(oldest)
    }

    pub(crate) fn read(&self, position: Position) -> Result<StoredRecord, WalError> {
        let Position {
            sequence, offset, ..
        } = position;
        if sequence > self.written.load(Ordering::Acquire) {
            return Err(WalError::NotWritten(sequence));
        }
        let segment = {
            let open = self.open.read();
            let found = open.range(..=sequence).next_back();
            found.ok_or(WalError::Released(sequence))?.1.clone()
        };
        let path = self.path(segment.header.first);
        let mut payload = vec![0; HEADER + position.payload_bytes()];
        segment
            .file
            .read_at(offset.into(), &mut payload)
            .attempt("read", &path)?;
        let bytes = payload.first_chunk().expect("as long as a header");
        let header = match Header::decode(bytes, segment.crc, offset) {
            Some((header, _)) if header.role == Role::Record && header.sequence == sequence => {
                header
            }
            _ => {
                let reason = "the record's header fails its checksum";
                return Err(WalError::corrupt(path, offset, sequence, reason));
            }
        };
        if !header.matches(&payload[HEADER..]) {
            let reason = "the record's payload fails its checksum";
            return Err(WalError::corrupt(path, offset, sequence, reason));
        }
        payload.drain(..HEADER);
        Ok(StoredRecord {
            sequence,
            kind: header.kind,
            payload,
        })
    }
}
