//! The narrow door to files: two traits, and the real directory behind them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of a log. Names are plain file names.
pub trait Disk: Send + Sync {
    /// Where it is, for messages.
    fn directory(&self) -> &Path;
    /// The names in it, in any order.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates an empty file for reading and writing; fails if the name exists.
    ///
    /// # Errors
    /// As the operating system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// Gives a file another name, in one step; a file that had that name is gone.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// As the operating system says; what was to be made durable may or may not be.
    fn sync_dir(&self) -> io::Result<()>;
}

/// One open file.
pub trait SegmentFile: Send + Sync {
    /// Size in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn size(&self) -> io::Result<u64>;
    /// Grows the file to this size and takes the space for it.
    ///
    /// # Errors
    /// `StorageFull` if there is not enough space, else as the operating system says.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Fills the whole buffer from this offset.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, else as the operating system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes the whole buffer at this offset.
    ///
    /// # Errors
    /// As the operating system says; any part may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes all that was written, and the size, durable.
    ///
    /// # Errors
    /// As the operating system says; any part of what was written may be lost, also if a later sync succeeds.
    fn sync_data(&self) -> io::Result<()>;
    /// Has what is synced read from the disk from now on, and not from memory.
    ///
    /// # Errors
    /// As the operating system says.
    fn drop_cache(&self) -> io::Result<()>;
}

/// A directory of the file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens the directory and creates it, durably, if it is missing. Its parent must exist.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        match fs::create_dir(path) {
            Ok(()) => {
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Disk for Directory {
    fn directory(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // Names that are not UTF-8 are none of ours.
        fs::read_dir(&self.path)?
            .filter_map(|entry| {
                entry
                    .map(|entry| entry.file_name().into_string().ok())
                    .transpose()
            })
            .collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl SegmentFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // Some file systems cannot; filling with zeros, which follows anyway, takes the space there.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.set_len(bytes),
            result => Ok(result?),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(
            self,
            0,
            None,
            rustix::fs::Advice::DontNeed,
        )?)
    }
}
