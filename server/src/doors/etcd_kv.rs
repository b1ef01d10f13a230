//! `etcdserverpb.KV`: ranges, puts, deletes, transactions, compaction.

use quorate_proto::etcdserverpb::kv_server::{Kv, KvServer};
use quorate_proto::etcdserverpb::range_request::SortTarget;
use quorate_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse, request_op,
};
use quorate_store::is_read_only;
use tonic::{Request, Response, Status};

use super::away::away;
use super::member::Member;
use super::status::{require_leader, server_stopped};

/// A range that can return more keys than this is read away from the thread that serves others.
const SMALL_RANGE: i64 = 64;
/// So is one that may have to count more keys than this, whatever its limit.
const FEW_KEYS: usize = 10_000;

struct KvDoor {
    member: Member,
}

/// The service.
pub(crate) fn service(member: Member) -> KvServer<impl Kv> {
    KvServer::new(KvDoor { member })
}

impl KvDoor {
    fn keys(&self) -> usize {
        self.member.store().indexed_keys()
    }
}

#[tonic::async_trait]
impl Kv for KvDoor {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        require_leader(request.metadata(), &self.member)?;
        let request = request.into_inner();
        if !request.serializable {
            self.member.read_barrier().await?;
        }
        if is_small(&request, || self.keys()) {
            return self.member.range(&request).map(Response::new);
        }
        let member = self.member.clone();
        away(move || member.range(&request))
            .await
            .map(Response::new)
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        require_leader(request.metadata(), &self.member)?;
        let put = self.member.put(request.into_inner());
        put.await.map(Response::new)
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        require_leader(request.metadata(), &self.member)?;
        let delete = self.member.delete_range(request.into_inner());
        delete.await.map(Response::new)
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        require_leader(request.metadata(), &self.member)?;
        let request = request.into_inner();
        if !is_read_only(&request) {
            return self.member.txn(request).await.map(Response::new);
        }
        // Nothing to remember: a read, at one moment for all its ranges.
        let all = |holds: &dyn Fn(&RangeRequest) -> bool| {
            ranges(&request).all(|range| range.is_some_and(holds))
        };
        let stale_will_do = all(&|range| range.serializable) && ranges(&request).next().is_some();
        if !stale_will_do {
            self.member.read_barrier().await?;
        }
        let compares_points = request
            .compare
            .iter()
            .all(|compare| compare.range_end.is_empty());
        if compares_points && all(&|range| is_small(range, || self.keys())) {
            return self.member.read_txn(&request).map(Response::new);
        }
        let member = self.member.clone();
        away(move || member.read_txn(&request))
            .await
            .map(Response::new)
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        require_leader(request.metadata(), &self.member)?;
        let request = request.into_inner();
        let compacted = self.member.compact(request).await?;
        if request.physical {
            let stopping = self.member.stopping();
            tokio::select! {
                () = self.member.store().compaction_finished(request.revision) => {}
                () = stopping.cancelled() => return Err(server_stopped()),
            }
        }
        Ok(Response::new(compacted))
    }
}

/// What a transaction that only reads may read; `None` for anything else in it.
fn ranges(request: &TxnRequest) -> impl Iterator<Item = Option<&RangeRequest>> {
    let operations = request.success.iter().chain(&request.failure);
    operations.map(|operation| match &operation.request {
        Some(request_op::Request::RequestRange(range)) => Some(range),
        _ => None,
    })
}

/// Whether its answer is certain to be small, and quick to find among `keys` keys: an answer with a
/// limit also counts all there is in the range.
fn is_small(request: &RangeRequest, keys: impl FnOnce() -> usize) -> bool {
    let limited = request.limit > 0 && request.limit <= SMALL_RANGE;
    request.range_end.is_empty()
        || (limited && is_found_without_rows(request) && keys() <= FEW_KEYS)
}

/// Whether the index alone shows which keys are in the answer: of others the rows must be read, for
/// all that is in the range. It knows when the newest versions were created, as in a lock's line.
fn is_found_without_rows(request: &RangeRequest) -> bool {
    let creation = request.min_create_revision != 0 || request.max_create_revision != 0;
    match SortTarget::try_from(request.sort_target) {
        Ok(SortTarget::Key | SortTarget::Mod) if !creation => true,
        Ok(SortTarget::Key | SortTarget::Mod | SortTarget::Create) => request.revision == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_large_leaves_the_thread() {
        let point = RangeRequest {
            key: b"a".to_vec(),
            ..RangeRequest::default()
        };
        let all = RangeRequest {
            range_end: b"\0".to_vec(),
            ..point.clone()
        };
        let page = RangeRequest {
            limit: SMALL_RANGE,
            ..all.clone()
        };
        // The first by value needs a look at all of them; in a lock's line, the index knows.
        let by = |target: SortTarget, revision| RangeRequest {
            sort_target: target.into(),
            max_create_revision: 7,
            revision,
            ..page.clone()
        };
        assert!(!is_small(&by(SortTarget::Value, 0), || 0));
        assert!(is_small(&by(SortTarget::Create, 0), || FEW_KEYS));
        assert!(!is_small(&by(SortTarget::Create, 9), || 0));
        assert!(!is_small(&by(SortTarget::Key, 9), || 0));
        assert!(is_small(&point, || usize::MAX));
        assert!(is_small(&page, || FEW_KEYS));
        // Its count is of all of them.
        assert!(!is_small(&page, || FEW_KEYS + 1));
        assert!(!is_small(&all, || 0));
    }
}
