//! A record's bytes: the header with its two checksums and the chain. The layout is in the crate's docs.

use crc32c::crc32c_append;

/// Size of a record's header.
pub(crate) const HEADER: usize = 32;
/// Records start at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

/// A record on replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number; they have no gaps.
    pub sequence: u64,
    /// The caller's tag.
    pub kind: u8,
    /// The caller's bytes.
    pub payload: &'a [u8],
    /// Where to read it again.
    pub position: Position,
}

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its number.
    pub sequence: u64,
    /// The caller's tag.
    pub kind: u8,
    /// The caller's bytes.
    pub payload: Vec<u8>,
}

/// Where a record is, for reading it again. Small, for keeping many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The record's number; the segment follows from it.
    pub sequence: u64,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

impl Position {
    /// Size of the payload.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.length as usize
    }
}

/// What a record with this payload takes in the file.
pub(crate) const fn stored_size(length: usize) -> usize {
    (HEADER + length).next_multiple_of(ALIGNMENT)
}

/// What a header stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    /// A record of the caller's.
    Record = 1,
    /// A note of how far the log is durable; overwritten by the next record.
    Mark = 2,
    /// A mark that ends a segment whose successor is durable.
    Seal = 3,
}

impl Role {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Record, Self::Mark, Self::Seal]
            .into_iter()
            .find(|role| *role as u8 == byte)
    }
}

/// A header without its own CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) sequence: u64,
    pub(crate) unsynced: u32,
    pub(crate) previous: u32,
    pub(crate) payload_crc: u32,
    pub(crate) kind: u8,
    pub(crate) role: Role,
}

impl Header {
    /// The header of a record. `durable` is the highest sequence known durable now; at most `sequence - 1`.
    pub(crate) fn record(
        sequence: u64,
        durable: u64,
        previous: u32,
        kind: u8,
        payload: &[u8],
    ) -> Self {
        Self {
            length: payload.len() as u32,
            sequence,
            unsynced: Self::unsynced(sequence, durable),
            previous,
            payload_crc: crc32c_append(previous, payload),
            kind,
            role: Role::Record,
        }
    }

    /// A mark or seal in the place of record `sequence`.
    pub(crate) fn note(role: Role, sequence: u64, durable: u64, previous: u32) -> Self {
        Self {
            role,
            ..Self::record(sequence, durable, previous, 0, &[])
        }
    }

    /// Fits: a segment is durable before the next begins, and has less than 2^32 records.
    fn unsynced(sequence: u64, durable: u64) -> u32 {
        u32::try_from(sequence - durable).expect("unsynced records are of one segment")
    }

    /// The highest sequence this header proves to have been durable before it was written.
    pub(crate) fn durable(&self) -> u64 {
        self.sequence - u64::from(self.unsynced)
    }

    /// Whether the payload is the one this header was made for.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.length as usize
            && crc32c_append(self.previous, payload) == self.payload_crc
    }

    /// The bytes at `offset` of the segment with this CRC, and the header's CRC: the next one's `previous`.
    pub(crate) fn encode(&self, segment_crc: u32, offset: u32) -> ([u8; HEADER], u32) {
        let mut bytes = [0; HEADER];
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.unsynced.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.previous.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[28] = self.kind;
        bytes[29] = self.role as u8;
        let crc = header_crc(segment_crc, offset, &bytes);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// Reads a header and its CRC; `None` if these bytes are not a header of this place.
    pub(crate) fn decode(
        bytes: &[u8; HEADER],
        segment_crc: u32,
        offset: u32,
    ) -> Option<(Self, u32)> {
        // The cheap tests come first: a scan tries this at every multiple of 8.
        let role = Role::from_byte(bytes[29])?;
        if bytes[30..] != [0; 2] {
            return None;
        }
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let sequence = u64::from(word(8)) | u64::from(word(12)) << 32;
        let header = Self {
            length: word(4),
            sequence,
            unsynced: word(16),
            previous: word(20),
            payload_crc: word(24),
            kind: bytes[28],
            role,
        };
        if header.unsynced == 0 || u64::from(header.unsynced) > sequence {
            return None;
        }
        let crc = word(0);
        (crc == header_crc(segment_crc, offset, bytes)).then_some((header, crc))
    }
}

fn header_crc(segment_crc: u32, offset: u32, bytes: &[u8; HEADER]) -> u32 {
    crc32c_append(
        crc32c_append(segment_crc, &offset.to_le_bytes()),
        &bytes[4..],
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_reads_back_in_its_place_only() {
        let header = Header::record(7, 4, 99, 3, b"payload");
        let (bytes, crc) = header.encode(11, 4096);
        assert_eq!(Header::decode(&bytes, 11, 4096), Some((header, crc)));
        assert_eq!(header.durable(), 4);
        assert_eq!(Header::decode(&bytes, 11, 4104), None);
        assert_eq!(Header::decode(&bytes, 12, 4096), None);
        assert_eq!(Header::decode(&[0; HEADER], 11, 4096), None);
    }

    #[test]
    fn a_payload_is_bound_to_the_chain() {
        let header = Header::record(7, 4, 99, 3, b"payload");
        assert!(header.matches(b"payload"));
        assert!(!header.matches(b"paxload"));
        let elsewhere = Header {
            previous: 98,
            ..header
        };
        assert!(!elsewhere.matches(b"payload"));
    }

    #[test]
    fn the_bytes_are_these() {
        let (bytes, _) = Header::record(0x0102_0304, 0x0102_0300, 5, 6, b"abc").encode(0, 4096);
        assert_eq!(
            bytes[4..24],
            [3, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0]
        );
        assert_eq!(bytes[28..], [6, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unnoticed(bit in 0usize..HEADER * 8, sequence in 1u64.., payload: Vec<u8>) {
            let header = Header::record(sequence, sequence - 1, 1, 2, &payload);
            let (mut bytes, _) = header.encode(3, 4096);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&bytes, 3, 4096), None);
        }

        #[test]
        fn decoding_never_panics(bytes: [u8; HEADER]) {
            let _ = Header::decode(&bytes, 0, 0);
        }
    }
}
