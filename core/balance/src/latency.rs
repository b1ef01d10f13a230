//! Peak EWMA: a latency estimate that believes bad news at once and good news slowly (Finagle's, and linkerd's).
//!
//! A sample above the estimate replaces it; one below pulls it down by how much time has passed:
//! `estimate · e^(−Δt/τ) + sample · (1 − e^(−Δt/τ))`, τ = 10 s. A failure is recorded as a penalty and never as the
//! time it took, or the endpoint that fails fastest would draw the traffic.
//!
//! An endpoint without a sample counts as 1 s if it has requests under way; its first sample replaces that guess.

use crate::moment::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The decay time, in nanoseconds.
const TAU: f32 = 10e9;
/// What an endpoint without a sample is taken for, in nanoseconds.
pub(crate) const SEED: f32 = 1e9;
/// Nothing is faster than this, in nanoseconds: differences below are noise.
const FLOOR: f32 = 1e6;
/// What a failure is recorded as.
const PENALTY: Duration = Duration::from_secs(5);
/// The longest penalty an overloaded endpoint can ask for.
const MAX_PENALTY: Duration = Duration::from_secs(300);

/// Time is kept in units of 2²⁰ ns (1.05 ms) in 32 bits: they wrap after 52 days.
const UNIT_BITS: u32 = 20;
const UNIT: f32 = (1_u32 << UNIT_BITS) as f32;
/// A difference within this of wrapping is a late report of the past minute, and not 52 days.
const LATE: u32 = 60_000;

/// An estimate and when it was last touched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// Nanoseconds. 0 if there was no sample.
    nanos: f32,
    stamp: u32,
}

impl Estimate {
    /// The estimate in nanoseconds, if there was a sample.
    pub(crate) fn nanos(self) -> Option<f32> {
        (self.nanos > 0.0).then_some(self.nanos)
    }

    /// How much of it time has left: 1 when it is fresh, towards 0 as it ages.
    pub(crate) fn freshness(self, now: Moment) -> f32 {
        decay(units_between(self.stamp, stamp(now)))
    }

    fn after(self, sample: f32, now: Moment) -> Self {
        let sample = sample.max(FLOOR);
        let now = stamp(now);
        let passed = units_between(self.stamp, now);
        if sample > self.nanos {
            return Self {
                nanos: sample,
                stamp: now,
            };
        }
        if passed == 0 {
            // Kept as it is, stamp included, so that many samples within a unit of time still add up to its passing.
            return self;
        }
        let kept = decay(passed);
        Self {
            nanos: self.nanos * kept + sample * (1.0 - kept),
            stamp: now,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.nanos.to_bits()) << 32 | u64::from(self.stamp)
    }

    fn unpack(word: u64) -> Self {
        Self {
            nanos: f32::from_bits((word >> 32) as u32),
            stamp: word as u32,
        }
    }
}

fn stamp(now: Moment) -> u32 {
    (now.as_nanos() >> UNIT_BITS) as u32
}

fn units_between(earlier: u32, later: u32) -> u32 {
    let units = later.wrapping_sub(earlier);
    if units > u32::MAX - LATE { 0 } else { units }
}

fn decay(units: u32) -> f32 {
    (-(units as f32) * UNIT / TAU).exp()
}

/// An estimate that threads share.
#[derive(Debug, Default)]
pub(crate) struct PeakEwma(AtomicU64);

impl PeakEwma {
    /// The estimate now.
    pub(crate) fn load(&self) -> Estimate {
        Estimate::unpack(self.0.load(Ordering::Relaxed))
    }

    /// A request that went well took this long.
    pub(crate) fn record(&self, latency: Duration, now: Moment) {
        self.update(|estimate| estimate.after(latency.as_nanos() as f32, now));
    }

    /// A request failed. Never makes an endpoint look faster than it did.
    pub(crate) fn penalise(&self, retry_after: Option<Duration>, now: Moment) {
        let penalty = retry_after.unwrap_or(PENALTY).min(MAX_PENALTY).as_nanos() as f32;
        self.update(|estimate| estimate.after(penalty.max(estimate.nanos), now));
    }

    /// Forgets the past: a probe went well, and its latency is all that counts.
    pub(crate) fn restart(&self, latency: Duration, now: Moment) {
        self.update(|_| {
            Estimate {
                nanos: 0.0,
                stamp: 0,
            }
            .after(latency.as_nanos() as f32, now)
        });
    }

    fn update(&self, change: impl Fn(Estimate) -> Estimate) {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let next = change(Estimate::unpack(word)).pack();
            if next == word {
                return;
            }
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(actual) => word = actual,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn millis(ewma: &PeakEwma) -> f32 {
        ewma.load().nanos().unwrap() / 1e6
    }

    #[test]
    fn the_first_sample_is_the_estimate() {
        let ewma = PeakEwma::default();
        assert_eq!(ewma.load().nanos(), None);
        ewma.record(20 * MS, at(5));
        assert_eq!(millis(&ewma), 20.0);
    }

    #[test]
    fn peaks_count_at_once_and_fade_with_time() {
        let ewma = PeakEwma::default();
        ewma.record(20 * MS, at(0));
        ewma.record(100 * MS, at(1));
        assert_eq!(millis(&ewma), 100.0);
        ewma.record(20 * MS, at(10_001));
        let expected = 20.0 + 80.0 * (-1.0_f32).exp();
        assert!((millis(&ewma) - expected).abs() < 0.1, "{}", millis(&ewma));
    }

    #[test]
    fn many_samples_fade_like_one() {
        let ewma = PeakEwma::default();
        ewma.record(100 * MS, at(0));
        for tenth in 1..=100_000_u64 {
            ewma.record(20 * MS, Moment::from_nanos(tenth * 100_000));
        }
        let expected = 20.0 + 80.0 * (-1.0_f32).exp();
        assert!((millis(&ewma) - expected).abs() < 0.5, "{}", millis(&ewma));
    }

    #[test]
    fn below_a_millisecond_all_are_equal() {
        let ewma = PeakEwma::default();
        ewma.record(Duration::from_micros(3), at(0));
        assert_eq!(millis(&ewma), 1.0);
    }

    #[test]
    fn a_failure_costs_five_seconds_or_what_was_asked() {
        for (asked, expected) in [
            (None, 5e3),
            (Some(Duration::from_secs(60)), 6e4),
            (Some(Duration::MAX), 3e5),
        ] {
            let ewma = PeakEwma::default();
            ewma.penalise(asked, at(0));
            assert_eq!(millis(&ewma).round(), expected);
        }
    }

    #[test]
    fn a_failure_never_helps() {
        let ewma = PeakEwma::default();
        ewma.record(Duration::from_secs(30), at(0));
        ewma.penalise(Some(MS), at(20_000));
        assert_eq!(millis(&ewma).round(), 30_000.0);
    }

    #[test]
    fn late_reports_do_not_age_the_estimate() {
        let ewma = PeakEwma::default();
        ewma.record(100 * MS, at(50_000));
        ewma.record(20 * MS, at(40_000));
        assert_eq!(millis(&ewma), 100.0);
        assert_eq!(ewma.load().freshness(at(40_000)), 1.0);
        // The estimate is as old as its newest sample.
        assert!((ewma.load().freshness(at(60_000)) - (-1.0_f32).exp()).abs() < 0.001);
    }

    #[test]
    fn a_restart_forgets() {
        let ewma = PeakEwma::default();
        ewma.penalise(None, at(0));
        ewma.restart(7 * MS, at(1));
        assert_eq!(millis(&ewma), 7.0);
    }
}
