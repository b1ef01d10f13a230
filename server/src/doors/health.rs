//! `grpc.health.v1`: whether this server wants calls. Load balancers ask it, and watch it.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

/// tonic's service, whose watches end when the server stops; they would hold the drain up.
struct HealthDoor {
    inner: HealthService,
    stopping: CancellationToken,
}

/// The service, reporting what `reporter` is told.
pub(crate) fn service(
    reporter: &HealthReporter,
    stopping: &CancellationToken,
) -> HealthServer<impl Health> {
    HealthServer::new(HealthDoor {
        inner: HealthService::from_health_reporter(reporter.clone()),
        stopping: stopping.clone(),
    })
}

#[tonic::async_trait]
impl Health for HealthDoor {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.inner.check(request).await
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let states = self.inner.watch(request).await?.into_inner();
        let open = states.take_until(self.stopping.clone().cancelled_owned());
        Ok(Response::new(open.boxed()))
    }
}
