//! A balancer's settings by name: the same names, units and limits in every language and every
//! configuration file.
//!
//! Each setting is a number, also times, which are in milliseconds as their names say, and
//! switches, which are 1 or 0.

use std::fmt;
use std::time::Duration;

use crate::config::BalancerConfig;

/// One setting of a [`BalancerConfig`]. The algorithm and the seed have no number and are not
/// among them.
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub meaning: &'static str,
    /// The least it can be.
    pub least: f64,
    /// The most it can be.
    pub most: f64,
    whole: bool,
    get: fn(&BalancerConfig) -> f64,
    set: fn(&mut BalancerConfig, f64),
}

/// The name names no setting, or the number is not one it can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// There is no such setting.
    #[error("the balancer has no setting {0:?}: it has {known}", known = known_names())]
    Unknown(String),
    /// The number is out of range, not whole, or no number.
    #[error("the balancer's {name} must be {wanted}, not {given}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// What it can be.
        wanted: String,
        /// What was given.
        given: f64,
    },
}

/// Longest time: a day.
const MAX_MILLIS: f64 = 86_400_000.0;
/// A part of something.
const PART: (f64, f64) = (0.0, 1.0);
/// A part of requests that fail; above 1 it is never reached.
const RATE: (f64, f64) = (0.0, 2.0);
const MILLIS: (f64, f64) = (1.0, MAX_MILLIS);
const MILLIS_OR_NONE: (f64, f64) = (0.0, MAX_MILLIS);
const COUNT: (f64, f64) = (1.0, 1_000_000.0);

/// How a field's type is written as a number.
trait Number {
    const WHOLE: bool;
    fn to_number(&self) -> f64;
    fn of_number(number: f64) -> Self;
}

impl Number for f64 {
    const WHOLE: bool = false;
    fn to_number(&self) -> f64 {
        *self
    }
    fn of_number(number: f64) -> Self {
        number
    }
}

impl Number for bool {
    const WHOLE: bool = true;
    fn to_number(&self) -> f64 {
        f64::from(u8::from(*self))
    }
    fn of_number(number: f64) -> Self {
        number != 0.0
    }
}

impl Number for u32 {
    const WHOLE: bool = true;
    fn to_number(&self) -> f64 {
        f64::from(*self)
    }
    fn of_number(number: f64) -> Self {
        number as Self
    }
}

impl Number for usize {
    const WHOLE: bool = true;
    fn to_number(&self) -> f64 {
        *self as f64
    }
    fn of_number(number: f64) -> Self {
        number as Self
    }
}

impl Number for Duration {
    const WHOLE: bool = false;
    fn to_number(&self) -> f64 {
        self.as_secs_f64() * 1000.0
    }
    fn of_number(number: f64) -> Self {
        Self::try_from_secs_f64(number / 1000.0).unwrap_or(Self::MAX)
    }
}

const fn whole<T: Number>(_: fn(&BalancerConfig) -> &T) -> bool {
    T::WHOLE
}

macro_rules! settings {
    ($($name:literal, $($field:ident).+, $range:expr, $meaning:literal;)*) => {
        &[$(Setting {
            name: $name,
            meaning: $meaning,
            least: $range.0,
            most: $range.1,
            whole: whole(|config| &config.$($field).+),
            get: |config| config.$($field).+.to_number(),
            set: |config, number| config.$($field).+ = Number::of_number(number),
        }),*]
    };
}

impl Setting {
    /// All of them.
    pub const ALL: &'static [Self] = settings! {
        "panic_threshold", panic_threshold, PART,
            "under this part of healthy instances, all of them are used";
        "max_outstanding", max_outstanding, (1.0, 1_048_576.0),
            "picks that may be under way at once; the oldest beyond count as cancelled";
        "slow_start_window_ms", slow_start.window, MILLIS_OR_NONE,
            "how long a new instance warms up; 0: not at all";
        "slow_start_aggression", slow_start.aggression, (0.1, 100.0),
            "1 grows linearly; more grows faster at first";
        "slow_start_least", slow_start.least, PART,
            "the least part of its weight a new instance gets";
        "breaker_consecutive_failures", breaker.consecutive_failures, COUNT,
            "an instance is left alone after this many failures in a row";
        "breaker_connect_failure_counts", breaker.connect_failure_counts, COUNT,
            "what a failed connect counts in that row";
        "breaker_failure_rate", breaker.failure_rate, RATE,
            "or when this part of the last 10 s' requests failed; above 1: never";
        "breaker_min_requests", breaker.min_requests, COUNT,
            "... if there were at least this many";
        "breaker_backoff_ms", breaker.backoff, MILLIS,
            "the first time it is left alone; each further one is twice as long";
        "breaker_max_backoff_ms", breaker.max_backoff, MILLIS,
            "the longest";
        "breaker_jitter", breaker.jitter, PART,
            "up to this part is added, at random";
        "breaker_probe_timeout_ms", breaker.probe_timeout, MILLIS,
            "a probing request that is not reported for this long counts as lost";
        "outlier_enabled", outlier.enabled, PART,
            "1: instances are compared with each other; 0: not";
        "outlier_interval_ms", outlier.interval, MILLIS,
            "time between comparisons, of the last 10 s each";
        "outlier_ejection_ms", outlier.ejection, MILLIS,
            "how long one that stands out is left alone, times how often it did lately";
        "outlier_max_ejection_ms", outlier.max_ejection, MILLIS,
            "the longest";
        "outlier_jitter", outlier.jitter, PART,
            "up to this part is added, at random";
        "outlier_max_ejected", outlier.max_ejected, PART,
            "no more than this part of the instances, but one always may be";
        "outlier_deviations", outlier.deviations, (0.0, 100.0),
            "who is this many standard deviations below the mean success rate stands out";
        "outlier_failure_rate", outlier.failure_rate, RATE,
            "and who fails this part of requests, whatever the others do; above 1: nobody";
        "outlier_min_requests", outlier.min_requests, COUNT,
            "instances with fewer requests are not compared";
        "outlier_min_hosts", outlier.min_hosts, COUNT,
            "with fewer instances to compare, nothing is";
        "retry_budget_ratio", retry_budget.ratio, PART,
            "retries of the last 10 s may be this part of the requests";
        "retry_budget_per_second", retry_budget.per_second, (0.0, 1_000_000.0),
            "and this many per second";
    };

    /// The number it has where nobody sets it.
    #[must_use]
    pub fn default_value(&self) -> f64 {
        (self.get)(&BalancerConfig::default())
    }

    fn accepts(&self, number: f64) -> bool {
        (self.least..=self.most).contains(&number) && (!self.whole || number.fract() == 0.0)
    }

    fn wanted(&self) -> String {
        let kind = if self.whole {
            "a whole number"
        } else {
            "a number"
        };
        format!("{kind} from {} to {}", self.least, self.most)
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting")
            .field("name", &self.name)
            .field("least", &self.least)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

fn known_names() -> String {
    let names: Vec<&str> = Setting::ALL.iter().map(|setting| setting.name).collect();
    names.join(", ")
}

impl BalancerConfig {
    /// Changes one setting by its name.
    ///
    /// # Errors
    /// [`SettingError`], naming what would be right; nothing is changed then.
    pub fn set(&mut self, name: &str, number: f64) -> Result<(), SettingError> {
        let setting = Setting::ALL
            .iter()
            .find(|setting| setting.name == name)
            .ok_or_else(|| SettingError::Unknown(name.to_owned()))?;
        if !setting.accepts(number) {
            return Err(SettingError::Invalid {
                name: setting.name,
                wanted: setting.wanted(),
                given: number,
            });
        }
        (setting.set)(self, number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_set_and_read_back_and_changes_nothing_else() {
        for setting in Setting::ALL {
            for number in [setting.least, setting.most] {
                let mut config = BalancerConfig::default();
                config.set(setting.name, number).unwrap();
                for other in Setting::ALL {
                    let now = (other.get)(&config);
                    let wanted = if other.name == setting.name {
                        number
                    } else {
                        other.default_value()
                    };
                    assert!((now - wanted).abs() < 1e-6, "{} {now}", other.name);
                }
            }
            assert!(setting.accepts(setting.default_value()), "{setting:?}");
        }
    }

    #[test]
    fn every_field_has_a_name() {
        let mut config = BalancerConfig::default();
        for setting in Setting::ALL {
            let other = [setting.least, setting.most]
                .into_iter()
                .find(|number| *number != setting.default_value());
            config.set(setting.name, other.unwrap()).unwrap();
        }
        // Numbers only: what is not a setting is the algorithm and the seed.
        let before = format!("{:?}", BalancerConfig::default());
        let after = format!("{config:?}");
        let fields = |text: &str| -> Vec<String> { text.split(", ").map(str::to_owned).collect() };
        let same: Vec<_> = fields(&before)
            .into_iter()
            .zip(fields(&after))
            .filter_map(|(before, after)| (before == after).then_some(before))
            .collect();
        assert_eq!(same, ["BalancerConfig { algorithm: P2c", "seed: 0 }"]);
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_changes() {
        let mut config = BalancerConfig::default();
        let mut refused = |name, number| config.set(name, number).unwrap_err().to_string();
        assert!(refused("panic", 0.5).contains("panic_threshold"));
        assert_eq!(
            refused("panic_threshold", 1.5),
            "the balancer's panic_threshold must be a number from 0 to 1, not 1.5"
        );
        assert!(refused("panic_threshold", f64::NAN).contains("NaN"));
        assert!(refused("breaker_min_requests", 2.5).contains("whole"));
        assert!(refused("breaker_backoff_ms", -1.0).contains("-1"));
        assert!(refused("outlier_enabled", 0.5).contains("whole"));
        assert_eq!(config, BalancerConfig::default());
    }
}
