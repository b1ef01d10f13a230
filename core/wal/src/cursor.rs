//! Where the next record goes: pure arithmetic, done alike by the queue (to tell positions at once) and by the
//! appender (to write there).

use crate::record::{HEADER, stored_size};
use crate::segment::HEADER_BLOCK;

/// The end of the log: an offset in the active segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Where the next record starts, if it fits.
    pub(crate) offset: u32,
    /// Size of the active segment.
    pub(crate) capacity: u32,
    /// Size of segments to come.
    segment_bytes: u32,
}

/// Where a record was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Its offset.
    pub(crate) offset: u32,
    /// Whether it is the first of a new segment.
    pub(crate) rotates: bool,
}

impl Cursor {
    pub(crate) fn new(offset: u32, capacity: u32, segment_bytes: u32) -> Self {
        Self {
            offset,
            capacity,
            segment_bytes,
        }
    }

    /// The largest payload that fits into an empty segment, with the seal behind it.
    pub(crate) fn largest_payload(segment_bytes: u32) -> usize {
        segment_bytes as usize - HEADER_BLOCK as usize - 2 * HEADER
    }

    /// Places a record and moves behind it. `length` is at most [`largest_payload`](Self::largest_payload).
    pub(crate) fn place(&mut self, length: usize) -> Placed {
        // Fits in u32: a segment is at most 1 GiB, and the length was checked against it.
        let size = stored_size(length) as u32;
        let rotates = self.offset + size + HEADER as u32 > self.capacity;
        if rotates {
            self.capacity = self.segment_bytes;
            self.offset = HEADER_BLOCK;
        }
        let offset = self.offset;
        self.offset += size;
        Placed { offset, rotates }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_payload_fills_a_segment_up_to_the_seal() {
        let largest = Cursor::largest_payload(8192);
        let mut cursor = Cursor::new(HEADER_BLOCK, 8192, 8192);
        assert!(!cursor.place(largest).rotates);
        assert_eq!(cursor.offset as usize + HEADER, 8192);
        assert!(cursor.place(0).rotates);
    }

    #[test]
    fn a_smaller_old_segment_is_left_for_one_of_the_new_size() {
        let mut cursor = Cursor::new(HEADER_BLOCK, 8192, 16384);
        assert_eq!(
            cursor.place(5000),
            Placed {
                offset: HEADER_BLOCK,
                rotates: true
            }
        );
        assert_eq!(cursor.capacity, 16384);
    }

    proptest! {
        #[test]
        fn records_never_overlap_and_leave_room_for_a_seal(lengths in prop::collection::vec(0usize..4032, 1..50)) {
            let mut cursor = Cursor::new(HEADER_BLOCK, 8192, 8192);
            let mut end = HEADER_BLOCK;
            for length in lengths {
                let placed = cursor.place(length);
                if placed.rotates {
                    end = HEADER_BLOCK;
                }
                prop_assert_eq!(placed.offset, end);
                prop_assert_eq!(placed.offset % 8, 0);
                end = placed.offset + stored_size(length) as u32;
                prop_assert!(end as usize + HEADER <= 8192);
            }
        }
    }
}
