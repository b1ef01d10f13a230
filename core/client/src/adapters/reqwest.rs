//! For programs that use reqwest.
//!
//! [`Caller`] sends `http://service/path`: it picks an instance for each request, reports how it
//! went, and tries elsewhere what failed and may be sent twice.
//!
//! ```no_run
//! # async fn example(client: quorate::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let http = reqwest::Client::new();
//! let caller = quorate::adapters::reqwest::Caller::new(client, http.clone());
//! let request = http.get("http://shop/items").header("accept", "application/json");
//! let answer = caller.send(request.build()?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Resolver`] is for code that makes its own requests and can only be given a
//! [`reqwest::Client`]. It knows less: see there.

use std::fmt;
use std::net::SocketAddr;

use futures::FutureExt;
use quorate_types::{Error, ErrorCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Request, Response};

use super::attempts::{Unanswered, exchange};
use super::policy::HttpPolicy;
use crate::Client;
use crate::discovery::PickOptions;

/// Sends requests to services by name. Cheap to clone.
///
/// The host of the URL is the service; a URL with a port is an address and is sent as it is. The
/// `Host` header, and with `https` the name in the certificate, are those of the instance's address.
/// Names in URLs are lower case; services must be, too.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    http: reqwest::Client,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There was no instance to send it to, or no service that is called so.
    #[error(transparent)]
    NoInstance(#[from] Error),
    /// The last attempt failed.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

impl Caller {
    /// Finds instances with `client`, and calls them with `http`.
    pub fn new(client: Client, http: reqwest::Client) -> Self {
        Self { client, http }
    }

    /// Sends a request; the first to a service waits until something is known of it.
    ///
    /// An answer is an answer, also one with an error status: see
    /// [`Response::error_for_status`](reqwest::Response::error_for_status).
    ///
    /// # Errors
    /// [`CallError::NoInstance`] with `NoEndpoints`, `InvalidArgument`, `Unavailable`, `Timeout` or
    /// `Closed`; [`CallError::Http`] as [`reqwest::Client::execute`].
    pub async fn send(&self, request: Request) -> Result<Response, CallError> {
        let url = request.url();
        let name = match (url.host_str(), url.port()) {
            (Some(host), None) => host.to_owned(),
            _ => return Ok(self.http.execute(request).await?),
        };
        let service = self.client.service(&name)?;
        let http = &self.http;
        let answer = exchange(
            &service,
            &HttpPolicy,
            request,
            |pick, mut request| {
                redirect(&mut request, pick.address());
                http.execute(request)
            },
            |error: &reqwest::Error| error,
        );
        answer.await.map_err(|unanswered| match unanswered {
            Unanswered::NoInstance(error) => CallError::NoInstance(error),
            Unanswered::Failed(error) => CallError::Http(error),
        })
    }
}

/// Replaces host and port. Addresses are checked when they are registered; one that fits no URL
/// leaves the request as it is, and it fails.
fn redirect(request: &mut Request, address: &str) {
    if let Some((host, port)) = address.rsplit_once(':')
        && let Ok(port) = port.parse()
    {
        let url = request.url_mut();
        let _ = url.set_host(Some(host)).map(|()| url.set_port(Some(port)));
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

/// Resolves service names for a [`reqwest::Client`], instead of the DNS:
///
/// ```no_run
/// # fn example(client: quorate::Client) -> Result<(), reqwest::Error> {
/// use quorate::adapters::reqwest::Resolver;
/// let http = reqwest::Client::builder().dns_resolver(Resolver::new(client)).no_proxy().build()?;
/// // http.get("http://shop/items")
/// # Ok(())
/// # }
/// ```
///
/// What a resolver cannot do:
/// - Ports: with a URL without a port, each instance is called at its own, `https` too. A port in
///   the URL replaces that of every instance.
/// - Balancing: an instance is picked for each *connection*. reqwest keeps connections by the name
///   in the URL, so requests stay with an instance for as long as its connection is good, and an
///   instance that is gone from the registry but still answers is left only then.
///   `pool_max_idle_per_host(0)` picks for each request, at the price of a connection each.
/// - Reports: it does not hear how the requests went, so latencies, breakers and the retry budget
///   know nothing of them. If an instance cannot be reached, the next one is tried.
///
/// All names are looked up as services; a client for other hosts is another client.
#[derive(Clone, Debug)]
pub struct Resolver {
    client: Client,
}

/// Most addresses given to reqwest, which tries one after the other.
const MOST_ADDRESSES: usize = 4;

impl Resolver {
    /// Resolves the services that `client` finds.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, Error> {
        self.client.discover(name).await?;
        let mut picks: Vec<String> = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..MOST_ADDRESSES {
            let been: Vec<&str> = picks.iter().map(String::as_str).collect();
            let options = PickOptions::default().excluding(&been);
            let pick = match self.client.pick(name, &options) {
                Err(error) if picks.is_empty() => return Err(error),
                Ok(pick) if !been.contains(&pick.id()) => pick,
                _ => break,
            };
            // Of a host with several addresses one is enough: the next is another instance.
            if let Ok(mut found) = tokio::net::lookup_host(pick.address()).await {
                addresses.extend(found.next());
            }
            picks.push(pick.id().to_owned());
        }
        if addresses.is_empty() {
            let message = format!("no instance of {name} has an address that can be resolved");
            return Err(Error::new(ErrorCode::NoEndpoints, message));
        }
        Ok(addresses)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }
        .boxed()
    }
}
