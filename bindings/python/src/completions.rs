//! Results on their way to an event loop.
//!
//! The client's threads never take the interpreter's lock: Python code that holds it for long
//! would delay heartbeats. They put results here and write one byte to a socket, which the event
//! loop watches; it then takes a whole batch.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;
use quorate_bridge::{EventQueue, Inherited};

use crate::errors::raise;
use crate::operation::Slot;

/// More results than this cannot wait: each belongs to an operation somebody awaits, so the
/// bound only ends a program that starts operations without end.
const CAPACITY: usize = 1 << 20;

type Queue = EventQueue<(u64, Arc<Mutex<Slot>>)>;

/// The results of the operations of one event loop.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Completions {
    queue: Inherited<Arc<Queue>>,
    /// Readable while results wait.
    ready: UnixStream,
}

impl Completions {
    pub(crate) fn queue(&self) -> PyResult<&Arc<Queue>> {
        self.queue.get().map_err(|error| raise(&error))
    }
}

#[pymethods]
impl Completions {
    #[new]
    fn new() -> PyResult<Self> {
        let (ready, bell) = UnixStream::pair()?;
        ready.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        let wake = move || {
            // It can only be full of wake-ups already, which is as good.
            let _ = (&bell).write(&[1]);
        };
        Ok(Self {
            queue: Inherited::new(Arc::new(EventQueue::new(CAPACITY, wake))),
            ready,
        })
    }

    /// The descriptor that is readable while results wait.
    fn fileno(&self) -> i32 {
        self.ready.as_raw_fd()
    }

    /// Takes all results that wait and are still wanted: a list of (ticket, value, error), one
    /// of the last two `None`.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let queue = self.queue()?;
        // Before the queue is drained, so that no wake-up is lost. An error means it was empty.
        let mut wakes = [0u8; 64];
        while matches!((&self.ready).read(&mut wakes), Ok(count) if count == wakes.len()) {}
        let results = PyList::empty(py);
        for (ticket, slot) in queue.drain(usize::MAX) {
            let Some(answer) = slot.lock().take() else {
                continue;
            };
            let outcome = answer
                .map_err(|error| raise(&error))
                .and_then(|convert| convert(py));
            match outcome {
                Ok(value) => results.append((ticket, value, py.None()))?,
                Err(error) => results.append((ticket, py.None(), error.into_value(py)))?,
            }
        }
        Ok(results)
    }
}
