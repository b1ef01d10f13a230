//! The client's threads in this process, and their end.

use std::time::Duration;

use futures::future::join_all;
use pyo3::prelude::*;
use quorate::Client;
use quorate_bridge::Runtimes;
use tokio::runtime::Handle;

use crate::arguments::duration;
use crate::client::Core;
use crate::errors::raise;
use crate::logs;

static RUNTIMES: Runtimes = Runtimes::new();

/// How long tasks that are left have when the process exits.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// The runtime of this process.
pub(crate) fn handle() -> PyResult<Handle> {
    RUNTIMES.handle().map_err(|error| raise(&error))
}

/// Lets [`close_all`] wait for the end of a client, also of one that nothing refers to any more.
pub(crate) fn accompany(client: &Client) {
    RUNTIMES.accompany(client.ended());
}

/// Closes these clients, and lets those that were dropped a moment ago finish, all together within
/// `at_most` seconds; those of a parent process are left alone.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>, cores: Vec<Py<Core>>, at_most: f64) -> PyResult<()> {
    let at_most = duration(at_most)?;
    let clients: Vec<_> = cores
        .iter()
        .filter_map(|core| core.get().client().ok())
        .collect();
    let Some(runtime) = RUNTIMES.running() else {
        return Ok(());
    };
    py.detach(|| {
        runtime.block_on(async {
            let end = async {
                join_all(clients.iter().map(|client| client.close())).await;
                RUNTIMES.departures().await;
            };
            // Who is not done by then is ended by its time to live.
            let _ = tokio::time::timeout(at_most, end).await;
        });
    });
    Ok(())
}

/// Ends the log and the threads, for the interpreter's exit. Afterwards no client can be made.
#[pyfunction]
pub(crate) fn shut_down(py: Python<'_>) {
    py.detach(|| {
        logs::stop();
        RUNTIMES.shut_down(LAST_MOMENT);
    });
}
