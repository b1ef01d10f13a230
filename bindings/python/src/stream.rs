//! Streams: service events, key changes, leaders; read one by one.

use futures::StreamExt;
use pyo3::prelude::*;
use quorate::Error;
use quorate_bridge::Delivery;

use crate::errors::raise;
use crate::operation::{Convert, Operation};

/// A stream that ends when it is closed or its client is.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Stream {
    items: quorate_bridge::Stream<Convert>,
}

impl Stream {
    pub(crate) fn new<T, C>(
        items: impl futures::Stream<Item = Result<T, Error>> + Send + 'static,
        convert: C,
    ) -> Self
    where
        T: Send + 'static,
        C: Fn(Python<'_>, T) -> PyResult<Py<PyAny>> + Clone + Send + Sync + 'static,
    {
        Self {
            items: quorate_bridge::Stream::new(items.map(move |item| {
                let convert = convert.clone();
                item.map(|item| Box::new(move |py: Python<'_>| convert(py, item)) as Convert)
            })),
        }
    }
}

#[pymethods]
impl Stream {
    /// The next item; `None` at the end. An item whose reader was cancelled is not lost.
    fn next(&self) -> PyResult<Operation> {
        let next = self.items.next().map_err(|error| raise(&error))?;
        Ok(Operation::new(
            async move { Ok(next.await) },
            |py, delivery: Delivery<Convert>| match delivery.take() {
                None => Ok(py.None()),
                Some(Ok(convert)) => convert(py),
                Some(Err(error)) => Err(raise(&error)),
            },
        ))
    }

    /// Ends it; who waits for its next item is told that there is none.
    fn close(&self) -> PyResult<()> {
        self.items.close().map_err(|error| raise(&error))
    }
}
