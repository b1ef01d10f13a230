//! `quorate.v1.Peer`: what other members ask.

use quorate_proto::v1::peer_server::{Peer, PeerServer};
use quorate_proto::v1::{IdentifyRequest, IdentifyResponse};
use tonic::{Request, Response, Status};

/// Answers who is here, to members of the same cluster only.
#[derive(Clone, Copy, Debug)]
struct PeerDoor {
    cluster_id: u64,
    member_id: u64,
}

/// The service, for the peer listener.
pub(crate) fn service(cluster_id: u64, member_id: u64) -> PeerServer<impl Peer> {
    PeerServer::new(PeerDoor {
        cluster_id,
        member_id,
    })
}

#[tonic::async_trait]
impl Peer for PeerDoor {
    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        let caller = request.into_inner();
        if caller.cluster_id != self.cluster_id {
            tracing::warn!(
                cluster = format!("{:016x}", caller.cluster_id),
                member = format!("{:016x}", caller.member_id),
                "refused a member of another cluster"
            );
            return Err(Status::failed_precondition(
                "etcdserver: cluster ID mismatch",
            ));
        }
        Ok(Response::new(IdentifyResponse {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_cluster_is_refused() {
        let door = PeerDoor {
            cluster_id: 1,
            member_id: 2,
        };
        let ask = |cluster_id| {
            door.identify(Request::new(IdentifyRequest {
                cluster_id,
                member_id: 3,
            }))
        };
        assert_eq!(ask(1).await.unwrap().into_inner().member_id, 2);
        let refused = ask(9).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    }
}
