//! The services this client follows: a view of each, and how its subscription stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use quorate_proto::v1;
use quorate_types::{Error, Instance, ServiceKey};

use super::deadlines::Deadlines;
use crate::engine::backoff::Backoff;
use crate::engine::view::{Applied, Misfit, View};

/// A whole view that was asked for and did not come is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// How a subscription stands on the present stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The disk is being read: what it holds may save a transfer.
    Loading,
    /// The server is to be told.
    Unsent,
    /// It was told.
    Sent,
}

/// One followed service.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) view: View,
    /// Whether the server has answered for it on the present stream.
    pub(crate) in_contact: bool,
    /// Why the server refuses it.
    pub(crate) refused: Option<Error>,
    /// How often it was fetched whole because the thread of changes was lost.
    pub(crate) resyncs: u64,
    /// A message did not fit, and the whole has not come yet.
    lost_thread: bool,
    standing: Standing,
    /// The cluster the view is of.
    cluster: Option<u64>,
    backoff: Backoff,
}

/// Counts of what went wrong between views and servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResyncCounts {
    /// Services fetched whole because a message did not fit.
    pub(crate) resyncs: u64,
    /// Of these, because content and hash disagreed.
    pub(crate) hash_mismatches: u64,
}

/// All followed services.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    services: BTreeMap<ServiceKey, Subscription>,
    unsent: BTreeSet<ServiceKey>,
    /// Services to be fetched whole, when due.
    fetches: Deadlines<ServiceKey>,
    /// No longer followed; the server is to be told.
    ended: BTreeSet<ServiceKey>,
    /// Views whose content or standing changed since last asked.
    changed: BTreeSet<ServiceKey>,
    counts: ResyncCounts,
}

impl Subscriptions {
    /// Follows a service; does nothing if it is followed already. `loads`: wait for
    /// [`loaded`](Self::loaded) before asking the server.
    pub(crate) fn follow(&mut self, service: &ServiceKey, configured: Vec<Instance>, loads: bool) {
        self.ended.remove(service);
        if self.services.contains_key(service) {
            return;
        }
        let standing = if loads {
            Standing::Loading
        } else {
            self.unsent.insert(service.clone());
            Standing::Unsent
        };
        let subscription = Subscription {
            view: View::new(configured),
            in_contact: false,
            refused: None,
            resyncs: 0,
            lost_thread: false,
            standing,
            cluster: None,
            backoff: Backoff::default(),
        };
        self.services.insert(service.clone(), subscription);
        self.changed.insert(service.clone());
    }

    /// Follows a service no longer.
    pub(crate) fn leave(&mut self, service: &ServiceKey) {
        self.unsent.remove(service);
        self.fetches.clear(service);
        self.changed.remove(service);
        if let Some(left) = self.services.remove(service)
            && left.standing == Standing::Sent
        {
            self.ended.insert(service.clone());
        }
    }

    /// The disk was read: the view an earlier run left, and of which cluster, if there was one.
    pub(crate) fn loaded(
        &mut self,
        service: &ServiceKey,
        found: Option<(u64, v1::ServiceSnapshot)>,
        present_cluster: Option<u64>,
    ) {
        let Some(subscription) = self.services.get_mut(service) else {
            return;
        };
        if let Some((cluster, snapshot)) = found
            && subscription.view.load(snapshot) == Applied::Taken
        {
            subscription.cluster = Some(cluster);
            if present_cluster.is_some_and(|present| present != cluster) {
                subscription.view.distrust();
            }
            self.changed.insert(service.clone());
        }
        if subscription.standing == Standing::Loading {
            subscription.standing = Standing::Unsent;
            self.unsent.insert(service.clone());
        }
    }

    /// Those whose disk is still being read.
    pub(crate) fn loading(&self) -> BTreeSet<ServiceKey> {
        let loading = |(_, s): &(&ServiceKey, &Subscription)| s.standing == Standing::Loading;
        let services = self.services.iter().filter(loading);
        services.map(|(service, _)| service.clone()).collect()
    }

    /// What the server should be told of next.
    pub(crate) fn next_to_send(
        &mut self,
        now: Instant,
    ) -> Option<(ServiceKey, v1::SessionSubscribe)> {
        let service = self.unsent.pop_first()?;
        let subscription = self.services.get_mut(&service)?;
        subscription.standing = Standing::Sent;
        let known = subscription.view.known();
        if known.is_none() {
            if subscription.view.fetch_due().is_some_and(|due| due <= now) {
                subscription.view.fetch_asked();
            }
            let again = now + ASK_AGAIN;
            let due = subscription
                .view
                .fetch_due()
                .map_or(again, |due| due.min(again));
            self.fetches.set(service.clone(), due);
        }
        let subscribe = v1::SessionSubscribe {
            service: Some((&service).into()),
            known,
        };
        Some((service, subscribe))
    }

    /// A service the server should be told is no longer followed.
    pub(crate) fn next_ended(&mut self) -> Option<ServiceKey> {
        self.ended.pop_first()
    }

    /// The server answered a subscription.
    pub(crate) fn acknowledged(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        answer: Result<u64, Error>,
        random: &mut fastrand::Rng,
    ) {
        let Some(subscription) = self.services.get_mut(service) else {
            return;
        };
        match answer {
            Ok(revision) => {
                subscription.refused = None;
                // Unless the server stands where we do, its view is still to come, perhaps behind
                // many others, and speaks for itself.
                let version = subscription.view.version();
                let newest = version.is_some_and(|version| version.revision == revision);
                if newest && !subscription.in_contact {
                    subscription.view.confirm();
                    subscription.in_contact = true;
                    self.changed.insert(service.clone());
                }
            }
            Err(error) => {
                tracing::warn!(%service, %error, "the server refuses a subscription; trying again");
                subscription.refused = Some(error);
                subscription.in_contact = false;
                self.fetches
                    .set(service.clone(), now + subscription.backoff.next(random));
                self.changed.insert(service.clone());
            }
        }
    }

    /// The server did not answer a subscription in time.
    pub(crate) fn unanswered(&mut self, service: &ServiceKey) {
        self.send_again(service);
    }

    /// Everything the server knows of a service.
    pub(crate) fn snapshot(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        snapshot: v1::ServiceSnapshot,
        cluster: Option<u64>,
        random: &mut fastrand::Rng,
    ) {
        let Some(subscription) = self.services.get_mut(service) else {
            return;
        };
        let before = subscription.view.counts();
        let applied = subscription.view.apply_snapshot(now, snapshot);
        if applied == Applied::Taken {
            subscription.backoff.reset();
            subscription.cluster = cluster;
            subscription.resyncs += u64::from(std::mem::take(&mut subscription.lost_thread));
            self.fetches.clear(service);
        }
        self.applied(now, service, applied, before.shrinks_held, random);
    }

    /// What changed of a service.
    pub(crate) fn delta(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        delta: v1::ServiceDelta,
        cluster: Option<u64>,
        random: &mut fastrand::Rng,
    ) {
        let Some(subscription) = self.services.get_mut(service) else {
            return;
        };
        let before = subscription.view.counts();
        let applied = subscription.view.apply_delta(now, delta);
        if applied == Applied::Taken {
            subscription.cluster = cluster;
        }
        self.applied(now, service, applied, before.shrinks_held, random);
    }

    fn applied(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        applied: Applied,
        held_before: u64,
        random: &mut fastrand::Rng,
    ) {
        let Some(subscription) = self.services.get_mut(service) else {
            return;
        };
        match applied {
            Applied::Nothing => {}
            Applied::Taken => {
                subscription.in_contact = true;
                subscription.refused = None;
                if let Some(due) = subscription.view.fetch_due() {
                    self.fetches.set(service.clone(), due);
                }
                if subscription.view.counts().shrinks_held > held_before {
                    tracing::warn!(
                        %service,
                        "most instances went at once; keeping them until that is confirmed"
                    );
                }
                self.changed.insert(service.clone());
            }
            Applied::Mismatch(misfit) => {
                subscription.lost_thread = true;
                // One that was just asked for is already on its way.
                if !self.fetches.contains(service) {
                    self.fetches
                        .set(service.clone(), now + subscription.backoff.next(random));
                }
                self.counts.resyncs += 1;
                if misfit == Misfit::Hash {
                    self.counts.hash_mismatches += 1;
                    self.changed.insert(service.clone());
                }
                tracing::debug!(%service, ?misfit, "a message does not fit; fetching the service whole");
            }
        }
    }

    /// Puts services that must be fetched whole in line.
    pub(crate) fn fetch_due(&mut self, now: Instant) {
        while let Some(service) = self.fetches.pop_due(now) {
            self.send_again(&service);
        }
    }

    /// When the next of those is due.
    pub(crate) fn next_fetch(&self) -> Option<Instant> {
        self.fetches.next()
    }

    /// A stream is open on a server of this cluster: everything must be said again.
    pub(crate) fn session_opened(&mut self, cluster: u64) {
        for (service, subscription) in &mut self.services {
            if subscription.cluster.is_some_and(|known| known != cluster) {
                tracing::warn!(%service, "another cluster answers now; fetching the service whole");
                subscription.view.distrust();
            }
        }
    }

    /// The stream is gone: nothing is known to be current any more.
    pub(crate) fn session_broken(&mut self) {
        self.fetches.clear_all();
        self.ended.clear();
        for (service, subscription) in &mut self.services {
            if std::mem::take(&mut subscription.in_contact) {
                self.changed.insert(service.clone());
            }
            if subscription.standing == Standing::Sent {
                subscription.standing = Standing::Unsent;
                self.unsent.insert(service.clone());
            }
        }
    }

    /// One followed service.
    pub(crate) fn get(&self, service: &ServiceKey) -> Option<&Subscription> {
        self.services.get(service)
    }

    /// Services whose view or standing changed since last asked.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<ServiceKey> {
        std::mem::take(&mut self.changed)
    }

    /// Counts of what went wrong.
    pub(crate) fn counts(&self) -> ResyncCounts {
        self.counts
    }

    fn send_again(&mut self, service: &ServiceKey) {
        if let Some(subscription) = self.services.get_mut(service)
            && subscription.standing == Standing::Sent
        {
            subscription.standing = Standing::Unsent;
            self.unsent.insert(service.clone());
        }
    }
}
