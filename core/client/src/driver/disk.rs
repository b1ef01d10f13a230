//! The cache directory: one file per service, replaced as a whole or not at all.
//!
//! A file is written under a name of its own, synced, renamed over the old one, and the directory
//! synced: whoever reads, at whatever moment and after whatever crash, finds the old view or the
//! new one. Several processes may share a directory; the last to write wins. Trouble with the disk
//! is counted and logged, and never stops discovery. Everything here blocks: not for async threads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use quorate_types::ServiceKey;

pub(crate) use super::cache_file::Kept;
use super::cache_file::{self, EXTENSION, LARGEST};

/// A temporary file this old was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(600);
/// Temporary names end so.
const UNFINISHED: &str = ".tmp";

/// What happened on the disk.
#[derive(Debug, Default)]
pub(crate) struct DiskCounts {
    /// Files that could not be used: torn, damaged, foreign, unreadable.
    pub(crate) bad: AtomicU64,
    /// Files written.
    pub(crate) written: AtomicU64,
    /// Writes that failed.
    pub(crate) failed: AtomicU64,
}

/// The directory; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    directory: Arc<Path>,
    counts: Arc<DiskCounts>,
}

impl Disk {
    /// Does not touch the disk.
    pub(crate) fn new(directory: PathBuf, counts: Arc<DiskCounts>) -> Self {
        Self {
            directory: directory.into(),
            counts,
        }
    }

    /// What an earlier run left of a service.
    pub(crate) fn load(&self, service: &ServiceKey) -> Option<Kept> {
        let path = self.directory.join(cache_file::file_name(service));
        let bytes = match read_bounded(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.counts.bad.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(path = %path.display(), %error, "cannot read a cached service");
                return None;
            }
        };
        match cache_file::decode(service, &bytes) {
            Ok(kept) => Some(kept),
            Err(unusable) => {
                self.counts.bad.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    path = %path.display(), ?unusable,
                    "ignoring a cached service that cannot be used"
                );
                None
            }
        }
    }

    /// Writes a service's view, in place of what is there.
    pub(crate) fn save(&self, service: &ServiceKey, kept: Kept) {
        let bytes = cache_file::encode(service, kept);
        let name = cache_file::file_name(service);
        let result = if bytes.len() as u64 > LARGEST {
            Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} bytes, over {LARGEST}", bytes.len()),
            ))
        } else {
            self.replace(&name, &bytes)
        };
        match result {
            Ok(()) => {
                self.counts.written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    directory = %self.directory.display(), %service, %error,
                    "cannot cache a service on disk"
                );
            }
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let (unfinished, mut file) = self.create_unfinished(name)?;
        let result = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, self.directory.join(name)));
        if let Err(error) = result {
            // Best effort: the next start sweeps what is left.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        sync_directory(&self.directory)
    }

    /// A file of a name no other process or thread uses.
    fn create_unfinished(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let mut attempts = 0;
        loop {
            let unique = format!(
                "{name}.{}.{:016x}{UNFINISHED}",
                std::process::id(),
                fastrand::u64(..)
            );
            let path = self.directory.join(unique);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempts < 8 => {
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes what processes left that died while writing.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        let marker = format!("{EXTENSION}.");
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = name.ends_with(UNFINISHED) && name.contains(&marker);
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let old = modified.is_ok_and(|modified| {
                SystemTime::now()
                    .duration_since(modified)
                    .is_ok_and(|age| age > ABANDONED)
            });
            if ours && old {
                // Another process may have been first.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a regular file of reasonable size",
        ));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Directories cannot be synced there.
#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_proto::v1;
    use quorate_types::Instance;

    use super::*;

    fn disk() -> (tempfile::TempDir, Disk) {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path().join("cache"), Arc::default());
        (directory, disk)
    }

    fn service() -> ServiceKey {
        ServiceKey::new("", "web").unwrap()
    }

    fn kept(revision: u64, instances: usize) -> Kept {
        let instance = |n| (&Instance::new(format!("host-{n}:80"))).into();
        Kept {
            cluster: 1,
            written_at: SystemTime::UNIX_EPOCH,
            snapshot: v1::ServiceSnapshot {
                service: Some((&service()).into()),
                version: Some(v1::ViewVersion {
                    epoch: 1,
                    revision,
                    content_hash: 0,
                }),
                instances: (0..instances).map(instance).collect(),
                ..Default::default()
            },
        }
    }

    fn files(disk: &Disk) -> Vec<String> {
        fs::read_dir(&disk.directory)
            .map(|entries| {
                entries
                    .map(|e| e.unwrap().file_name().into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default()
    }

    #[test]
    fn what_was_saved_is_loaded_and_nothing_else_stays() {
        let (_directory, disk) = disk();
        assert_eq!(disk.load(&service()), None);
        assert_eq!(disk.counts.bad.load(Ordering::Relaxed), 0);
        disk.save(&service(), kept(1, 100));
        disk.save(&service(), kept(2, 3));
        assert_eq!(disk.load(&service()), Some(kept(2, 3)));
        assert_eq!(files(&disk).len(), 1);
        assert_eq!(disk.counts.written.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_bad_file_is_counted_ignored_and_replaced() {
        let (_directory, disk) = disk();
        disk.save(&service(), kept(1, 5));
        let path = disk.directory.join(cache_file::file_name(&service()));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(disk.load(&service()), None);
        assert_eq!(disk.counts.bad.load(Ordering::Relaxed), 1);
        disk.save(&service(), kept(2, 5));
        assert_eq!(disk.load(&service()), Some(kept(2, 5)));
    }

    #[test]
    fn something_else_in_its_place_is_no_panic() {
        let (_directory, disk) = disk();
        let path = disk.directory.join(cache_file::file_name(&service()));
        fs::create_dir_all(&path).unwrap();
        assert_eq!(disk.load(&service()), None);
        disk.save(&service(), kept(1, 1));
        assert_eq!(disk.counts.bad.load(Ordering::Relaxed), 1);
        assert_eq!(disk.counts.failed.load(Ordering::Relaxed), 1);
        assert_eq!(files(&disk).len(), 1, "no temporary file is left");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        let disk = Disk::new(file.join("cache"), Arc::default());
        disk.save(&service(), kept(1, 1));
        assert_eq!(disk.load(&service()), None);
        disk.sweep();
        assert_eq!(disk.counts.failed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn only_old_unfinished_files_are_swept() {
        let (_directory, disk) = disk();
        disk.save(&service(), kept(1, 1));
        let stray = |name: &str, age| {
            let path = disk.directory.join(name);
            let file = File::create(path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        stray("default.web-0.view.7.0a.tmp", ABANDONED * 2);
        stray("default.web-0.view.8.0b.tmp", Duration::ZERO);
        stray("somebody-elses.tmp", ABANDONED * 2);
        disk.sweep();
        let mut left = files(&disk);
        left.sort();
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(!left.iter().any(|name| name.contains(".7.")));
        assert_eq!(disk.load(&service()), Some(kept(1, 1)));
    }

    #[test]
    fn readers_never_see_half_of_what_writers_write() {
        let (_directory, disk) = disk();
        disk.save(&service(), kept(1, 1));
        std::thread::scope(|threads| {
            for writer in 1..=4usize {
                let disk = disk.clone();
                threads.spawn(move || {
                    for round in 0..10 {
                        disk.save(&service(), kept(round, writer * 50));
                    }
                });
            }
            for _ in 0..2 {
                let disk = disk.clone();
                threads.spawn(move || {
                    for _ in 0..100 {
                        let found = disk.load(&service()).expect("always a whole file");
                        let count = found.snapshot.instances.len();
                        assert!(count == 1 || count % 50 == 0, "{count}");
                    }
                });
            }
        });
        assert_eq!(disk.counts.bad.load(Ordering::Relaxed), 0);
        assert_eq!(disk.counts.failed.load(Ordering::Relaxed), 0);
        assert_eq!(files(&disk).len(), 1);
    }
}
