//! What every language binding shares, without any FFI type.
//!
//! A binding translates names and values; what is hard about living inside somebody else's
//! process is here, once:
//! - [`fork`]: noticing that this process is a forked child, and keeping it off what it inherited;
//! - [`runtime`]: the threads the client works on, made at first use, stopped within a bound;
//! - [`wait`]: blocking on a future with a deadline, while the host can still be interrupted;
//! - [`holding`]: what is held until it is given up, once;
//! - [`stream`]: items read one by one, none lost with a cancelled reader;
//! - [`events`]: handing events to a foreign event loop, bounded, one wake-up per batch;
//! - [`logs`]: handing log records to the host's own logging, in batches;
//! - [`failure`]: errors as plain data.

pub mod events;
pub mod failure;
pub mod fork;
pub mod holding;
pub mod logs;
pub mod runtime;
pub mod stream;
pub mod wait;

pub use events::{EventQueue, Pushed};
pub use failure::Failure;
pub use fork::Inherited;
pub use holding::Holding;
pub use logs::{LogDrain, LogLevel, LogRecord};
pub use runtime::Runtimes;
pub use stream::{Delivery, Stream};
pub use wait::wait;
