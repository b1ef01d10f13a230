//! The Quorate client: discovery, balancing, locks, elections, key-value.
//!
//! One [`Client`] serves a whole program: it is cheap to clone, safe to share, keeps one connection
//! per server it uses, and fails over between servers by itself.
//!
//! ```no_run
//! # async fn example() -> Result<(), quorate::Error> {
//! let client = quorate::Client::builder().endpoints(["127.0.0.1:2379"]).build()?;
//! client.connected().await?;
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Its parts, from the outside in:
//! - [`Client`] and [`Builder`]: what a program holds, and its options;
//! - [`kv`]: records, ranges, transactions;
//! - [`lease`]: times to live, renewed in the background;
//! - [`watch`]: changes of keys as a stream;
//! - `adapters`: all of this inside tower, tonic and reqwest, each a cargo feature;
//! - [`lock`] and [`election`]: one at a time, with fencing tokens;
//! - `engine`: servers, leases, watches, tickets in a queue: state machines that take events and
//!   the time and answer with commands. No I/O, no clock, no tokio, so every failure is a unit test;
//! - `driver`: carries out the commands with tokio and tonic.
//!
//! Every future of this crate is `Send` and safe to drop at any point.

#[cfg(any(feature = "reqwest", feature = "tonic", feature = "tower"))]
pub mod adapters;
mod builder;
mod client;
mod discovery;
mod driver;
pub mod election;
mod engine;
mod error;
mod holding;
pub mod kv;
pub mod lease;
pub mod lock;
mod metrics;
mod registration;
mod status;
pub mod watch;

pub use builder::Builder;
pub use client::Client;
pub use discovery::{
    Freshness, Pick, PickOptions, Removed, ServiceEvent, ServiceHandle, ServiceSummary,
    ServiceView, ServiceWatch,
};
pub use engine::session::registrations::InstanceUpdate;
pub use engine::view::CacheState;
pub use error::{Error, ErrorCode};
pub use metrics::{Metrics, ServiceCounts};
pub use quorate_balance::{
    Algorithm, BalancerConfig, BreakerConfig, MAX_REPICKS, Outcome, OutlierConfig,
    RetryBudgetConfig, Setting, SettingError, SlowStartConfig, UnknownAlgorithm, Why,
};
pub use quorate_types::{Instance, InstanceStatus, RemovalReason, ServiceKey};
pub use registration::{Registered, Registration};
pub use status::{ServerInfo, ServerStatus};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
