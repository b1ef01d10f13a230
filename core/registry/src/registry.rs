//! The registry's front: what the server calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::convert;
use quorate_proto::v1;
use quorate_types::{Error, RemovalReason, ServiceKey};

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::options::RegistryOptions;
use crate::plane::{Plane, Standing};
use crate::service::Owner;
use crate::session::{Session, SessionEnd};
use crate::watch::ServiceWatch;

/// Services in one `ListServices` answer if the request does not say.
const DEFAULT_PAGE: u32 = 1_000;
/// Most services in one `ListServices` answer.
const MAX_PAGE: u32 = 10_000;

/// The available plane of one node. Cloning is cheap; all clones are the same registry.
#[derive(Clone)]
pub struct Registry {
    plane: Arc<Plane>,
}

// === impl Registry ===

impl Registry {
    /// An empty registry. Somebody must call [`sweep`](Self::sweep), or nothing ever expires.
    #[must_use]
    pub fn new(options: RegistryOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            plane: Arc::new(Plane::new(options, clock)),
        }
    }

    /// Begins a session, or resumes one, with the first message of its stream.
    ///
    /// # Errors
    /// `FailedPrecondition` if the first command is not Open, `InvalidArgument` for a bad client
    /// id, `ResourceExhausted` if there are too many sessions, `Unavailable` while draining.
    pub fn open(&self, first: v1::SessionRequest) -> Result<Session, Error> {
        Session::open(&self.plane, first)
    }

    /// Registers an instance that lives by its own heartbeats.
    ///
    /// # Errors
    /// `InvalidArgument`; `ResourceExhausted` if a limit is reached.
    pub fn register(&self, request: v1::RegisterRequest) -> Result<v1::RegisterResponse, Error> {
        let key = convert::service_key(request.service.as_ref())?;
        let instance = convert::instance(request.instance)?;
        let Standing {
            key,
            record,
            displaced,
        } = self.plane.register(key, instance, None)?;
        if let Some(session) = displaced {
            self.plane.displace(&session, &key, record.id(), None);
        }
        Ok(v1::RegisterResponse {
            id: String::from_utf8_lossy(record.id()).into_owned(),
            revision: record.revision(),
            ttl_ms: record.ttl().as_millis(),
        })
    }

    /// Keeps an instance registered with [`register`](Self::register) alive.
    ///
    /// # Errors
    /// `NotFound`: register again. `Conflict`: a session keeps it now.
    pub fn heartbeat(
        &self,
        request: &v1::HeartbeatRequest,
    ) -> Result<v1::HeartbeatResponse, Error> {
        let key = convert::service_key(request.service.as_ref())?;
        let ttl_ms = self.plane.heartbeat(&key, &request.id)?;
        Ok(v1::HeartbeatResponse { ttl_ms })
    }

    /// Removes an instance, whoever registered it; a session that held it is told.
    ///
    /// # Errors
    /// `InvalidArgument` if the service's name is wrong.
    pub fn deregister(
        &self,
        request: &v1::DeregisterRequest,
    ) -> Result<v1::DeregisterResponse, Error> {
        let key = convert::service_key(request.service.as_ref())?;
        let id = request.id.as_bytes();
        let removed = self
            .plane
            .remove(&key, id, RemovalReason::Deregistered, |_, _| true);
        let response = v1::DeregisterResponse {
            removed: removed.is_some(),
        };
        if let Some((tombstone, Owner::Session(session))) = removed {
            self.plane
                .displace(&session, &Arc::new(key), id, Some(tombstone));
        }
        Ok(response)
    }

    /// Everything known of a service; of an unknown one, that nothing is.
    ///
    /// # Errors
    /// `InvalidArgument` if the service's name is wrong.
    pub fn discover(&self, request: &v1::DiscoverRequest) -> Result<v1::DiscoverResponse, Error> {
        let key = convert::service_key(request.service.as_ref())?;
        Ok(v1::DiscoverResponse {
            snapshot: Some(self.plane.view(key).to_snapshot()),
        })
    }

    /// One page of the services, in the order of their names.
    ///
    /// # Errors
    /// `InvalidArgument` if the namespace, or the name to start after, is wrong.
    pub fn list_services(
        &self,
        request: &v1::ListServicesRequest,
    ) -> Result<v1::ListServicesResponse, Error> {
        let any_name = |namespace| ServiceKey::new(namespace, "any");
        let namespace = match request.namespace.as_str() {
            "*" => None,
            namespace => Some(any_name(namespace)?),
        };
        let after = match &request.after {
            None => None,
            after => Some(convert::service_key(after.as_ref())?),
        };
        let limit = match request.limit {
            0 => DEFAULT_PAGE,
            limit => limit.min(MAX_PAGE),
        };
        let (keys, more) = self.plane.slots.page(
            namespace.as_ref().map(ServiceKey::namespace),
            after.as_ref(),
            limit as usize,
        );
        let services = keys.iter().map(|key| self.summary(key)).collect();
        Ok(v1::ListServicesResponse { services, more })
    }

    /// Follows one service without a session.
    ///
    /// # Errors
    /// `InvalidArgument`; `ResourceExhausted` if there are too many watches or services;
    /// `Unavailable` while draining.
    pub fn watch(&self, request: &v1::WatchServiceRequest) -> Result<ServiceWatch, Error> {
        ServiceWatch::open(&self.plane, request)
    }

    /// Removes what has expired, and whatever else happens by the passing of time. Returns how
    /// long to wait before the next call; being called more than a second later than that counts
    /// as a stall of this server, and is credited to every instance and session.
    pub fn sweep(&self) -> Duration {
        self.plane.sweep()
    }

    /// Tells every session that the server is about to stop, and ends all watches. Sessions and
    /// their registrations go on until [`stop`](Self::stop), but new ones are refused.
    /// Each session is given another time, up to `reconnect_after`, so that they don't come back
    /// at once.
    pub fn drain(&self, reconnect_after: Duration, reason: &str) {
        let sessions = self.plane.sessions.close(reason);
        self.plane.watches.close(reason);
        for session in sessions {
            session.drain(reconnect_after.mul_f64(fastrand::f64()), reason);
        }
    }

    /// Ends every stream. Sessions are not closed: instances stand in the memory of clients.
    pub fn stop(&self) {
        const WHY: &str = "the server is stopping";
        for session in self.plane.sessions.close(WHY) {
            session.end_connection(SessionEnd::Stopped);
        }
        self.plane.watches.close(WHY);
    }

    /// What the registry holds and has done.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.plane.counters.snapshot(self.plane.lease.stalls())
    }

    #[cfg(test)]
    pub(crate) fn session_ids(&self) -> Vec<u64> {
        self.plane.sessions.ids()
    }

    #[cfg(test)]
    pub(crate) fn deadlines(&self) -> usize {
        self.plane.deadlines.len()
    }

    fn summary(&self, key: &ServiceKey) -> v1::ServiceSummary {
        let slot = self.plane.slots.lock(key);
        let service = slot.get(key);
        let count = |of: fn(&crate::service::Service) -> usize| {
            service.map_or(0, |service| u32::try_from(of(service)).unwrap_or(u32::MAX))
        };
        v1::ServiceSummary {
            service: Some(key.into()),
            instances: count(|service| service.len()),
            up: count(|service| service.up()),
            subscribers: count(|service| service.subscriber_count()),
            slot: key.slot().number().into(),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("metrics", &self.metrics())
            .finish_non_exhaustive()
    }
}
