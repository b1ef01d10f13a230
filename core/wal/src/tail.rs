//! What lies behind the last whole record: proof of corruption, or a torn tail to erase.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Attempt, WalError};
use crate::record::{ALIGNMENT, HEADER, Header, Role};
use crate::recovery::End;
use crate::segment::{self, CLOSING_NOTE, Segment};
use crate::window::Window;

const BLOCK: u32 = 4096;
const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// What is behind the end.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The highest sequence that some header there proves to have been durable.
    pub(crate) durable: u64,
    /// Whether a seal is in the place of the next record.
    pub(crate) sealed: bool,
    /// What is not zero, apart from a mark in the place of the next record: from the first to the last such
    /// byte of each block.
    dirty: Vec<Range<u32>>,
}

impl Tail {
    /// The end of the last byte that has to be erased.
    pub(crate) fn dirty_end(&self) -> Option<u32> {
        self.dirty.last().map(|range| range.end)
    }
}

/// Looks at the closing note and at everything behind the end. A header counts wherever it is, whatever became of its payload: that it
/// was written proves what it says.
pub(crate) fn inspect(disk: &dyn Disk, segment: &Segment, end: End) -> Result<Tail, WalError> {
    let mut tail = Tail::default();
    let mut window = Window::new(disk, segment);
    let capacity = segment.header.capacity;
    if let Some(note) = header_at(&mut window, segment, CLOSING_NOTE)? {
        tail.durable = note.durable();
    }
    let mut clean_until = end.offset;
    if let Some(header) = header_at(&mut window, segment, end.offset)? {
        tail.sealed = end.continues_with(&header, Role::Seal);
        if end.continues_with(&header, Role::Mark) {
            tail.durable = tail.durable.max(header.durable());
            clean_until += HEADER as u32;
        }
    }
    let mut start = clean_until;
    while start < capacity {
        let block_end = (start + 1).next_multiple_of(BLOCK).min(capacity);
        let length = (block_end - start) as usize;
        let block = window.get(start, length)?.expect("within the segment");
        if block != &ZEROS[..length] {
            let first = block.iter().position(|&byte| byte != 0).unwrap_or(0) as u32;
            let last = block.iter().rposition(|&byte| byte != 0).unwrap_or(0) as u32;
            tail.dirty.push(start + first..start + last + 1);
            // A header may have begun in the block before with bytes that are zero.
            let from = start
                .saturating_sub((HEADER - ALIGNMENT) as u32)
                .max(end.offset);
            for offset in (from..block_end).step_by(ALIGNMENT) {
                if let Some(header) = header_at(&mut window, segment, offset)? {
                    tail.durable = tail.durable.max(header.durable());
                }
            }
        }
        start = block_end;
    }
    Ok(tail)
}

fn header_at(
    window: &mut Window<'_>,
    segment: &Segment,
    offset: u32,
) -> Result<Option<Header>, WalError> {
    let Some(bytes) = window.get(offset, HEADER)? else {
        return Ok(None);
    };
    let bytes = bytes.first_chunk().expect("as long as a header");
    Ok(Header::decode(bytes, segment.crc, offset).map(|(header, _)| header))
}

/// Erases the tail, durably. Nothing else is written: overwriting a whole record, even with itself, would put it
/// at the mercy of a torn write.
pub(crate) fn erase(disk: &dyn Disk, segment: &Segment, tail: &Tail) -> Result<(), WalError> {
    let path = disk.directory().join(segment::name(segment.header.first));
    for range in &tail.dirty {
        segment
            .file
            .write_at(range.start.into(), &ZEROS[..range.len()])
            .attempt("erase the torn end of", &path)?;
    }
    segment.file.sync_data().attempt("sync", &path)
}
