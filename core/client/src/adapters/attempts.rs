//! One request, and the instances it has been to.

use quorate_balance::{MAX_REPICKS, Why};
use quorate_types::{Error, ErrorCode};

use crate::discovery::{Pick, PickOptions, ServiceHandle};

pub(super) struct Attempts<'a> {
    service: &'a ServiceHandle,
    been: Vec<String>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(service: &'a ServiceHandle) -> Self {
        Self {
            service,
            been: Vec::new(),
        }
    }

    /// Where the request goes first. Waits if nothing is known of the service yet.
    ///
    /// # Errors
    /// Those of [`ServiceHandle::discover`] and [`ServiceHandle::pick`].
    pub(super) async fn first(&mut self) -> Result<Pick, Error> {
        let options = PickOptions::default();
        let pick = match self.service.pick(&options) {
            Err(error)
                if error.code() == ErrorCode::NoEndpoints && self.service.view().is_none() =>
            {
                self.service.discover().await?;
                self.service.pick(&options)?
            }
            pick => pick?,
        };
        self.been.push(pick.id().to_owned());
        Ok(pick)
    }

    /// Where to send it after it failed; `None` if there is no other instance, or no budget.
    pub(super) fn elsewhere(&mut self) -> Option<Pick> {
        if self.been.len() > MAX_REPICKS as usize {
            return None;
        }
        let been: Vec<&str> = self.been.iter().map(String::as_str).collect();
        let options = PickOptions::default().excluding(&been);
        let pick = self.service.pick(&options).ok()?;
        // Looked at last: it takes from the budget.
        if pick.why() == Why::ExcludedFallback || !self.service.may_retry() {
            return None;
        }
        self.been.push(pick.id().to_owned());
        Some(pick)
    }
}

#[cfg(any(feature = "tower", feature = "reqwest"))]
mod exchange {
    use std::error::Error as StdError;

    use super::{Attempts, Error, Pick, ServiceHandle};
    use crate::adapters::policy::Policy;

    /// Why there is no answer.
    pub(in crate::adapters) enum Unanswered<E> {
        /// There was no instance to send it to.
        NoInstance(Error),
        /// The last attempt failed.
        Failed(E),
    }

    /// Sends a request until it is answered well, or it must not or cannot be sent again. The
    /// outcome counts when the answer's head is there.
    pub(in crate::adapters) async fn exchange<Q, A, E, P, F>(
        service: &ServiceHandle,
        policy: &P,
        mut request: Q,
        mut send: impl FnMut(&Pick, Q) -> F,
        as_error: impl Fn(&E) -> &(dyn StdError + 'static),
    ) -> Result<A, Unanswered<E>>
    where
        P: Policy<Q, A>,
        F: Future<Output = Result<A, E>>,
    {
        let mut attempts = Attempts::new(service);
        let mut pick = attempts.first().await.map_err(Unanswered::NoInstance)?;
        loop {
            let copy = policy.copy(&request);
            let result = send(&pick, request).await;
            let outcome = policy.outcome(result.as_ref().map_err(&as_error));
            pick.report(outcome, None);
            let copy = copy.filter(|copy| policy.repeats(copy, outcome));
            match copy.and_then(|copy| Some((copy, attempts.elsewhere()?))) {
                Some((copy, next)) => (request, pick) = (copy, next),
                None => return result.map_err(Unanswered::Failed),
            }
        }
    }
}

#[cfg(any(feature = "tower", feature = "reqwest"))]
pub(super) use exchange::{Unanswered, exchange};
