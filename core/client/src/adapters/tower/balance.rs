//! A service that picks an instance for each request.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use quorate_types::Instance;
use tower::{BoxError, Service};

use crate::adapters::attempts::{Unanswered, exchange};
use crate::adapters::endpoints::Endpoints;
use crate::adapters::policy::Policy;
use crate::discovery::ServiceHandle;

/// Calls the instances of a service: picks one for each request, reports how it went, and tries
/// elsewhere what failed, as its [`Policy`] allows. Cheap to clone; always ready.
///
/// Its error is the inner service's of the last attempt, or a [`quorate::Error`](crate::Error) if
/// there was no instance to call. The first request of all waits until something is known of the
/// service, at most the client's request timeout.
pub struct Balance<M, S, P> {
    service: ServiceHandle,
    make: Arc<M>,
    endpoints: Arc<Endpoints<S>>,
    policy: P,
}

impl<M, S, P> Balance<M, S, P>
where
    M: Fn(&Instance) -> S,
    S: Clone,
{
    /// Calls instances of `service` with what `make` makes for them: once for each, and again when
    /// its address, version, zone or metadata change. `make` must not block.
    pub fn new(service: ServiceHandle, make: M, policy: P) -> Self {
        Self {
            service,
            make: Arc::new(make),
            endpoints: Arc::new(Endpoints::new()),
            policy,
        }
    }
}

impl<M, S, P: Clone> Clone for Balance<M, S, P> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            make: Arc::clone(&self.make),
            endpoints: Arc::clone(&self.endpoints),
            policy: self.policy.clone(),
        }
    }
}

impl<M, S, P> fmt::Debug for Balance<M, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("service", self.service.key())
            .finish_non_exhaustive()
    }
}

impl<M, S, P, Q> Service<Q> for Balance<M, S, P>
where
    M: Fn(&Instance) -> S + Send + Sync + 'static,
    S: Service<Q> + Clone + Send + 'static,
    S::Response: Send + Sync,
    S::Error: Into<BoxError>,
    S::Future: Send,
    P: Policy<Q, S::Response> + Clone + Send + Sync + 'static,
    Q: Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Whether an instance is ready shows when one is picked.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let Self {
            service,
            make,
            endpoints,
            policy,
        } = self.clone();
        async move {
            let answer = exchange(
                &service,
                &policy,
                request,
                |pick, request| {
                    let made: Result<_, Infallible> =
                        endpoints.of(&service, pick.instance(), |instance| Ok(make(instance)));
                    let Ok(mut endpoint) = made;
                    async move {
                        let ready = poll_fn(|context| endpoint.poll_ready(context)).await;
                        ready.map_err(Into::into)?;
                        endpoint.call(request).await.map_err(Into::into)
                    }
                },
                |error: &BoxError| &**error,
            );
            answer.await.map_err(|unanswered| match unanswered {
                Unanswered::NoInstance(error) => error.into(),
                Unanswered::Failed(error) => error,
            })
        }
        .boxed()
    }
}
