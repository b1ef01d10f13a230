//! The state all parts of a registry share, and the changes to it that both sessions and unary
//! calls make. Each holds at most one slot's lock, and wakes subscribers after letting go of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quorate_types::{Error, ErrorCode, Instance, InstanceStatus, RemovalReason, ServiceKey};

use crate::clock::Clock;
use crate::lease_clock::LeaseClock;
use crate::metrics::Counters;
use crate::options::RegistryOptions;
use crate::record::{Draft, Record};
use crate::service::{Lease, Owner};
use crate::session::{SessionState, Sessions};
use crate::slots::Slots;
use crate::subscription::{Mailbox, Subscription};
use crate::sweep::{Deadlines, Due, WarmUp};
use crate::view::{Position, Tombstone, View};
use crate::watch::Watches;

pub(crate) struct Plane {
    pub(crate) options: RegistryOptions,
    pub(crate) lease: LeaseClock,
    pub(crate) slots: Slots,
    pub(crate) sessions: Sessions,
    pub(crate) watches: Watches,
    pub(crate) deadlines: Deadlines,
    pub(crate) warm_up: Mutex<WarmUp>,
    pub(crate) counters: Counters,
}

/// What an update replaces.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) status: Option<InstanceStatus>,
    pub(crate) weight: Option<u16>,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

/// A registration that stands.
pub(crate) struct Standing {
    pub(crate) key: Arc<ServiceKey>,
    pub(crate) record: Arc<Record>,
    /// The session that held it before, if another.
    pub(crate) displaced: Option<Arc<SessionState>>,
}

// === impl Plane ===

impl Plane {
    pub(crate) fn new(options: RegistryOptions, clock: Arc<dyn Clock>) -> Self {
        let lease = LeaseClock::new(clock);
        let warm_up = options.warm_up.filter(|duration| !duration.is_zero());
        // Views of services nobody ever registered still need a version: the start of the epoch.
        let floor = options.epoch.saturating_mul(1_000);
        Self {
            slots: Slots::new(
                floor,
                warm_up.is_some(),
                options.limits.services_per_namespace,
            ),
            lease,
            sessions: Sessions::default(),
            watches: Watches::default(),
            deadlines: Deadlines::default(),
            warm_up: Mutex::new(WarmUp::new(warm_up)),
            counters: Counters::default(),
            options,
        }
    }

    /// Registers an instance for a session, or on a lease of its own.
    pub(crate) fn register(
        &self,
        key: ServiceKey,
        instance: Instance,
        session: Option<&Arc<SessionState>>,
    ) -> Result<Standing, Error> {
        let draft = Draft::new(instance);
        let moment = self.lease.moment();
        let ttl = draft.ttl();
        let owner = match session {
            Some(session) => Owner::Session(session.clone()),
            None => Owner::Lease(Box::new(Lease {
                last_sign: moment.lease,
                scheduled: u64::MAX,
            })),
        };
        let mut slot = self.slots.lock(&key);
        let (service, made) = self.slots.open(&mut slot, key)?;
        let key = service.key().clone();
        let registered = match service.register(draft, owner, moment, &self.options.limits) {
            Ok(registered) => registered,
            Err(error) => {
                if made {
                    self.slots.reap(&mut slot, &key);
                }
                return Err(error);
            }
        };
        let subscribers = registered.changed.then(|| service.subscribers());
        let record = registered.record;
        if let Some(lease) = service.lease_mut(record.id()) {
            if let Some(Owner::Lease(previous)) = &registered.previous {
                lease.scheduled = previous.scheduled;
            }
            self.schedule_lease(lease, moment.lease + ttl, moment.lease, &key, &record);
        }
        drop(slot);

        publish(subscribers);
        self.counters.services.add(u64::from(made));
        self.counters
            .instances
            .add(u64::from(registered.previous.is_none()));
        if registered.changed {
            self.counters.registrations.add(1);
        } else {
            self.counters.registrations_unchanged.add(1);
        }
        let displaced = match registered.previous {
            Some(Owner::Session(previous))
                if !session.is_some_and(|s| Arc::ptr_eq(s, &previous)) =>
            {
                Some(previous)
            }
            _ => None,
        };
        Ok(Standing {
            key,
            record,
            displaced,
        })
    }

    /// Changes an instance this session holds.
    pub(crate) fn update(
        &self,
        key: &ServiceKey,
        id: &str,
        changes: Changes,
        session: &Arc<SessionState>,
    ) -> Result<Standing, Error> {
        let moment = self.lease.moment();
        let mut slot = self.slots.lock(key);
        let Some(service) = slot.get_mut(key) else {
            return Err(no_such_instance(key, id));
        };
        let Some((record, owner)) = service.get(id.as_bytes()) else {
            return Err(no_such_instance(key, id));
        };
        if !owner.is(session) {
            return Err(Error::new(
                ErrorCode::Conflict,
                format!("instance {id} of service {key} was registered again by another client"),
            ));
        }
        let mut instance = record.to_instance();
        instance.status = changes.status.unwrap_or(instance.status);
        instance.weight = changes.weight.unwrap_or(instance.weight);
        instance.metadata = changes.metadata.unwrap_or(instance.metadata);
        let registered = service.register(
            Draft::new(instance),
            Owner::Session(session.clone()),
            moment,
            &self.options.limits,
        )?;
        let key = service.key().clone();
        let subscribers = registered.changed.then(|| service.subscribers());
        drop(slot);

        publish(subscribers);
        self.counters.updates.add(u64::from(registered.changed));
        Ok(Standing {
            key,
            record: registered.record,
            displaced: None,
        })
    }

    /// Removes an instance if `whose` agrees with its owner; the owner is not told.
    pub(crate) fn remove(
        &self,
        key: &ServiceKey,
        id: &[u8],
        reason: RemovalReason,
        whose: impl FnOnce(&Record, &Owner) -> bool,
    ) -> Option<(Tombstone, Owner)> {
        let moment = self.lease.moment();
        let mut slot = self.slots.lock(key);
        let service = slot.get_mut(key)?;
        let (record, owner) = service.get(id)?;
        if !whose(record, owner) {
            return None;
        }
        let removed = service.remove(id, reason, moment, &self.options.limits)?;
        let subscribers = service.subscribers();
        if !service.trim_scheduled {
            service.trim_scheduled = true;
            let at = moment.lease + self.retention();
            self.deadlines
                .add(at, Due::Tombstones(service.key().clone()));
        }
        drop(slot);

        publish(Some(subscribers));
        self.counters.removed(reason);
        Some(removed)
    }

    /// Whether this session is the one that keeps the instance.
    pub(crate) fn is_owner(
        &self,
        key: &ServiceKey,
        id: &[u8],
        session: &Arc<SessionState>,
    ) -> bool {
        let slot = self.slots.lock(key);
        slot.get(key)
            .and_then(|service| service.get(id))
            .is_some_and(|(_, owner)| owner.is(session))
    }

    /// Extends the life of an instance that no session keeps; returns its TTL in milliseconds.
    pub(crate) fn heartbeat(&self, key: &ServiceKey, id: &str) -> Result<u32, Error> {
        let now = self.lease.now();
        let mut slot = self.slots.lock(key);
        let Some(service) = slot.get_mut(key) else {
            return Err(no_such_instance(key, id));
        };
        let Some((record, _)) = service.get(id.as_bytes()) else {
            return Err(no_such_instance(key, id));
        };
        let ttl = record.ttl().as_millis();
        match service.lease_mut(id.as_bytes()) {
            Some(lease) => {
                lease.last_sign = lease.last_sign.max(now);
                Ok(ttl)
            }
            None => Err(Error::new(
                ErrorCode::Conflict,
                format!("instance {id} of service {key} is kept by a session"),
            )),
        }
    }

    /// Lets a mailbox be woken by a service's changes; it is marked at once, so that it learns
    /// what is newer than `known`.
    pub(crate) fn subscribe(
        &self,
        key: ServiceKey,
        mailbox: &Arc<Mailbox>,
        known: Option<Position>,
    ) -> Result<Arc<Subscription>, Error> {
        let mut slot = self.slots.lock(&key);
        let (service, made) = self.slots.open(&mut slot, key)?;
        let subscription = Subscription::new(service.key().clone(), mailbox.clone(), known);
        service.subscribe(subscription.clone());
        drop(slot);

        self.counters.services.add(u64::from(made));
        self.counters.subscriptions.add(1);
        subscription.mark();
        Ok(subscription)
    }

    /// The service's revision if one who stands at `known` has everything.
    pub(crate) fn newest(&self, key: &ServiceKey, known: Position) -> Option<u64> {
        let slot = self.slots.lock(key);
        let service = slot.get(key)?;
        (service.position(self.options.epoch) == known).then(|| service.revision())
    }

    pub(crate) fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        subscription.deactivate();
        let mut slot = self.slots.lock(&subscription.key);
        if let Some(service) = slot.get_mut(&subscription.key) {
            service.unsubscribe(subscription);
        }
        let reaped = self.slots.reap(&mut slot, &subscription.key);
        drop(slot);
        self.counters.subscriptions.subtract(1);
        self.counters.services.subtract(u64::from(reaped));
    }

    /// What a subscriber has to be told, if anything; it counts as told.
    pub(crate) fn news(&self, subscription: &Subscription) -> Option<View> {
        if !subscription.is_active() {
            return None;
        }
        let mut sent = subscription.sent.lock();
        let slot = self.slots.lock(&subscription.key);
        let view = slot
            .get(&subscription.key)?
            .since(*sent, self.options.epoch, !slot.warming)?;
        drop(slot);
        *sent = Some(view.position);
        if view.is_delta() {
            self.counters.deltas.add(1);
        } else {
            self.counters.snapshots.add(1);
        }
        Some(view)
    }

    /// Everything of a service; of an unknown one, that there is nothing.
    pub(crate) fn view(&self, key: ServiceKey) -> View {
        let slot = self.slots.lock(&key);
        let complete = !slot.warming;
        let epoch = self.options.epoch;
        if let Some(view) = slot
            .get(&key)
            .and_then(|service| service.since(None, epoch, complete))
        {
            return view;
        }
        View {
            position: Position::new(epoch, slot.floor(), Default::default()),
            key: Arc::new(key),
            from: None,
            instances: Vec::new(),
            removed: Vec::new(),
            complete,
        }
    }

    /// How long tombstones are kept, in milliseconds.
    pub(crate) fn retention(&self) -> u64 {
        self.options.tombstone_retention.as_millis() as u64
    }

    /// Has the sweeper look at a lease by `deadline`, if it will not come earlier anyway.
    pub(crate) fn schedule_lease(
        &self,
        lease: &mut Lease,
        deadline: u64,
        now: u64,
        key: &Arc<ServiceKey>,
        record: &Record,
    ) {
        let at = Deadlines::within_horizon(deadline, now);
        if at < lease.scheduled {
            lease.scheduled = at;
            let id = record.id().into();
            self.deadlines.add(at, Due::Lease(key.clone(), id));
        }
    }
}

fn no_such_instance(key: &ServiceKey, id: &str) -> Error {
    Error::new(
        ErrorCode::NotFound,
        format!("service {key} has no instance {id}: register it again"),
    )
}

/// Wakes those who want to know. Without a slot's lock: there may be many.
pub(crate) fn publish(subscribers: impl IntoIterator<Item = Arc<Vec<Arc<Subscription>>>>) {
    for all in subscribers {
        for subscription in all.iter() {
            subscription.mark();
        }
    }
}
