//! A disk in memory that crashes, tears, fails and fills up as told: for the tests of this crate and of those
//! that stand on it.
//!
//! What is written is seen by readers at once and survives a killed process, but only a sync makes it survive a
//! [power loss](CrashDisk::after_power_loss). There, every sector keeps, independently of the others, some
//! prefix of the writes it got since the last sync, perhaps with the next one torn; every creation, rename and
//! removal since the last directory sync happens or does not. A failed sync leaves the data readable, and the
//! disk without it for good, as Linux does.

mod world;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::world::{Change, Contents, Dice, Fault, NameChange, World};
use crate::disk::{Disk, SegmentFile};

/// What can be counted, held up, and made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`Disk::create`].
    Create,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove`] of a file that exists.
    Remove,
    /// [`Disk::sync_dir`].
    SyncDirectory,
    /// [`SegmentFile::allocate`].
    Allocate,
    /// [`SegmentFile::write_at`].
    Write,
    /// [`SegmentFile::sync_data`].
    SyncData,
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct CrashDisk {
    directory: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    changed: Condvar,
}

impl Default for CrashDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl CrashDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::with(World::default())
    }

    fn with(world: World) -> Self {
        Self {
            directory: PathBuf::from("crash-disk"),
            shared: Arc::new(Shared {
                world: Mutex::new(world),
                changed: Condvar::new(),
            }),
        }
    }

    // === what happens to it ===

    /// Lets `operations` more operations succeed; the next one is cut off in its middle, and all others fail.
    pub fn crash_after(&self, operations: usize) {
        let mut world = self.shared.world.lock();
        world.crash_at = Some(world.operations.len() + operations);
    }

    /// From now on everything fails.
    pub fn crash(&self) {
        self.shared.world.lock().crashed = true;
        self.shared.changed.notify_all();
    }

    /// Makes one operation fail, after so many of its kind.
    pub fn fail(&self, operation: Operation, after: usize, error: io::ErrorKind) {
        self.shared.world.lock().faults.push(Fault {
            operation,
            after,
            error,
        });
    }

    /// Limits the sum of the sizes of all files, in bytes.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.shared.world.lock().space = bytes;
    }

    /// Holds up every sync of a file until the guard is dropped.
    #[must_use]
    pub fn hold_syncs(&self) -> HeldSyncs {
        self.shared.world.lock().syncs_held = true;
        HeldSyncs(self.clone())
    }

    /// The disk as another process finds it after this one was killed. This one goes on by itself.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        Self::with(self.shared.world.lock().restarted())
    }

    /// The disk as it may be after the power failed, by the dice.
    #[must_use]
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let before = self.shared.world.lock();
        let mut after = before.restarted();
        for change in std::mem::take(&mut after.unsynced_names) {
            if dice.below(2) == 0 {
                change.apply(&mut after.durable_names);
            }
        }
        after.names = after.durable_names.clone();
        let sector = if dice.below(2) == 0 { 512 } else { 4096 };
        for contents in &mut after.files {
            contents.lose_power(sector, &mut dice);
        }
        Self::with(after)
    }

    // === what can be seen of it ===

    /// How many operations there were.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.shared.world.lock().operations.len()
    }

    /// How many there were of a kind.
    #[must_use]
    pub fn count(&self, operation: Operation) -> usize {
        self.shared.world.lock().count(operation)
    }

    /// Blocks until there were so many of a kind; false if a minute was not enough.
    #[must_use]
    pub fn wait_for(&self, operation: Operation, count: usize) -> bool {
        self.wait_until(|world| world.count(operation) >= count)
    }

    fn wait_until(&self, reached: impl Fn(&World) -> bool) -> bool {
        let mut world = self.shared.world.lock();
        let waiting = |world: &mut World| !reached(world);
        let timeout = Duration::from_secs(60);
        !self
            .shared
            .changed
            .wait_while_for(&mut world, waiting, timeout)
            .timed_out()
    }

    /// The names of all files, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.shared.world.lock().names.keys().cloned().collect()
    }

    /// A file's bytes.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.shared.world.lock();
        let file = *world.names.get(name)?;
        Some(world.files[file].seen.clone())
    }

    /// Flips bits of one byte of a file, in memory and on disk, under the eyes of those who have it open.
    pub fn flip(&self, name: &str, offset: usize, bits: u8) {
        let mut world = self.shared.world.lock();
        let file = world.names[name];
        world.files[file].seen[offset] ^= bits;
        world.files[file].durable[offset] ^= bits;
    }

    /// Replaces a file, durably: damage, or a file put there by someone. `None` removes it.
    pub fn put_contents(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut world = self.shared.world.lock();
        world.names.remove(name);
        world.durable_names.remove(name);
        if let Some(bytes) = bytes {
            let file = world.files.len();
            world.files.push(Contents {
                seen: bytes.clone(),
                durable: bytes,
                unsynced: Vec::new(),
            });
            world.names.insert(name.to_owned(), file);
            world.durable_names.insert(name.to_owned(), file);
        }
    }
}

/// While it lives, no sync of a file returns.
pub struct HeldSyncs(CrashDisk);

impl HeldSyncs {
    /// Blocks until a sync is held up; false if a minute was not enough.
    #[must_use]
    pub fn wait_for_one(&self) -> bool {
        self.0.wait_until(|world| world.syncs_waiting > 0)
    }
}

impl Drop for HeldSyncs {
    fn drop(&mut self) {
        self.0.shared.world.lock().syncs_held = false;
        self.0.shared.changed.notify_all();
    }
}

impl Disk for CrashDisk {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let world = self.shared.world.lock();
        world.check()?;
        Ok(world.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let mut world = self.shared.world.lock();
        if world.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let done = self.shared.begin(&mut world, Operation::Create)?;
        let file = world.files.len();
        world.files.push(Contents::default());
        world.change_names(NameChange::Add(name.to_owned(), file));
        done.map(|()| self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let world = self.shared.world.lock();
        world.check()?;
        let file = *world.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.shared.world.lock();
        let file = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let done = self.shared.begin(&mut world, Operation::Rename)?;
        world.change_names(NameChange::Move(from.to_owned(), to.to_owned(), file));
        done
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.shared.world.lock();
        world.check()?;
        if !world.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let done = self.shared.begin(&mut world, Operation::Remove)?;
        world.change_names(NameChange::Remove(name.to_owned()));
        done
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut world = self.shared.world.lock();
        self.shared.begin(&mut world, Operation::SyncDirectory)??;
        world.durable_names = world.names.clone();
        world.unsynced_names.clear();
        Ok(())
    }
}

impl CrashDisk {
    fn handle(&self, file: usize) -> Arc<dyn SegmentFile> {
        Arc::new(CrashFile {
            shared: Arc::clone(&self.shared),
            file,
        })
    }
}

struct CrashFile {
    shared: Arc<Shared>,
    file: usize,
}

impl SegmentFile for CrashFile {
    fn size(&self) -> io::Result<u64> {
        let world = self.shared.world.lock();
        world.check()?;
        Ok(world.files[self.file].seen.len() as u64)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.shared.world.lock();
        let done = self.shared.begin(&mut world, Operation::Allocate)?;
        let used: usize = world
            .names
            .values()
            .map(|&file| world.files[file].seen.len())
            .sum();
        if world.space.is_some_and(|space| used as u64 + bytes > space) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.files[self.file].change(Change::Size(bytes as usize));
        done
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let world = self.shared.world.lock();
        world.check()?;
        let offset = offset as usize;
        let bytes = world.files[self.file]
            .seen
            .get(offset..offset + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.shared.world.lock();
        let done = self.shared.begin(&mut world, Operation::Write)?;
        world.files[self.file].change(Change::Bytes {
            offset: offset as usize,
            bytes: bytes.to_vec(),
        });
        done
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.shared.world.lock();
        world.syncs_waiting += 1;
        self.shared.changed.notify_all();
        while world.syncs_held && !world.crashed {
            self.shared.changed.wait(&mut world);
        }
        world.syncs_waiting -= 1;
        let result = self.shared.begin(&mut world, Operation::SyncData);
        let crashed = world.crashed;
        let contents = &mut world.files[self.file];
        match result {
            Ok(done) => {
                done?;
                for change in contents.unsynced.drain(..) {
                    change.apply(&mut contents.durable);
                }
                Ok(())
            }
            Err(error) => {
                if !crashed {
                    // Marked clean in memory, and never written: what Linux does after a failed write-back.
                    contents.unsynced.clear();
                }
                Err(error)
            }
        }
    }

    fn drop_cache(&self) -> io::Result<()> {
        let mut world = self.shared.world.lock();
        world.check()?;
        let contents = &mut world.files[self.file];
        let mut read = contents.durable.clone();
        for change in &contents.unsynced {
            change.apply(&mut read);
        }
        contents.seen = read;
        Ok(())
    }
}

impl Shared {
    /// See [`World::begin`]; tells those who wait for a count.
    fn begin(&self, world: &mut World, operation: Operation) -> io::Result<io::Result<()>> {
        self.changed.notify_all();
        world.begin(operation)
    }
}
