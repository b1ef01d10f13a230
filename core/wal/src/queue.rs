//! What is appended and not yet written: gives records their sequence and place, bounds what waits, and tells
//! waiters how far the log is durable.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::error::WalError;
use crate::options::WalOptions;
use crate::record::Position;

/// Told on the writer thread when an append is durable, or will never be. It must not block, and must not wait
/// for the log.
pub type Completion = Box<dyn FnOnce(Result<(), WalError>) + Send>;

/// What an append was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Sequence of its first record; one above `last` if it has none.
    pub first: u64,
    /// Sequence of its last record, or of the last one before it if it has none.
    pub last: u64,
    /// Where its records will be, in order.
    pub positions: Vec<Position>,
}

/// One append on its way to the writer.
pub(crate) struct Item {
    pub(crate) batch: Batch,
    pub(crate) last: u64,
    /// Whether it wants a sync.
    pub(crate) durable: bool,
    pub(crate) completion: Option<Completion>,
    /// Once this item is durable, segments below this sequence go.
    pub(crate) release_before: Option<u64>,
}

/// The queue between callers and the writer thread.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// The writer waits here.
    work: Condvar,
    /// Appenders wait here for room.
    room: Condvar,
    /// Those who want to know how far the log is durable wait here.
    progress: Condvar,
    /// A copy of the state's, for reading without the lock.
    flushed: AtomicU64,
    options: WalOptions,
}

struct State {
    items: VecDeque<Item>,
    /// Payload bytes in `items`.
    bytes: usize,
    /// How many of `items` want a sync.
    durable: usize,
    /// How many appenders wait for room.
    blocked: usize,
    /// The next sequence to give.
    next: u64,
    /// Where the next record goes.
    cursor: Cursor,
    /// The highest sequence for which a sync was asked.
    requested: u64,
    /// The highest durable sequence.
    flushed: u64,
    closing: bool,
    failure: Option<WalError>,
    writer: Option<ThreadId>,
}

impl Queue {
    /// A queue behind a log whose records below `next` are durable.
    pub(crate) fn new(options: WalOptions, next: u64, cursor: Cursor) -> Self {
        let flushed = next - 1;
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                durable: 0,
                blocked: 0,
                next,
                cursor,
                requested: flushed,
                flushed,
                closing: false,
                failure: None,
                writer: None,
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            progress: Condvar::new(),
            flushed: AtomicU64::new(flushed),
            options,
        }
    }

    // === the callers' side ===

    /// Queues records, and blocks while there is no room for them.
    pub(crate) fn append(
        &self,
        batch: Batch,
        durable: bool,
        completion: Option<Completion>,
        release_before: Option<u64>,
    ) -> Result<Appended, WalError> {
        let limit = self.options.largest_payload();
        if let Some(bytes) = batch.lengths().find(|&length| length > limit) {
            return Err(WalError::RecordTooLarge { bytes, limit });
        }
        let mut positions = Vec::with_capacity(batch.len());
        let mut state = self.state.lock();
        state.check()?;
        while !state.has_room(&self.options, batch.payload_bytes()) && !state.is_writer() {
            state.blocked += 1;
            self.work.notify_one();
            self.room.wait(&mut state);
            state.blocked -= 1;
            state.check()?;
        }
        let first = state.next;
        for length in batch.lengths() {
            positions.push(Position {
                sequence: state.next,
                offset: state.cursor.place(length).offset,
                length: length as u32,
            });
            state.next += 1;
        }
        let last = state.next - 1;
        state.push(Item {
            batch,
            last,
            durable,
            completion,
            release_before,
        });
        if state.has_work(&self.options) {
            self.work.notify_one();
        }
        Ok(Appended {
            first,
            last,
            positions,
        })
    }

    pub(crate) fn last(&self) -> u64 {
        self.state.lock().next - 1
    }

    pub(crate) fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Acquire)
    }

    pub(crate) fn failure(&self) -> Option<WalError> {
        self.state.lock().failure.clone()
    }

    /// Blocks until this sequence is durable, and asks for the sync if no one did.
    pub(crate) fn wait_flushed(&self, sequence: u64) -> Result<(), WalError> {
        let mut state = self.state.lock();
        if sequence >= state.next {
            return Err(WalError::NotAppended(sequence));
        }
        while state.flushed < sequence {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.requested < sequence {
                let last = state.next - 1;
                state.push(Item {
                    batch: Batch::new(),
                    last,
                    durable: true,
                    completion: None,
                    release_before: None,
                });
                self.work.notify_one();
            }
            self.progress.wait(&mut state);
        }
        Ok(())
    }

    /// No more appends; the writer ends when it has written what is queued.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Whether this is the writer thread.
    pub(crate) fn is_writer(&self) -> bool {
        self.state.lock().is_writer()
    }

    // === the writer's side ===

    /// Makes this thread known as the writer.
    pub(crate) fn enter(&self) {
        self.state.lock().writer = Some(thread::current().id());
    }

    /// Takes the next group into `group`, if there is a reason to write one.
    pub(crate) fn try_take(&self, group: &mut VecDeque<Item>) -> bool {
        let mut state = self.state.lock();
        if !state.has_work(&self.options) {
            return false;
        }
        let mut bytes = 0;
        while let Some(item) = state.items.front() {
            let size = item.batch.payload_bytes();
            if bytes > 0 && bytes + size > self.options.group_bytes {
                break;
            }
            bytes += size;
            state.durable -= usize::from(item.durable);
            group.extend(state.items.pop_front());
        }
        state.bytes -= bytes;
        if state.blocked > 0 {
            self.room.notify_all();
        }
        true
    }

    /// Blocks until there is a group to take; false if there will never be.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.has_work(&self.options) {
                return true;
            }
            if state.closing {
                return false;
            }
            self.work.wait(&mut state);
        }
    }

    /// Tells how far the log is durable.
    pub(crate) fn publish(&self, flushed: u64) {
        let mut state = self.state.lock();
        if flushed > state.flushed {
            state.flushed = flushed;
            self.flushed.store(flushed, Ordering::Release);
            self.progress.notify_all();
        }
    }

    /// Refuses everything from now on; returns what was waiting.
    pub(crate) fn fail(&self, failure: WalError) -> VecDeque<Item> {
        let mut state = self.state.lock();
        state.failure = Some(failure);
        state.bytes = 0;
        state.durable = 0;
        self.room.notify_all();
        self.progress.notify_all();
        std::mem::take(&mut state.items)
    }
}

impl State {
    fn check(&self) -> Result<(), WalError> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None if self.closing => Err(WalError::Closed),
            None => Ok(()),
        }
    }

    fn is_writer(&self) -> bool {
        self.writer == Some(thread::current().id())
    }

    /// An append larger than the queue is let in when it is alone.
    fn has_room(&self, options: &WalOptions, bytes: usize) -> bool {
        self.items.is_empty()
            || (self.items.len() < options.queue_appends
                && self.bytes + bytes <= options.queue_bytes)
    }

    /// Relaxed appends alone are no reason to write, until they take half of the queue.
    fn has_work(&self, options: &WalOptions) -> bool {
        !self.items.is_empty()
            && (self.durable > 0
                || self.blocked > 0
                || self.closing
                || self.bytes >= options.queue_bytes / 2
                || self.items.len() >= options.queue_appends.div_ceil(2))
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.batch.payload_bytes();
        if item.durable {
            self.durable += 1;
            self.requested = item.last;
        }
        self.items.push_back(item);
    }
}
