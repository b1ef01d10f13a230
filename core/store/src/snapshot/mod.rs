//! The whole state on its way to another node: read out at one moment ([`Export`]), written into a file of its own
//! there ([`Incoming`]), and taken over in place of that node's state ([`Store::install`]).
//!
//! The file takes the store's name in one step, when all of it is durable: a crash leaves the old state or the new.

mod export;
mod receive;

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

pub use self::export::Export;
pub use self::receive::{Incoming, Progress, Received};

use crate::error::{StoreFault, disk};
#[cfg(doc)]
use crate::store::Store;

/// How files of states that are being received begin.
const UNFINISHED: &str = "received-";

/// Removes what a crash left of states that were being received.
pub(crate) fn remove_unfinished(directory: &Path) -> Result<(), StoreFault> {
    let remove = || -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().map_err(|error| io_fault("removing a snapshot that was not received in full", error))
}

fn io_fault(action: &'static str, error: io::Error) -> StoreFault {
    disk(action)(redb::Error::Io(error))
}

/// Hashes what is sent, on both sides.
#[derive(Default)]
struct Digest(Xxh3);

impl Digest {
    fn row(&mut self, key: &[u8], value: &[u8]) {
        self.0.update(key);
        self.bytes(value);
    }

    fn lease(&mut self, id: i64, granted: i64, remaining: i64) {
        for number in [id, granted, remaining] {
            self.0.update(&number.to_le_bytes());
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests;
