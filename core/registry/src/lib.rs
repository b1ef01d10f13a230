//! The available plane of one node: live instances, their health, and push. All in memory.
//!
//! No I/O, no timers, no runtime: the server brings requests in, calls [`Registry::sweep`] as
//! often as it asks, and carries out what [`Session::next`] and [`ServiceWatch::next`] give. Time
//! comes from a [`Clock`]. From the inside out:
//! - `record`: an instance, packed; `view`: what a subscriber is sent;
//! - `service`: the instances of a service, and what changed since any revision;
//! - `slots`, `directory`: all services, divided among 1,024 locks, and their names in order;
//! - `subscription`: who wants to know, and how they are woken; a push is never queued;
//! - `plane`: the state all share, and the changes to it;
//! - `session`: a client process across its connections; `watch`: one service without a session;
//! - `sweep`, `lease_clock`: what time does, and what it must not do while this server stalls;
//! - `registry`: the front of it all.
//!
//! ```
//! use std::sync::Arc;
//! use quorate_proto::v1;
//! use quorate_registry::{Registry, RegistryOptions, SystemClock};
//!
//! let registry = Registry::new(RegistryOptions::new(1, 1, 1), Arc::new(SystemClock::new()));
//! let service = Some(v1::ServiceKey { name: "web".into(), ..Default::default() });
//! let instance = Some(v1::Instance { address: "10.0.0.1:80".into(), ..Default::default() });
//! registry.register(v1::RegisterRequest { service: service.clone(), instance })?;
//! let snapshot = registry.discover(&v1::DiscoverRequest { service })?.snapshot;
//! assert_eq!(snapshot.unwrap().instances[0].address, "10.0.0.1:80");
//! # Ok::<(), quorate_types::Error>(())
//! ```

mod clock;
mod directory;
mod lease_clock;
mod metrics;
mod options;
mod plane;
mod record;
mod registry;
mod service;
mod session;
mod slots;
mod subscription;
mod sweep;
#[cfg(test)]
mod tests;
mod view;
mod watch;

pub use clock::{Clock, SystemClock};
pub use metrics::Metrics;
pub use options::{Limits, RegistryOptions};
pub use registry::Registry;
pub use session::{Session, SessionEnd};
pub use watch::ServiceWatch;
