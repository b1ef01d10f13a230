//! Who stands out from the others: the sweep over success rates (Envoy's outlier detection, gRFC A50).

use crate::config::OutlierConfig;
use std::time::Duration;

/// The record of one endpoint over the last 10 s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) successes: u32,
    pub(crate) failures: u32,
}

impl Record {
    /// Whether there is enough to judge by.
    pub(crate) fn is_enough(self, config: &OutlierConfig) -> bool {
        self.requests() >= config.min_requests.max(1)
    }

    fn requests(self) -> u32 {
        self.successes.saturating_add(self.failures)
    }

    fn success_rate(self) -> f64 {
        f64::from(self.successes) / f64::from(self.requests().max(1))
    }
}

/// The positions of those to eject, worst first: below mean − deviations·σ, or failing at the failure rate.
/// `shut` of the `all` endpoints are out already; together they stay within `max_ejected`, but one always may go.
pub(crate) fn outliers(
    config: &OutlierConfig,
    records: &[Record],
    shut: usize,
    all: usize,
) -> Vec<usize> {
    let mut judged: Vec<(f64, usize)> = records
        .iter()
        .enumerate()
        .filter(|(_, r)| r.is_enough(config))
        .map(|(i, r)| (r.success_rate(), i))
        .collect();
    if judged.len() < config.min_hosts.max(1) {
        return Vec::new();
    }
    let count = judged.len() as f64;
    let mean = judged.iter().map(|j| j.0).sum::<f64>() / count;
    let deviation = (judged.iter().map(|j| (j.0 - mean).powi(2)).sum::<f64>() / count).sqrt();
    let least = mean - config.deviations * deviation;
    let allowed = ((all as f64 * config.max_ejected.clamp(0.0, 1.0)) as usize)
        .max(1)
        .saturating_sub(shut);
    judged.retain(|&(rate, _)| rate < least || 1.0 - rate >= config.failure_rate);
    judged.sort_by(|a, b| a.0.total_cmp(&b.0));
    judged.into_iter().take(allowed).map(|(_, i)| i).collect()
}

/// How long the `times`-th ejection in a row lasts, without jitter.
pub(crate) fn ejection(config: &OutlierConfig, times: u32) -> Duration {
    // As in gRFC A50: a base above the cap wins over the cap.
    config
        .ejection
        .saturating_mul(times.max(1))
        .min(config.max_ejection.max(config.ejection))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> OutlierConfig {
        OutlierConfig::default()
    }

    fn records(failures: &[u32]) -> Vec<Record> {
        failures
            .iter()
            .map(|&failures| Record {
                successes: 200 - failures,
                failures,
            })
            .collect()
    }

    #[test]
    fn the_one_that_stands_out_goes() {
        assert_eq!(
            outliers(&config(), &records(&[2, 1, 2, 60, 1, 2]), 0, 6),
            [3]
        );
    }

    #[test]
    fn equals_stay() {
        assert_eq!(outliers(&config(), &records(&[0; 10]), 0, 10), []);
        assert_eq!(outliers(&config(), &records(&[100; 10]), 0, 10), []);
    }

    #[test]
    fn too_few_to_compare() {
        assert_eq!(outliers(&config(), &records(&[0, 0, 0, 190]), 0, 4), []);
        let mut quiet = records(&[0, 0, 0, 0, 0]);
        quiet.push(Record {
            successes: 0,
            failures: 99,
        });
        assert_eq!(outliers(&config(), &quiet, 0, 6), []);
        quiet[5].failures = 100;
        assert_eq!(outliers(&config(), &quiet, 0, 6), [5]);
    }

    #[test]
    fn failing_at_the_rate_is_enough() {
        // Half fail: too wide a spread for a deviation of 1.9.
        let failing = records(&[170, 170, 170, 0, 0, 0]);
        assert_eq!(outliers(&config(), &failing, 0, 6), [0]);
        assert_eq!(
            outliers(&config(), &records(&[169, 169, 169, 0, 0, 0]), 0, 6),
            []
        );
    }

    #[test]
    fn no_more_than_a_tenth_but_one() {
        let mut failures = vec![0; 30];
        failures[4] = 180;
        failures[9] = 200;
        failures[20] = 190;
        failures[21] = 170;
        assert_eq!(outliers(&config(), &records(&failures), 0, 30), [9, 20, 4]);
        assert_eq!(outliers(&config(), &records(&failures), 2, 30), [9]);
        assert_eq!(outliers(&config(), &records(&failures), 3, 30), []);
        assert_eq!(outliers(&config(), &records(&[0, 0, 0, 0, 200]), 0, 5), [4]);
        assert_eq!(outliers(&config(), &records(&[0, 0, 0, 0, 200]), 1, 5), []);
    }

    #[test]
    fn each_ejection_is_longer_up_to_the_cap() {
        let seconds = |times| ejection(&config(), times).as_secs();
        assert_eq!(
            [
                seconds(0),
                seconds(1),
                seconds(2),
                seconds(10),
                seconds(u32::MAX)
            ],
            [30, 30, 60, 300, 300]
        );
    }
}
