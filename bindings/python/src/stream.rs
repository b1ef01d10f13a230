//! Streams: service events, key changes, leaders; read one by one.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use pyo3::prelude::*;
use quorate::{Error, ErrorCode};
use quorate_bridge::Inherited;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::errors::raise;
use crate::operation::{Answer, Convert, Operation};

/// A stream that ends when it is closed or its client is.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Stream {
    shared: Inherited<Arc<Shared>>,
}

struct Shared {
    source: Arc<tokio::sync::Mutex<Source>>,
    closed: CancellationToken,
}

struct Source {
    /// `None` once it has ended.
    stream: Option<BoxStream<'static, Answer>>,
    /// What was read, but not delivered, because its reader was cancelled.
    unread: Option<Answer>,
}

/// One item on its way to its reader; goes back if the reader is not there any more. It keeps the
/// source until then, so that nobody reads a later item first.
struct Delivery {
    item: Option<Answer>,
    source: OwnedMutexGuard<Source>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            self.source.unread = Some(item);
        }
    }
}

impl Shared {
    /// The next item; `None` inside at the end.
    async fn next(&self) -> Delivery {
        let mut source = Arc::clone(&self.source).lock_owned().await;
        let item = self.read(&mut source).await;
        Delivery { item, source }
    }

    async fn read(&self, source: &mut Source) -> Option<Answer> {
        if self.closed.is_cancelled() {
            source.end();
            return None;
        }
        if let Some(item) = source.unread.take() {
            return Some(item);
        }
        let item = tokio::select! {
            biased;
            () = self.closed.cancelled() => None,
            item = source.stream.as_mut()?.next() => item,
        };
        match item {
            // The program closed the client: nothing went wrong.
            Some(Err(error)) if error.code() == ErrorCode::Closed => source.end(),
            Some(item) => return Some(item),
            None => source.end(),
        }
        None
    }
}

impl Source {
    fn end(&mut self) {
        self.stream = None;
        self.unread = None;
    }
}

impl Stream {
    pub(crate) fn new<T, C>(items: BoxStream<'static, Result<T, Error>>, convert: C) -> Self
    where
        T: Send + 'static,
        C: Fn(Python<'_>, T) -> PyResult<Py<PyAny>> + Clone + Send + Sync + 'static,
    {
        let items = items.map(move |item| {
            let convert = convert.clone();
            item.map(|item| Box::new(move |py: Python<'_>| convert(py, item)) as Convert)
        });
        Self {
            shared: Inherited::new(Arc::new(Shared {
                source: Arc::new(tokio::sync::Mutex::new(Source {
                    stream: Some(items.boxed()),
                    unread: None,
                })),
                closed: CancellationToken::new(),
            })),
        }
    }
}

#[pymethods]
impl Stream {
    /// The next item; `None` at the end. An item whose reader was cancelled is not lost.
    fn next(&self) -> PyResult<Operation> {
        let shared = Arc::clone(self.shared.get().map_err(|error| raise(&error))?);
        let next = async move { Ok(shared.next().await) };
        Ok(Operation::new(
            next,
            |py, mut delivery: Delivery| match delivery.item.take() {
                None => Ok(py.None()),
                Some(Ok(convert)) => convert(py),
                Some(Err(error)) => Err(raise(&error)),
            },
        ))
    }

    /// Ends it; who waits for its next item is told that there is none.
    fn close(&self) -> PyResult<()> {
        let shared = self.shared.get().map_err(|error| raise(&error))?;
        shared.closed.cancel();
        // Whoever reads now finds it closed.
        if let Ok(mut source) = shared.source.try_lock() {
            source.end();
        }
        Ok(())
    }
}
