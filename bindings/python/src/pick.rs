//! Choosing an instance for one call: the hot path, so no operation and no event loop.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyConnectionError, PyException, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyType;
use quorate::{CacheState, Error, Instance, Outcome, PickOptions, ServiceHandle, Why};
use quorate_bridge::Inherited;

use crate::arguments::{Hash, duration, ids, invalid};
use crate::errors::raise;
use crate::values;

/// What an HTTP status says of the instance: the number of an outcome, and for how many seconds it
/// asks to be left alone. The same for the adapters of all languages.
#[pyfunction]
pub(crate) fn http_outcome(status: u16, retry_after: Option<&str>) -> (u8, Option<f64>) {
    match Outcome::of_http(status, retry_after) {
        Outcome::Ok => (0, None),
        Outcome::Fail => (1, None),
        Outcome::Timeout => (2, None),
        Outcome::ConnectFail => (3, None),
        Outcome::Overloaded { retry_after } => {
            (4, retry_after.map(|retry_after| retry_after.as_secs_f64()))
        }
        Outcome::Cancelled => (5, None),
    }
}

/// A followed service: picks without looking it up by name.
#[pyclass(frozen, module = "quorate")]
pub(crate) struct Service {
    handle: Inherited<ServiceHandle>,
}

impl Service {
    pub(crate) fn new(handle: ServiceHandle) -> Self {
        Self {
            handle: Inherited::new(handle),
        }
    }

    fn handle(&self) -> PyResult<&ServiceHandle> {
        self.handle.get().map_err(|error| raise(&error))
    }
}

#[pymethods]
impl Service {
    /// The service's name.
    #[getter]
    fn name(&self) -> PyResult<&str> {
        Ok(self.handle()?.key().name())
    }

    /// The view of this moment, from memory; `None` while nothing is known.
    #[getter]
    fn view(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let view = self.handle()?.view();
        view.map(|view| values::service_view(py, view)).transpose()
    }

    /// Chooses an instance for one call, from memory.
    #[pyo3(signature = (*, hash = None, exclude = None))]
    fn pick(&self, hash: Option<Hash>, exclude: Option<&Bound<'_, PyAny>>) -> PyResult<Pick> {
        let handle = self.handle()?;
        Pick::new(hash, exclude, |options| handle.pick(options))
    }

    /// Whether the service can afford one more retry; takes it out of the budget if so.
    fn may_retry(&self) -> PyResult<bool> {
        Ok(self.handle()?.may_retry())
    }
}

/// An instance chosen for one call. Report how the call went; as a context manager it does so
/// itself.
#[pyclass(module = "quorate")]
pub(crate) struct Pick {
    instance: Arc<Instance>,
    state: CacheState,
    why: Why,
    /// Taken by the report.
    pick: Option<Inherited<quorate::Pick>>,
}

impl Pick {
    pub(crate) fn new(
        hash: Option<Hash>,
        exclude: Option<&Bound<'_, PyAny>>,
        pick: impl FnOnce(&PickOptions<'_>) -> Result<quorate::Pick, Error>,
    ) -> PyResult<Self> {
        let hash = hash.map(|hash| hash.0);
        let exclude = ids(exclude)?;
        let picked = if exclude.is_empty() {
            pick(&PickOptions {
                hash,
                exclude_ids: &[],
            })
        } else {
            let exclude: Vec<&str> = exclude.iter().map(|id: &PyBackedStr| &**id).collect();
            pick(&PickOptions {
                hash,
                exclude_ids: &exclude,
            })
        };
        let pick = picked.map_err(|error| raise(&error))?;
        Ok(Self {
            instance: Arc::clone(pick.instance()),
            state: pick.state(),
            why: pick.why(),
            pick: Some(Inherited::new(pick)),
        })
    }

    fn settle(&mut self, outcome: Outcome, latency: Option<Duration>) -> PyResult<()> {
        if let Some(pick) = self.pick.take() {
            let pick = pick.into_inner().map_err(|error| raise(&error))?;
            pick.report(outcome, latency);
        }
        Ok(())
    }
}

#[pymethods]
impl Pick {
    /// Where to call: `host:port`.
    #[getter]
    fn address(&self) -> &str {
        &self.instance.address
    }

    /// The instance's id.
    #[getter]
    fn id(&self) -> &str {
        &self.instance.id
    }

    /// Everything known of the instance.
    #[getter]
    fn instance(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        values::instance(py, &self.instance)
    }

    /// Where the knowledge comes from.
    #[getter]
    fn state(&self) -> &'static str {
        self.state.name()
    }

    /// How it came to be this one.
    #[getter]
    fn why(&self) -> &'static str {
        self.why.name()
    }

    /// Says how the call went; only the first report counts. `latency` is how long the call
    /// took, in seconds; without it, the time since the pick.
    #[pyo3(signature = (outcome, *, latency = None, retry_after = None))]
    fn report(
        &mut self,
        outcome: u8,
        latency: Option<f64>,
        retry_after: Option<f64>,
    ) -> PyResult<()> {
        let latency = latency.map(duration).transpose()?;
        let retry_after = retry_after.map(duration).transpose()?;
        let outcome = match outcome {
            0 => Outcome::Ok,
            1 => Outcome::Fail,
            2 => Outcome::Timeout,
            3 => Outcome::ConnectFail,
            4 => Outcome::Overloaded { retry_after },
            5 => Outcome::Cancelled,
            _ => return Err(invalid(format!("{outcome} is no Outcome"))),
        };
        self.settle(outcome, latency)
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __exit__(
        &mut self,
        kind: Option<&Bound<'_, PyType>>,
        _exception: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let outcome = match kind {
            None => Outcome::Ok,
            Some(kind) if kind.is_subclass_of::<PyTimeoutError>()? => Outcome::Timeout,
            Some(kind) if kind.is_subclass_of::<PyConnectionError>()? => Outcome::ConnectFail,
            Some(kind) if kind.is_subclass_of::<PyException>()? => Outcome::Fail,
            // An interrupt, the end of the task: not the instance's doing.
            Some(_) => Outcome::Cancelled,
        };
        self.settle(outcome, None)
    }

    fn __repr__(&self) -> String {
        format!(
            "Pick(id={:?}, address={:?}, state={:?}, why={:?})",
            self.instance.id,
            self.instance.address,
            self.state.name(),
            self.why.name()
        )
    }
}
