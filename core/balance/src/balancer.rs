//! The public face: update, pick, report, tick.

use crate::breaker::stretched;
use crate::call::{Outcome, PickContext, PickError, Picked, Why};
use crate::config::BalancerConfig;
use crate::endpoint::{EndpointSpec, EndpointState, EndpointView};
use crate::gate::{Event, Gate};
use crate::moment::Moment;
use crate::outlier::{self, Record};
use crate::retry_budget::RetryBudget;
use crate::roster::Roster;
use crate::snapshot::{Member, Shared, Snapshot};
use crate::stats::{Report, Shift};
use crate::ticket::{PickHandle, Ticket, Tickets};
use arc_swap::ArcSwap;
use fastrand::Rng;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Picks endpoints of one service. Shared by all threads; picks and reports take no lock.
///
/// Call [`update`](Self::update) when the endpoints change, and [`tick`](Self::tick) every second: breakers open and
/// close without it, but endpoints that warm up or come back get their share only by it.
pub struct Balancer<P> {
    config: BalancerConfig,
    current: ArcSwap<Snapshot<P>>,
    tickets: Tickets,
    budget: RetryBudget,
    /// The position of the round robin.
    sequence: AtomicU64,
    /// Whether a gate moved or somebody warms up since the last rebuild looked.
    restless: AtomicBool,
    writer: Mutex<Writer>,
}

/// What only updates and ticks touch.
#[derive(Debug, Default)]
struct Writer {
    roster: Roster,
    swept: Option<Moment>,
}

impl<P: Send + Sync> Balancer<P> {
    /// A balancer that knows no endpoints yet.
    #[must_use]
    pub fn new(config: BalancerConfig) -> Self {
        let empty = Snapshot::build(
            &config,
            Arc::from([]),
            Arc::from([]),
            None,
            Moment::default(),
        );
        Self {
            current: ArcSwap::from_pointee(empty),
            tickets: Tickets::new(config.max_outstanding),
            budget: RetryBudget::new(&config.retry_budget),
            // Clients that start together should not start with the same endpoint. Far from wrapping.
            sequence: AtomicU64::new(Rng::with_seed(config.seed).u64(..) >> 16),
            restless: AtomicBool::new(false),
            writer: Mutex::default(),
            config,
        }
    }

    /// What it was told.
    #[must_use]
    pub fn config(&self) -> &BalancerConfig {
        &self.config
    }

    /// Replaces the endpoints. Picks that run meanwhile see the old ones or the new ones.
    ///
    /// An endpoint keeps its statistics and the state of its breaker as long as its id and address stay the same, also
    /// if it is gone for less than a minute. Of several with one id, the last counts.
    pub fn update(&self, endpoints: Vec<EndpointSpec<P>>, now: Moment) {
        let mut writer = self.writer();
        let members = writer.roster.update(endpoints, now);
        self.rebuild(&writer, members.into(), now);
    }

    /// Picks an endpoint. No lock, and no allocation but the first time.
    ///
    /// # Errors
    /// [`PickError::NoEndpoints`] if there are none, or all have weight 0. Never because of bad health: if nobody is
    /// healthy, everybody is used.
    pub fn pick(&self, ctx: &PickContext<'_>, rng: &mut Rng) -> Result<Picked<P>, PickError> {
        let snapshot = self.current.load();
        let shared = Shared {
            sequence: &self.sequence,
            tickets: &self.tickets,
            probe_timeout: self.config.breaker.probe_timeout,
        };
        let (index, why) = snapshot.choose(shared, ctx, rng)?;
        let member = &snapshot.members[index];
        // Before the ticket: as long as there is one, the count is not 0, and the slot is not given away.
        member.stats.begin();
        let (handle, abandoned) = self.tickets.issue(Ticket {
            slot: member.slot,
            probe: why == Why::Probe,
        });
        if let Some(ticket) = abandoned {
            self.settle(ticket, Outcome::Cancelled, Duration::ZERO, ctx.now);
        }
        if ctx.exclude.is_empty() {
            self.budget.earn(ctx.now);
        }
        Ok(Picked {
            endpoint: member.endpoint.clone(),
            why,
            handle,
        })
    }

    /// Says how a picked call went, and how long it took. Counts once: `false` if this pick was reported before, or
    /// was pushed out by [`max_outstanding`](BalancerConfig::max_outstanding) later ones.
    pub fn report(
        &self,
        handle: PickHandle,
        outcome: Outcome,
        latency: Duration,
        now: Moment,
    ) -> bool {
        let Some(ticket) = self.tickets.redeem(handle) else {
            return false;
        };
        self.settle(ticket, outcome, latency, now);
        true
    }

    /// Whether the service can afford one more retry or hedge; takes it out of the budget if so. How often one request
    /// is retried is the caller's to count ([`MAX_REPICKS`](crate::MAX_REPICKS)).
    #[must_use]
    pub fn may_retry(&self, now: Moment) -> bool {
        self.budget.spend(now)
    }

    /// Picks so far.
    #[must_use]
    pub fn picks(&self) -> u64 {
        self.tickets.issued()
    }

    /// Whether the next [`tick`](Self::tick) may have something to do.
    #[must_use]
    pub fn needs_tick(&self) -> bool {
        self.restless.load(Ordering::Acquire) || self.sweeps()
    }

    /// What time does: to be called every second. Ends ejections, looks for outliers every 10 s, and rebuilds the
    /// snapshot while somebody warms up or is shut. Cheap if there is nothing to do.
    pub fn tick(&self, now: Moment) {
        let mut writer = self.writer();
        let due = writer
            .swept
            .is_none_or(|swept| now.since(swept) >= self.config.outlier.interval);
        if due && self.sweeps() {
            writer.swept = Some(now);
            self.sweep(now);
        }
        if self.restless.load(Ordering::Acquire) {
            let members = self.current.load().members.clone();
            self.rebuild(&writer, members, now);
        }
    }

    /// What is known about each endpoint, sorted by id.
    #[must_use]
    pub fn endpoints(&self, now: Moment) -> Vec<EndpointView> {
        let snapshot = self.current.load();
        snapshot
            .members
            .iter()
            .zip(&snapshot.shares)
            .map(|(m, share)| view(m, share.warmth, now))
            .collect()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic elsewhere leaves the roster valid: it is changed in whole steps.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rebuild(&self, writer: &Writer, members: Arc<[Member<P>]>, now: Moment) {
        // Cleared before the gates are read: a gate that moves from here on asks for another rebuild.
        self.restless.store(false, Ordering::SeqCst);
        for member in members.iter() {
            member.stats.gate.apply(Event::Expire {
                now: now.as_millis(),
            });
        }
        let previous = self.current.load_full();
        let next = Snapshot::build(
            &self.config,
            members,
            writer.roster.slots(),
            Some(&previous),
            now,
        );
        if next.restless {
            self.restless.store(true, Ordering::Release);
        }
        self.current.store(Arc::new(next));
    }

    fn settle(&self, ticket: Ticket, outcome: Outcome, latency: Duration, now: Moment) {
        let snapshot = self.current.load();
        // Slots are never taken away, so it is there.
        let Some(stats) = snapshot.slots.get(ticket.slot as usize) else {
            return;
        };
        stats.end();
        let report = Report {
            outcome,
            latency,
            now,
            probe: ticket.probe,
        };
        let shift = stats.record(&self.config.breaker, report, || {
            self.chance(ticket.slot, now)
        });
        if let Some(shift) = shift {
            // The count may miss a rebuild that runs now; the next one, within a second, counts afresh.
            snapshot.count_shut(if shift == Shift::Shut { 1 } else { -1 });
            self.restless.store(true, Ordering::Release);
        }
    }

    fn sweeps(&self) -> bool {
        self.config.outlier.enabled && self.current.load().weighted >= self.config.outlier.min_hosts
    }

    fn sweep(&self, now: Moment) {
        let config = &self.config.outlier;
        let snapshot = self.current.load();
        let open: Vec<&Member<P>> = snapshot
            .members
            .iter()
            .filter(|m| m.endpoint.weight > 0 && m.stats.gate.load() == Gate::Closed)
            .collect();
        let record = |m: &&Member<P>| {
            let (successes, failures) = m.stats.window.totals(now);
            Record {
                successes,
                failures,
            }
        };
        let records: Vec<Record> = open.iter().map(record).collect();
        let shut = snapshot.weighted - open.len();
        let worst = outlier::outliers(config, &records, shut, snapshot.weighted);
        for (index, member) in open.into_iter().enumerate() {
            if !worst.contains(&index) {
                // Only who was seen to do well: one that just came back has proven nothing yet.
                if records[index].is_enough(config) {
                    member.stats.forgive();
                }
                continue;
            }
            let chance = self.chance(member.slot, now);
            let until = |times| {
                now.after(stretched(
                    outlier::ejection(config, times),
                    config.jitter,
                    chance,
                ))
            };
            if member.stats.eject(until) {
                snapshot.count_shut(1);
                self.restless.store(true, Ordering::Release);
            }
        }
    }

    /// A number in 0..1 for jitter, other for each endpoint, time and client.
    fn chance(&self, slot: u32, now: Moment) -> f64 {
        Rng::with_seed(self.config.seed ^ now.as_nanos() ^ u64::from(slot) << 40).f64()
    }
}

fn view<P>(member: &Member<P>, warmth: f32, now: Moment) -> EndpointView {
    let (successes, failures) = member.stats.window.totals(now);
    EndpointView {
        id: member.endpoint.id.clone(),
        address: member.endpoint.address.clone(),
        weight: member.endpoint.weight,
        warmth,
        state: match member.stats.gate.load() {
            Gate::Closed => EndpointState::Serving,
            Gate::Tripped { until } => EndpointState::Tripped {
                until: Moment::from_millis(until),
            },
            Gate::Probing { .. } => EndpointState::Probation,
            Gate::Ejected { until } => EndpointState::Ejected {
                until: Moment::from_millis(until),
            },
        },
        outstanding: member.stats.outstanding(),
        latency: member
            .stats
            .latency
            .load()
            .nanos()
            .map(|nanos| Duration::from_nanos(nanos as u64)),
        successes,
        failures,
    }
}

impl<P> fmt::Debug for Balancer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer")
            .field("algorithm", &self.config.algorithm)
            .field("endpoints", &self.current.load().members.len())
            .field("outstanding", &self.tickets.outstanding())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
