//! The second thread: prepares the next segment before it is needed and removes released ones, so that the
//! writer waits for neither.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, SegmentFile};
use crate::error::{Attempt, WalError};
use crate::segment;
use crate::segments::Segments;

/// The handle; dropping it ends the thread, after what was released is gone.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    segments: Arc<Segments>,
    segment_bytes: u32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    spare: Spare,
    /// Segments below this sequence are to go.
    release_before: Option<u64>,
    stopping: bool,
    /// The thread has ended.
    ended: bool,
}

/// The segment after the active one.
#[derive(Default)]
enum Spare {
    #[default]
    None,
    Wanted,
    Ready(Arc<dyn SegmentFile>),
    Failed(WalError),
}

impl Keeper {
    /// Starts the thread.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        segments: Arc<Segments>,
        segment_bytes: u32,
    ) -> Result<Self, WalError> {
        let shared = Arc::new(Shared {
            disk,
            segments,
            segment_bytes,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let thread = thread::Builder::new()
            .name("wal-keeper".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run()
            })
            .attempt("start a thread for", shared.disk.directory())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Has the next segment prepared, unless it is already.
    pub(crate) fn prepare(&self) {
        let mut state = self.shared.state.lock();
        if matches!(state.spare, Spare::None) {
            state.spare = Spare::Wanted;
            self.shared.changed.notify_all();
        }
    }

    /// Takes the prepared segment; waits for it if need be. One failure, which may be of an attempt made ahead of
    /// time, is tried again: the file was not part of the log, and space may have come back.
    pub(crate) fn take_spare(&self) -> Result<Arc<dyn SegmentFile>, WalError> {
        let mut state = self.shared.state.lock();
        let mut failed_before = false;
        loop {
            match std::mem::take(&mut state.spare) {
                Spare::Ready(file) => return Ok(file),
                Spare::Failed(error) if failed_before => return Err(error),
                Spare::Failed(_) => failed_before = true,
                Spare::None | Spare::Wanted => {}
            }
            if state.ended {
                return Err(WalError::WriterPanicked);
            }
            state.spare = Spare::Wanted;
            self.shared.changed.notify_all();
            self.shared.changed.wait(&mut state);
        }
    }

    /// Has segments removed all of whose records are below this sequence.
    pub(crate) fn release(&self, before: u64) {
        let mut state = self.shared.state.lock();
        state.release_before = state.release_before.max(Some(before));
        self.shared.changed.notify_all();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic was printed by the thread, and told to the writer by `ended`.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let _ended = Ended(self);
        let mut state = self.state.lock();
        loop {
            // Removals come first: they make the room that a new segment may need.
            if let Some(before) = state.release_before.take() {
                drop(state);
                if let Err(error) = self.segments.release(before) {
                    // Nothing is lost: what could not go is still part of the log, until the next release.
                    tracing::warn!(%error, "cannot remove released log segments");
                }
                state = self.state.lock();
            } else if state.stopping {
                return;
            } else if matches!(state.spare, Spare::Wanted) {
                drop(state);
                let result = segment::prepare(self.disk.as_ref(), self.segment_bytes);
                state = self.state.lock();
                state.spare = match result {
                    Ok(file) => Spare::Ready(file),
                    Err(error) => {
                        tracing::warn!(%error, "cannot prepare the next log segment");
                        Spare::Failed(error)
                    }
                };
                self.changed.notify_all();
            } else {
                self.changed.wait(&mut state);
            }
        }
    }
}

/// Tells the writer, also when the thread panics, that no spare will come.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}
