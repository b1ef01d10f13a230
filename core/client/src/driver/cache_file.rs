//! The bytes of a cached view, and its file's name.
//!
//! ```text
//!   0  magic "QUORVIEW"    8 bytes
//!   8  format, now 1       u32
//!  12  crc32c              u32, of everything after it
//!  16  cluster id          u64
//!  24  epoch               u64
//!  32  revision            u64
//!  40  written at          u64, Unix time in ms
//!  48  payload length      u32
//!  52  payload             a ServiceSnapshot of quorate.v1, with the service's name
//! ```
//! All numbers little-endian. A file that deviates in any bit is not read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;
use quorate_proto::v1;
use quorate_types::ServiceKey;

const MAGIC: &[u8; 8] = b"QUORVIEW";
const FORMAT: u32 = 1;
const HEADER: usize = 52;
/// Where what the checksum covers begins.
const COVERED: usize = 16;
/// Largest file that is read or written.
pub(crate) const LARGEST: u64 = 256 * 1024 * 1024;
/// How the name of each file ends.
pub(crate) const EXTENSION: &str = ".view";

/// A view as it is kept on disk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) cluster: u64,
    pub(crate) written_at: SystemTime,
    pub(crate) snapshot: v1::ServiceSnapshot,
}

/// Why bytes are not a view of this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Not ours, or of another format.
    Foreign,
    /// Cut off, or longer than it says.
    Length,
    /// A bit is wrong.
    Checksum,
    /// The payload cannot be read, or is of another service.
    Payload,
}

/// The file's content.
pub(crate) fn encode(service: &ServiceKey, kept: Kept) -> Vec<u8> {
    let mut snapshot = kept.snapshot;
    snapshot.service = Some(service.into());
    let version = snapshot.version.unwrap_or_default();
    let written_at = kept
        .written_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let length = snapshot.encoded_len();
    let mut bytes = Vec::with_capacity(HEADER + length);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&kept.cluster.to_le_bytes());
    bytes.extend_from_slice(&version.epoch.to_le_bytes());
    bytes.extend_from_slice(&version.revision.to_le_bytes());
    bytes.extend_from_slice(&u64::try_from(written_at).unwrap_or(u64::MAX).to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&snapshot.encode_to_vec());
    let checksum = crc32c::crc32c(&bytes[COVERED..]);
    bytes[12..COVERED].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads what [`encode`] gave for the same service.
pub(crate) fn decode(service: &ServiceKey, bytes: &[u8]) -> Result<Kept, Unusable> {
    let (Some(magic), Some(format)) = (bytes.get(..8), u32_at(bytes, 8)) else {
        return Err(Unusable::Length);
    };
    if magic != MAGIC || format != FORMAT {
        return Err(Unusable::Foreign);
    }
    let (Some(checksum), Some(length), Some(payload)) =
        (u32_at(bytes, 12), u32_at(bytes, 48), bytes.get(HEADER..))
    else {
        return Err(Unusable::Length);
    };
    if u64::from(length) != payload.len() as u64 {
        return Err(Unusable::Length);
    }
    if checksum != crc32c::crc32c(&bytes[COVERED..]) {
        return Err(Unusable::Checksum);
    }
    let snapshot = v1::ServiceSnapshot::decode(payload).map_err(|_| Unusable::Payload)?;
    if snapshot.service.as_ref() != Some(&service.into()) {
        return Err(Unusable::Payload);
    }
    let number = |at| u64_at(bytes, at).ok_or(Unusable::Length);
    let (cluster, millis) = (number(16)?, number(40)?);
    let written_at = UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .ok_or(Unusable::Payload)?;
    Ok(Kept {
        cluster,
        written_at,
        snapshot,
    })
}

/// A name that no service name can turn into a path: what people can read of it, then a hash of
/// all of it.
pub(crate) fn file_name(service: &ServiceKey) -> String {
    let full = format!("{}\0{}", service.namespace(), service.name());
    let readable: String = format!("{}.{}", service.namespace(), service.name())
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '_',
        })
        .take(80)
        .collect();
    let hash = xxhash_rust::xxh3::xxh3_128(full.as_bytes());
    format!("{readable}-{hash:032x}{EXTENSION}")
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_types::Instance;

    use super::*;

    fn service() -> ServiceKey {
        ServiceKey::new("payments", "ledger/v2").unwrap()
    }

    fn kept() -> Kept {
        let instances = ["a:1", "b:2"].map(|address| (&Instance::new(address)).into());
        Kept {
            cluster: 7,
            written_at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            snapshot: v1::ServiceSnapshot {
                service: Some((&service()).into()),
                version: Some(v1::ViewVersion {
                    epoch: 3,
                    revision: 9,
                    content_hash: 1,
                }),
                instances: instances.to_vec(),
                complete: true,
                ..Default::default()
            },
        }
    }

    #[test]
    fn it_reads_back() {
        let bytes = encode(&service(), kept());
        assert_eq!(decode(&service(), &bytes), Ok(kept()));
        assert_eq!(u64_at(&bytes, 24), Some(3));
        assert_eq!(u64_at(&bytes, 32), Some(9));
    }

    #[test]
    fn the_format_does_not_change_unnoticed() {
        let bytes = encode(&service(), kept());
        assert_eq!(&bytes[..8], b"QUORVIEW");
        assert_eq!(bytes.len(), HEADER + kept().snapshot.encoded_len());
        assert_eq!(u32_at(&bytes, 8), Some(1));
    }

    #[test]
    fn a_file_torn_at_any_length_is_not_read() {
        let bytes = encode(&service(), kept());
        for length in 0..bytes.len() {
            assert!(decode(&service(), &bytes[..length]).is_err(), "{length}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(decode(&service(), &longer), Err(Unusable::Length));
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let bytes = encode(&service(), kept());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&service(), &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_services_file_is_not_read() {
        let bytes = encode(&ServiceKey::new("", "other").unwrap(), kept());
        assert_eq!(decode(&service(), &bytes), Err(Unusable::Payload));
    }

    #[test]
    fn foreign_files_are_not_read() {
        assert_eq!(decode(&service(), b""), Err(Unusable::Length));
        assert_eq!(
            decode(&service(), b"#!/bin/sh\necho hello\n"),
            Err(Unusable::Foreign)
        );
        let mut newer = encode(&service(), kept());
        newer[8] = 2;
        assert_eq!(decode(&service(), &newer), Err(Unusable::Foreign));
    }

    #[test]
    fn names_cannot_leave_the_directory_or_meet() {
        let name =
            |namespace: &str, name: &str| file_name(&ServiceKey::new(namespace, name).unwrap());
        let traversal = name("default", "a/../../../etc/passwd");
        assert!(!traversal.contains('/') && !traversal.starts_with('.'));
        assert_ne!(name("a.b", "c"), name("a", "b.c"));
        assert_ne!(name("", "a/b"), name("", "a_b"));
        assert!(!name("", "web").eq_ignore_ascii_case(&name("", "WEB")));
        let longest = "x".repeat(255);
        assert!(name(&longest, &longest).len() < 128);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&service(), &bytes).is_err());
            let mut ours = MAGIC.to_vec();
            ours.extend_from_slice(&FORMAT.to_le_bytes());
            ours.extend_from_slice(&bytes);
            prop_assert!(decode(&service(), &ours).is_err());
        }
    }
}
