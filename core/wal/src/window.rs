//! Reads a segment from front to back in large pieces, whatever the size of the records.

use crate::disk::{Disk, SegmentFile};
use crate::error::{Attempt, WalError};
use crate::segment::{self, Segment};

/// How much is read at once.
const PIECE: usize = 1 << 20;

/// A piece of a segment in memory.
pub(crate) struct Window<'a> {
    disk: &'a dyn Disk,
    file: &'a dyn SegmentFile,
    first: u64,
    capacity: u32,
    start: u32,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, segment: &'a Segment) -> Self {
        Self {
            disk,
            file: segment.file.as_ref(),
            first: segment.header.first,
            capacity: segment.header.capacity,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// These bytes of the segment; `None` if they reach past its end.
    pub(crate) fn get(&mut self, offset: u32, length: usize) -> Result<Option<&[u8]>, WalError> {
        let rest = self.capacity.saturating_sub(offset) as usize;
        if length > rest {
            return Ok(None);
        }
        let inside =
            offset >= self.start && (offset - self.start) as usize + length <= self.bytes.len();
        if !inside {
            self.start = offset;
            self.bytes.resize(length.max(PIECE).min(rest), 0);
            self.file.read_at(offset.into(), &mut self.bytes).attempt(
                "read",
                self.disk.directory().join(segment::name(self.first)),
            )?;
        }
        let from = (offset - self.start) as usize;
        Ok(Some(&self.bytes[from..from + length]))
    }
}
