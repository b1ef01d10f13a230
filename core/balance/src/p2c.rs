//! The better of two weighted draws, by peak EWMA latency and requests under way.
//!
//! Power of two choices compares cost = latency · (requests under way + 1). With weights, the obvious cost / weight is
//! wrong: the draws follow the weights already, and dividing by them counts them twice (3:1 becomes 15:1 when idle).
//! Nor may one just compare: an endpoint of three times the weight has three times the requests under way and sees
//! three times the latency peaks, so it would lose by chance alone. So the two parts of the cost are looked at apart,
//! and give a *lean*, the chance with which the first draw is kept; no lean keeps it, and the weights hold exactly.
//!
//! - **Queue.** Requests under way per weight are equal on average when shares follow weights. The lean is linear in
//!   their difference, because then chance cancels out: the mean of a difference is the difference of the means. The
//!   scale is wide enough that one request is never at the limit. Between equal weights chance cancels out by symmetry,
//!   so the scale shrinks, and the emptier one wins, as in plain power of two choices.
//! - **Latency.** Estimates within a factor of two are equal, which covers the peaks of the busier one; from a factor
//!   of four on, the faster one wins. An estimate fades with its age: what was slow is tried again, and a service
//!   with few calls keeps to its weights.
//!
//! Validated by simulation in `balancer/tests/shares.rs`: within 2 % of the weights from 1 to 256 callers, for constant,
//! uniform and exponential latencies.

use crate::latency::{Estimate, SEED};
use crate::moment::Moment;

/// Latencies closer than this factor count as equal.
const SAME: f32 = 2.0;
/// From this factor on, the faster one wins.
const DECISIVE: f32 = 4.0;
/// How fast the queue's scale grows as weights differ, and its least part.
const APART: f32 = 4.0;
const SHARP: f32 = 0.05;

/// What is compared of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) latency: Estimate,
    pub(crate) outstanding: f32,
    /// The mean weight divided by its own.
    pub(crate) unit: f32,
}

/// How much the first is to be preferred: −1 (never) to 1 (always); 0 keeps it, too, as often as the weights ask.
/// `queue` gives the mean number of requests under way per endpoint; it is asked only if these two have any, because
/// all threads write the counts behind it.
pub(crate) fn lean(first: Load, second: Load, queue: impl FnOnce() -> f32, now: Moment) -> f32 {
    (latency_lean(first, second, now) + queue_lean(first, second, queue)).clamp(-1.0, 1.0)
}

fn queue_lean(first: Load, second: Load, queue: impl FnOnce() -> f32) -> f32 {
    if first.outstanding == 0.0 && second.outstanding == 0.0 {
        return 0.0;
    }
    let units = first.unit + second.unit;
    let apart = (first.unit - second.unit).abs() / units;
    let scale = (queue() + units) * (apart * APART).clamp(SHARP, 1.0);
    (second.outstanding * second.unit - first.outstanding * first.unit) / scale
}

fn latency_lean(first: Load, second: Load, now: Moment) -> f32 {
    // Unknown and idle is worth a try. Unknown and busy is taken for slow until it answers.
    let guess = |load: Load| {
        load.latency
            .nanos()
            .or((load.outstanding > 0.0).then_some(SEED))
    };
    let (Some(a), Some(b)) = (guess(first), guess(second)) else {
        return 0.0;
    };
    let (slower, faster, sign) = if a > b { (a, b, -1.0) } else { (b, a, 1.0) };
    if slower < faster * SAME {
        return 0.0;
    }
    let known = |load: Load| {
        if load.latency.nanos().is_some() {
            load.latency.freshness(now)
        } else {
            1.0
        }
    };
    let excess = (slower / faster).ln() * known(first).min(known(second)) - SAME.ln();
    sign * (excess / (DECISIVE / SAME).ln()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::PeakEwma;
    use proptest::prelude::*;
    use std::time::Duration;

    fn load(millis: u64, outstanding: f32, unit: f32) -> Load {
        let ewma = PeakEwma::default();
        if millis > 0 {
            ewma.record(Duration::from_millis(millis), Moment::default());
        }
        Load {
            latency: ewma.load(),
            outstanding,
            unit,
        }
    }

    fn at_once(first: Load, second: Load) -> f32 {
        lean(first, second, || 1.0, Moment::default())
    }

    #[test]
    fn equals_do_not_lean() {
        assert_eq!(at_once(load(10, 0.0, 1.0), load(10, 0.0, 1.0)), 0.0);
        assert_eq!(at_once(load(10, 0.0, 0.3), load(19, 0.0, 5.0)), 0.0);
        // Three times the weight, three times the requests.
        assert!(at_once(load(10, 9.0, 1.0), load(10, 3.0, 3.0)).abs() < 1e-6);
    }

    #[test]
    fn of_equal_weights_the_emptier_wins() {
        assert_eq!(at_once(load(10, 3.0, 1.0), load(10, 2.0, 1.0)), -1.0);
        assert_eq!(at_once(load(10, 0.0, 1.0), load(10, 1.0, 1.0)), 1.0);
    }

    #[test]
    fn of_unequal_weights_one_request_is_no_verdict() {
        let lean = at_once(load(10, 0.0, 0.5), load(10, 1.0, 1.5));
        assert!(lean > 0.0 && lean < 1.0, "{lean}");
    }

    #[test]
    fn the_much_faster_wins() {
        assert_eq!(at_once(load(10, 0.0, 1.0), load(40, 0.0, 1.0)), 1.0);
        let lean = at_once(load(30, 0.0, 1.0), load(10, 0.0, 1.0));
        assert!(lean < 0.0 && lean > -1.0, "{lean}");
    }

    #[test]
    fn what_was_slow_is_tried_again() {
        let (fast, slow) = (load(10, 0.0, 1.0), load(1000, 0.0, 1.0));
        let later = |seconds: u64| lean(slow, fast, || 0.0, Moment::from_millis(seconds * 1000));
        assert_eq!(later(1), -1.0);
        assert!(later(15) > -1.0);
        assert_eq!(later(60), 0.0);
    }

    #[test]
    fn the_unknown_is_tried_once_at_a_time() {
        assert_eq!(at_once(load(0, 0.0, 1.0), load(10, 0.0, 1.0)), 0.0);
        assert_eq!(at_once(load(0, 1.0, 1.0), load(10, 1.0, 1.0)), -1.0);
        assert_eq!(at_once(load(0, 1.0, 1.0), load(0, 1.0, 1.0)), 0.0);
    }

    fn any_load() -> impl Strategy<Value = Load> {
        (0u64..400_000, 0u32..=u32::MAX, 1e-5f32..1e5)
            .prop_map(|(ms, pending, unit)| load(ms, pending as f32, unit))
    }

    proptest! {
        #[test]
        fn swapping_the_two_swaps_the_lean(a in any_load(), b in any_load(), queue in 0f32..1e9, ms in 0u64..100_000) {
            let now = Moment::from_millis(ms);
            let there = lean(a, b, || queue, now);
            prop_assert!((-1.0..=1.0).contains(&there));
            prop_assert_eq!(there, -lean(b, a, || queue, now));
        }
    }
}
