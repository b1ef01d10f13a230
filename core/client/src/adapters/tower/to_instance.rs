//! One instance's share of an HTTP client that can call any.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, Either, Ready, ready};
use http::Uri;
use http::uri::{Authority, InvalidUri, Scheme};
use quorate_types::Instance;
use tower::{BoxError, Service};

/// Sends every request to one instance: what the URI of the request says of scheme and host is
/// replaced, path and query stay. The inner client sees to connections, and to a `Host` if the
/// request has none.
#[derive(Clone, Debug)]
pub struct ToInstance<S> {
    inner: S,
    scheme: Scheme,
    /// `None` if the address is none that a URI can have.
    authority: Option<Authority>,
}

impl<S> ToInstance<S> {
    /// Calls the instance's address over `inner`, with `http`.
    pub fn new(inner: S, instance: &Instance) -> Self {
        let authority: Result<Authority, InvalidUri> = instance.address.parse();
        Self {
            inner,
            scheme: Scheme::HTTP,
            authority: authority.ok(),
        }
    }

    /// Calls it with `https` instead, if the inner client can.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.scheme = Scheme::HTTPS;
        self
    }

    fn uri(&self, of: &Uri) -> Option<Uri> {
        let path = of.path_and_query().map_or("/", |path| path.as_str());
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone()?)
            .path_and_query(path)
            .build()
            .ok()
    }
}

impl<S, B> Service<http::Request<B>> for ToInstance<S>
where
    S: Service<http::Request<B>>,
    S::Error: Into<BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<
        Ready<Result<S::Response, BoxError>>,
        BoxFuture<'static, Result<S::Response, BoxError>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let Some(uri) = self.uri(request.uri()) else {
            let error = "the instance's address cannot stand in a URI";
            return Either::Left(ready(Err(error.into())));
        };
        *request.uri_mut() = uri;
        let answer = self.inner.call(request);
        Either::Right(async move { answer.await.map_err(Into::into) }.boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_are_replaced() {
        let to = ToInstance::new((), &Instance::new("10.0.0.7:8080"));
        for (uri, expected) in [
            ("/items?page=2", "http://10.0.0.7:8080/items?page=2"),
            ("http://shop/items", "http://10.0.0.7:8080/items"),
            ("http://shop", "http://10.0.0.7:8080/"),
        ] {
            let uri = to.uri(&uri.parse().unwrap()).unwrap();
            assert_eq!(uri, *expected);
        }
        let secure = to.https().uri(&"/".parse().unwrap()).unwrap();
        assert_eq!(secure, *"https://10.0.0.7:8080/");
        let bad = ToInstance::new((), &Instance::new("a b:1"));
        assert_eq!(bad.uri(&"/".parse().unwrap()), None);
        let six = ToInstance::new((), &Instance::new("[::1]:80"));
        assert_eq!(six.uri(&"/".parse().unwrap()).unwrap(), *"http://[::1]:80/");
    }
}
