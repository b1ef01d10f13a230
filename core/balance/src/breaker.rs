//! When one endpoint trips on its own record, and for how long.
//!
//! Failures in a row catch an endpoint that died; the rate over 10 s catches one that is half broken. An overloaded
//! answer counts in the rate only: it proves that somebody is there.

use crate::call::Outcome;
use crate::config::BreakerConfig;
use std::time::Duration;

/// What an outcome adds to the failures in a row; `None` leaves the row as it is.
pub(crate) fn step(config: &BreakerConfig, outcome: Outcome) -> Option<u32> {
    match outcome {
        Outcome::Fail | Outcome::Timeout => Some(1),
        Outcome::ConnectFail => Some(config.connect_failure_counts.max(1)),
        Outcome::Ok | Outcome::Overloaded { .. } | Outcome::Cancelled => None,
    }
}

/// Whether an endpoint with this record trips: failures in a row, successes and failures of the last 10 s.
pub(crate) fn trips(config: &BreakerConfig, row: u32, (successes, failures): (u32, u32)) -> bool {
    let requests = successes.saturating_add(failures);
    row >= config.consecutive_failures.max(1)
        || (requests >= config.min_requests.max(1)
            && f64::from(failures) >= config.failure_rate * f64::from(requests)
            && failures > 0)
}

/// How long to wait before the probe: twice as long with each trip since the last success, plus jitter, capped.
/// `chance` is in 0..1.
pub(crate) fn backoff(config: &BreakerConfig, trips_before: u32, chance: f64) -> Duration {
    let doubled = config
        .backoff
        .saturating_mul(1 << trips_before.min(16))
        .min(config.max_backoff);
    stretched(doubled, config.jitter, chance).min(config.max_backoff)
}

/// A duration and up to `jitter` of it more.
pub(crate) fn stretched(duration: Duration, jitter: f64, chance: f64) -> Duration {
    let part = (jitter.clamp(0.0, 1.0) * chance).clamp(0.0, 1.0);
    duration.saturating_add(Duration::from_nanos(
        (duration.as_nanos() as f64 * part) as u64,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> BreakerConfig {
        BreakerConfig::default()
    }

    #[test]
    fn a_row_of_failures_trips() {
        assert!(!trips(&config(), 4, (0, 4)));
        assert!(trips(&config(), 5, (1000, 5)));
    }

    #[test]
    fn a_rate_trips_only_with_enough_requests() {
        assert!(!trips(&config(), 1, (9, 10)));
        assert!(trips(&config(), 1, (10, 10)));
        assert!(!trips(&config(), 1, (11, 10)));
        assert!(!trips(
            &BreakerConfig {
                failure_rate: 1.1,
                ..config()
            },
            1,
            (0, 1000)
        ));
    }

    #[test]
    fn nothing_trips_without_a_failure() {
        assert!(!trips(
            &BreakerConfig {
                failure_rate: 0.0,
                min_requests: 0,
                ..config()
            },
            0,
            (100, 0)
        ));
        assert!(!trips(
            &BreakerConfig {
                consecutive_failures: 0,
                ..config()
            },
            0,
            (0, 0)
        ));
    }

    #[test]
    fn what_each_outcome_adds() {
        let adds = |outcome| step(&config(), outcome);
        assert_eq!(adds(Outcome::Fail), Some(1));
        assert_eq!(adds(Outcome::Timeout), Some(1));
        assert_eq!(adds(Outcome::ConnectFail), Some(3));
        assert_eq!(adds(Outcome::Overloaded { retry_after: None }), None);
        assert_eq!(adds(Outcome::Cancelled), None);
        assert_eq!(adds(Outcome::Ok), None);
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let seconds = |trips, chance| backoff(&config(), trips, chance).as_secs_f64();
        assert_eq!(
            [seconds(0, 0.0), seconds(1, 0.0), seconds(5, 0.0)],
            [1.0, 2.0, 32.0]
        );
        assert_eq!([seconds(6, 0.0), seconds(u32::MAX, 0.99)], [60.0, 60.0]);
        assert_eq!(seconds(1, 0.5), 2.5);
    }

    #[test]
    fn absurd_settings_stay_bounded() {
        let config = BreakerConfig {
            backoff: Duration::MAX,
            max_backoff: Duration::MAX,
            jitter: f64::NAN,
            ..config()
        };
        assert_eq!(backoff(&config, 3, 0.5), Duration::MAX);
    }
}
