//! What callers want of the session.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use quorate_proto::v1;
use quorate_types::{Instance, ServiceKey};

use super::connection::Phase;
use super::registrations::{InstanceUpdate, Name, Owner};
use super::{Closing, Session, Ticket};

impl Session {
    /// Registers an instance, which must have an id; the answer comes for `ticket`.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        instance: Instance,
        owner: Owner,
        ticket: Ticket,
    ) {
        self.await_answer(now, ticket);
        self.registrations
            .register(service, instance, owner, ticket);
        self.need_server();
        self.settle();
    }

    /// Changes a registration.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        name: &Name,
        owner: Owner,
        update: InstanceUpdate,
        ticket: Ticket,
    ) {
        self.await_answer(now, ticket);
        self.registrations.update(name, owner, update, ticket);
        self.settle();
    }

    /// Ends a registration.
    pub(crate) fn deregister(
        &mut self,
        now: Instant,
        name: &Name,
        owner: Owner,
        ticket: Option<Ticket>,
    ) {
        if let Some(ticket) = ticket {
            self.await_answer(now, ticket);
        }
        self.registrations.deregister(name, owner, ticket);
        self.settle();
    }

    /// A caller stopped waiting.
    pub(crate) fn abandon(&mut self, ticket: Ticket) {
        self.callers_due.clear(&ticket);
        self.registrations.abandon(ticket);
        self.settle();
    }

    /// Follows a service from now on. `loads`: [`loaded`](Self::loaded) will be called.
    pub(crate) fn follow(&mut self, service: &ServiceKey, configured: Vec<Instance>, loads: bool) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.subscriptions.follow(service, configured, loads);
        self.need_server();
        self.settle();
    }

    /// Follows a service no longer.
    pub(crate) fn leave(&mut self, service: &ServiceKey) {
        self.subscriptions.leave(service);
        self.settle();
    }

    /// Services for which [`loaded`](Self::loaded) is still awaited.
    pub(crate) fn loading(&self) -> BTreeSet<ServiceKey> {
        self.subscriptions.loading()
    }

    /// What the disk had of a service. May come late, after one that said it had nothing.
    pub(crate) fn loaded(
        &mut self,
        service: &ServiceKey,
        found: Option<(u64, v1::ServiceSnapshot)>,
    ) {
        self.subscriptions.loaded(service, found, self.cluster);
        self.settle();
    }

    /// Ends the session cleanly, if a server can be reached within `patience`.
    pub(crate) fn close(&mut self, now: Instant, patience: Duration) {
        if self.closing.is_some() || matches!(self.phase, Phase::Closed) {
            return;
        }
        self.closing = Some(Closing {
            deadline: now + patience,
            said: false,
        });
        let open = matches!(self.phase, Phase::Live(_) | Phase::Opening { .. });
        if !open && !self.registrations.any_sent() {
            self.finish();
        }
        self.settle();
    }
}
