//! What a program sees of a service: its instances, and how fresh they are.

use std::sync::Arc;
use std::time::Duration;

use quorate_types::{Instance, ServiceKey};

use crate::engine::view::CacheState;

/// The instances of a service at one moment. Cheap to clone; does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Which service.
    pub service: ServiceKey,
    /// All its instances, sorted by id, also those that are not up or have weight 0.
    pub instances: Arc<[Arc<Instance>]>,
    /// How fresh they are.
    pub freshness: Freshness,
}

impl ServiceView {
    /// The instance with this id.
    #[must_use]
    pub fn instance(&self, id: &str) -> Option<&Arc<Instance>> {
        let place = self
            .instances
            .binary_search_by(|instance| instance.id.as_str().cmp(id))
            .ok()?;
        self.instances.get(place)
    }
}

/// Where a view comes from, and how old it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Where it comes from.
    pub state: CacheState,
    /// The epoch its revision counts in; 0 if no server vouches for exactly this content.
    pub epoch: u64,
    /// The service's revision; grows with each change within an epoch.
    pub revision: u64,
    /// Since when nobody confirmed it: live, since the server was last heard; stale, since contact
    /// was lost; from disk, since it was written; static, since the client was built.
    pub age: Duration,
    /// Whether a server vouched that nothing is missing, and nothing is kept against its word.
    pub complete: bool,
}
