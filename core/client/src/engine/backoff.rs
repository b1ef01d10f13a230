//! Exponential backoff with full jitter: each wait is uniform between zero and a ceiling that
//! doubles (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

use std::time::Duration;

/// The ceiling of the first wait.
pub(crate) const FIRST: Duration = Duration::from_millis(100);
/// The ceiling of all later waits.
pub(crate) const MAX: Duration = Duration::from_secs(30);

/// Counts failures in a row; says how long to wait after each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(16)).min(MAX);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(rng.f64())
    }

    /// Call only after an answer: a connection alone proves little.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_spread_below_a_doubling_ceiling() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut longest = [Duration::ZERO; 12];
        for _ in 0..2000 {
            let mut backoff = Backoff::default();
            for slot in &mut longest {
                *slot = (*slot).max(backoff.next(&mut rng));
            }
        }
        let mut ceiling = FIRST;
        for slot in longest {
            assert!(
                slot <= ceiling && slot > ceiling.mul_f64(0.95),
                "{slot:?} {ceiling:?}"
            );
            ceiling = (ceiling * 2).min(MAX);
        }
    }

    #[test]
    fn it_never_overflows_and_starts_over_after_an_answer() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut backoff = Backoff { failures: u32::MAX };
        assert!(backoff.next(&mut rng) <= MAX);
        backoff.reset();
        assert!(backoff.next(&mut rng) <= FIRST);
    }
}
