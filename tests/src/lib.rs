//! What end-to-end tests and benchmarks share: real server processes, and measuring them.
//!
//! - [`server`]: a `quorate serve` process on a data directory of its own, to be killed and
//!   restarted;
//! - [`cluster`]: several of them that found a cluster;
//! - [`process`]: CPU time and memory of a process, and ending it without leaving it behind;
//! - [`proxy`]: a network between client and server that can be cut;
//! - [`conformance`]: scenarios that must come out the same in every language.

pub mod cluster;
pub mod conformance;
pub mod process;
pub mod proxy;
pub mod server;
