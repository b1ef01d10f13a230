//! Registering an instance: what is registered, and the handle that keeps it so.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quorate_types::{Error, Instance, InstanceStatus, RemovalReason, ServiceKey, Ttl};
use tokio::sync::watch;

use crate::client::{Client, Inner};
use crate::engine::session::registrations::{InstanceUpdate, Name, Owner};

/// What to register: a service, an address, and what callers should know.
///
/// ```
/// use std::time::Duration;
/// let registration = quorate::Registration::new("web", "10.0.0.7:8080")
///     .weight(200)
///     .zone("fra-1")
///     .metadata("team", "checkout")
///     .ttl(Duration::from_secs(10));
/// ```
#[derive(Clone, Debug)]
#[must_use = "register it with Client::register"]
pub struct Registration {
    service: String,
    instance: Instance,
    ttl: Option<Duration>,
}

impl Registration {
    /// An instance at `host:port` of a service in the client's namespace. Its id is the address,
    /// its weight 100, its status up.
    pub fn new(service: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            instance: Instance::new(address),
            ttl: None,
        }
    }

    /// The id, unique in the service.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.instance.id = id.into();
        self
    }

    /// The share of calls relative to others; 0 receives none.
    pub fn weight(mut self, weight: u16) -> Self {
        self.instance.weight = weight;
        self
    }

    /// Where it runs.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.instance.zone = zone.into();
        self
    }

    /// The program's version.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.instance.version = version.into();
        self
    }

    /// Adds a label.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.instance.metadata.insert(key.into(), value.into());
        self
    }

    /// Whether it wants calls.
    pub fn status(mut self, status: InstanceStatus) -> Self {
        self.instance.status = status;
        self
    }

    /// How long it stays when this program vanishes: 1 s to 1 h. Default: the server's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    fn check(mut self, namespace: &str) -> Result<(ServiceKey, Instance), Error> {
        let service = ServiceKey::new(namespace, &self.service)?;
        if let Some(ttl) = self.ttl {
            // 0 on the wire means the default: here it means too short.
            let millis = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX).max(1);
            self.instance.ttl = Ttl::from_millis(millis)?;
        }
        self.instance.validate()?;
        Ok((service, self.instance))
    }
}

/// How a registration stands, as the session tells.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) name: Name,
    pub(crate) owner: Owner,
    pub(crate) revision: AtomicU64,
    pub(crate) evicted: watch::Sender<Option<RemovalReason>>,
}

impl Standing {
    pub(crate) fn new(name: Name, owner: Owner) -> Self {
        Self {
            name,
            owner,
            revision: AtomicU64::new(0),
            evicted: watch::Sender::new(None),
        }
    }
}

/// A registered instance. It is kept alive, and registered again wherever the client has to
/// reconnect, until this is dropped: then it is deregistered in the background.
#[must_use = "dropping it deregisters the instance"]
pub struct Registered {
    standing: Arc<Standing>,
    client: Arc<Inner>,
    /// Whether dropping it still has something to do.
    armed: bool,
}

impl Client {
    /// Registers an instance; returns when a server has it. From then on it stays registered,
    /// through broken connections and restarted servers, until the handle is dropped. Registering
    /// the same id of a service again replaces the earlier registration, and its handle no longer
    /// has an effect.
    ///
    /// If this future is dropped before it is done, nothing stays registered.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorCode::InvalidArgument); [`Unavailable`](crate::ErrorCode::Unavailable) or [`Timeout`](crate::ErrorCode::Timeout) if no
    /// server has it within the request timeout; what the server says; [`Closed`](crate::ErrorCode::Closed).
    pub async fn register(&self, registration: Registration) -> Result<Registered, Error> {
        let (service, instance) = registration.check(&self.inner.options.namespace)?;
        let (standing, _) = self.inner.session.register(service, instance).await?;
        Ok(Registered {
            standing,
            client: Arc::clone(&self.inner),
            armed: true,
        })
    }
}

impl Registered {
    /// The instance's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.standing.name.1
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &ServiceKey {
        &self.standing.name.0
    }

    /// The record's revision, as the server last said.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.standing.revision.load(Ordering::Relaxed)
    }

    /// Why somebody else removed it for good, if so: an operator, or a deregistration from
    /// elsewhere. Such a one is not put back; register again if that is wanted.
    #[must_use]
    pub fn evicted(&self) -> Option<RemovalReason> {
        *self.standing.evicted.borrow()
    }

    /// Resolves when somebody else removes it for good; see [`Registered::evicted`]. It never
    /// resolves for what was deregistered.
    pub fn eviction(&self) -> impl Future<Output = RemovalReason> + Send + use<> {
        let mut evicted = self.standing.evicted.subscribe();
        async move {
            // The sender is gone when nobody can evict it any more.
            let reason = evicted.wait_for(Option::is_some).await.ok();
            match reason.and_then(|reason| *reason) {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        }
    }

    /// Changes status, weight or metadata; returns when a server has it. If no server answers in
    /// time the change is remembered, and told to the next server that does.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorCode::InvalidArgument); [`NotFound`](crate::ErrorCode::NotFound) if it was removed by somebody else
    /// or replaced by a later registration; [`Unavailable`](crate::ErrorCode::Unavailable) or [`Timeout`](crate::ErrorCode::Timeout);
    /// [`Closed`](crate::ErrorCode::Closed).
    pub async fn update(&self, update: InstanceUpdate) -> Result<(), Error> {
        if let Some(metadata) = &update.metadata {
            quorate_types::instance::check_metadata(metadata)?;
        }
        let session = &self.client.session;
        let revision = session.update(&self.standing, update).await?;
        self.standing.revision.store(revision, Ordering::Relaxed);
        Ok(())
    }

    /// Removes the instance; returns when a server knows. If none answers in time, it is told when
    /// one does.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorCode::Unavailable) or [`Timeout`](crate::ErrorCode::Timeout); [`Closed`](crate::ErrorCode::Closed).
    pub async fn deregister(mut self) -> Result<(), Error> {
        let client = Arc::clone(&self.client);
        let result = client.session.deregister(&self.standing).await;
        // Said: from here on the redo log remembers. Before, dropping this future still says it.
        self.armed = false;
        result
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.armed {
            let standing = &self.standing;
            self.client
                .session
                .deregister_in_background(&standing.name, standing.owner);
        }
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("service", self.service())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use quorate_types::ErrorCode;

    use super::*;

    #[test]
    fn what_can_never_be_right_is_refused_before_it_is_sent() {
        let refused = |registration: Registration| {
            let error = registration.check("default").unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            error.message().to_owned()
        };
        let web = || Registration::new("web", "h:1");
        assert!(refused(Registration::new("a b", "h:1")).contains("service name"));
        assert!(refused(Registration::new("web", "h")).contains("port"));
        assert!(refused(web().id("")).contains("id"));
        assert!(refused(web().ttl(Duration::ZERO)).contains("TTL"));
        assert!(refused(web().ttl(Duration::MAX)).contains("TTL"));
        assert!(refused(web().metadata("", "x")).contains("key"));
        assert!(refused(web().zone("x".repeat(200))).contains("zone"));
    }

    #[test]
    fn defaults_are_those_of_an_instance() {
        let (service, instance) = Registration::new("web", "h:1").check("team").unwrap();
        assert_eq!(service.to_string(), "team/web");
        assert_eq!(instance, Instance::new("h:1"));
    }
}
