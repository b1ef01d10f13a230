//! `quorate.v1.Registry`: a relay between streams and the available plane, whose rules live there.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use quorate_proto::v1;
use quorate_proto::v1::registry_server::RegistryServer;
use quorate_registry::{Registry, ServiceWatch, Session};
use quorate_types::{Error, ErrorCode};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::status;

/// How long a session's stream may be open without its first message.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

struct RegistryDoor {
    registry: Registry,
    open_within: Duration,
}

/// The service.
pub(crate) fn service(registry: Registry) -> RegistryServer<impl v1::registry_server::Registry> {
    RegistryServer::new(RegistryDoor {
        registry,
        open_within: OPEN_WITHIN,
    })
}

#[tonic::async_trait]
impl v1::registry_server::Registry for RegistryDoor {
    type SessionStream = Responses;

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        // The headers go out at once: some clients wait for them before they send anything.
        let opening = converse(
            self.registry.clone(),
            request.into_inner(),
            self.open_within,
        );
        Ok(Response::new(stream::once(opening).try_flatten().boxed()))
    }

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        answer(self.registry.register(request.into_inner()))
    }

    async fn deregister(
        &self,
        request: Request<v1::DeregisterRequest>,
    ) -> Result<Response<v1::DeregisterResponse>, Status> {
        answer(self.registry.deregister(request.get_ref()))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        answer(self.registry.heartbeat(request.get_ref()))
    }

    async fn discover(
        &self,
        request: Request<v1::DiscoverRequest>,
    ) -> Result<Response<v1::DiscoverResponse>, Status> {
        answer(self.registry.discover(request.get_ref()))
    }

    async fn list_services(
        &self,
        request: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        answer(self.registry.list_services(request.get_ref()))
    }

    type WatchServiceStream = BoxStream<'static, Result<v1::WatchServiceResponse, Status>>;

    async fn watch_service(
        &self,
        request: Request<v1::WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let watch = self.registry.watch(request.get_ref()).map_err(refused)?;
        // Only asked for more when the client has room: a slow one gets less, and newer.
        let responses = stream::unfold(Some(watch), |watch: Option<ServiceWatch>| async {
            let watch = watch?;
            match watch.next().await {
                Ok(response) => Some((Ok(response), Some(watch))),
                Err(error) => Some((Err(refused(error)), None)),
            }
        });
        Ok(Response::new(responses.boxed()))
    }
}

type Responses = BoxStream<'static, Result<v1::SessionResponse, Status>>;

/// An open session, both ways.
struct Conversation {
    session: Arc<Session>,
    /// Hears the client, however slowly it reads: else a large answer on its way would keep its
    /// signs of life from being heard.
    _listener: AbortOnDropHandle<()>,
}

/// Waits for the client to open its session; the rest of the stream is what it is told.
async fn converse(
    registry: Registry,
    mut requests: Streaming<v1::SessionRequest>,
    open_within: Duration,
) -> Result<Responses, Status> {
    let Ok(first) = tokio::time::timeout(open_within, requests.message()).await else {
        return Err(refused(Error::new(
            ErrorCode::Timeout,
            format!("no command came within {open_within:?}; the first must be Open"),
        )));
    };
    let Some(first) = first? else {
        return Ok(stream::empty().boxed());
    };
    let session = Arc::new(registry.open(first).map_err(refused)?);
    let listener = tokio::spawn(listen(session.clone(), requests));
    let conversation = Conversation {
        session,
        _listener: AbortOnDropHandle::new(listener),
    };
    let responses = stream::unfold(Some(conversation), |conversation| async {
        let conversation = conversation?;
        match conversation.session.next().await {
            Ok(response) => Some((Ok(response), Some(conversation))),
            Err(end) => end.error().map(|error| (Err(refused(error)), None)),
        }
    });
    Ok(responses.boxed())
}

/// Hands over what the client says, as fast as it reads the answers. When it stops saying
/// anything the connection is detached: only Close ends a session.
async fn listen(session: Arc<Session>, mut requests: Streaming<v1::SessionRequest>) {
    loop {
        session.ready().await;
        match requests.message().await {
            Ok(Some(request)) => {
                if session.handle(request).is_err() {
                    return; // Its `next` says why.
                }
            }
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(session = session.id(), %status, "a session's connection broke");
                break;
            }
        }
    }
    session.detach();
}

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(refused)
}

fn refused(error: Error) -> Status {
    status::from_code(error.code(), error.message())
}

#[cfg(test)]
mod tests;
