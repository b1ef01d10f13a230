//! For programs built from tower's services.
//!
//! [`Balance`] is a service that picks an instance for each request, with everything Quorate knows
//! of it: weights, latencies, breakers, the retry budget. It calls the instance with a service that
//! a function makes for it, once for as long as the instance is there:
//!
//! ```no_run
//! use quorate::adapters::HttpPolicy;
//! use quorate::adapters::tower::{Balance, ToInstance};
//! # use http_body_util::{Empty, BodyExt};
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower::{Service, ServiceExt};
//!
//! # async fn example(client: quorate::Client) -> Result<(), tower::BoxError> {
//! let http = Client::builder(TokioExecutor::new()).build_http();
//! let mut shop = Balance::new(
//!     client.service("shop")?,
//!     move |instance| ToInstance::new(http.clone(), instance),
//!     HttpPolicy,
//! );
//! let request = http::Request::get("/items").body(Empty::<bytes::Bytes>::new())?;
//! let answer = shop.ready().await?.call(request).await?;
//! # let _ = answer.into_body().collect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Discovery`] gives the instances alone, as tower's `Discover`, to those who balance otherwise.

mod balance;
mod discovery;
mod to_instance;

pub use balance::Balance;
pub use discovery::Discovery;
pub use to_instance::ToInstance;
