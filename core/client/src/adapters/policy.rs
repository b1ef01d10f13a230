//! What may be sent twice, and what an answer says of the instance that gave it.

use std::error::Error as StdError;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};
use quorate_balance::Outcome;

use super::failure;

/// Says what to make of requests `Q` and answers `A`. Both directions matter: an outcome that blames
/// the instance for the caller's errors takes a good instance out.
pub trait Policy<Q, A> {
    /// A copy, to be sent elsewhere if this attempt fails; `None` if there can be none.
    fn copy(&self, request: &Q) -> Option<Q>;

    /// Whether to send the copy, if this is how the attempt went.
    fn repeats(&self, copy: &Q, outcome: Outcome) -> bool;

    /// What an answer, or the lack of one, says of the instance.
    fn outcome(&self, result: Result<&A, &(dyn StdError + 'static)>) -> Outcome;
}

/// HTTP's own rules: what never left is sent again; what failed, or was asked to come later, if its
/// method is idempotent (RFC 9110, 9.2.2) and its body is in memory. Statuses count as
/// [`Outcome::of_http`] says.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpPolicy;

impl HttpPolicy {
    fn repeats_method(method: &Method, outcome: Outcome) -> bool {
        match outcome {
            Outcome::ConnectFail => true,
            Outcome::Fail | Outcome::Timeout | Outcome::Overloaded { .. } => method.is_idempotent(),
            Outcome::Ok | Outcome::Cancelled => false,
        }
    }

    fn outcome_of_head(status: StatusCode, headers: &HeaderMap) -> Outcome {
        // One that is not text asks to come later all the same.
        let retry_after = headers.get(RETRY_AFTER);
        let retry_after = retry_after.map(|value| value.to_str().unwrap_or_default());
        Outcome::of_http(status.as_u16(), retry_after)
    }
}

impl<B: Clone, A> Policy<http::Request<B>, http::Response<A>> for HttpPolicy {
    fn copy(&self, request: &http::Request<B>) -> Option<http::Request<B>> {
        Some(request.clone())
    }

    fn repeats(&self, copy: &http::Request<B>, outcome: Outcome) -> bool {
        Self::repeats_method(copy.method(), outcome)
    }

    fn outcome(&self, result: Result<&http::Response<A>, &(dyn StdError + 'static)>) -> Outcome {
        match result {
            Ok(answer) => Self::outcome_of_head(answer.status(), answer.headers()),
            Err(error) => failure::outcome_of(error),
        }
    }
}

#[cfg(feature = "reqwest")]
impl Policy<reqwest::Request, reqwest::Response> for HttpPolicy {
    fn copy(&self, request: &reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }

    fn repeats(&self, copy: &reqwest::Request, outcome: Outcome) -> bool {
        Self::repeats_method(copy.method(), outcome)
    }

    fn outcome(&self, result: Result<&reqwest::Response, &(dyn StdError + 'static)>) -> Outcome {
        match result {
            Ok(answer) => Self::outcome_of_head(answer.status(), answer.headers()),
            Err(error) => failure::outcome_of(error),
        }
    }
}
