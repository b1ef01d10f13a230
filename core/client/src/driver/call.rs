//! One call: an attempt on the chosen server, more attempts elsewhere where that is safe, all
//! within one deadline.
//!
//! What may be repeated:
//! - a request that never left (no connection) is always repeated;
//! - a request whose outcome is unknown (the connection broke, the server lost its leader, no
//!   answer in time) is repeated only if doing it twice is the same as doing it once
//!   ([`Repeat::Safe`]); otherwise the caller gets the error, which says that the outcome is unknown;
//! - an answer, good or bad, ends the call.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_types::{Error, ErrorCode};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::now;
use super::servers::Servers;
use crate::error::{Failure, Operation, Reach};
use crate::metrics::{Counters, count};

/// The largest answer that is accepted, in bytes.
pub(crate) const MAX_ANSWER: usize = 256 * 1024 * 1024;
/// With less time than this left, another attempt is not worth its noise.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(10);

/// Whether a request may be sent again when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It reads, or doing it twice is the same as doing it once.
    Safe,
    /// It writes: twice may be wrong.
    IfNotSent,
}

/// Makes calls; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    servers: Servers,
    /// From the first attempt to the last answer.
    timeout: Duration,
    /// Ends calls with [`ErrorCode::Closed`].
    gate: CancellationToken,
    counters: Arc<Counters>,
}

impl Calls {
    pub(crate) fn new(
        servers: Servers,
        timeout: Duration,
        gate: CancellationToken,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            servers,
            timeout,
            gate,
            counters,
        }
    }

    /// The same, ended by another token.
    pub(crate) fn with_gate(&self, gate: CancellationToken) -> Self {
        Self {
            gate,
            ..self.clone()
        }
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    pub(crate) fn gate(&self) -> &CancellationToken {
        &self.gate
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Makes the call. `attempt` sends it over the channel it is given, within the time it is
    /// given; use [`timed`] to tell the server too.
    ///
    /// # Errors
    /// What the server answered; [`ErrorCode::Unavailable`] or [`ErrorCode::Timeout`] if none did
    /// in time; [`ErrorCode::Closed`].
    pub(crate) async fn call<T, F, A>(
        &self,
        operation: Operation<'_>,
        repeat: Repeat,
        attempt: F,
    ) -> Result<T, Error>
    where
        F: FnMut(Channel, Duration) -> A,
        A: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        tokio::select! {
            biased;
            () = self.gate.cancelled() => Err(closed(operation)),
            result = self.attempts(operation, repeat, attempt) => result,
        }
    }

    async fn attempts<T, F, A>(
        &self,
        operation: Operation<'_>,
        repeat: Repeat,
        mut attempt: F,
    ) -> Result<T, Error>
    where
        F: FnMut(Channel, Duration) -> A,
        A: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let deadline = now() + self.timeout;
        let (mut server, mut channel) = match self.servers.asked_until() {
            None => self.servers.channel_now(),
            Some(until) if until < deadline => {
                self.servers.channel_after_backoff(Duration::ZERO).await
            }
            Some(until) => {
                let pause = until.saturating_duration_since(now()).as_millis();
                let cause = format!("{operation}: the servers ask to be left alone for {pause} ms");
                return Err(Error::new(ErrorCode::Unavailable, cause));
            }
        };
        let mut tries = 1u32;
        loop {
            let time = self.attempt_time(deadline, repeat);
            let failure = match tokio::time::timeout(time, attempt(channel, time)).await {
                Ok(Ok(response)) => {
                    self.servers.succeeded(server);
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => Failure::from_status(&status),
                Err(_) => Failure::no_answer(time),
            };
            if failure.reach == Reach::Answered {
                self.servers.succeeded(server);
            } else {
                self.servers.failed(server, failure.retry_after);
            }
            let left = deadline.saturating_duration_since(now());
            let too_late = left < SHORTEST_ATTEMPT
                || self
                    .servers
                    .asked_until()
                    .is_some_and(|until| until >= deadline);
            if !may_repeat(repeat, failure.reach) || too_late {
                let writes = repeat == Repeat::IfNotSent;
                let address = self.servers.address(server);
                let error = failure.into_error(operation, address, writes);
                return Err(after_attempts(error, tries));
            }
            // Half of what is left at most, so that there is always time for one more attempt.
            (server, channel) = self.servers.channel_after_backoff(left / 2).await;
            tries += 1;
            count(&self.counters.retries);
        }
    }

    /// A call that can go elsewhere does not spend all its time on one silent server.
    fn attempt_time(&self, deadline: Instant, repeat: Repeat) -> Duration {
        let left = deadline.saturating_duration_since(now());
        if repeat == Repeat::Safe && self.servers.len() > 1 {
            (left / 2).max(SHORTEST_ATTEMPT)
        } else {
            left
        }
    }
}

fn may_repeat(repeat: Repeat, reach: Reach) -> bool {
    match reach {
        Reach::NotSent => true,
        Reach::Unknown => repeat == Repeat::Safe,
        Reach::Answered => false,
    }
}

fn after_attempts(error: Error, tries: u32) -> Error {
    if tries == 1 {
        return error;
    }
    Error::new(
        error.code(),
        format!("{} (attempt {tries})", error.message()),
    )
}

/// The error of every call after the client was closed.
pub(crate) fn closed(operation: Operation<'_>) -> Error {
    Error::new(
        ErrorCode::Closed,
        format!("{operation}: the client is closed"),
    )
}

/// A request that tells the server how long its answer is awaited.
pub(crate) fn timed<T>(message: T, time: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(time);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_is_repeated() {
        for (repeat, reach, expected) in [
            (Repeat::Safe, Reach::NotSent, true),
            (Repeat::Safe, Reach::Unknown, true),
            (Repeat::Safe, Reach::Answered, false),
            (Repeat::IfNotSent, Reach::NotSent, true),
            (Repeat::IfNotSent, Reach::Unknown, false),
            (Repeat::IfNotSent, Reach::Answered, false),
        ] {
            assert_eq!(may_repeat(repeat, reach), expected, "{repeat:?} {reach:?}");
        }
    }
}
