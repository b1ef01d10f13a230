//! `v3lockpb.Lock`: a lock held for as long as a lease lives.

use quorate_proto::etcdserverpb::DeleteRangeRequest;
use quorate_proto::v3lockpb::lock_server::{Lock, LockServer};
use quorate_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::{Request, Response, Status};

use super::member::Member;
use super::queue::Ticket;

struct LockDoor {
    member: Member,
}

/// The service.
pub(crate) fn service(member: Member) -> LockServer<impl Lock> {
    LockServer::new(LockDoor { member })
}

#[tonic::async_trait]
impl Lock for LockDoor {
    /// Answers when the lock is held. A caller that goes away meanwhile gives its place up.
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let LockRequest { name, lease } = request.into_inner();
        let ticket = Ticket::take(&self.member, &name, lease, Vec::new()).await?;
        let header = ticket.wait_for_turn().await?;
        let (place, _) = ticket.keep();
        Ok(Response::new(LockResponse {
            header: Some(header),
            key: place.key,
        }))
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let delete = DeleteRangeRequest {
            key: request.into_inner().key,
            ..DeleteRangeRequest::default()
        };
        let deleted = self.member.delete_range(delete).await?;
        Ok(Response::new(UnlockResponse {
            header: deleted.header,
        }))
    }
}
