//! The endpoints of a service: as handed in, as handed out, and as shown to people.

use crate::moment::Moment;
use std::sync::Arc;
use std::time::Duration;

/// One endpoint, as [`Balancer::update`](crate::Balancer::update) takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec<P> {
    /// Who it is. Statistics belong to an id at an address, and survive updates.
    pub id: Arc<str>,
    /// Where to call it; opaque here.
    pub address: Arc<str>,
    /// Its share relative to the others. 0 means no calls.
    pub weight: u16,
    /// How long it has been up, for slow start. `None` counts from when this balancer first saw it.
    pub age: Option<Duration>,
    /// Whatever the caller wants back with a pick.
    pub payload: P,
}

impl<P> EndpointSpec<P> {
    /// An endpoint whose age is not known.
    pub fn new(
        id: impl Into<Arc<str>>,
        address: impl Into<Arc<str>>,
        weight: u16,
        payload: P,
    ) -> Self {
        Self {
            id: id.into(),
            address: address.into(),
            weight,
            age: None,
            payload,
        }
    }

    /// The same endpoint, up for `age` now.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }
}

/// An endpoint that was picked.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint<P> {
    /// Who it is.
    pub id: Arc<str>,
    /// Where to call it.
    pub address: Arc<str>,
    /// Its configured weight.
    pub weight: u16,
    /// What the caller gave with it.
    pub payload: P,
}

/// Whether an endpoint gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// It does.
    Serving,
    /// Its breaker tripped; at this moment one request will be let through.
    Tripped {
        /// When probation begins.
        until: Moment,
    },
    /// One request was let through, and its outcome decides.
    Probation,
    /// It was worse than the others; at this moment it gets requests again.
    Ejected {
        /// When it ends.
        until: Moment,
    },
}

/// What the balancer knows about one endpoint, for people and metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointView {
    /// Who it is.
    pub id: Arc<str>,
    /// Where it is.
    pub address: Arc<str>,
    /// Its configured weight.
    pub weight: u16,
    /// The part of its weight that counts now: less than 1 while it warms up.
    pub warmth: f32,
    /// Whether it gets requests.
    pub state: EndpointState,
    /// Requests under way.
    pub outstanding: u32,
    /// The peak EWMA of its latency; `None` before the first report.
    pub latency: Option<Duration>,
    /// Requests of the last 10 s that went well.
    pub successes: u32,
    /// Requests of the last 10 s that did not.
    pub failures: u32,
}
