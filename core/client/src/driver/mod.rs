//! Carries out what the engine decides: connections, calls, streams, tasks.

mod cache_file;
pub(crate) mod call;
pub(crate) mod disk;
pub(crate) mod duplex;
pub(crate) mod leases;
pub(crate) mod servers;
pub(crate) mod session;
pub(crate) mod watch_buffer;
pub(crate) mod watches;

use std::time::Instant;

/// The monotonic time the engine is given; follows tokio's clock, so that tests can hold it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
