//! A registration that is kept alive.

use std::collections::BTreeMap;

use futures::FutureExt;
use pyo3::prelude::*;
use quorate::{Error, ErrorCode, InstanceUpdate, Registered};

use crate::arguments;
use crate::holding::Holding;
use crate::operation::Operation;

/// A registered instance.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Registration {
    #[pyo3(get)]
    id: String,
    #[pyo3(get)]
    namespace: String,
    #[pyo3(get)]
    service: String,
    #[pyo3(get)]
    address: String,
    holding: Holding<Registered>,
}

impl Registration {
    pub(crate) fn new(registered: Registered, address: String) -> Self {
        let evicted = registered.eviction().map(drop);
        Self {
            id: registered.id().to_owned(),
            namespace: registered.service().namespace().to_owned(),
            service: registered.service().name().to_owned(),
            address,
            holding: Holding::new(registered, evicted),
        }
    }
}

#[pymethods]
impl Registration {
    fn revision(&self) -> PyResult<u64> {
        Ok(self.holding.ask(Registered::revision)?.unwrap_or(0))
    }

    /// Why somebody else removed it, if so.
    fn evicted(&self) -> PyResult<Option<&'static str>> {
        let reason = self.holding.ask(Registered::evicted)?.flatten();
        Ok(reason.map(|reason| reason.name()))
    }

    /// `True` when somebody else removes it; `False` when the seconds are up or it was
    /// deregistered.
    fn wait_evicted(&self, timeout: Option<f64>) -> PyResult<Operation> {
        self.holding.wait_lost(timeout)
    }

    fn update(
        &self,
        status: Option<&str>,
        weight: Option<i64>,
        metadata: Option<BTreeMap<String, String>>,
    ) -> PyResult<Operation> {
        let update = InstanceUpdate {
            status: status.map(arguments::status).transpose()?,
            weight: weight.map(arguments::weight).transpose()?,
            metadata,
        };
        let id = self.id.clone();
        self.holding.using(
            |registered| registered.update(update).boxed(),
            move || {
                Error::new(
                    ErrorCode::NotFound,
                    format!("instance \"{id}\" was deregistered before"),
                )
            },
        )
    }

    fn deregister(&self) -> PyResult<Operation> {
        self.holding.give_up(Registered::deregister)
    }
}
