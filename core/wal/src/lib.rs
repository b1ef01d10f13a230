//! A segmented, checksummed, group-committing log of bytes.
//!
//! It knows records (a sequence number, a kind, a payload), not what they mean. One writer thread drains a
//! bounded queue, writes what it found with one write, makes it durable with one `fdatasync`, and then runs the
//! completions in order. There is no timer: while one sync runs, the queue fills for the next.
//!
//! # Parts
//! | file | its job |
//! |---|---|
//! | [`wal`](Wal) | the handle: append, wait, read, release |
//! | `queue` | what is appended and not yet written; numbers records and places them |
//! | `writer` | the thread between queue and disk |
//! | `appender` | turns records into bytes in the active segment; rotation, sync, marks |
//! | `keeper` | the second thread: prepares the next segment, removes released ones |
//! | `recovery`, `tail` | replay on open; torn or corrupt |
//! | `record`, `segment`, `cursor` | the format, and where the next record goes |
//! | `disk` | the narrow door to files, so that tests can put a crashing disk behind it |
//!
//! # On disk
//! A directory of files named by their first sequence (16 hex digits and `.wal`), preallocated and zero-filled
//! before use. All integers are little-endian. A segment begins with a block of 4096 bytes that is written once:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `quowal\r\n` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | size of the file in bytes |
//! | 16 | 8 | sequence of its first record |
//! | 24 | 4 | chain seed: the header CRC of the record before; random in the very first segment |
//! | 28 | 4 | CRC32C of bytes 0..28 |
//! | 2048 | 32 | after a clean close: a mark, as below, of how far the log was durable then |
//!
//! All else in the block is zero.
//!
//! Records follow, each at a multiple of 8 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | header CRC: CRC32C of the segment's CRC, this record's offset in the file (4 bytes), and bytes 4..32 |
//! | 4 | 4 | length of the payload |
//! | 8 | 8 | sequence |
//! | 16 | 4 | unsynced: this sequence minus the highest one known durable before this write |
//! | 20 | 4 | previous: the header CRC of the record before (the chain) |
//! | 24 | 4 | payload CRC: CRC32C of the payload, seeded with `previous` |
//! | 28 | 1 | kind, the caller's |
//! | 29 | 1 | role: 1 record, 2 mark, 3 seal |
//! | 30 | 2 | zero |
//! | 32 | n | payload, then zeros up to a multiple of 8 |
//!
//! The header CRC binds a header to its place, so a copy of it elsewhere (a recycled or misplaced block, or a
//! payload that contains a log) is no header. The chain binds a record to all records before it.
//!
//! A *mark* is a header alone, where the next record will go. It says how far the log is durable, and the next
//! record overwrites it. It is written (not synced) whenever the writer goes idle. A clean close syncs it, and
//! another one in the segment's first block, in case a lost sector takes the last record and the mark behind it.
//! A *seal* is a mark that ends a segment after its successor has become durable; it is never overwritten.
//!
//! # Torn or corrupt
//! A segment is durable as a whole before its successor exists, so a bad record in any but the last segment is
//! corruption. In the last segment, let `E` be the sequence of the first record that is not whole and chained:
//! - if some header behind it (record, mark, seal; at any multiple of 8), or the mark of a clean close in the
//!   first block, proves by `sequence - unsynced >= E` that record `E` was once durable, the log is **corrupt**:
//!   opening refuses, and says where and what to do;
//! - if it is followed by a seal in its place, the next segment is missing: corrupt;
//! - otherwise nothing behind it was ever acknowledged: a **torn tail**. A crash may leave any subset of the
//!   sectors of unsynced writes, so whole records behind a hole are normal. The tail is overwritten with zeros,
//!   and synced, before the log opens, so that none of it can come alive later; the report tells.
//!
//! Before the replay the last segment is synced and its cached pages are dropped, so that what is replayed is on
//! the disk: after a failed `fdatasync` the page cache may hold, as clean, what the disk never got. Whole records
//! are never written again, not even with the same bytes: a torn write could take them.
//!
//! The limit of the rule: damage to the records of the very last group, together with the loss of everything
//! written after it (mark included), looks exactly like a crash during that write. With a mark on disk, so after
//! a clean close, after `kill -9` of an idle process, and soon after any pause, such damage is refused too.
//!
//! Assumed of the disk: what a successful sync covered stays, and a torn write changes no byte outside the range
//! that was written (SQLite calls it powersafe overwrite).

#![forbid(unsafe_code)]

mod appender;
mod batch;
#[cfg(any(test, feature = "crash-disk"))]
pub mod crash_disk;
mod cursor;
mod disk;
mod error;
mod keeper;
mod options;
mod queue;
mod record;
mod recovery;
mod segment;
mod segments;
mod tail;
mod wal;
mod window;
mod writer;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use disk::{Directory, Disk, SegmentFile};
pub use error::WalError;
pub use options::WalOptions;
pub use queue::{Appended, Completion};
pub use record::{Position, Record, StoredRecord};
pub use recovery::{Recovery, TornTail};
pub use wal::Wal;
