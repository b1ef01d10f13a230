//! Choosing an instance for one call: no network, no lock; no allocation but at a service's first pick.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quorate_balance::{Endpoint, Moment, Outcome, PickContext, PickHandle, Why};
use quorate_types::{Error, ErrorCode, Instance, ServiceKey};

use super::discover;
use super::service::Service;
use super::view::ServiceView;
use crate::client::Inner;
use crate::engine::view::CacheState;

/// What one call wants of its instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickOptions<'a> {
    /// What must stick to one instance, hashed (see [`PickOptions::sticky`]); only `maglev` looks
    /// at it.
    pub hash: Option<u64>,
    /// Ids to avoid, because this call was there already.
    pub exclude_ids: &'a [&'a str],
}

impl<'a> PickOptions<'a> {
    /// The same key gives the same instance, as far as the algorithm can (`maglev`).
    #[must_use]
    pub fn sticky(key: impl AsRef<[u8]>) -> Self {
        Self {
            hash: Some(xxhash_rust::xxh3::xxh3_64(key.as_ref())),
            exclude_ids: &[],
        }
    }

    /// Another instance than these.
    #[must_use]
    pub fn excluding(self, ids: &'a [&'a str]) -> Self {
        Self {
            exclude_ids: ids,
            ..self
        }
    }
}

/// A followed service, without the look-up by name: for those who pick often. Cheap to clone.
#[derive(Clone)]
pub struct ServiceHandle {
    service: Arc<Service>,
    /// Also keeps the client's background work alive.
    client: Arc<Inner>,
}

impl ServiceHandle {
    pub(crate) fn new(service: Arc<Service>, client: Arc<Inner>) -> Self {
        Self { service, client }
    }

    /// All instances known at this moment, sorted by id.
    #[cfg(any(feature = "tower", feature = "tonic"))]
    pub(crate) fn instances(&self) -> Arc<[Arc<Instance>]> {
        Arc::clone(&self.service.published().instances)
    }

    /// The service.
    #[must_use]
    pub fn key(&self) -> &ServiceKey {
        &self.service.key
    }

    /// The instances, as [`Client::discover`](crate::Client::discover) answers.
    ///
    /// # Errors
    /// As there.
    pub async fn discover(&self) -> Result<ServiceView, Error> {
        discover(&self.service, self.client.options.request_timeout).await
    }

    /// Chooses an instance for one call, from memory.
    ///
    /// # Errors
    /// [`ErrorCode::NoEndpoints`] if none is known that is up and has weight;
    /// [`ErrorCode::Closed`].
    pub fn pick(&self, options: &PickOptions<'_>) -> Result<Pick, Error> {
        pick(&self.service, options)
    }

    /// Whether the service can afford one more retry; takes it out of the budget if so.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.service.balancer.may_retry(self.service.clock.moment())
    }

    /// The view of this moment, from memory; `None` while nothing is known.
    #[must_use]
    pub fn view(&self) -> Option<ServiceView> {
        let published = self.service.published();
        published.state?;
        self.service.note_use(self.service.clock.moment());
        Some(self.service.view(&published))
    }
}

impl fmt::Debug for ServiceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceHandle")
            .field("service", &self.service.key)
            .finish_non_exhaustive()
    }
}

/// Picks from a service.
pub(crate) fn pick(service: &Arc<Service>, options: &PickOptions<'_>) -> Result<Pick, Error> {
    let state = service.state().map_err(|closed| nothing(service, closed))?;
    let now = service.clock.moment();
    let context = PickContext {
        now,
        hash: options.hash,
        exclude: options.exclude_ids,
    };
    let picked = RANDOM.with_borrow_mut(|random| service.balancer.pick(&context, random));
    match picked {
        Ok(picked) => {
            service.note_use(now);
            Ok(Pick {
                endpoint: picked.endpoint,
                handle: Some(picked.handle),
                why: picked.why,
                state,
                picked: now,
                service: Arc::clone(service),
            })
        }
        Err(_) => Err(none_up(service, state)),
    }
}

thread_local! {
    /// A generator per thread: no sharing, no lock.
    static RANDOM: std::cell::RefCell<fastrand::Rng> =
        std::cell::RefCell::new(fastrand::Rng::new());
}

#[cold]
fn nothing(service: &Service, closed: bool) -> Error {
    if closed {
        return Error::new(ErrorCode::Closed, "the client was closed");
    }
    let published = service.published();
    let why = match (&published.refused, &published.unreachable) {
        (Some(refused), _) => format!(": {refused}"),
        (None, Some(unreachable)) => format!(": {unreachable}"),
        (None, None) => String::new(),
    };
    Error::new(
        ErrorCode::NoEndpoints,
        format!("nothing is known of service {} yet{why}", service.key),
    )
}

#[cold]
fn none_up(service: &Service, state: CacheState) -> Error {
    let known = service.published().instances.len();
    let what = if known == 0 {
        "has no instances".to_owned()
    } else {
        format!("has {known} instances, none of them up with a weight")
    };
    Error::new(
        ErrorCode::NoEndpoints,
        format!("service {} {what} (view: {state})", service.key),
    )
}

/// An instance chosen for one call. Say how the call went with [`report`](Self::report); dropping
/// it without a report means the call was cancelled, which says nothing about the instance.
#[must_use = "a pick counts as a call under way until it is reported or dropped"]
pub struct Pick {
    endpoint: Arc<Endpoint<Arc<Instance>>>,
    /// Taken by the report.
    handle: Option<PickHandle>,
    why: Why,
    state: CacheState,
    picked: Moment,
    service: Arc<Service>,
}

impl Pick {
    /// Where to call: `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.endpoint.address
    }

    /// The instance's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.endpoint.id
    }

    /// Everything known of the instance.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.endpoint.payload
    }

    /// Where the knowledge comes from.
    #[must_use]
    pub fn state(&self) -> CacheState {
        self.state
    }

    /// How it came to be this one.
    #[must_use]
    pub fn why(&self) -> Why {
        self.why
    }

    /// Says how the call went. `latency` is how long the call itself took; without it, the time
    /// since the pick.
    pub fn report(mut self, outcome: Outcome, latency: Option<Duration>) {
        self.settle(outcome, latency);
    }

    fn settle(&mut self, outcome: Outcome, latency: Option<Duration>) {
        if let Some(handle) = self.handle.take() {
            let now = self.service.clock.moment();
            let latency = latency.unwrap_or_else(|| now.since(self.picked));
            self.service.balancer.report(handle, outcome, latency, now);
        }
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.settle(Outcome::Cancelled, None);
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick")
            .field("service", &self.service.key)
            .field("id", &self.id())
            .field("address", &self.address())
            .field("state", &self.state)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}
