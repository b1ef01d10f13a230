//! All services, divided into slots: each slot has a lock of its own, held only for as long as
//! one service takes.
//!
//! Order of locks: a session's registrations, then a slot, then the directory or a mailbox.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use quorate_types::{Error, SLOTS, ServiceKey};

use crate::directory::Directory;
use crate::lease_clock::Moment;
use crate::service::Service;
use crate::subscription::Subscription;

/// The slots and the directory of what is in them.
pub(crate) struct Slots {
    slots: Box<[Mutex<Slot>]>,
    directory: Mutex<Directory>,
    services_per_namespace: usize,
}

/// The services of one slot.
pub(crate) struct Slot {
    services: HashMap<Arc<ServiceKey>, Service>,
    /// No service that was ever forgotten had a higher revision: new ones start here.
    floor: u64,
    /// Whether clients of the server's last run may still be missing.
    pub(crate) warming: bool,
}

// === impl Slots ===

impl Slots {
    /// Empty slots, whose services' versions start above `floor`.
    pub(crate) fn new(floor: u64, warming: bool, services_per_namespace: usize) -> Self {
        let slot = || {
            Mutex::new(Slot {
                services: HashMap::new(),
                floor,
                warming,
            })
        };
        Self {
            slots: (0..SLOTS).map(|_| slot()).collect(),
            directory: Mutex::default(),
            services_per_namespace,
        }
    }

    /// The slot of a service.
    pub(crate) fn lock(&self, key: &ServiceKey) -> MutexGuard<'_, Slot> {
        self.lock_number(key.slot().number())
    }

    /// A slot by its number, which is below [`SLOTS`].
    pub(crate) fn lock_number(&self, number: u16) -> MutexGuard<'_, Slot> {
        self.slots[usize::from(number)].lock()
    }

    /// The service, made if there is none; `true` if it was made.
    ///
    /// # Errors
    /// `ResourceExhausted` if the namespace is full.
    pub(crate) fn open<'a>(
        &self,
        slot: &'a mut Slot,
        key: ServiceKey,
    ) -> Result<(&'a mut Service, bool), Error> {
        let key = Arc::new(key);
        let made = !slot.services.contains_key(&key);
        if made {
            self.directory
                .lock()
                .enter(&key, self.services_per_namespace)?;
        }
        let floor = slot.floor;
        let service = slot
            .services
            .entry(key.clone())
            .or_insert_with(|| Service::new(key, floor));
        Ok((service, made))
    }

    /// Forgets a service if it is idle; `true` if it did.
    pub(crate) fn reap(&self, slot: &mut Slot, key: &ServiceKey) -> bool {
        if !slot.services.get(key).is_some_and(Service::is_idle) {
            return false;
        }
        if let Some(service) = slot.services.remove(key) {
            slot.floor = slot.floor.max(service.revision());
            self.directory.lock().leave(key);
        }
        true
    }

    pub(crate) fn page(
        &self,
        namespace: Option<&str>,
        after: Option<&ServiceKey>,
        limit: usize,
    ) -> (Vec<Arc<ServiceKey>>, bool) {
        self.directory.lock().page(namespace, after, limit)
    }
}

// === impl Slot ===

impl Slot {
    pub(crate) fn get(&self, key: &ServiceKey) -> Option<&Service> {
        self.services.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &ServiceKey) -> Option<&mut Service> {
        self.services.get_mut(key)
    }

    /// The revision of any service that is not here.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// From now on absence means something. Everyone who was told otherwise gets a snapshot:
    /// returns whom to wake, and for those who come back every version is a newer one.
    pub(crate) fn end_warm_up(&mut self, moment: Moment) -> Vec<Arc<Vec<Arc<Subscription>>>> {
        self.warming = false;
        self.floor = (self.floor + 1).max(moment.unix.as_micros() as u64);
        self.services
            .values_mut()
            .map(|service| {
                service.restart_history(moment);
                service.subscribers()
            })
            .collect()
    }
}
