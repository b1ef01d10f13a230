//! What the etcd doors stand on: this member's log, its state, and who it is in every header.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use quorate_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    LeaseGrantResponse, LeaseRevokeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    ResponseHeader, TxnRequest, TxnResponse,
};
use quorate_proto::log::command::Op;
use quorate_proto::log::{Command, LeaseCheckpoint, LeaseGrant, LeaseRevoke};
use quorate_raft::{Node, Peers, Reply};
use quorate_store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::status;
use crate::pulse::Pulse;

/// How a member is known, and what it allows.
#[derive(Clone, Debug)]
pub(crate) struct MemberOptions {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    pub(crate) name: String,
    pub(crate) client_urls: Vec<String>,
    pub(crate) peer_urls: Vec<String>,
    /// Largest request, encoded.
    pub(crate) max_request_bytes: usize,
    /// Largest answer of a read.
    pub(crate) max_answer_bytes: usize,
}

/// This member, as the doors see it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Member(Arc<Inner>);

struct Inner {
    node: Node,
    store: Store,
    /// The way to the other members.
    peers: Arc<dyn Peers>,
    options: MemberOptions,
    /// Ends what would otherwise wait for long: watches, keep-alives, queues for a lock.
    stopping: CancellationToken,
    pulse: Pulse,
    /// What must be done although its caller has gone, such as leaving a queue.
    chores: TaskTracker,
    /// Chores outlive the threads that serve clients.
    background: tokio::runtime::Handle,
}

macro_rules! proposals {
    ($($(#[$doc:meta])* $name:ident: $variant:ident($request:ty) -> $response:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) async fn $name(&self, request: $request) -> Result<$response, Status> {
            match self.propose(Op::$variant(request)).await? {
                Reply::$variant(mut response) => {
                    self.complete(&mut response.header);
                    Ok(response)
                }
                other => Err(mismatch(&other)),
            }
        }
    )*};
}

impl Member {
    /// A member whose log and state are open. Call it on the background runtime.
    pub(crate) fn new(
        node: Node,
        store: Store,
        peers: Arc<dyn Peers>,
        options: MemberOptions,
        stopping: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            node,
            store,
            peers,
            options,
            stopping,
            pulse: Pulse::new(),
            chores: TaskTracker::new(),
            background: tokio::runtime::Handle::current(),
        }))
    }

    proposals! {
        put: Put(PutRequest) -> PutResponse;
        delete_range: DeleteRange(DeleteRangeRequest) -> DeleteRangeResponse;
        txn: Txn(TxnRequest) -> TxnResponse;
        compact: Compact(CompactionRequest) -> CompactionResponse;
        lease_grant: LeaseGrant(LeaseGrant) -> LeaseGrantResponse;
        lease_revoke: LeaseRevoke(LeaseRevoke) -> LeaseRevokeResponse;
    }

    /// Call it before judging a lease by the clock: if this process stood still, every lease gets
    /// the time back, since its holder could not renew it meanwhile.
    pub(crate) fn feel_pulse(&self) {
        self.0.pulse.feel(|missed| {
            tracing::warn!(
                ?missed,
                "this process stood still; leases get the time back"
            );
            self.0.store.leases().credit(missed);
        });
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        &self.0.pulse
    }

    /// Writes to the log how much time leases have left, as the leader in this term.
    pub(crate) async fn lease_checkpoint(
        &self,
        term: u64,
        leases: LeaseCheckpoint,
    ) -> Result<(), Status> {
        let op = Some(Op::LeaseCheckpoint(leases));
        let command = Command { op };
        let answers = self.0.node.propose_in_term(term, vec![command]).await;
        let noted = answers.into_iter().next().map(|answer| answer.map(drop));
        noted.unwrap_or(Ok(())).map_err(status::unanswered)
    }

    /// Ends leases that are over, as the leader in this term; one answer for each.
    pub(crate) async fn lease_expire(&self, term: u64, ids: &[i64]) -> Vec<Result<(), Status>> {
        let revoke = |&id| Command {
            op: Some(Op::LeaseRevoke(LeaseRevoke { id })),
        };
        let commands = ids.iter().map(revoke).collect();
        let answers = self.0.node.propose_in_term(term, commands).await;
        answers
            .into_iter()
            .map(|answer| answer.map(drop).map_err(status::unanswered))
            .collect()
    }

    async fn propose(&self, op: Op) -> Result<Reply, Status> {
        let command = Command { op: Some(op) };
        if command.encoded_len() > self.0.options.max_request_bytes {
            // etcd tells first what else is wrong with it.
            self.0.store.validate(&command).map_err(status::refused)?;
            return Err(status::too_large());
        }
        self.0
            .node
            .propose(command)
            .await
            .map_err(status::unanswered)
    }

    /// Waits until the local state has everything acknowledged before this call.
    pub(crate) async fn read_barrier(&self) -> Result<(), Status> {
        self.0.node.read_barrier().await.map_err(status::unanswered)
    }

    /// Reads the local state as it is.
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Status> {
        let mut response = self.0.store.range(request).map_err(status::refused)?;
        self.complete(&mut response.header);
        Ok(response)
    }

    /// Answers a transaction that only reads from the local state as it is.
    pub(crate) fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, Status> {
        let read = self.0.store.read_txn(request);
        let mut response = read.map_err(status::refused)?;
        self.complete(&mut response.header);
        Ok(response)
    }

    /// A header at the local state's revision.
    pub(crate) fn header(&self) -> ResponseHeader {
        self.header_at(self.0.store.revision())
    }

    /// A header at a revision.
    pub(crate) fn header_at(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.0.options.cluster_id,
            member_id: self.0.options.member_id,
            revision,
            raft_term: self.0.node.term(),
        }
    }

    /// Adds to a header, in which the store has filled the revision, who answers.
    pub(crate) fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header
            .as_ref()
            .map_or_else(|| self.0.store.revision(), |header| header.revision);
        *header = Some(self.header_at(revision));
    }

    pub(crate) fn has_leader(&self) -> bool {
        self.0.node.is_leader() || self.0.node.other_leader().is_some()
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(crate) fn peers(&self) -> &Arc<dyn Peers> {
        &self.0.peers
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn options(&self) -> &MemberOptions {
        &self.0.options
    }

    /// Cancelled when this member is on its way down. One for each who waits, so that waiting on
    /// different threads shares no lock.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.0.stopping.child_token()
    }

    /// Does something whose caller may go away meanwhile, or has gone.
    pub(crate) fn spawn_chore(&self, chore: impl Future<Output = ()> + Send + 'static) {
        self.0.chores.spawn_on(chore, &self.0.background);
    }

    /// Waits for the chores that are left, at most this long.
    pub(crate) async fn finish_chores(&self, at_most: Duration) {
        self.0.chores.close();
        if tokio::time::timeout(at_most, self.0.chores.wait())
            .await
            .is_err()
        {
            tracing::warn!("some abandoned lock and election tickets are left to their leases");
        }
    }
}

/// The state machine answered another kind of command: a defect.
fn mismatch(reply: &Reply) -> Status {
    // Which variant, and not what it holds: values are not for logs.
    let got = std::mem::discriminant(reply);
    tracing::error!(?got, "a command got another command's reply");
    Status::internal("a command got another command's reply; report it")
}
