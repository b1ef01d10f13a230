//! What is known about one endpoint. Atomics only: picks and reports of all threads meet here.

use crate::breaker;
use crate::call::Outcome;
use crate::config::BreakerConfig;
use crate::gate::{AtomicGate, Event, Gate};
use crate::latency::PeakEwma;
use crate::moment::Moment;
use crate::window::{Count, Window};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Lives longer than the snapshots that point to it. Aligned, so that two busy endpoints share no cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct EndpointStats {
    pub(crate) gate: AtomicGate,
    pub(crate) latency: PeakEwma,
    outstanding: AtomicU32,
    /// Failures in a row.
    row: AtomicU32,
    /// How often the breaker tripped since it last closed: each wait is longer.
    trips: AtomicU32,
    /// How often the sweep ejected it lately: each ejection is longer.
    ejections: AtomicU32,
    pub(crate) window: Window,
}

/// What a report did to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shift {
    /// It shut.
    Shut,
    /// It opened again.
    Reopened,
}

/// One report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) outcome: Outcome,
    pub(crate) latency: Duration,
    pub(crate) now: Moment,
    /// Whether this request was the probe.
    pub(crate) probe: bool,
}

impl EndpointStats {
    /// Requests under way.
    pub(crate) fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// A request begins.
    pub(crate) fn begin(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
    }

    /// A request ends.
    pub(crate) fn end(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a report in. `chance` gives a number in 0..1 if a wait needs jitter.
    pub(crate) fn record(
        &self,
        config: &BreakerConfig,
        report: Report,
        chance: impl Fn() -> f64,
    ) -> Option<Shift> {
        match report.outcome {
            Outcome::Cancelled => {
                if report.probe {
                    self.gate.apply(Event::Cancelled {
                        now: report.now.as_millis(),
                    });
                }
                None
            }
            Outcome::Ok => self.succeeded(report),
            Outcome::Overloaded { retry_after } => self.failed(config, report, retry_after, chance),
            Outcome::Fail | Outcome::Timeout | Outcome::ConnectFail => {
                self.failed(config, report, None, chance)
            }
        }
    }

    fn succeeded(&self, report: Report) -> Option<Shift> {
        // Read first: a store would claim the cache line on every success.
        if self.row.load(Ordering::Relaxed) != 0 {
            self.row.store(0, Ordering::Relaxed);
        }
        if report.probe && self.gate.apply(Event::Passed).is_some() {
            // A clean slate, or the failures of before would trip it again, and their penalty keep it starved.
            self.trips.store(0, Ordering::Relaxed);
            self.window.clear();
            self.window.add(Count::First, report.now);
            self.latency.restart(report.latency, report.now);
            return Some(Shift::Reopened);
        }
        self.window.add(Count::First, report.now);
        self.latency.record(report.latency, report.now);
        None
    }

    fn failed(
        &self,
        config: &BreakerConfig,
        report: Report,
        retry_after: Option<Duration>,
        chance: impl Fn() -> f64,
    ) -> Option<Shift> {
        self.latency.penalise(retry_after, report.now);
        self.window.add(Count::Second, report.now);
        let row = match breaker::step(config, report.outcome) {
            Some(step) => self
                .row
                .fetch_add(step, Ordering::Relaxed)
                .saturating_add(step),
            None => self.row.load(Ordering::Relaxed),
        };
        if !report.probe
            && (self.gate.load() != Gate::Closed
                || !breaker::trips(config, row, self.window.totals(report.now)))
        {
            return None;
        }
        let wait = breaker::backoff(config, self.trips.load(Ordering::Relaxed), chance());
        let until = report.now.after(wait).as_millis();
        let event = if report.probe {
            Event::Failed { until }
        } else {
            Event::Trip { until }
        };
        self.gate.apply(event)?;
        self.trips.fetch_add(1, Ordering::Relaxed);
        self.row.store(0, Ordering::Relaxed);
        (!report.probe).then_some(Shift::Shut)
    }

    /// Shuts an outlier; for how long depends on how often that happened. Whether it was open before.
    pub(crate) fn eject(&self, until: impl Fn(u32) -> Moment) -> bool {
        let times = self.ejections.load(Ordering::Relaxed).saturating_add(1);
        let ejected = self
            .gate
            .apply(Event::Eject {
                until: until(times).as_millis(),
            })
            .is_some();
        if ejected {
            self.ejections.store(times, Ordering::Relaxed);
        }
        ejected
    }

    /// A sweep found nothing wrong: the next ejection is shorter.
    pub(crate) fn forgive(&self) {
        let times = self.ejections.load(Ordering::Relaxed);
        self.ejections
            .store(times.saturating_sub(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cache_lines() {
        assert_eq!(
            (size_of::<EndpointStats>(), align_of::<EndpointStats>()),
            (128, 64)
        );
    }

    fn report(stats: &EndpointStats, outcome: Outcome, millis: u64, probe: bool) -> Option<Shift> {
        let report = Report {
            outcome,
            latency: Duration::from_millis(2),
            now: Moment::from_millis(millis),
            probe,
        };
        stats.record(&BreakerConfig::default(), report, || 0.0)
    }

    #[test]
    fn a_life_of_a_breaker() {
        let stats = EndpointStats::default();
        for _ in 0..4 {
            assert_eq!(report(&stats, Outcome::Fail, 0, false), None);
        }
        assert_eq!(report(&stats, Outcome::Fail, 0, false), Some(Shift::Shut));
        assert_eq!(stats.gate.load(), Gate::Tripped { until: 1000 });
        // What was under way before changes nothing.
        assert_eq!(report(&stats, Outcome::Ok, 10, false), None);
        for _ in 0..9 {
            assert_eq!(report(&stats, Outcome::Fail, 20, false), None);
        }
        assert_eq!(stats.gate.load(), Gate::Tripped { until: 1000 });
        // The probe fails: twice as long.
        stats.gate.apply(Event::Claim {
            now: 1000,
            lost_at: 11_000,
        });
        assert_eq!(report(&stats, Outcome::Timeout, 1500, true), None);
        assert_eq!(stats.gate.load(), Gate::Tripped { until: 3500 });
        // The next is given up: at once due again.
        stats.gate.apply(Event::Claim {
            now: 3500,
            lost_at: 13_500,
        });
        assert_eq!(report(&stats, Outcome::Cancelled, 4000, true), None);
        assert_eq!(stats.gate.load(), Gate::Tripped { until: 4000 });
        // The third passes: everything is forgotten.
        stats.gate.apply(Event::Claim {
            now: 4000,
            lost_at: 14_000,
        });
        assert_eq!(
            report(&stats, Outcome::Ok, 4002, true),
            Some(Shift::Reopened)
        );
        assert_eq!(stats.gate.load(), Gate::Closed);
        assert_eq!(stats.window.totals(Moment::from_millis(4002)), (1, 0));
        assert_eq!(stats.latency.load().nanos(), Some(2e6));
        for _ in 0..4 {
            assert_eq!(report(&stats, Outcome::Fail, 4100, false), None);
        }
        assert_eq!(
            report(&stats, Outcome::Fail, 4100, false),
            Some(Shift::Shut)
        );
        assert_eq!(stats.gate.load(), Gate::Tripped { until: 5100 });
    }

    #[test]
    fn two_refused_connects_are_enough() {
        let stats = EndpointStats::default();
        assert_eq!(report(&stats, Outcome::ConnectFail, 0, false), None);
        assert_eq!(
            report(&stats, Outcome::ConnectFail, 0, false),
            Some(Shift::Shut)
        );
    }

    #[test]
    fn a_success_ends_the_row() {
        let stats = EndpointStats::default();
        for _ in 0..5 {
            assert_eq!(report(&stats, Outcome::ConnectFail, 0, false), None);
            assert_eq!(report(&stats, Outcome::Ok, 0, false), None);
        }
    }

    #[test]
    fn overload_trips_by_rate_only() {
        let stats = EndpointStats::default();
        let overloaded = Outcome::Overloaded { retry_after: None };
        for _ in 0..19 {
            assert_eq!(report(&stats, overloaded, 0, false), None);
        }
        assert_eq!(report(&stats, overloaded, 0, false), Some(Shift::Shut));
    }

    #[test]
    fn ejections_grow_and_are_forgiven() {
        let stats = EndpointStats::default();
        let until = |times: u32| Moment::from_millis(u64::from(times));
        assert!(stats.eject(until));
        assert!(!stats.eject(until));
        assert_eq!(stats.gate.load(), Gate::Ejected { until: 1 });
        stats.gate.apply(Event::Expire { now: 1 });
        assert!(stats.eject(until));
        assert_eq!(stats.gate.load(), Gate::Ejected { until: 2 });
        stats.gate.apply(Event::Expire { now: 2 });
        stats.forgive();
        stats.forgive();
        stats.forgive();
        assert!(stats.eject(until));
        assert_eq!(stats.gate.load(), Gate::Ejected { until: 1 });
    }
}
