//! The part of its weight an endpoint gets while it warms up.

use crate::config::SlowStartConfig;
use std::time::Duration;

/// `max(least, (max(t, 1 s) / window)^(1 / aggression))`, in 0..=1, for an endpoint that is up for `t`.
pub(crate) fn factor(config: &SlowStartConfig, up: Duration) -> f64 {
    if up >= config.window {
        return 1.0;
    }
    let progress = up.max(Duration::from_secs(1)).as_secs_f64() / config.window.as_secs_f64();
    // A factor of exactly 0 would be no weight at all. max() also takes the bound if a setting is not a number.
    let least = config.least.max(0.001);
    progress
        .powf(1.0 / config.aggression.max(0.01))
        .max(least)
        .min(1.0)
}

/// Whether slow start is suspended: when most warm up at once, nobody is there to take the difference.
pub(crate) fn suspended(warming: usize, all: usize) -> bool {
    warming * 2 > all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(window: u64, aggression: f64) -> SlowStartConfig {
        SlowStartConfig {
            window: Duration::from_secs(window),
            aggression,
            least: 0.1,
        }
    }

    fn at(config: &SlowStartConfig, seconds: f64) -> f64 {
        factor(config, Duration::from_secs_f64(seconds))
    }

    #[test]
    fn grows_to_the_full_weight() {
        let linear = config(30, 1.0);
        assert_eq!(
            [at(&linear, 0.0), at(&linear, 3.0), at(&linear, 15.0)],
            [0.1, 0.1, 0.5]
        );
        assert_eq!([at(&linear, 30.0), at(&linear, 1e9)], [1.0, 1.0]);
    }

    #[test]
    fn the_first_second_counts_as_one() {
        assert_eq!(at(&config(5, 1.0), 0.0), 0.2);
        assert_eq!(at(&config(5, 1.0), 0.9), 0.2);
    }

    #[test]
    fn aggression_bends_the_line() {
        assert_eq!(at(&config(100, 2.0), 25.0), 0.5);
    }

    #[test]
    fn a_window_of_zero_is_off() {
        assert_eq!(at(&config(0, 1.0), 0.0), 1.0);
        // Shorter than the first second.
        assert_eq!(
            factor(
                &SlowStartConfig {
                    window: Duration::from_millis(500),
                    ..config(0, 1.0)
                },
                Duration::ZERO
            ),
            1.0
        );
    }

    #[test]
    fn absurd_settings_give_a_factor() {
        for value in [f64::NAN, -1.0, 0.0, f64::INFINITY] {
            let config = SlowStartConfig {
                window: Duration::from_secs(10),
                aggression: value,
                least: value,
            };
            let factor = at(&config, 1.0);
            assert!(factor > 0.0 && factor <= 1.0, "{value} gave {factor}");
        }
    }

    #[test]
    fn suspended_when_most_warm_up() {
        assert!(!suspended(0, 0));
        assert!(!suspended(1, 2));
        assert!(suspended(2, 3));
        assert!(suspended(1, 1));
    }
}
