//! The data directory: whose it is, and that one process at a time uses it.
//!
//! ```text
//! IDENTITY   JSON: format, cluster, member, when it was made, and with whom; written first, never changed
//! LOCK       held with flock(2) while a process runs; the kernel releases it at any death
//! wal/       the log (quorate-wal)
//! store/     the state (quorate-store)
//! ```

mod identity;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

pub(crate) use identity::Identity;

use crate::failure::{Exit, Failure};

const LOCK: &str = "LOCK";

/// An open data directory; the lock is held until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    identity: Identity,
    used_before: bool,
    // Held for its lock.
    _lock: File,
}

impl DataDir {
    /// Opens the directory; makes it, and gives it this identity, if there is nothing yet.
    ///
    /// # Errors
    /// When it is not ours, newer than this program, in use, or cannot be written, or there is no
    /// identity for it. Nothing in it has been changed then.
    pub(crate) fn open(
        path: &Path,
        found: impl FnOnce() -> Result<Identity, String>,
    ) -> Result<Self, Failure> {
        let refuse = |message: String| {
            Failure::new(
                Exit::DataDirectory,
                format!("data directory {}: {message}", path.display()),
            )
        };
        let attempt = |step: &str, error: &io::Error| {
            refuse(format!(
                "cannot {step}: {error}; check the path, its owner and its permissions, or choose \
                 another with --data-dir"
            ))
        };
        create(path).map_err(|error| attempt("create it", &error))?;
        refuse_foreign(path).map_err(&refuse)?;
        let lock = lock(path).map_err(|error| match error {
            Locked::By(holder) => refuse(format!(
                "{holder} is using it; stop that one first, or choose another with --data-dir"
            )),
            Locked::Failed(error) => attempt("lock it", &error),
        })?;
        let known = identity::read(path).map_err(&refuse)?;
        let used_before = known.is_some();
        let identity = match known {
            Some(identity) => identity,
            None => {
                let identity = found().map_err(&refuse)?;
                identity::write(path, &identity)
                    .map_err(|error| attempt("write its identity", &error))?;
                identity
            }
        };
        Ok(Self {
            path: path.to_owned(),
            identity,
            used_before,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether a server ran on it before: clients may come back that know more than we do.
    pub(crate) fn used_before(&self) -> bool {
        self.used_before
    }

    /// Where the log lives.
    pub(crate) fn wal(&self) -> PathBuf {
        self.path.join("wal")
    }

    /// Where the state lives.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }
}

/// Makes the directory for its owner only, since it holds everyone's values.
fn create(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Refuses a directory with somebody else's files before anything in it is touched.
fn refuse_foreign(path: &Path) -> Result<(), String> {
    let entries = fs::read_dir(path)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
    if names.iter().any(|name| name == identity::FILE) {
        return Ok(());
    }
    // What a start that was killed early leaves behind is ours.
    let ours = [LOCK, identity::UNFINISHED];
    match names
        .iter()
        .find(|name| !ours.iter().any(|known| *name == known))
    {
        None => Ok(()),
        Some(stranger) => Err(format!(
            "it holds files ('{}') but no {}, so it is not a Quorate data directory; choose an \
             empty or new one with --data-dir",
            stranger.display(),
            identity::FILE
        )),
    }
}

enum Locked {
    /// By another process, said for a person.
    By(String),
    Failed(io::Error),
}

fn lock(path: &Path) -> Result<File, Locked> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join(LOCK))
        .map_err(Locked::Failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let read = Read::by_ref(&mut file).take(32).read_to_string(&mut holder);
            return Err(Locked::By(match (read, holder.trim()) {
                (Ok(_), pid) if !pid.is_empty() => format!("process {pid}"),
                _ => "another process".to_owned(),
            }));
        }
        Err(error) => return Err(Locked::Failed(error.into())),
    }
    // For the message above only: the lock itself is the kernel's.
    let noted = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(Locked::Failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
