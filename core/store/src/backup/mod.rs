//! Saved snapshots: the whole state in one file, to be put away and brought back.
//!
//! A snapshot is its magic number; then [parts](quorate_proto::snapshot::Part), each behind its
//! length as a varint: the head, leases, rows in the order of their revisions, the end; then zeros
//! up to a multiple of 512 bytes, and the SHA-256 of all that. etcd's tools expect that much of a
//! snapshot, and no more. It holds what replicas have in common, so that those of one revision are
//! the same on all members.
//!
//! - `save`: making one while writes go on;
//! - `read`: taking one apart, and trusting nothing in it;
//! - `restore`: a new store from one;
//! - `error`: why one can't be used.

mod error;
mod read;
mod restore;
mod save;
#[cfg(test)]
mod tests;

pub use error::SnapshotError;
pub use read::{Progress, SnapshotSummary, inspect_snapshot};
pub use restore::restore_snapshot;
pub use save::SnapshotSource;

/// What a snapshot begins with.
const MAGIC: &[u8; 8] = b"quorsnap";
/// The newest format this version reads, and the one it writes.
const FORMAT: u32 = 1;
/// What is before the checksum is a multiple of it.
const BLOCK: usize = 512;
/// The length of the checksum.
const CHECKSUM: usize = 32;
/// No part is longer: requests are far smaller, and each row came with one.
const LARGEST_PART: usize = 256 << 20;
