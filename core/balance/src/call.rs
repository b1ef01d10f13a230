//! The words of one call: what a pick is asked, what it answers, and how the call went.

use crate::endpoint::Endpoint;
use crate::moment::Moment;
use crate::ticket::PickHandle;
use std::sync::Arc;
use std::time::Duration;

/// How often one request may be picked for again, after its first pick. The caller counts.
pub const MAX_REPICKS: u32 = 5;

/// What a pick is asked.
#[derive(Clone, Copy, Debug)]
pub struct PickContext<'a> {
    /// The time.
    pub now: Moment,
    /// What must stick to one endpoint, hashed; only `maglev` looks at it. Without it, maglev draws at random.
    pub hash: Option<u64>,
    /// Ids of endpoints to avoid, because this request was there already. Each costs a comparison per draw; there
    /// are at most [`MAX_REPICKS`] in good practice. A pick with exclusions is a re-pick: it earns no retry budget.
    pub exclude: &'a [&'a str],
}

impl PickContext<'_> {
    /// Any endpoint will do.
    #[must_use]
    pub const fn at(now: Moment) -> Self {
        Self {
            now,
            hash: None,
            exclude: &[],
        }
    }
}

/// The answer to a pick. Report how the call went with its handle, also when it was given up.
#[derive(Debug)]
#[must_use = "a pick that is not reported counts as under way"]
pub struct Picked<P> {
    /// Whom to call.
    pub endpoint: Arc<Endpoint<P>>,
    /// How it came to be picked.
    pub why: Why,
    /// Names this pick in its report.
    pub handle: PickHandle,
}

/// How an endpoint came to be picked. If several are true, the one named last below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It was its turn.
    Normal,
    /// It was its turn, and it is warming up.
    SlowStart,
    /// Only excluded endpoints are healthy, so the exclusion was ignored.
    ExcludedFallback,
    /// Too few endpoints are healthy, so health was ignored.
    Panic,
    /// Its breaker is on probation, and this is the one request that decides.
    Probe,
}

impl Why {
    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::SlowStart => "slow_start",
            Self::ExcludedFallback => "excluded_fallback",
            Self::Panic => "panic",
            Self::Probe => "probe",
        }
    }
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The endpoint did its work; also when its answer is an error of the caller's making.
    Ok,
    /// The endpoint answered that it failed, or broke off.
    Fail,
    /// It did not answer in time.
    Timeout,
    /// It could not be reached.
    ConnectFail,
    /// It asked to be left alone: HTTP 429 or 503 with Retry-After, gRPC `RESOURCE_EXHAUSTED`.
    Overloaded {
        /// For how long; 5 s if it did not say, 300 s at most.
        retry_after: Option<Duration>,
    },
    /// The caller gave up for reasons of its own. Says nothing about the endpoint.
    Cancelled,
}

/// There is nothing to pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// The service has no endpoints, or all have weight 0.
    #[error("no endpoint to pick: {}", if *.known == 0 { "the service has none" } else { "all have weight 0" })]
    NoEndpoints {
        /// How many there are, all of weight 0.
        known: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_which_kind_of_nothing() {
        let text = |known| PickError::NoEndpoints { known }.to_string();
        assert_eq!(text(0), "no endpoint to pick: the service has none");
        assert_eq!(text(3), "no endpoint to pick: all have weight 0");
    }
}
