//! Between the task that receives and the reader of one watch: a bounded queue.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use quorate_types::Error;
use tokio::sync::Notify;

use crate::engine::watches::End;
use crate::watch::WatchBatch;

/// Most batches held for a slow reader.
const MAX_BATCHES: usize = 256;
/// Most bytes of keys and values held for a slow reader; one batch is always taken.
const MAX_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct WatchBuffer {
    state: Mutex<State>,
    /// Told when the server has confirmed the watch, or it has ended.
    started: Notify,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<(WatchBatch, usize)>,
    bytes: usize,
    /// The buffer was full; whoever sends waits to be asked for more.
    parked: bool,
    end: Option<End>,
    /// Whether the reader was told about the end.
    end_told: bool,
    started: Option<i64>,
    reader: Option<Waker>,
}

/// What the reader gets.
pub(crate) enum Next {
    Batch(WatchBatch),
    /// As [`Next::Batch`], and there is room again: ask for more.
    BatchAndResume(WatchBatch),
    Failed(Error),
    Finished,
}

impl WatchBuffer {
    /// The server watches from `revision` on.
    pub(crate) fn started(&self, revision: i64) {
        self.state.lock().started.get_or_insert(revision);
        self.started.notify_waiters();
    }

    /// Takes a batch; answers whether that filled the buffer, so that the watch must be parked.
    pub(crate) fn push(&self, batch: WatchBatch) -> bool {
        let bytes = batch.size();
        let mut state = self.state.lock();
        state.bytes += bytes;
        state.batches.push_back((batch, bytes));
        let full = state.batches.len() >= MAX_BATCHES || state.bytes >= MAX_BYTES;
        state.parked = full;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        full
    }

    /// Nothing comes after what is held.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        let reader = state.reader.take();
        drop(state);
        self.started.notify_waiters();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn compacted(&self) -> Option<i64> {
        self.state.lock().end.as_ref()?.compacted
    }

    pub(crate) async fn wait_started(&self) -> Result<i64, Error> {
        loop {
            // Created before the look, so that no notification falls in between.
            let changed = self.started.notified();
            {
                let state = self.state.lock();
                if let Some(revision) = state.started {
                    return Ok(revision);
                }
                if let Some(end) = &state.end {
                    return Err(end.error.clone());
                }
            }
            changed.await;
        }
    }

    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.state.lock();
        if let Some((batch, bytes)) = state.batches.pop_front() {
            state.bytes -= bytes;
            let roomy = state.batches.len() <= MAX_BATCHES / 2 && state.bytes <= MAX_BYTES / 2;
            if state.parked && roomy {
                state.parked = false;
                return Poll::Ready(Next::BatchAndResume(batch));
            }
            return Poll::Ready(Next::Batch(batch));
        }
        match &state.end {
            Some(end) if !state.end_told => {
                let error = end.error.clone();
                state.end_told = true;
                Poll::Ready(Next::Failed(error))
            }
            Some(_) => Poll::Ready(Next::Finished),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_types::ErrorCode;

    use super::*;

    fn batch(revision: i64) -> WatchBatch {
        WatchBatch {
            revision,
            events: Vec::new(),
        }
    }

    fn next(buffer: &WatchBuffer) -> Poll<Next> {
        buffer.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_full_buffer_asks_to_be_parked_and_for_more_when_half_empty() {
        let buffer = WatchBuffer::default();
        let pushed = (1..).take_while(|&n| !buffer.push(batch(n))).count() + 1;
        assert_eq!(pushed, MAX_BATCHES);
        let mut resumed_after = None;
        for read in 1..=MAX_BATCHES {
            match next(&buffer) {
                Poll::Ready(Next::Batch(batch)) => assert_eq!(batch.revision, read as i64),
                Poll::Ready(Next::BatchAndResume(batch)) => {
                    assert_eq!(batch.revision, read as i64);
                    assert_eq!(resumed_after.replace(read), None, "asked for more once");
                }
                _ => panic!("a batch"),
            }
        }
        assert_eq!(resumed_after, Some(MAX_BATCHES / 2));
        assert!(next(&buffer).is_pending());
    }

    #[test]
    fn the_end_comes_after_what_is_held_and_once() {
        let buffer = WatchBuffer::default();
        buffer.push(batch(1));
        buffer.end(End {
            error: Error::new(ErrorCode::OutOfRange, "compacted"),
            compacted: Some(9),
        });
        assert!(matches!(next(&buffer), Poll::Ready(Next::Batch(_))));
        assert!(matches!(next(&buffer), Poll::Ready(Next::Failed(_))));
        assert!(matches!(next(&buffer), Poll::Ready(Next::Finished)));
        assert_eq!(buffer.compacted(), Some(9));
    }
}
