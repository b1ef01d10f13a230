//! Finding instances: asking once, following changes, choosing one for a call.
//!
//! All of it is answered from the view the session keeps of a service; the first question about a
//! service makes the client follow it.

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::v1::registry_client::RegistryClient;
use quorate_proto::{convert, v1};
use quorate_types::{Error, ErrorCode, ServiceKey};

use crate::client::Client;
use crate::driver::call::{MAX_ANSWER, Repeat, timed};
use crate::engine::view::CacheState;
use crate::error::Operation;

mod pick;
pub(crate) mod service;
mod view;
mod watch;

pub use pick::{Pick, PickOptions, ServiceHandle};
pub use view::{Freshness, ServiceView};
pub use watch::{Removed, ServiceEvent, ServiceWatch};

use self::service::{Published, Service};

/// Services asked for at a time.
const PAGE: u32 = 1000;
/// Most services one call lists.
const MOST_LISTED: usize = 100_000;

/// A service, as [`Client::list_services`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceSummary {
    /// Which service.
    pub service: ServiceKey,
    /// Its instances.
    pub instances: u32,
    /// Of these, those that are up.
    pub up: u32,
    /// How many clients follow it.
    pub subscribers: u32,
    /// The slot it belongs to.
    pub slot: u32,
}

impl Client {
    /// The instances of a service, from memory if it is followed already.
    ///
    /// The first call for a service waits for a server's answer; while no server can be reached, it
    /// answers from the disk, or with the static instances. Look at
    /// [`freshness`](ServiceView::freshness). A service nobody registered is an empty view.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`]; [`ErrorCode::Unavailable`] or [`ErrorCode::Timeout`] if
    /// nothing at all is known within the request timeout; what the server says;
    /// [`ErrorCode::Closed`].
    pub async fn discover(&self, service: &str) -> Result<ServiceView, Error> {
        let service = self.follow(service)?;
        discover(&service, self.inner.options.request_timeout).await
    }

    /// As [`discover`](Self::discover), but waits no longer than this.
    ///
    /// # Errors
    /// As [`discover`](Self::discover); [`ErrorCode::Timeout`] if nothing is known by then.
    pub async fn discover_within(
        &self,
        service: &str,
        timeout: Duration,
    ) -> Result<ServiceView, Error> {
        let found = tokio::time::timeout(timeout, self.discover(service)).await;
        found.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorCode::Timeout,
                format!("nothing is known of service {service} after {timeout:?}"),
            ))
        })
    }

    /// Follows a service: a snapshot first, then what changes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`]; [`ErrorCode::Closed`].
    pub fn watch_service(&self, service: &str) -> Result<ServiceWatch, Error> {
        let service = self.follow(service)?;
        Ok(ServiceWatch::new(service, self.inner.clone()))
    }

    /// A handle for those who pick often from one service, which is followed from now on.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`]; [`ErrorCode::Closed`].
    pub fn service(&self, service: &str) -> Result<ServiceHandle, Error> {
        let service = self.follow(service)?;
        Ok(ServiceHandle::new(service, self.inner.clone()))
    }

    /// Chooses an instance of a service for one call, from memory: no network, no waiting. A
    /// service that was not followed is from now on, and has no endpoints until something is known.
    ///
    /// # Errors
    /// [`ErrorCode::NoEndpoints`]; [`ErrorCode::InvalidArgument`]; [`ErrorCode::Closed`].
    pub fn pick(&self, service: &str, options: &PickOptions<'_>) -> Result<Pick, Error> {
        let service = self.follow(service)?;
        pick::pick(&service, options)
    }

    /// Whether the service can afford one more retry; takes it out of the budget if so. A service
    /// that is not followed cannot.
    #[must_use]
    pub fn may_retry(&self, service: &str) -> bool {
        let found = self.inner.session.find(service);
        found.is_some_and(|service| service.balancer.may_retry(service.clock.moment()))
    }

    /// The services of a namespace, sorted by name; `None` for the client's own, `"*"` for all.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`]; [`ErrorCode::Unavailable`] or [`ErrorCode::Timeout`];
    /// [`ErrorCode::ResourceExhausted`] with more than 100,000 services; [`ErrorCode::Closed`].
    pub async fn list_services(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<ServiceSummary>, Error> {
        let namespace = namespace.unwrap_or(&self.inner.options.namespace);
        let operation = Operation::on("list services", namespace.as_bytes());
        let mut services = Vec::new();
        let mut after = None;
        loop {
            let request = v1::ListServicesRequest {
                namespace: namespace.to_owned(),
                limit: PAGE,
                after: after.take(),
            };
            let attempt = |channel, time| {
                let request = timed(request.clone(), time);
                async move {
                    let mut registry =
                        RegistryClient::new(channel).max_decoding_message_size(MAX_ANSWER);
                    registry.list_services(request).await
                }
            };
            let page = self
                .inner
                .calls
                .call(operation, Repeat::Safe, attempt)
                .await?;
            after = page.services.last().and_then(|last| last.service.clone());
            for summary in page.services {
                services.push(ServiceSummary {
                    service: convert::service_key(summary.service.as_ref())?,
                    instances: summary.instances,
                    up: summary.up,
                    subscribers: summary.subscribers,
                    slot: summary.slot,
                });
            }
            if !page.more || after.is_none() {
                return Ok(services);
            }
            if services.len() >= MOST_LISTED {
                return Err(Error::new(
                    ErrorCode::ResourceExhausted,
                    format!("there are more than {MOST_LISTED} services; ask for one namespace"),
                ));
            }
        }
    }

    /// The service, followed from now on if it was not.
    fn follow(&self, service: &str) -> Result<Arc<Service>, Error> {
        if let Some(service) = self.inner.session.find(service) {
            return Ok(service);
        }
        let key = ServiceKey::new(&self.inner.options.namespace, service)?;
        self.inner.session.follow(key)
    }
}

/// What is known of a service, at most `timeout` later.
async fn discover(service: &Service, timeout: Duration) -> Result<ServiceView, Error> {
    service.note_use(service.clock.moment());
    let mut publications = service.publications();
    let enough = async {
        loop {
            publications.mark_unchanged();
            let published = service.published();
            if let Some(answer) = enough(&published) {
                return answer.map(|()| service.view(&published));
            }
            // The service outlives its receiver, so this only ends with a publication.
            if publications.changed().await.is_err() {
                return Err(Error::new(ErrorCode::Closed, "the client was closed"));
            }
        }
    };
    match tokio::time::timeout(timeout, enough).await {
        Ok(answer) => answer,
        Err(_) => {
            let published = service.published();
            if published.state.is_some() {
                return Ok(service.view(&published));
            }
            Err(nothing_known(&service.key, &published, timeout))
        }
    }
}

/// Whether this is an answer to a first question, or a better one may come.
fn enough(published: &Published) -> Option<Result<(), Error>> {
    if published.closed {
        let closed = Error::new(ErrorCode::Closed, "the client was closed");
        return Some(Err(closed));
    }
    match published.state {
        Some(CacheState::Live | CacheState::Stale) => Some(Ok(())),
        Some(CacheState::Snapshot | CacheState::Static)
            if published.unreachable.is_some() || published.refused.is_some() =>
        {
            Some(Ok(()))
        }
        Some(CacheState::Snapshot | CacheState::Static) => None,
        None => published.refused.clone().map(Err),
    }
}

fn nothing_known(service: &ServiceKey, published: &Published, waited: Duration) -> Error {
    let seconds = waited.as_secs_f32();
    match &published.unreachable {
        Some(why) => Error::new(
            ErrorCode::Unavailable,
            format!(
                "nothing is known of service {service}, and no server answered within {seconds} s: {why}"
            ),
        ),
        None => Error::new(
            ErrorCode::Timeout,
            format!("no answer about service {service} within {seconds} s"),
        ),
    }
}
