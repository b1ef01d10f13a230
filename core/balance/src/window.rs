//! Two counts over the last ten buckets of time, in ten atomics.

use crate::moment::Moment;
use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets in a window.
const BUCKETS: u64 = 10;
/// Length of a bucket: the window covers 10 s.
const BUCKET_MILLIS: u64 = 1000;
/// Seconds a window covers.
pub(crate) const WINDOW_SECONDS: u32 = (BUCKETS * BUCKET_MILLIS / 1000) as u32;
const COUNT_MAX: u64 = (1 << 24) - 1;

/// Which of the two counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Successes; of a retry budget, requests.
    First,
    /// Failures; of a retry budget, retries.
    Second,
}

/// Each bucket packs the number of its second (16 bits, so a bucket of an earlier turn is recognised; it wraps after
/// 18 hours) and two saturating counts (24 bits each).
#[derive(Debug, Default)]
pub(crate) struct Window {
    buckets: [AtomicU64; BUCKETS as usize],
}

impl Window {
    /// Counts one event.
    pub(crate) fn add(&self, count: Count, now: Moment) {
        // The condition never refuses.
        let _ = self.add_if(count, now, || true);
    }

    /// Counts one event if `allowed` says so after the newest bucket was read; events of the same moment cannot slip
    /// between the two. Whether it was counted.
    pub(crate) fn add_if(&self, count: Count, now: Moment, allowed: impl Fn() -> bool) -> bool {
        let second = now.as_millis() / BUCKET_MILLIS;
        let bucket = &self.buckets[(second % BUCKETS) as usize];
        let mut word = bucket.load(Ordering::Relaxed);
        loop {
            if !allowed() {
                return false;
            }
            let (stamp, mut first, mut other) = unpack(word);
            if stamp != second & 0xffff {
                (first, other) = (0, 0);
            }
            match count {
                Count::First => first = (first + 1).min(COUNT_MAX),
                Count::Second => other = (other + 1).min(COUNT_MAX),
            }
            let next = (second & 0xffff) << 48 | first << 24 | other;
            match bucket.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) => word = actual,
            }
        }
    }

    /// The two counts over the last 10 s.
    pub(crate) fn totals(&self, now: Moment) -> (u32, u32) {
        let second = now.as_millis() / BUCKET_MILLIS;
        self.buckets
            .iter()
            .fold((0, 0), |(all_first, all_second), bucket| {
                let (stamp, first, other) = unpack(bucket.load(Ordering::Relaxed));
                let age = second.wrapping_sub(stamp) & 0xffff;
                if age < BUCKETS {
                    (all_first + first as u32, all_second + other as u32)
                } else {
                    (all_first, all_second)
                }
            })
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
    }
}

fn unpack(word: u64) -> (u64, u64, u64) {
    (word >> 48, word >> 24 & COUNT_MAX, word & COUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forgets_after_ten_seconds() {
        let window = Window::default();
        window.add(Count::First, Moment::from_millis(500));
        window.add(Count::Second, Moment::from_millis(9_999));
        assert_eq!(window.totals(Moment::from_millis(9_999)), (1, 1));
        assert_eq!(window.totals(Moment::from_millis(10_000)), (0, 1));
        assert_eq!(window.totals(Moment::from_millis(60_000)), (0, 0));
    }

    #[test]
    fn counts_saturate() {
        let window = Window::default();
        window.buckets[0].store(COUNT_MAX, Ordering::Relaxed);
        window.add(Count::Second, Moment::default());
        window.add(Count::First, Moment::default());
        assert_eq!(window.totals(Moment::default()), (1, COUNT_MAX as u32));
    }

    #[test]
    fn clear_forgets() {
        let window = Window::default();
        window.add(Count::Second, Moment::from_millis(77_000));
        window.clear();
        assert_eq!(window.totals(Moment::from_millis(77_000)), (0, 0));
    }

    #[test]
    fn a_refused_event_is_not_counted() {
        let window = Window::default();
        assert!(!window.add_if(Count::First, Moment::from_millis(3000), || false));
        assert_eq!(window.totals(Moment::from_millis(3000)), (0, 0));
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_events(steps in prop::collection::vec((0u64..4000, any::<bool>()), 0..200), start in 0u64..200_000_000) {
            let window = Window::default();
            let (mut now, mut events) = (start, Vec::new());
            for (step, first) in steps {
                now += step;
                window.add(if first { Count::First } else { Count::Second }, Moment::from_millis(now));
                events.push((now / BUCKET_MILLIS, first));
                let alive = |wanted| {
                    events.iter().filter(|e| e.1 == wanted && e.0 + BUCKETS > now / BUCKET_MILLIS).count() as u32
                };
                prop_assert_eq!(window.totals(Moment::from_millis(now)), (alive(true), alive(false)));
            }
        }
    }
}
