//! One connection, or whatever it takes to call an instance, kept for as long as the instance.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quorate_types::Instance;

use crate::discovery::ServiceHandle;

/// What was made for each instance that was picked so far.
pub(super) struct Endpoints<S> {
    made: Mutex<Made<S>>,
}

struct Made<S> {
    /// The instances there were when those that went were last let go.
    known: Arc<[Arc<Instance>]>,
    by_id: HashMap<String, (Arc<Instance>, S)>,
}

impl<S: Clone> Endpoints<S> {
    pub(super) fn new() -> Self {
        let made = Made {
            known: Arc::new([]),
            by_id: HashMap::new(),
        };
        Self {
            made: Mutex::new(made),
        }
    }

    /// What was made for this instance, or is now. `make` must not take long.
    pub(super) fn of<E>(
        &self,
        service: &ServiceHandle,
        instance: &Arc<Instance>,
        make: impl FnOnce(&Instance) -> Result<S, E>,
    ) -> Result<S, E> {
        let mut made = self.made.lock();
        let known = service.instances();
        if !Arc::ptr_eq(&made.known, &known) {
            made.by_id.retain(|id, (of, _)| {
                let place = known.binary_search_by(|other| other.id.cmp(id));
                place.is_ok_and(|place| is_called_alike(of, &known[place]))
            });
            made.known = known;
        }
        if let Some((of, endpoint)) = made.by_id.get(&instance.id)
            && is_called_alike(of, instance)
        {
            return Ok(endpoint.clone());
        }
        let endpoint = make(instance)?;
        let entry = (Arc::clone(instance), endpoint.clone());
        made.by_id.insert(instance.id.clone(), entry);
        Ok(endpoint)
    }
}

/// Whether what was made to call one calls the other: they differ at most in how often and whether
/// they are to be called.
pub(super) fn is_called_alike(one: &Instance, other: &Instance) -> bool {
    one.address == other.address
        && one.metadata == other.metadata
        && one.version == other.version
        && one.zone == other.zone
}
