//! One row of history: a put or a tombstone, in a compact encoding of our own.
//!
//! Layout: kind (1 byte: 0 put, 1 tombstone), then for a put the varints create revision,
//! version and lease; then the key's length as a varint, the key, and for a put the value to the
//! end of the row. Varints are LEB128. On disk: kinds are never reused.

use bytes::{BufMut, Bytes};
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};
use quorate_proto::mvccpb::KeyValue;

use crate::error::StoreFault;
use crate::revision::Revision;

const PUT: u8 = 0;
const TOMBSTONE: u8 = 1;

/// A row, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Put {
        key: &'a [u8],
        value: &'a [u8],
        create_revision: i64,
        version: i64,
        lease: i64,
    },
    Tombstone {
        key: &'a [u8],
    },
}

impl<'a> Record<'a> {
    pub(crate) fn key(&self) -> &'a [u8] {
        match self {
            Self::Put { key, .. } | Self::Tombstone { key } => key,
        }
    }

    /// The same, as if its value were empty.
    pub(crate) fn without_value(self) -> Self {
        match self {
            Self::Put {
                key,
                create_revision,
                version,
                lease,
                ..
            } => Self::Put {
                key,
                value: b"",
                create_revision,
                version,
                lease,
            },
            tombstone @ Self::Tombstone { .. } => tombstone,
        }
    }

    /// Writes the row into `row`, replacing what it holds.
    pub(crate) fn encode(&self, row: &mut Vec<u8>) {
        row.clear();
        match *self {
            Self::Put {
                key,
                value,
                create_revision,
                version,
                lease,
            } => {
                let numbers = [create_revision, version, lease].map(i64::cast_unsigned);
                row.reserve(
                    1 + numbers
                        .iter()
                        .map(|&n| encoded_len_varint(n))
                        .sum::<usize>()
                        + encoded_len_varint(key.len() as u64)
                        + key.len()
                        + value.len(),
                );
                row.put_u8(PUT);
                for number in numbers {
                    encode_varint(number, row);
                }
                encode_varint(key.len() as u64, row);
                row.put_slice(key);
                row.put_slice(value);
            }
            Self::Tombstone { key } => {
                row.put_u8(TOMBSTONE);
                encode_varint(key.len() as u64, row);
                row.put_slice(key);
            }
        }
    }

    /// Reads a row; anything [`Self::encode`] would not write is damage.
    pub(crate) fn decode(row: &'a [u8]) -> Result<Self, StoreFault> {
        Self::parse(row).ok_or_else(|| {
            StoreFault::damaged(format!("a row of {} bytes does not read", row.len()))
        })
    }

    fn parse(row: &'a [u8]) -> Option<Self> {
        let (&kind, mut rest) = row.split_first()?;
        match kind {
            PUT => {
                let create_revision = decode_varint(&mut rest).ok()?.cast_signed();
                let version = decode_varint(&mut rest).ok()?.cast_signed();
                let lease = decode_varint(&mut rest).ok()?.cast_signed();
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                let (key, value) = rest.split_at_checked(length)?;
                Some(Self::Put {
                    key,
                    value,
                    create_revision,
                    version,
                    lease,
                })
            }
            TOMBSTONE => {
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                (rest.len() == length).then_some(Self::Tombstone { key: rest })
            }
            _ => None,
        }
    }

    /// The row as the wire has it; key and value share one copy.
    pub(crate) fn to_key_value(self, revision: Revision) -> KeyValue {
        match self {
            Self::Put {
                key,
                value,
                create_revision,
                version,
                lease,
            } => {
                let mut both = Vec::with_capacity(key.len() + value.len());
                both.extend_from_slice(key);
                both.extend_from_slice(value);
                let both = Bytes::from(both);
                KeyValue {
                    key: both.slice(..key.len()),
                    value: both.slice(key.len()..),
                    create_revision,
                    mod_revision: revision.main,
                    version,
                    lease,
                }
            }
            Self::Tombstone { key } => KeyValue {
                key: Bytes::copy_from_slice(key),
                mod_revision: revision.main,
                ..KeyValue::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_read_back(
            key in prop::collection::vec(any::<u8>(), 0..40),
            value in prop::collection::vec(any::<u8>(), 0..300),
            create_revision in any::<i64>(), version in any::<i64>(), lease in any::<i64>(),
        ) {
            let put = Record::Put { key: &key, value: &value, create_revision, version, lease };
            let mut row = Vec::new();
            put.encode(&mut row);
            prop_assert_eq!(Record::decode(&row).unwrap(), put);
            let tombstone = Record::Tombstone { key: &key };
            tombstone.encode(&mut row);
            prop_assert_eq!(Record::decode(&row).unwrap(), tombstone);
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_panics(
            row in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let _ = Record::decode(&row);
        }
    }

    #[test]
    fn a_truncated_row_is_damage() {
        let mut row = Vec::new();
        Record::Put {
            key: b"a long key",
            value: b"",
            create_revision: 300,
            version: 1,
            lease: 0,
        }
        .encode(&mut row);
        for length in 0..row.len() {
            assert!(Record::decode(&row[..length]).is_err(), "{length}");
        }
        assert!(Record::decode(&[9, 0]).is_err());
    }
}
