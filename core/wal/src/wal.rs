//! The handle: what callers do with a log.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::appender::Appender;
use crate::batch::Batch;
use crate::disk::{Directory, Disk};
use crate::error::{Attempt, WalError};
use crate::keeper::Keeper;
use crate::options::WalOptions;
use crate::queue::{Appended, Completion, Queue};
use crate::record::{Position, Record, StoredRecord};
use crate::recovery::{self, Recovery};
use crate::segments::Segments;
use crate::writer;

/// An open log. To be shared in an `Arc`; all methods take `&self`.
///
/// Only one process may have a log open; its owner sees to that (the lock of the data directory).
///
/// Dropping it writes and syncs what is queued, runs the completions, and ends the threads. A failure on the
/// way reaches the completions.
pub struct Wal {
    queue: Arc<Queue>,
    segments: Arc<Segments>,
    writer: Option<JoinHandle<()>>,
}

impl Wal {
    /// Opens the log in this directory, or begins a new one there with sequence 1.
    ///
    /// `visit` is called with every record kept, in order. Its effects count only if opening succeeds: what
    /// follows may prove the log corrupt.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] if durable data is damaged, [`WalError::Foreign`] or [`WalError::NewerFormat`] if a
    /// file is not this release's, [`WalError::NoSpace`] and [`WalError::Io`] by the operating system, and
    /// whatever `visit` returns. None of them loses or changes a record.
    pub fn open(
        directory: &Path,
        options: WalOptions,
        visit: impl FnMut(Record<'_>) -> Result<(), WalError>,
    ) -> Result<(Self, Recovery), WalError> {
        let disk = Directory::open(directory).attempt("open", directory)?;
        Self::open_on(Arc::new(disk), options, visit)
    }

    /// Opens the log on a disk of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: WalOptions,
        mut visit: impl FnMut(Record<'_>) -> Result<(), WalError>,
    ) -> Result<(Self, Recovery), WalError> {
        options.validate()?;
        let recovered = recovery::recover(disk.as_ref(), &options, &mut visit)?;
        let last = recovered.report.last_sequence;
        let segments = Arc::new(Segments::new(Arc::clone(&disk), recovered.open, last));
        let keeper = Keeper::start(
            Arc::clone(&disk),
            Arc::clone(&segments),
            options.segment_bytes,
        )?;
        let queue = Arc::new(Queue::new(options, last + 1, recovered.cursor));
        let appender = Appender::new(
            Arc::clone(&disk),
            Arc::clone(&segments),
            keeper,
            recovered.active,
            recovered.cursor,
            recovered.end,
        );
        let writer = thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn({
                let queue = Arc::clone(&queue);
                move || writer::run(appender, &queue)
            })
            .attempt("start a thread for", disk.directory())?;
        let wal = Self {
            queue,
            segments,
            writer: Some(writer),
        };
        Ok((wal, recovered.report))
    }

    /// Appends records and has `completion` called, on the writer thread and in the order of the appends, once
    /// they and all before them are durable. A batch without records waits for those before.
    ///
    /// Returns as soon as they are queued; until they are flushed the caller keeps them for its readers. Blocks
    /// while the queue is full, which is as long as one group takes to write; the writer thread itself never
    /// blocks here.
    ///
    /// # Errors
    /// [`WalError::RecordTooLarge`], or the [`failure`](Self::failure) of the log. Nothing was queued then, and
    /// the completion is dropped without being called.
    pub fn append(&self, batch: Batch, completion: Completion) -> Result<Appended, WalError> {
        self.queue.append(batch, true, Some(completion), None)
    }

    /// Appends records that nobody waits for. They are written together with the next durable append, or with
    /// [`sync`](Self::sync), [`wait_flushed`](Self::wait_flushed), the end of the log, or when they take half
    /// of the queue.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_relaxed(&self, batch: Batch) -> Result<Appended, WalError> {
        self.queue.append(batch, false, None, None)
    }

    /// The highest durable sequence; all below it are durable too.
    #[must_use]
    pub fn flushed(&self) -> u64 {
        self.queue.flushed()
    }

    /// The highest sequence given; 0 if none ever was.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.queue.last()
    }

    /// The lowest sequence kept, or the next one to be given if there is none.
    #[must_use]
    pub fn first_sequence(&self) -> u64 {
        self.segments.first_sequence()
    }

    /// Blocks until this sequence is durable. Not for completions: they run on the thread it waits for.
    ///
    /// # Errors
    /// [`WalError::NotAppended`], or the [`failure`](Self::failure) of the log.
    pub fn wait_flushed(&self, sequence: u64) -> Result<(), WalError> {
        self.queue.wait_flushed(sequence)
    }

    /// Blocks until all that was appended before is durable. Not for completions.
    ///
    /// # Errors
    /// The [`failure`](Self::failure) of the log.
    pub fn sync(&self) -> Result<(), WalError> {
        self.wait_flushed(self.last_sequence())
    }

    /// Reads a record again, and checks it.
    ///
    /// # Errors
    /// [`WalError::NotWritten`] if it is still queued, [`WalError::Released`], [`WalError::Corrupt`] or
    /// [`WalError::Io`].
    pub fn read(&self, position: Position) -> Result<StoredRecord, WalError> {
        self.segments.read(position)
    }

    /// Lets go of records below this sequence: the segments that have no others are removed in the background,
    /// once all that was appended before this call is durable. So a caller appends what it wants to keep of
    /// them, and releases them, without waiting in between.
    ///
    /// # Errors
    /// The [`failure`](Self::failure) of the log. That a file cannot be removed is logged; it stays part of the
    /// log until a later release.
    pub fn release_before(&self, sequence: u64) -> Result<(), WalError> {
        self.queue
            .append(Batch::new(), true, None, Some(sequence))
            .map(drop)
    }

    /// Why the log takes no more records, if so. It is final: nothing that failed is tried again, because after
    /// a failed sync the operating system no longer knows what reached the disk. The owner ends the process.
    #[must_use]
    pub fn failure(&self) -> Option<WalError> {
        self.queue.failure()
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.queue.close();
        let Some(writer) = self.writer.take() else {
            return;
        };
        // The last handle may go in a completion. The writer then ends by itself; it cannot wait for itself.
        if !self.queue.is_writer() {
            // Its panics are caught and told to the completions.
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("first_sequence", &self.first_sequence())
            .field("last_sequence", &self.last_sequence())
            .field("flushed", &self.flushed())
            .finish_non_exhaustive()
    }
}
