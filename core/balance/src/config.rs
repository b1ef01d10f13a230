//! What a balancer can be told. The defaults are meant to be kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How endpoints are drawn. All of them give each endpoint its weight's share; they differ in what else they look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `weighted_random`: one draw from an alias table (Walker 1977, Vose 1991).
    WeightedRandom,
    /// `weighted_round_robin`: the static stride scheduler of gRPC (gRFC A58): evenly spaced, no chance involved.
    WeightedRoundRobin,
    /// `p2c`: the better of two weighted draws, by peak EWMA latency and requests under way.
    #[default]
    P2c,
    /// `maglev`: the same hash gives the same endpoint, on every client (Eisenbud et al., NSDI 2016).
    /// Slow start does not apply, as it would move keys twice.
    Maglev,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::WeightedRandom,
        Self::WeightedRoundRobin,
        Self::P2c,
        Self::Maglev,
    ];

    /// The name in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WeightedRandom => "weighted_random",
            Self::WeightedRoundRobin => "weighted_round_robin",
            Self::P2c => "p2c",
            Self::Maglev => "maglev",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown algorithm {0:?}: use weighted_random, weighted_round_robin, p2c or maglev")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|a| a.name() == text)
            .ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

/// Everything a [`Balancer`](crate::Balancer) can be told. Numbers out of range are brought into it.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerConfig {
    /// How endpoints are drawn.
    pub algorithm: Algorithm,
    /// Under this part of healthy endpoints (0 to 1), all of them are used: the few that are left would drown.
    /// 0 leaves only "everything dead means everything alive".
    pub panic_threshold: f64,
    /// How new endpoints are brought to their full weight.
    pub slow_start: SlowStartConfig,
    /// When one endpoint is shut on its own record.
    pub breaker: BreakerConfig,
    /// When one endpoint is shut because it is worse than the others.
    pub outlier: OutlierConfig,
    /// How many retries the service can afford.
    pub retry_budget: RetryBudgetConfig,
    /// Picks that may be under way at once, rounded up to a power of two (8 bytes each). With more, the oldest
    /// counts as cancelled, and its later report is ignored. This also bounds what callers that never report can leak.
    pub max_outstanding: usize,
    /// Seeds what is random outside of a pick (jitter, the first position of the round robin), so that clients
    /// differ. Hand in a random number; a fixed one in tests.
    pub seed: u64,
}

impl Default for BalancerConfig {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            panic_threshold: 0.5,
            slow_start: SlowStartConfig::default(),
            breaker: BreakerConfig::default(),
            outlier: OutlierConfig::default(),
            retry_budget: RetryBudgetConfig::default(),
            max_outstanding: 8192,
            seed: 0,
        }
    }
}

/// Slow start, as in Envoy: `weight · max(least, (max(t, 1 s) / window)^(1 / aggression))`.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowStartConfig {
    /// How long an endpoint warms up. Zero turns slow start off.
    pub window: Duration,
    /// 1 grows linearly; more grows faster at first.
    pub aggression: f64,
    /// The least part of its weight an endpoint gets (0 to 1).
    pub least: f64,
}

impl Default for SlowStartConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            aggression: 1.0,
            least: 0.1,
        }
    }
}

/// The breaker of one endpoint: it opens, waits, lets exactly one request through, and closes or waits longer.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Opens after this many failures in a row.
    pub consecutive_failures: u32,
    /// What a failed connect counts in that row: nobody listens, so more of them prove little.
    pub connect_failure_counts: u32,
    /// Opens when this part of the requests of the last 10 s failed (0 to 1). Above 1, never.
    pub failure_rate: f64,
    /// ... if there were at least this many requests.
    pub min_requests: u32,
    /// The first wait.
    pub backoff: Duration,
    /// The longest wait; each one is twice the one before.
    pub max_backoff: Duration,
    /// Up to this part (0 to 1) is added to each wait, at random.
    pub jitter: f64,
    /// A probing request that is not reported for this long counts as lost, and another one may go.
    pub probe_timeout: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            connect_failure_counts: 3,
            failure_rate: 0.5,
            min_requests: 20,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            jitter: 0.5,
            probe_timeout: Duration::from_secs(10),
        }
    }
}

/// The sweep that compares endpoints with each other (Envoy's outlier detection, gRFC A50).
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierConfig {
    /// Whether to sweep.
    pub enabled: bool,
    /// Time between sweeps; a sweep looks at the last 10 s.
    pub interval: Duration,
    /// Shut for this long, times the number of times it happened lately.
    pub ejection: Duration,
    /// Shut for this long at most.
    pub max_ejection: Duration,
    /// Up to this part (0 to 1) is added to each ejection, at random.
    pub jitter: f64,
    /// No more than this part of the endpoints is shut (0 to 1), but one always may be.
    pub max_ejected: f64,
    /// Ejects below mean − this many standard deviations of the success rates.
    pub deviations: f64,
    /// Ejects at this part of failures, whatever the others do (0 to 1). Above 1, never.
    pub failure_rate: f64,
    /// Endpoints with fewer requests are not looked at.
    pub min_requests: u32,
    /// With fewer endpoints to look at, nothing is compared.
    pub min_hosts: usize,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(10),
            ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            jitter: 0.1,
            max_ejected: 0.1,
            deviations: 1.9,
            failure_rate: 0.85,
            min_requests: 100,
            min_hosts: 5,
        }
    }
}

/// Retries (and hedges) of the last 10 s may not exceed a part of the requests, plus a few.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryBudgetConfig {
    /// This part of the requests (0 to 1).
    pub ratio: f64,
    /// And this many per second.
    pub per_second: u32,
}

impl Default for RetryBudgetConfig {
    fn default() -> Self {
        Self {
            ratio: 0.2,
            per_second: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        let error = "ring".parse::<Algorithm>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown algorithm \"ring\": use weighted_random, weighted_round_robin, p2c or maglev"
        );
    }
}
