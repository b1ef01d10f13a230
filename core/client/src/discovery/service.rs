//! One followed service as callers share it: the newest view, and the balancer that picks from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use quorate_balance::{Balancer, BalancerConfig, EndpointSpec, Moment};
use quorate_types::{Error, Instance, InstanceStatus, ServiceKey};
use tokio::sync::watch;

use super::view::{Freshness, ServiceView};
use crate::engine::view::{CacheState, Departed, Version};

/// How the state of a service is kept for picks.
const CLOSED: u8 = u8::MAX;
const UNKNOWN: u8 = 0;

/// The client's clock: moments since it was built, and when a server was last heard.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    heard: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            heard: AtomicU64::new(0),
        }
    }

    /// Now, for the balancer. About 25 ns.
    pub(crate) fn moment(&self) -> Moment {
        Moment::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// A server was heard just now.
    pub(crate) fn hear(&self) {
        self.heard
            .store(self.moment().as_nanos(), Ordering::Relaxed);
    }

    fn heard(&self) -> Moment {
        Moment::from_nanos(self.heard.load(Ordering::Relaxed))
    }
}

/// When the instances were last known to be right.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Confirmed {
    /// Whenever the server was last heard.
    Live,
    /// At this moment; no server since.
    At(Moment),
    /// When an earlier run wrote them down.
    Written(SystemTime),
    /// Never: they are configured, or there are none.
    Never,
}

/// A view as it is handed out, replaced as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) instances: Arc<[Arc<Instance>]>,
    pub(crate) departures: Arc<[Departed]>,
    /// `None`: nothing is known yet.
    pub(crate) state: Option<CacheState>,
    pub(crate) version: Option<Version>,
    pub(crate) complete: bool,
    pub(crate) confirmed: Confirmed,
    /// How often the service had to be fetched whole.
    pub(crate) resyncs: u64,
    /// Why the server refuses to tell.
    pub(crate) refused: Option<Error>,
    /// Why there is no server.
    pub(crate) unreachable: Option<Arc<str>>,
    /// The client was closed: nothing follows.
    pub(crate) closed: bool,
}

impl Published {
    fn unknown() -> Self {
        Self {
            instances: Arc::new([]),
            departures: Arc::new([]),
            state: None,
            version: None,
            complete: false,
            confirmed: Confirmed::Never,
            resyncs: 0,
            refused: None,
            unreachable: None,
            closed: false,
        }
    }
}

/// One followed service.
pub(crate) struct Service {
    pub(crate) key: ServiceKey,
    pub(crate) clock: Arc<Clock>,
    pub(crate) balancer: Balancer<Arc<Instance>>,
    published: ArcSwap<Published>,
    /// Counts publications, to wake those who wait for one.
    publications: watch::Sender<u64>,
    /// The state once more, for picks: one load instead of a pointer chase.
    state: AtomicU8,
    /// Minutes of the clock when it was last used.
    used: AtomicU64,
}

impl Service {
    pub(crate) fn new(key: ServiceKey, clock: Arc<Clock>, balancer: BalancerConfig) -> Self {
        let service = Self {
            key,
            clock,
            balancer: Balancer::new(balancer),
            published: ArcSwap::from_pointee(Published::unknown()),
            publications: watch::Sender::new(0),
            state: AtomicU8::new(UNKNOWN),
            used: AtomicU64::new(0),
        };
        service.note_use(service.clock.moment());
        service
    }

    /// Replaces what callers see. Only the session's task calls it.
    pub(crate) fn publish(&self, published: Published) {
        let before = self.published.load_full();
        if !Arc::ptr_eq(&before.instances, &published.instances) {
            let endpoints = published
                .instances
                .iter()
                .filter(|instance| instance.status == InstanceStatus::Up && instance.weight > 0)
                .map(|instance| {
                    EndpointSpec::new(
                        instance.id.as_str(),
                        instance.address.as_str(),
                        instance.weight,
                        Arc::clone(instance),
                    )
                })
                .collect();
            self.balancer.update(endpoints, self.clock.moment());
        }
        self.state.store(
            match published.state {
                _ if published.closed => CLOSED,
                None => UNKNOWN,
                Some(CacheState::Live) => 1,
                Some(CacheState::Stale) => 2,
                Some(CacheState::Snapshot) => 3,
                Some(CacheState::Static) => 4,
            },
            Ordering::Release,
        );
        self.published.store(Arc::new(published));
        self.publications.send_modify(|count| *count += 1);
    }

    pub(crate) fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Wakes at each publication after this call.
    pub(crate) fn publications(&self) -> watch::Receiver<u64> {
        self.publications.subscribe()
    }

    /// The state for a pick; `Err(closed)` if there is none.
    pub(crate) fn state(&self) -> Result<CacheState, bool> {
        match self.state.load(Ordering::Acquire) {
            1 => Ok(CacheState::Live),
            2 => Ok(CacheState::Stale),
            3 => Ok(CacheState::Snapshot),
            4 => Ok(CacheState::Static),
            other => Err(other == CLOSED),
        }
    }

    /// What a caller gets of a publication.
    pub(crate) fn view(&self, published: &Published) -> ServiceView {
        ServiceView {
            service: self.key.clone(),
            instances: Arc::clone(&published.instances),
            freshness: Freshness {
                state: published.state.unwrap_or(CacheState::Static),
                epoch: published.version.map_or(0, |version| version.epoch),
                revision: published.version.map_or(0, |version| version.revision),
                age: self.age(published.confirmed),
                complete: published.complete,
            },
        }
    }

    fn age(&self, confirmed: Confirmed) -> Duration {
        let now = self.clock.moment();
        match confirmed {
            Confirmed::Live => now.since(self.clock.heard()),
            Confirmed::At(moment) => now.since(moment),
            Confirmed::Written(at) => SystemTime::now().duration_since(at).unwrap_or_default(),
            Confirmed::Never => now.since(Moment::default()),
        }
    }

    /// Notes that the service is used. Rarely writes, so that threads don't fight over the line.
    pub(crate) fn note_use(&self, now: Moment) {
        let minute = now.as_millis() / 60_000;
        if self.used.load(Ordering::Relaxed) != minute {
            self.used.store(minute, Ordering::Relaxed);
        }
    }

    /// For how many minutes nobody used it.
    pub(crate) fn idle_minutes(&self, now: Moment) -> u64 {
        (now.as_millis() / 60_000).saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// When a server was last heard, for a view that is no longer live.
    pub(crate) fn heard(&self) -> Moment {
        self.clock.heard()
    }
}
