//! The session with the registry: callers reach its engine through [`SessionDriver`], and one task
//! ([`task`]) gives it a stream, a clock and a disk.
//!
//! Callers lock the engine for the moment it takes to tell it what they want, then wake the task;
//! answers come back through one-shot channels. No lock is held while anything waits.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use quorate_balance::{BalancerConfig, Moment};
use quorate_types::{Error, ErrorCode, Instance, RemovalReason, ServiceKey};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use self::task::Task;
use super::disk::{Disk, DiskCounts};
use super::now;
use super::servers::Servers;
use crate::builder::Options;
use crate::discovery::service::{Clock, Service};
use crate::engine::session::registrations::{InstanceUpdate, Name, Notice, Owner};
use crate::engine::session::{Output, Session, Settings, Ticket};
use crate::engine::view::CacheState;
use crate::metrics::Metrics;
use crate::registration::Standing;

mod link;
pub(crate) mod task;
#[cfg(test)]
mod tests;

/// Most services one client follows at a time.
const MOST_SERVICES: usize = 10_000;
/// A service nobody used for this long is no longer followed.
const IDLE_MINUTES: u64 = 15;
/// With several servers, a session moves to another after this long on average, so that clients
/// spread again after a restart of one.
const ROTATE_AFTER: Duration = Duration::from_secs(600);

/// The followed services by name: all are of the client's namespace.
type Index = HashMap<Box<str>, Arc<Service>>;

/// What the session needs of the client's options.
#[derive(Clone, Debug)]
pub(crate) struct DiscoveryOptions {
    /// Instances to fall back on, by service.
    pub(crate) configured: HashMap<ServiceKey, Vec<Instance>>,
    pub(crate) balancer: BalancerConfig,
    /// Whether there is a cache on disk to be asked first.
    pub(crate) loads: bool,
}

/// The callers' side of the session; cheap to clone.
#[derive(Clone)]
pub(crate) struct SessionDriver {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) core: Mutex<Core>,
    /// The task must look again.
    pub(crate) wake: Notify,
    /// The followed services, to be looked up without a lock.
    index: ArcSwap<Index>,
    pub(crate) clock: Arc<Clock>,
    options: DiscoveryOptions,
    disk_counts: Arc<DiskCounts>,
}

/// What is behind the lock.
pub(crate) struct Core {
    pub(crate) engine: Session,
    answers: HashMap<Ticket, oneshot::Sender<Result<u64, Error>>>,
    standings: HashMap<Owner, Weak<Standing>>,
    /// For the task.
    pub(crate) outputs: Vec<Output>,
    /// Services whose file is to be read.
    pub(crate) loads: Vec<ServiceKey>,
    last_number: u64,
    random: fastrand::Rng,
    closed: bool,
}

impl SessionDriver {
    /// The session of a client with these options, and the task to be spawned for it.
    pub(crate) fn start(
        options: &Options,
        servers: &Servers,
        mut random: fastrand::Rng,
        closing: CancellationToken,
    ) -> Result<(Self, Task), Error> {
        let settings = Settings {
            client_id: format!("{:032x}", random.u128(..)),
            client_name: options.client_name.clone(),
            request_timeout: options.request_timeout,
            rotate_after: (servers.len() > 1).then_some(ROTATE_AFTER),
        };
        let configured = options
            .static_instances
            .iter()
            .map(|(name, instances)| {
                let key = ServiceKey::new(&options.namespace, name)?;
                Ok((key, instances.clone()))
            })
            .collect::<Result<_, Error>>()?;
        let discovery = DiscoveryOptions {
            configured,
            balancer: options.balancer.clone(),
            loads: options.cache_dir.is_some(),
        };
        let counts = Arc::new(DiskCounts::default());
        let disk = options
            .cache_dir
            .clone()
            .map(|directory| Disk::new(directory, Arc::clone(&counts)));
        let engine = Session::new(settings, random.fork());
        let driver = Self::new(engine, discovery, counts, random.fork());
        let task = Task::new(
            Arc::clone(&driver.shared),
            servers.clone(),
            disk,
            closing,
            options.request_timeout,
            random,
        );
        Ok((driver, task))
    }

    fn new(
        engine: Session,
        options: DiscoveryOptions,
        disk_counts: Arc<DiskCounts>,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                core: Mutex::new(Core {
                    engine,
                    answers: HashMap::new(),
                    standings: HashMap::new(),
                    outputs: Vec::new(),
                    loads: Vec::new(),
                    last_number: 0,
                    random,
                    closed: false,
                }),
                wake: Notify::new(),
                index: ArcSwap::default(),
                clock: Arc::new(Clock::new()),
                options,
                disk_counts,
            }),
        }
    }

    /// Registers an instance and waits until a server has it. If this future is dropped, nothing
    /// stays registered.
    pub(crate) async fn register(
        &self,
        service: ServiceKey,
        instance: Instance,
    ) -> Result<(Arc<Standing>, u64), Error> {
        let name = Name::new((service, instance.id.clone()));
        let (standing, waiting) = {
            let mut core = self.shared.core.lock();
            let (ticket, answer) = core.ticket()?;
            core.last_number += 1;
            let owner = core.last_number;
            let standing = Arc::new(Standing::new(Arc::clone(&name), owner));
            core.standings.insert(owner, Arc::downgrade(&standing));
            core.engine
                .register(now(), &name.0, instance, owner, ticket);
            core.settle();
            let waiting = Waiting {
                driver: self.clone(),
                ticket,
                answer: Some(answer),
                withdraw: Some((name, owner)),
            };
            (standing, waiting)
        };
        self.shared.wake.notify_one();
        let answer = waiting.wait().await;
        if answer.is_err() {
            self.shared.core.lock().standings.remove(&standing.owner);
        }
        let revision = answer?;
        standing.set_revision(revision);
        Ok((standing, revision))
    }

    /// Changes a registration and waits until a server has it.
    pub(crate) async fn update(
        &self,
        standing: &Standing,
        update: InstanceUpdate,
    ) -> Result<u64, Error> {
        self.ask(|core, ticket| {
            core.engine
                .update(now(), &standing.name, standing.owner, update, ticket);
        })?
        .wait()
        .await
    }

    /// Ends a registration and waits until a server knows.
    pub(crate) async fn deregister(&self, standing: &Standing) -> Result<(), Error> {
        self.ask(|core, ticket| {
            core.standings.remove(&standing.owner);
            core.engine
                .deregister(now(), &standing.name, standing.owner, Some(ticket));
        })?
        .wait()
        .await?;
        Ok(())
    }

    /// Ends a registration without waiting.
    pub(crate) fn deregister_in_background(&self, name: &Name, owner: Owner) {
        let mut core = self.shared.core.lock();
        core.standings.remove(&owner);
        if !core.closed {
            core.engine.deregister(now(), name, owner, None);
            core.settle();
        }
        drop(core);
        self.shared.wake.notify_one();
    }

    /// The service, followed from now on if it was not.
    pub(crate) fn follow(&self, key: ServiceKey) -> Result<Arc<Service>, Error> {
        let mut core = self.shared.core.lock();
        if core.closed {
            return Err(closed());
        }
        let index = self.shared.index.load_full();
        if let Some(service) = index.get(key.name()) {
            return Ok(Arc::clone(service));
        }
        if index.len() >= MOST_SERVICES {
            return Err(Error::new(
                ErrorCode::ResourceExhausted,
                format!("this client follows {MOST_SERVICES} services, the most one may follow"),
            ));
        }
        let mut balancer = self.shared.options.balancer.clone();
        balancer.seed = core.random.u64(..);
        let service = Arc::new(Service::new(
            key.clone(),
            Arc::clone(&self.shared.clock),
            balancer,
        ));
        let mut index = HashMap::clone(&index);
        index.insert(key.name().into(), Arc::clone(&service));
        self.shared.index.store(Arc::new(index));
        let options = &self.shared.options;
        let configured = options.configured.get(&key).cloned().unwrap_or_default();
        core.engine.follow(&key, configured, options.loads);
        if options.loads {
            core.loads.push(key);
        }
        core.settle();
        drop(core);
        self.shared.wake.notify_one();
        Ok(service)
    }

    /// The service, if it is followed.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Service>> {
        self.shared.index.load().get(name).cloned()
    }

    /// Adds what the session counts.
    pub(crate) fn count(&self, metrics: &mut Metrics) {
        let services = self.shared.services();
        let core = self.shared.core.lock();
        let session = core.engine.counts();
        let resyncs = core.engine.resync_counts();
        metrics.sessions_opened = session.opened;
        metrics.sessions_resumed = session.resumed;
        metrics.sessions_broken = session.broken;
        metrics.heartbeats = session.heartbeats;
        metrics.registrations = core.engine.registered() as u64;
        metrics.resyncs = resyncs.resyncs;
        metrics.hash_mismatches = resyncs.hash_mismatches;
        for service in services.values() {
            metrics.picks += service.balancer.picks();
            let Some(subscription) = core.engine.subscription(&service.key) else {
                continue;
            };
            let guards = subscription.view.counts();
            metrics.empties_refused += guards.empties_refused;
            metrics.shrinks_held += guards.shrinks_held;
            let counts = &mut metrics.services;
            *match subscription.view.state(subscription.in_contact) {
                None => &mut counts.unknown,
                Some(CacheState::Live) => &mut counts.live,
                Some(CacheState::Stale) => &mut counts.stale,
                Some(CacheState::Snapshot) => &mut counts.snapshot,
                Some(CacheState::Static) => &mut counts.configured,
            } += 1;
        }
        drop(core);
        let disk = &self.shared.disk_counts;
        metrics.cache_files_bad = disk.bad.load(Ordering::Relaxed);
        metrics.cache_files_written = disk.written.load(Ordering::Relaxed);
        metrics.cache_files_failed = disk.failed.load(Ordering::Relaxed);
    }

    fn ask(&self, question: impl FnOnce(&mut Core, Ticket)) -> Result<Waiting, Error> {
        let mut core = self.shared.core.lock();
        let (ticket, answer) = core.ticket()?;
        question(&mut core, ticket);
        core.settle();
        drop(core);
        self.shared.wake.notify_one();
        Ok(Waiting {
            driver: self.clone(),
            ticket,
            answer: Some(answer),
            withdraw: None,
        })
    }
}

impl Shared {
    /// All followed services.
    pub(crate) fn services(&self) -> Arc<Index> {
        self.index.load_full()
    }

    /// No longer follows services that nobody holds and nobody used for a while.
    pub(crate) fn forget_idle(&self, now: Moment) {
        let mut core = self.core.lock();
        let before = self.index.load_full();
        let idle = |service: &Service| service.idle_minutes(now) >= IDLE_MINUTES;
        // The index itself holds one.
        let mut leaving: Vec<_> = before
            .values()
            .filter(|service| Arc::strong_count(service) == 1 && idle(service))
            .cloned()
            .collect();
        if leaving.is_empty() {
            return;
        }
        let mut index = Index::clone(&before);
        for service in &leaving {
            index.remove(service.key.name());
        }
        drop(before);
        // Look-ups take no lock. Now they come here, and wait for it; those that began before hold
        // the service, or the old index and by it the service.
        drop(self.index.swap(Arc::new(index.clone())));
        leaving.retain_mut(|service| match Arc::get_mut(service) {
            Some(_) => {
                core.engine.leave(&service.key);
                false
            }
            None => true,
        });
        if !leaving.is_empty() {
            let kept = leaving.into_iter();
            index.extend(kept.map(|service| (service.key.name().into(), service)));
            self.index.store(Arc::new(index));
        }
        core.settle();
    }
}

impl Core {
    fn ticket(&mut self) -> Result<(Ticket, oneshot::Receiver<Result<u64, Error>>), Error> {
        if self.closed {
            return Err(closed());
        }
        self.last_number += 1;
        let (sender, receiver) = oneshot::channel();
        self.answers.insert(self.last_number, sender);
        Ok((self.last_number, receiver))
    }

    /// Hands answers to those who wait, and keeps the rest for the task.
    pub(crate) fn settle(&mut self) {
        for output in self.engine.take_outputs() {
            match output {
                Output::Notice(Notice::Answer(ticket, answer)) => {
                    if let Some(waiting) = self.answers.remove(&ticket) {
                        // Nobody there any more: the waiting side's drop cleans up.
                        let _ = waiting.send(answer);
                    }
                }
                Output::Notice(Notice::Standing(owner, revision)) => {
                    self.with_standing(owner, |standing| standing.set_revision(revision));
                }
                Output::Notice(Notice::Evicted(owner, reason)) => {
                    self.with_standing(owner, |standing| standing.set_evicted(reason));
                }
                Output::Closed => {
                    self.closed = true;
                    self.outputs.push(Output::Closed);
                }
                other => self.outputs.push(other),
            }
        }
    }

    fn with_standing(&mut self, owner: Owner, act: impl FnOnce(&Standing)) {
        match self.standings.get(&owner).map(Weak::upgrade) {
            Some(Some(standing)) => act(&standing),
            Some(None) => {
                self.standings.remove(&owner);
            }
            None => {}
        }
    }
}

/// A caller that waits for its answer, and what happens if it stops waiting.
struct Waiting {
    driver: SessionDriver,
    ticket: Ticket,
    answer: Option<oneshot::Receiver<Result<u64, Error>>>,
    /// A registration nobody would know how to end.
    withdraw: Option<(Name, Owner)>,
}

impl Waiting {
    async fn wait(mut self) -> Result<u64, Error> {
        let Some(answer) = self.answer.as_mut() else {
            return Err(closed());
        };
        // The sender only goes away unanswered with the task.
        let answer = answer.await.unwrap_or_else(|_| Err(closed()));
        self.answer = None;
        answer
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.answer.is_none() {
            return;
        }
        {
            let mut core = self.driver.shared.core.lock();
            // The answer may be there already, unread.
            if core.answers.remove(&self.ticket).is_some() {
                core.engine.abandon(self.ticket);
                core.settle();
            }
        }
        match &self.withdraw {
            Some((name, owner)) => self.driver.deregister_in_background(name, *owner),
            None => self.driver.shared.wake.notify_one(),
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the client was closed")
}

/// How long the clean end of a session may take, of the time closing may take.
pub(crate) fn patience(closing: Duration) -> Duration {
    closing.mul_f64(0.7)
}

impl Standing {
    fn set_revision(&self, revision: u64) {
        self.revision.store(revision, Ordering::Relaxed);
    }

    fn set_evicted(&self, reason: RemovalReason) {
        self.evicted.send_replace(Some(reason));
    }
}
