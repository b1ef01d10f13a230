//! `v3electionpb.Election`: a leader is who is first in a queue; its ticket's value is its word.

use futures::stream::{self, BoxStream, StreamExt};
use quorate_proto::etcdserverpb::compare::{CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::request_op;
use quorate_proto::etcdserverpb::{Compare, PutRequest, RequestOp, TxnRequest};
use quorate_proto::mvccpb::KeyValue;
use quorate_proto::mvccpb::event::EventType;
use quorate_proto::v3electionpb::election_server::{Election, ElectionServer};
use quorate_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use tonic::{Request, Response, Status};

use super::key_events::KeyEvents;
use super::member::Member;
use super::queue::{Ticket, delete, equals, first_in, prefix, within};

struct ElectionDoor {
    member: Member,
}

/// The service.
pub(crate) fn service(member: Member) -> ElectionServer<impl Election> {
    ElectionServer::new(ElectionDoor { member })
}

#[tonic::async_trait]
impl Election for ElectionDoor {
    /// Answers when elected. A caller that goes away meanwhile gives its candidacy up.
    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let CampaignRequest { name, lease, value } = request.into_inner();
        let ticket = Ticket::take(&self.member, &name, lease, value).await?;
        let header = ticket.wait_for_turn().await?;
        let (place, lease) = ticket.keep();
        Ok(Response::new(CampaignResponse {
            header: Some(header),
            leader: Some(LeaderKey {
                name,
                key: place.key,
                rev: place.revision,
                lease,
            }),
        }))
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        let ProclaimRequest { leader, value } = request.into_inner();
        let leader = leader.ok_or_else(missing_leader)?;
        let put = RequestOp {
            request: Some(request_op::Request::RequestPut(PutRequest {
                key: leader.key.clone(),
                value,
                lease: leader.lease,
                ..PutRequest::default()
            })),
        };
        let said = self
            .member
            .txn(TxnRequest {
                compare: vec![still(&leader)],
                success: vec![put],
                failure: Vec::new(),
            })
            .await?;
        if !said.succeeded {
            return Err(Status::failed_precondition("election: not leader"));
        }
        Ok(Response::new(ProclaimResponse {
            header: said.header,
        }))
    }

    async fn leader(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<LeaderResponse>, Status> {
        self.member.read_barrier().await?;
        let mut first = self
            .member
            .range(&first_in(prefix(&request.into_inner().name)))?;
        let kv = first
            .kvs
            .pop()
            .ok_or_else(|| Status::not_found("election: no leader"))?;
        Ok(Response::new(LeaderResponse {
            header: first.header,
            kv: Some(kv),
        }))
    }

    type ObserveStream = BoxStream<'static, Result<LeaderResponse, Status>>;

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let observer = Observer {
            member: self.member.clone(),
            prefix: prefix(&request.into_inner().name),
            waits_for: WaitsFor::AnyAnswer,
        };
        let leaders = stream::unfold(Some(observer), |observer| async {
            let mut observer = observer?;
            match observer.next().await {
                Ok(leader) => Some((Ok(leader), Some(observer))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(leaders.boxed()))
    }

    async fn resign(
        &self,
        request: Request<ResignRequest>,
    ) -> Result<Response<ResignResponse>, Status> {
        let leader = request.into_inner().leader.ok_or_else(missing_leader)?;
        let resigned = self
            .member
            .txn(TxnRequest {
                compare: vec![still(&leader)],
                success: vec![delete(leader.key)],
                failure: Vec::new(),
            })
            .await?;
        Ok(Response::new(ResignResponse {
            header: resigned.header,
        }))
    }
}

/// Holds while the leader's ticket is the one it was elected with.
fn still(leader: &LeaderKey) -> Compare {
    equals(
        &leader.key,
        CompareTarget::Create,
        TargetUnion::CreateRevision(leader.rev),
    )
}

fn missing_leader() -> Status {
    Status::invalid_argument("\"leader\" field must be provided")
}

/// Follows who leads and what it says.
struct Observer {
    member: Member,
    prefix: Vec<u8>,
    waits_for: WaitsFor,
}

enum WaitsFor {
    /// Nothing: look who leads now.
    AnyAnswer,
    /// Nobody leads: the first ticket.
    Candidate(KeyEvents),
    /// The leader's next word, or its end.
    Word(KeyEvents),
}

impl Observer {
    async fn next(&mut self) -> Result<LeaderResponse, Status> {
        loop {
            match &mut self.waits_for {
                WaitsFor::AnyAnswer => {
                    self.member.read_barrier().await?;
                    let mut first = self.member.range(&first_in(self.prefix.clone()))?;
                    let seen = first.header.as_ref().map_or(0, |header| header.revision);
                    if let Some(kv) = first.kvs.pop() {
                        self.follow(&kv, seen + 1);
                        return Ok(LeaderResponse {
                            header: first.header,
                            kv: Some(kv),
                        });
                    }
                    let all = within(self.prefix.clone());
                    let events = KeyEvents::of(&self.member, all.key, all.range_end, seen + 1);
                    self.waits_for = WaitsFor::Candidate(events);
                }
                WaitsFor::Candidate(events) => match next_event(events).await? {
                    Some((EventType::Put, kv)) => {
                        self.follow(&kv, kv.mod_revision + 1);
                        return Ok(self.said(kv));
                    }
                    Some((EventType::Delete, _)) => {}
                    None => self.waits_for = WaitsFor::AnyAnswer,
                },
                WaitsFor::Word(events) => match next_event(events).await? {
                    Some((EventType::Put, kv)) => return Ok(self.said(kv)),
                    Some((EventType::Delete, _)) | None => self.waits_for = WaitsFor::AnyAnswer,
                },
            }
        }
    }

    fn follow(&mut self, leader: &KeyValue, from_revision: i64) {
        let key = leader.key.to_vec();
        let events = KeyEvents::of(&self.member, key, Vec::new(), from_revision);
        self.waits_for = WaitsFor::Word(events);
    }

    fn said(&self, kv: KeyValue) -> LeaderResponse {
        LeaderResponse {
            header: Some(self.member.header_at(kv.mod_revision)),
            kv: Some(kv),
        }
    }
}

/// The next event with its key-value; `None` if one has to look again.
async fn next_event(events: &mut KeyEvents) -> Result<Option<(EventType, KeyValue)>, Status> {
    let event = events.next().await?;
    Ok(event.and_then(|event| Some((event.r#type(), event.kv?))))
}
