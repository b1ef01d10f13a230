//! A channel to a service: one connection per instance, one pick per call.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use quorate_balance::Outcome;
use quorate_types::{Error, Instance};
use tonic::body::Body;
use tonic::codegen::{Service, StdError};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::body::{Replayed, Reported};
use crate::Client;
use crate::adapters::attempts::Attempts;
use crate::adapters::endpoints::Endpoints;
use crate::adapters::failure::outcome_of;
use crate::discovery::ServiceHandle;

/// What makes the endpoint of an instance.
type Connect = dyn Fn(&Instance) -> Result<Endpoint, tonic::transport::Error> + Send + Sync;

/// Calls a service's instances; to be given to a generated client. Cheap to clone; clones share
/// their connections, which last as long as their instance is known.
///
/// A call that never left, because its instance could not be reached, is tried elsewhere; any other
/// failure only if the channel is [`idempotent`](Self::idempotent). Without an instance, calls fail
/// with `UNAVAILABLE`.
#[derive(Clone)]
pub struct ServiceChannel {
    service: ServiceHandle,
    connect: Arc<Connect>,
    channels: Arc<Endpoints<Channel>>,
    idempotent: bool,
}

/// A channel to a service, over plain HTTP/2. The first call waits until something is known of it.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`](crate::ErrorCode); [`ErrorCode::Closed`](crate::ErrorCode).
pub fn channel(client: &Client, service: &str) -> Result<ServiceChannel, Error> {
    channel_with(client, service, |instance| {
        Endpoint::from_shared(format!("http://{}", instance.address))
    })
}

/// A channel to a service that connects as told: with TLS, timeouts, limits. `endpoint` is asked
/// once per instance, and again when its address, version, zone or metadata change. What it gives is
/// connected when it is first needed.
///
/// # Errors
/// As [`channel()`].
pub fn channel_with(
    client: &Client,
    service: &str,
    endpoint: impl Fn(&Instance) -> Result<Endpoint, tonic::transport::Error> + Send + Sync + 'static,
) -> Result<ServiceChannel, Error> {
    Ok(ServiceChannel {
        service: client.service(service)?,
        connect: Arc::new(endpoint),
        channels: Arc::new(Endpoints::new()),
        idempotent: false,
    })
}

impl ServiceChannel {
    /// The same, for calls that may be done twice: they are tried elsewhere also when an instance
    /// broke off or said `UNAVAILABLE` or `RESOURCE_EXHAUSTED` before its first answer. What was
    /// sent is kept for that, up to 256 KiB a call; a call that has sent more is not repeated.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Whether a call with this end may be sent again.
    fn repeats(&self, result: &Result<http::Response<Body>, StdError>, outcome: Outcome) -> bool {
        match result {
            Err(_) => {
                outcome == Outcome::ConnectFail || (self.idempotent && outcome == Outcome::Fail)
            }
            Ok(answer) => {
                let code = code_in(answer.headers());
                self.idempotent && matches!(code, Some(Code::Unavailable | Code::ResourceExhausted))
            }
        }
    }

    async fn call(self, request: http::Request<Body>) -> Result<http::Response<Body>, StdError> {
        let mut attempts = Attempts::new(&self.service);
        let first = attempts.first().await;
        let mut pick = first.map_err(|error| Status::unavailable(error.to_string()))?;
        let (head, body) = request.into_parts();
        let body = Replayed::new(body, self.idempotent);
        loop {
            let began = Instant::now();
            let made = self
                .channels
                .of(&self.service, pick.instance(), |instance| {
                    Ok::<_, tonic::transport::Error>((self.connect)(instance)?.connect_lazy())
                });
            let request = http::Request::from_parts(head.clone(), body.to_send());
            let result = match made {
                Ok(mut channel) => answer(&mut channel, request).await,
                Err(error) => Err(error.into()),
            };
            let latency = began.elapsed();
            let outcome = match &result {
                Ok(answer) => outcome_in(answer.headers()),
                Err(error) => Some(outcome_of(&**error)),
            };
            // Not told yet: it comes in the trailers.
            let Some(outcome) = outcome else {
                return result.map(|answer| {
                    answer.map(|body| Body::new(Reported::new(body, pick, latency)))
                });
            };
            pick.report(outcome, Some(latency));
            if !self.repeats(&result, outcome) || !body.can_be_sent_again() {
                return result;
            }
            match attempts.elsewhere() {
                Some(next) => pick = next,
                None => return result,
            }
        }
    }
}

async fn answer(
    channel: &mut Channel,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, StdError> {
    std::future::poll_fn(|context| Service::poll_ready(channel, context)).await?;
    Ok(Service::call(channel, request).await?)
}

/// The outcome, if these headers or trailers hold a status.
pub(super) fn outcome_in(headers: &HeaderMap) -> Option<Outcome> {
    let code = code_in(headers)?;
    let pushback = headers.get("grpc-retry-pushback-ms");
    let pushback = pushback.and_then(|value| value.to_str().ok()?.parse().ok());
    Some(Outcome::of_grpc(
        code as i32,
        pushback.map(Duration::from_millis),
    ))
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?;
    Some(Code::from_bytes(code.as_bytes()))
}

impl Service<http::Request<Body>> for ServiceChannel {
    type Response = http::Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<'static, Result<http::Response<Body>, StdError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        // Whether an instance is ready shows when one is picked.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.clone().call(request).boxed()
    }
}

impl fmt::Debug for ServiceChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceChannel")
            .field("service", self.service.key())
            .field("idempotent", &self.idempotent)
            .finish_non_exhaustive()
    }
}
