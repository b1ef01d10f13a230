//! Answers DEADLINE_EXCEEDED when the time a client gives in `grpc-timeout` is over, and drops
//! what was being done for it. tonic would say CANCELLED, which clients take for their own doing.
//!
//! Format: gRPC over HTTP/2, "Timeout → TimeoutValue TimeoutUnit".

use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, Map};
use http::{HeaderMap, Request, Response};
use tokio::time::Timeout;
use tokio::time::error::Elapsed;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Adds [`Deadline`].
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner }
    }
}

/// A service within its callers' deadlines. They end with the answer's headers: a stream that has
/// begun is the client's to end.
#[derive(Clone, Debug)]
pub(super) struct Deadline<S> {
    inner: S,
}

type Answer<E> = Result<Response<Body>, E>;

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<
        S::Future,
        Map<Timeout<S::Future>, fn(Result<Answer<S::Error>, Elapsed>) -> Answer<S::Error>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match time_given(request.headers()) {
            None => Either::Left(self.inner.call(request)),
            Some(time) => {
                let answer = tokio::time::timeout(time, self.inner.call(request));
                Either::Right(answer.map(in_time::<S::Error>))
            }
        }
    }
}

fn in_time<E>(answer: Result<Answer<E>, Elapsed>) -> Answer<E> {
    answer.unwrap_or_else(|Elapsed { .. }| {
        Ok(Status::deadline_exceeded("context deadline exceeded").into_http())
    })
}

/// The time a call may take; `None` if it does not say, or not so that it can be read.
fn time_given(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::Pending;

    use super::*;

    /// Never answers.
    struct Silent;

    impl Service<Request<Body>> for Silent {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Pending<Answer<Infallible>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _request: Request<Body>) -> Self::Future {
            std::future::pending()
        }
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_is_told_so() {
        let request = Request::builder().header("grpc-timeout", "5m");
        let request = request.body(Body::empty()).unwrap();
        let answer = DeadlineLayer.layer(Silent).call(request).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert_eq!(status.message(), "context deadline exceeded");
    }

    #[test]
    fn times_are_read_as_the_specification_has_them() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_static(text));
            time_given(&headers)
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        assert_eq!(read("10u"), Some(Duration::from_micros(10)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        for bad in ["", "S", "5", "5s", "-5S", "123456789S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(time_given(&HeaderMap::new()), None);
    }
}
