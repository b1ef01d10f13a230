//! Quorate inside the HTTP and gRPC libraries that programs use: each request goes to an instance
//! picked for it, how it went is reported, and what failed is tried elsewhere while the retry budget
//! lasts. Each is a cargo feature, off by default.
//!
//! | feature | gives |
//! |---|---|
//! | `tower` | [`tower::Balance`], a service over the instances of a service; [`tower::Discovery`] for those who use tower's own balancer |
//! | `tonic` | [`tonic::channel`], for any generated gRPC client |
//! | `reqwest` | [`reqwest::Caller`], which sends `http://service/path`; [`reqwest::Resolver`] for those who can only change the DNS |
//!
//! What is repeated: a request that never left, always; one that failed, if it may be sent twice
//! (see [`Policy`]); at most [`MAX_REPICKS`](crate::MAX_REPICKS) times, each time to an instance it
//! was not at, and only within [`may_retry`](crate::ServiceHandle::may_retry). The answer, or the
//! failure, of the last attempt is what the caller gets. A future that is dropped counts as
//! cancelled, which says nothing about the instance.

mod attempts;
#[cfg(any(feature = "tower", feature = "tonic"))]
mod endpoints;
mod failure;
#[cfg(any(feature = "tower", feature = "reqwest"))]
mod policy;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;

#[cfg(any(feature = "tower", feature = "reqwest"))]
pub use policy::{HttpPolicy, Policy};
