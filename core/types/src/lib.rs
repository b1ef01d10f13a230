//! The words Quorate's crates share: names, instances, slots, and errors with stable codes.
//!
//! No I/O, no async, no clock. Its parts:
//! - [`service`]: a service's validated name and the slot it hashes to;
//! - [`instance`]: what a service registers, its limits, and its content hash;
//! - [`error`]: the one list of error codes, the same in every language.

pub mod error;
pub mod instance;
pub mod service;

pub use error::{Error, ErrorCode};
pub use instance::{ContentHash, Instance, InstanceStatus, RemovalReason, Ttl};
pub use service::{DEFAULT_NAMESPACE, SLOTS, ServiceKey, Slot};
