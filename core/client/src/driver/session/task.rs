//! The task behind a session: feeds the engine with messages and the time, and carries out what it
//! decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quorate_types::ServiceKey;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::link::{Link, LinkEvent};
use super::{Core, Shared, patience};
use crate::discovery::service::{Confirmed, Published, Service};
use crate::driver::disk::{Disk, Kept};
use crate::driver::now;
use crate::driver::servers::Servers;
use crate::engine::session::{Output, Parting};
use crate::engine::view::CacheState;
use crate::error::Failure;

/// Between two looks at what only time changes: breakers, warm-up, the disk, idle services.
const TICK: Duration = Duration::from_secs(1);
/// Files read at a time.
const LOADS_AT_ONCE: usize = 8;

/// The task's own things.
pub(crate) struct Task {
    shared: Arc<Shared>,
    servers: Servers,
    disk: Option<Disk>,
    closing: CancellationToken,
    /// How long closing may take.
    close_within: Duration,
    random: fastrand::Rng,
    link: Link,
    /// Files being read.
    loads: JoinSet<(ServiceKey, Option<Kept>)>,
    /// Those not read yet at the last tick.
    slow_loads: BTreeSet<ServiceKey>,
    /// When what was read from disk was written.
    written: BTreeMap<ServiceKey, SystemTime>,
    /// Views to be written.
    unsaved: BTreeSet<ServiceKey>,
    saving: JoinSet<()>,
    unreachable: Option<Arc<str>>,
    ticks: u64,
    closed: bool,
}

impl Task {
    pub(crate) fn new(
        shared: Arc<Shared>,
        servers: Servers,
        disk: Option<Disk>,
        closing: CancellationToken,
        close_within: Duration,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            shared,
            servers,
            disk,
            closing,
            close_within,
            random,
            link: Link::None,
            loads: JoinSet::new(),
            slow_loads: BTreeSet::new(),
            written: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            saving: JoinSet::new(),
            unreachable: None,
            ticks: 0,
            closed: false,
        }
    }

    /// Runs until the client is closed.
    pub(crate) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = self.closing.clone();
        if let Some(disk) = self.disk.clone() {
            self.saving.spawn_blocking(move || disk.sweep());
        }
        let mut told_to_close = false;
        loop {
            let (timer, awaits_room) = self.act();
            if self.closed {
                break;
            }
            let busy = !self.shared.services().is_empty();
            tokio::select! {
                biased;
                event = self.link.event(awaits_room) => self.heard(event),
                () = closing.cancelled(), if !told_to_close => {
                    told_to_close = true;
                    let mut core = self.shared.core.lock();
                    core.engine.close(now(), patience(self.close_within));
                    core.settle();
                }
                () = self.shared.wake.notified() => {}
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {}
                Some(loaded) = self.loads.join_next() => {
                    if let Ok((service, found)) = loaded {
                        self.loaded(&service, found);
                    }
                }
                Some(_) = self.saving.join_next() => {}
                _ = tick.tick(), if busy => self.tick(),
            }
        }
        self.save();
        while self.saving.join_next().await.is_some() {}
        self.save();
        while self.saving.join_next().await.is_some() {}
    }

    /// Does everything that can be done now; gives the next moment of the engine, and whether it
    /// has more to say than the stream can take.
    fn act(&mut self) -> (Option<Instant>, bool) {
        loop {
            let shared = Arc::clone(&self.shared);
            let mut core = shared.core.lock();
            let now = now();
            if core.engine.next_timer().is_some_and(|at| at <= now) {
                core.engine.timer(now);
            }
            while self.link.has_room() {
                match core.engine.next_message(now) {
                    Some(message) => self.link.send(message),
                    None => break,
                }
            }
            core.settle();
            let outputs = std::mem::take(&mut core.outputs);
            while self.loads.len() < LOADS_AT_ONCE
                && let Some(service) = core.loads.pop()
            {
                self.load(service);
            }
            if outputs.is_empty() {
                let full = matches!(self.link, Link::Open { .. }) && !self.link.has_room();
                return (core.engine.next_timer().map(Instant::from), full);
            }
            let changed = self.publications(&core, &outputs);
            drop(core);
            for (service, published) in changed {
                self.publish(&service, published);
            }
            for output in outputs {
                self.carry_out(output);
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Connect => self.link = Link::search(self.servers.clone(), &mut self.random),
            Output::Opened => {
                if let Some(server) = self.link.server() {
                    self.servers.succeeded(server);
                }
            }
            Output::Disconnect(parting) => {
                if let Some(server) = self.link.server() {
                    match parting {
                        Parting::Failed => self.servers.failed(server, None),
                        Parting::Drained(after) => self.servers.failed(server, Some(after)),
                        Parting::Rotated => self.servers.leave(server),
                        Parting::Closed => {}
                    }
                }
                self.link = Link::None;
            }
            Output::Closed => self.closed = true,
            // Published, or answered, before.
            Output::Changed(_) | Output::Notice(_) => {}
        }
    }

    fn heard(&mut self, event: LinkEvent) {
        let mut core = self.shared.core.lock();
        match event {
            LinkEvent::Found => core.engine.dialled(now()),
            LinkEvent::Message(message) => {
                self.shared.clock.hear();
                core.engine.received(now(), message);
            }
            LinkEvent::Ended(status) => {
                let address = self
                    .link
                    .server()
                    .map(|server| self.servers.address(server));
                let address = address.unwrap_or("the server");
                let why = match status {
                    Some(status) => Failure::from_status(&status).cause,
                    None => "the server ended the session".to_owned(),
                };
                core.engine.ended(now(), &format!("{address}: {why}"));
            }
            LinkEvent::Room => {}
        }
        core.settle();
    }

    /// What is to be published: the services the outputs name, or all if the servers' being
    /// reachable changed.
    fn publications(&mut self, core: &Core, outputs: &[Output]) -> Vec<(Arc<Service>, Published)> {
        let closed = outputs.contains(&Output::Closed);
        let unreachable = core.engine.last_failure();
        let turned = unreachable.is_some() != self.unreachable.is_some();
        if unreachable != self.unreachable.as_deref() {
            self.unreachable = unreachable.map(Arc::from);
        }
        let services = self.shared.services();
        if turned || closed {
            return services
                .values()
                .filter_map(|service| {
                    Some((Arc::clone(service), self.read(core, service, closed)?))
                })
                .collect();
        }
        let changed: BTreeSet<&ServiceKey> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Changed(service) => Some(service),
                _ => None,
            })
            .collect();
        changed
            .into_iter()
            .filter_map(|key| services.get(key.name()))
            .filter_map(|service| Some((Arc::clone(service), self.read(core, service, closed)?)))
            .collect()
    }

    fn read(&self, core: &Core, service: &Service, closed: bool) -> Option<Published> {
        let subscription = core.engine.subscription(&service.key)?;
        let view = &subscription.view;
        let state = view.state(subscription.in_contact);
        let before = service.published();
        Some(Published {
            instances: Arc::clone(view.instances()),
            departures: Arc::clone(view.departures()),
            state,
            version: view.version(),
            complete: view.complete(),
            confirmed: match (state, before.confirmed) {
                (Some(CacheState::Live), _) => Confirmed::Live,
                (Some(CacheState::Stale), Confirmed::Live) => Confirmed::At(service.heard()),
                (Some(CacheState::Stale), before) => before,
                (Some(CacheState::Snapshot), _) => self
                    .written
                    .get(&service.key)
                    .map_or(Confirmed::Never, |at| Confirmed::Written(*at)),
                (Some(CacheState::Static) | None, _) => Confirmed::Never,
            },
            resyncs: subscription.resyncs,
            refused: subscription.refused.clone(),
            unreachable: self.unreachable.clone(),
            closed,
        })
    }

    fn publish(&mut self, service: &Arc<Service>, published: Published) {
        let live = published.state == Some(CacheState::Live);
        let before = service.published();
        if live && before.version != published.version && self.disk.is_some() {
            self.unsaved.insert(service.key.clone());
        }
        service.publish(published);
    }

    fn load(&mut self, service: ServiceKey) {
        let disk = self.disk.clone();
        self.loads.spawn_blocking(move || {
            let found = disk.and_then(|disk| disk.load(&service));
            (service, found)
        });
    }

    fn loaded(&mut self, service: &ServiceKey, found: Option<Kept>) {
        if let Some(found) = &found {
            self.written.insert(service.clone(), found.written_at);
        }
        let found = found.map(|found| (found.cluster, found.snapshot));
        let mut core = self.shared.core.lock();
        core.engine.loaded(service, found);
        core.settle();
    }

    /// Asks the server without what the disk may have, if that takes longer than from one tick to
    /// the next: a disk that hangs must not stop discovery.
    fn hurry_loads(&mut self) {
        let mut core = self.shared.core.lock();
        if self.loads.is_empty() && core.loads.is_empty() {
            self.slow_loads.clear();
            return;
        }
        let loading = core.engine.loading();
        for service in loading.intersection(&self.slow_loads) {
            tracing::warn!(%service, "the cache directory does not answer; asking the server");
            core.engine.loaded(service, None);
        }
        core.settle();
        self.slow_loads = loading;
    }

    /// Starts writing what changed, unless that is still under way: then the next tick will, and
    /// only the newest of each service is written.
    fn save(&mut self) {
        let Some(disk) = self.disk.clone() else {
            return;
        };
        if !self.saving.is_empty() || self.unsaved.is_empty() {
            return;
        }
        let core = self.shared.core.lock();
        let Some(cluster) = core.engine.cluster() else {
            return;
        };
        let written_at = SystemTime::now();
        let views: Vec<(ServiceKey, Kept)> = std::mem::take(&mut self.unsaved)
            .into_iter()
            .filter_map(|key| {
                let snapshot = core.engine.subscription(&key)?.view.to_snapshot();
                let kept = Kept {
                    cluster,
                    written_at,
                    snapshot,
                };
                Some((key, kept))
            })
            .collect();
        drop(core);
        self.saving.spawn_blocking(move || {
            for (service, view) in views {
                disk.save(&service, view);
            }
        });
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let moment = self.shared.clock.moment();
        for service in self.shared.services().values() {
            if service.balancer.needs_tick() {
                service.balancer.tick(moment);
            }
        }
        self.hurry_loads();
        self.save();
        if self.ticks.is_multiple_of(60) {
            self.shared.forget_idle(moment);
            let services = self.shared.services();
            self.written
                .retain(|key, _| services.contains_key(key.name()));
        }
    }
}

impl Drop for Task {
    /// Usually everything is said by now. But the runtime may end first, and then nobody else
    /// tells those who wait on another one.
    fn drop(&mut self) {
        let mut core = self.shared.core.lock();
        core.closed = true;
        core.standings.clear();
        let unanswered = std::mem::take(&mut core.answers);
        drop(core);
        drop(unanswered);
        for service in self.shared.services().values() {
            let published = service.published();
            if !published.closed {
                service.publish(Published {
                    closed: true,
                    ..Published::clone(&published)
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Options;
    use crate::driver::session::tests::{options, start};

    #[tokio::test]
    async fn a_disk_that_hangs_does_not_stop_discovery() {
        let (driver, mut task) = start(&Options {
            cache_dir: Some("never-read".into()),
            ..options()
        });
        let service = ServiceKey::new("", "web").unwrap();
        driver.follow(service.clone()).unwrap();
        let loading = || driver.shared.core.lock().engine.loading();
        task.tick();
        assert!(loading().contains(&service), "it has its time");
        task.tick();
        assert!(loading().is_empty(), "the server is asked");
    }
}
