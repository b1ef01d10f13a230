//! Turns records into bytes in the active segment: one buffer per group, rotation, sync, marks.

use std::sync::Arc;

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::disk::Disk;
use crate::error::{Attempt, WalError};
use crate::keeper::Keeper;
use crate::record::{ALIGNMENT, HEADER, Header, Role};
use crate::recovery::End;
use crate::segment::{CLOSING_NOTE, Segment, SegmentHeader};
use crate::segments::Segments;

/// A buffer that grew beyond this for a large append is given back.
const KEPT_BUFFER: usize = 8 << 20;

/// The end of the log, for one thread. After an error it must not be used again.
pub(crate) struct Appender {
    disk: Arc<dyn Disk>,
    segments: Arc<Segments>,
    keeper: Keeper,
    active: Segment,
    cursor: Cursor,
    /// The next sequence.
    next: u64,
    /// The header CRC of the last record.
    chain: u32,
    /// The highest sequence known durable.
    durable: u64,
    /// Whether the last thing in the segment is a mark that says so.
    marked: bool,
    /// Records that go out with the next write, and the offset of the first of them.
    buffer: Vec<u8>,
    buffer_offset: u32,
}

impl Appender {
    /// Goes on from the end of a log that is durable up to there.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        segments: Arc<Segments>,
        keeper: Keeper,
        active: Segment,
        cursor: Cursor,
        end: End,
    ) -> Self {
        Self {
            disk,
            segments,
            keeper,
            active,
            cursor,
            next: end.sequence,
            chain: end.chain,
            durable: end.sequence - 1,
            marked: false,
            buffer: Vec::new(),
            buffer_offset: end.offset,
        }
    }

    /// The highest sequence known durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Encodes records behind those before them. They are written by the next [`write`](Self::write), earlier
    /// ones at the latest when the segment is full.
    pub(crate) fn push(&mut self, batch: &Batch) -> Result<(), WalError> {
        for (kind, payload) in batch.records() {
            let end = self.cursor.offset;
            let placed = self.cursor.place(payload.len());
            if placed.rotates {
                self.write()?;
                self.sync()?;
                self.rotate(end)?;
            }
            if self.buffer.is_empty() {
                self.buffer_offset = placed.offset;
            }
            let header = Header::record(self.next, self.durable, self.chain, kind, payload);
            let (bytes, crc) = header.encode(self.active.crc, placed.offset);
            self.buffer.extend_from_slice(&bytes);
            self.buffer.extend_from_slice(payload);
            self.buffer
                .resize(self.buffer.len().next_multiple_of(ALIGNMENT), 0);
            self.next += 1;
            self.chain = crc;
        }
        Ok(())
    }

    /// Hands the buffer to the operating system.
    pub(crate) fn write(&mut self) -> Result<(), WalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.marked = false;
        self.put(self.buffer_offset, &self.buffer)?;
        self.segments.set_written(self.next - 1);
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        // Early enough to be ready in time, late enough that a small log takes one segment, not two.
        if self.cursor.offset > self.cursor.capacity / 4 {
            self.keeper.prepare();
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&mut self) -> Result<(), WalError> {
        if self.durable < self.next - 1 {
            self.sync_active()?;
            self.durable = self.next - 1;
        }
        Ok(())
    }

    /// Leaves a note, in the place of the next record, of how far the log is durable.
    pub(crate) fn mark(&mut self) -> Result<(), WalError> {
        if !self.marked {
            self.note(Role::Mark, self.cursor.offset)?;
            self.marked = true;
        }
        Ok(())
    }

    /// Ends the log so that any later damage is noticed: all durable, and two durable notes that say so, one of
    /// them far from the last record.
    pub(crate) fn close(&mut self) -> Result<(), WalError> {
        self.sync()?;
        self.note(Role::Mark, self.cursor.offset)?;
        self.note(Role::Mark, CLOSING_NOTE)?;
        self.sync_active()
    }

    /// Has the segments below this sequence removed, in the background.
    pub(crate) fn release(&self, before: u64) {
        self.keeper.release(before);
    }

    /// Goes on in a new segment. The old one, which ends at `end`, is durable as a whole.
    fn rotate(&mut self, end: u32) -> Result<(), WalError> {
        let header = SegmentHeader {
            capacity: self.cursor.capacity,
            first: self.next,
            chain_seed: self.chain,
        };
        let segment = Segment::activate(self.disk.as_ref(), self.keeper.take_spare()?, header)?;
        // A segment without records was replaced just now, by the one with the same name.
        if self.active.header.first < self.next {
            self.note(Role::Seal, end)?;
            self.sync_active()?;
        }
        self.segments.insert(segment.clone());
        self.active = segment;
        self.marked = false;
        Ok(())
    }

    fn note(&self, role: Role, offset: u32) -> Result<(), WalError> {
        let note = Header::note(role, self.next, self.durable, self.chain);
        let (bytes, _) = note.encode(self.active.crc, offset);
        self.put(offset, &bytes)
    }

    fn put(&self, offset: u32, bytes: &[u8]) -> Result<(), WalError> {
        debug_assert!(
            bytes.len() >= HEADER
                && offset as usize + bytes.len() <= self.active.header.capacity as usize
        );
        self.active
            .file
            .write_at(offset.into(), bytes)
            .attempt("write", self.segments.path(self.active.header.first))
    }

    fn sync_active(&self) -> Result<(), WalError> {
        self.active
            .file
            .sync_data()
            .attempt("sync", self.segments.path(self.active.header.first))
    }
}
