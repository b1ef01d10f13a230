//! An operation on its way: made once, waited for by a thread, or started for an event loop.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use quorate::Error;
use quorate_bridge::{Inherited, wait};
use tokio::task::AbortHandle;

use crate::completions::Completions;
use crate::errors::raise;
use crate::runtime;

/// Makes a Python object of a result; runs with the interpreter held, and is dropped without it.
pub(crate) type Convert = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;
/// What an operation ends with.
pub(crate) type Answer = Result<Convert, Error>;
type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Where the answer of a started operation waits for its event loop.
#[derive(Default)]
pub(crate) struct Slot {
    answer: Option<Answer>,
    /// Nobody wants the answer any more.
    cancelled: bool,
}

impl Slot {
    /// The answer, if it is still wanted.
    pub(crate) fn take(&mut self) -> Option<Answer> {
        self.answer.take()
    }
}

/// One operation. It does nothing until it is waited for or started; dropped before, or
/// cancelled before its end, it withdraws what it was about.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Operation {
    state: Inherited<State>,
}

struct State {
    work: Mutex<Option<Work>>,
    task: Mutex<Option<AbortHandle>>,
    slot: Arc<Mutex<Slot>>,
}

impl Operation {
    /// An operation that runs `future` and makes a Python object of what it gives.
    pub(crate) fn new<T, F, C>(future: F, convert: C) -> Self
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        let work = async move {
            let value = future.await?;
            let convert: Convert = Box::new(move |py| convert(py, value));
            Ok(convert)
        };
        Self {
            state: Inherited::new(State {
                work: Mutex::new(Some(Box::pin(work))),
                task: Mutex::new(None),
                slot: Arc::default(),
            }),
        }
    }

    /// An operation without a result.
    pub(crate) fn unit<F>(future: F) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self::new(future, |py, ()| Ok(py.None()))
    }

    fn state(&self) -> PyResult<&State> {
        self.state.get().map_err(|error| raise(&error))
    }

    fn take(&self) -> PyResult<Work> {
        let work = self.state()?.work.lock().take();
        work.ok_or_else(|| PyRuntimeError::new_err("an operation runs only once"))
    }
}

#[pymethods]
impl Operation {
    /// Blocks until it is done; signals are handled meanwhile.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let work = self.take()?;
        let runtime = runtime::handle()?;
        let mut signal = None;
        let answer = py.detach(|| {
            wait(&runtime, work, None, || {
                Python::attach(|py| match py.check_signals() {
                    Ok(()) => false,
                    Err(error) => {
                        signal = Some(error);
                        true
                    }
                })
            })
        });
        if let Some(error) = signal {
            return Err(error);
        }
        answer.map_err(|error| raise(&error))?(py)
    }

    /// Runs it on the client's threads; the result comes out of `completions` under `ticket`.
    fn start(&self, completions: &Completions, ticket: u64) -> PyResult<()> {
        let work = self.take()?;
        let queue = Arc::clone(completions.queue()?);
        let state = self.state()?;
        let slot = Arc::clone(&state.slot);
        let task = runtime::handle()?.spawn(async move {
            let answer = work.await;
            {
                let mut filled = slot.lock();
                if filled.cancelled {
                    return;
                }
                filled.answer = Some(answer);
            }
            queue.push(None, (ticket, slot));
        });
        *state.task.lock() = Some(task.abort_handle());
        Ok(())
    }

    /// Withdraws it, started or not. If it is done and its result still waits, that is dropped.
    fn cancel(&self) -> PyResult<()> {
        let state = self.state()?;
        drop(state.work.lock().take());
        if let Some(task) = state.task.lock().take() {
            task.abort();
        }
        let waiting = {
            let mut slot = state.slot.lock();
            slot.cancelled = true;
            slot.answer.take()
        };
        drop(waiting);
        Ok(())
    }
}
