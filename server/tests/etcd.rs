//! etcd's services over the wire, against a real server: what a foreign client relies on.

use std::path::Path;
use std::time::Duration;

use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::auth_client::AuthClient;
use quorate_proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    AlarmRequest, AuthStatusRequest, CompactionRequest, Compare, DeleteRangeRequest,
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, MemberAddRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader,
    StatusRequest, TxnRequest, WatchCreateRequest, WatchRequest, request_op,
};
use quorate_proto::mvccpb::event::EventType;
use quorate_proto::v3electionpb::election_client::ElectionClient;
use quorate_proto::v3electionpb::{CampaignRequest, LeaderRequest, ProclaimRequest, ResignRequest};
use quorate_proto::v3lockpb::lock_client::LockClient;
use quorate_proto::v3lockpb::{LockRequest, UnlockRequest};
use quorate_tests::server::Server;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// Long enough for a busy machine, short enough to notice.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start() -> (Server, Channel) {
    let server = Server::start_binary(Path::new(env!("CARGO_BIN_EXE_quorate")), &[]).unwrap();
    let channel = Channel::from_shared(server.url()).unwrap();
    let channel = channel.connect().await.unwrap();
    (server, channel)
}

fn put(key: &str, value: &str, lease: i64) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        ..PutRequest::default()
    }
}

fn point(key: impl Into<Vec<u8>>) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        ..RangeRequest::default()
    }
}

fn whole(header: Option<ResponseHeader>) -> ResponseHeader {
    let header = header.expect("every answer has a header");
    assert_ne!(header.cluster_id, 0);
    assert_ne!(header.member_id, 0);
    assert_ne!(header.raft_term, 0);
    header
}

async fn granted(channel: &Channel, ttl: i64) -> i64 {
    let mut leases = LeaseClient::new(channel.clone());
    let request = LeaseGrantRequest { ttl, id: 0 };
    let answer = leases.lease_grant(request).await.unwrap().into_inner();
    assert!(answer.id > 0);
    answer.id
}

#[tokio::test]
async fn keys_are_put_read_deleted_and_compacted() {
    let (_server, channel) = start().await;
    let mut kv = KvClient::new(channel);
    let empty = kv.range(point("a")).await.unwrap().into_inner();
    assert_eq!(whole(empty.header).revision, 1);

    let first = kv.put(put("a", "1", 0)).await.unwrap().into_inner();
    assert_eq!(whole(first.header).revision, 2);
    for n in 0..200 {
        let key = format!("many/{n:03}");
        kv.put(put(&key, "x", 0)).await.unwrap();
    }
    let many = RangeRequest {
        key: b"many/".to_vec(),
        range_end: b"many0".to_vec(),
        limit: 150,
        ..RangeRequest::default()
    };
    let many = kv.range(many).await.unwrap().into_inner();
    assert_eq!((many.kvs.len(), many.count, many.more), (150, 200, true));
    assert_eq!(whole(many.header).revision, 202);

    let delete = DeleteRangeRequest {
        key: b"a".to_vec(),
        prev_kv: true,
        ..DeleteRangeRequest::default()
    };
    let deleted = kv.delete_range(delete).await.unwrap().into_inner();
    assert_eq!(whole(deleted.header).revision, 203);
    assert_eq!(deleted.prev_kvs[0].value, "1");

    let compact = CompactionRequest {
        revision: 203,
        physical: true,
    };
    let compacted = timeout(PATIENCE, kv.compact(compact)).await.unwrap();
    whole(compacted.unwrap().into_inner().header);
    let old = RangeRequest {
        revision: 2,
        ..point("a")
    };
    let refused = kv.range(old).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(
        refused.message(),
        "etcdserver: mvcc: required revision has been compacted"
    );
}

#[tokio::test]
async fn a_transaction_compares_and_swaps_and_a_reading_one_writes_nothing() {
    let (_server, channel) = start().await;
    let mut kv = KvClient::new(channel);
    let swap = |value: &str| TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Create as i32,
            key: b"once".to_vec(),
            target_union: Some(TargetUnion::CreateRevision(0)),
            ..Compare::default()
        }],
        success: vec![RequestOp {
            request: Some(request_op::Request::RequestPut(put("once", value, 0))),
        }],
        failure: vec![RequestOp {
            request: Some(request_op::Request::RequestRange(point("once"))),
        }],
    };
    let first = kv.txn(swap("mine")).await.unwrap().into_inner();
    assert!(first.succeeded);
    let revision = whole(first.header).revision;
    let second = kv.txn(swap("yours")).await.unwrap().into_inner();
    assert!(!second.succeeded);
    assert_eq!(whole(second.header).revision, revision);

    let reads = TxnRequest {
        success: swap("").failure,
        ..TxnRequest::default()
    };
    let read = kv.txn(reads).await.unwrap().into_inner();
    assert!(read.succeeded);
    assert_eq!(whole(read.header).revision, revision);
}

#[tokio::test]
async fn wrong_and_oversized_requests_get_etcds_words() {
    let (_server, channel) = start().await;
    let mut kv = KvClient::new(channel.clone());
    let refused = kv.put(put("", "x", 0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "etcdserver: key is not provided");
    let refused = kv.range(point("")).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: key is not provided");
    let large = put("k", &"x".repeat(1_600_000), 0);
    let refused = kv.put(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "etcdserver: request is too large");
    let refused = kv.put(put("k", "x", 12345)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.message(), "etcdserver: requested lease not found");
    // Far too large for one message: refused before it is read.
    let huge = put("k", &"x".repeat(3_000_000), 0);
    assert!(kv.put(huge).await.is_err());
    kv.put(put("k", &"x".repeat(1_500_000), 0)).await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_yet_says_so() {
    let (_server, channel) = start().await;
    let mut auth = AuthClient::new(channel.clone());
    let refused = auth.auth_status(AuthStatusRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("Auth.AuthStatus"), "{refused}");
    let mut cluster = ClusterClient::new(channel.clone());
    let request = MemberAddRequest::default();
    let refused = cluster.member_add(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let mut maintenance = MaintenanceClient::new(channel);
    let mut alarm = AlarmRequest::default();
    let none = maintenance.alarm(alarm).await.unwrap().into_inner();
    assert!(none.alarms.is_empty());
    alarm.action = AlarmAction::Activate as i32;
    let refused = maintenance.alarm(alarm).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn status_tells_who_leads_and_how_far() {
    let (_server, channel) = start().await;
    let mut kv = KvClient::new(channel.clone());
    kv.put(put("a", "1", 0)).await.unwrap();
    let mut maintenance = MaintenanceClient::new(channel);
    let status = maintenance.status(StatusRequest {}).await.unwrap();
    let status = status.into_inner();
    let header = whole(status.header);
    assert_eq!(status.leader, header.member_id);
    assert_eq!(status.raft_term, header.raft_term);
    assert!(status.raft_applied_index > 0 && status.raft_applied_index <= status.raft_index);
    assert!(status.db_size > 0);
    assert!(status.version.starts_with("3.6."));
    assert!(status.errors.is_empty());
}

#[tokio::test]
async fn a_lease_lives_by_keep_alives_and_takes_its_keys_with_it() {
    let (_server, channel) = start().await;
    let mut kv = KvClient::new(channel.clone());
    let mut leases = LeaseClient::new(channel.clone());
    let id = granted(&channel, 1).await;
    kv.put(put("ephemeral", "x", id)).await.unwrap();
    let known = LeaseTimeToLiveRequest { id, keys: true };
    let told = leases.lease_time_to_live(known).await.unwrap().into_inner();
    assert_eq!(told.granted_ttl, 2, "raised to the minimum");
    assert_eq!(told.keys, [b"ephemeral".to_vec()]);
    let all = leases.lease_leases(LeaseLeasesRequest {}).await.unwrap();
    assert_eq!(all.into_inner().leases[0].id, id);

    let (requests, sent) = mpsc::channel(4);
    requests.send(LeaseKeepAliveRequest { id }).await.unwrap();
    let mut answers = leases
        .lease_keep_alive(ReceiverStream::new(sent))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().ttl, 2);
    let nobody = LeaseKeepAliveRequest { id: 4711 };
    requests.send(nobody).await.unwrap();
    let gone = answers.message().await.unwrap().unwrap();
    assert_eq!((gone.id, gone.ttl), (4711, 0));
    whole(gone.header);

    let mut events = watch(&channel, "ephemeral").await;
    let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert_eq!(event.0, EventType::Delete);
    let told = leases.lease_time_to_live(known).await.unwrap().into_inner();
    assert_eq!(told.ttl, -1);
    let revoke = LeaseRevokeRequest { id };
    let refused = leases.lease_revoke(revoke).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: requested lease not found");
}

/// A watch on one key that is already in place.
async fn watch(channel: &Channel, key: &str) -> mpsc::Receiver<(EventType, String)> {
    let (requests, sent) = mpsc::channel(4);
    let create = RequestUnion::CreateRequest(WatchCreateRequest {
        key: key.into(),
        ..WatchCreateRequest::default()
    });
    let request = WatchRequest {
        request_union: Some(create),
    };
    requests.send(request).await.unwrap();
    let mut responses = WatchClient::new(channel.clone())
        .watch(ReceiverStream::new(sent))
        .await
        .unwrap()
        .into_inner();
    let created = responses.message().await.unwrap().unwrap();
    assert!(created.created);
    whole(created.header);
    let (found, events) = mpsc::channel(64);
    tokio::spawn(async move {
        let _open = requests;
        while let Ok(Some(response)) = responses.message().await {
            whole(response.header);
            for event in response.events {
                let kind = event.r#type();
                let value = event.kv.unwrap_or_default().value;
                let value = String::from_utf8(value.to_vec()).unwrap();
                if found.send((kind, value)).await.is_err() {
                    return;
                }
            }
        }
    });
    events
}

#[tokio::test]
async fn a_watch_sees_every_change_in_order() {
    let (_server, channel) = start().await;
    let mut events = watch(&channel, "k").await;
    let mut kv = KvClient::new(channel);
    for n in 0..50 {
        kv.put(put("k", &n.to_string(), 0)).await.unwrap();
    }
    for n in 0..50 {
        let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        assert_eq!(event, (EventType::Put, n.to_string()));
    }
}

#[tokio::test]
async fn a_watch_goes_on_when_its_client_has_no_more_to_ask() {
    let (_server, channel) = start().await;
    let create = WatchCreateRequest {
        key: b"k".to_vec(),
        ..WatchCreateRequest::default()
    };
    let only = tokio_stream::once(WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    });
    let mut watches = WatchClient::new(channel.clone());
    let mut responses = watches.watch(only).await.unwrap().into_inner();
    assert!(responses.message().await.unwrap().unwrap().created);
    KvClient::new(channel).put(put("k", "v", 0)).await.unwrap();
    let told = timeout(PATIENCE, responses.message()).await.unwrap();
    let told = told.unwrap().expect("the stream goes on");
    assert_eq!(told.events.len(), 1);
}

#[tokio::test]
async fn giving_up_a_second_call_leaves_the_lock_with_the_first() {
    let (_server, channel) = start().await;
    let mut locks = LockClient::new(channel.clone());
    let lock = |lease| LockRequest {
        name: b"job".to_vec(),
        lease,
    };
    let holder = granted(&channel, 60).await;
    locks.lock(lock(holder)).await.unwrap();
    for micros in (0..2000).step_by(50) {
        let mut again = Request::new(lock(holder));
        again.set_timeout(Duration::from_micros(micros));
        // Some are answered in time, some not.
        drop(locks.lock(again).await);
    }
    let mut other = Request::new(lock(granted(&channel, 60).await));
    other.set_timeout(Duration::from_millis(300));
    let refused = locks.lock(other).await;
    assert!(refused.is_err(), "two hold the lock");
}

#[tokio::test]
async fn a_lock_is_handed_over_in_order_and_a_waiter_that_leaves_is_forgotten() {
    let (_server, channel) = start().await;
    let mut locks = LockClient::new(channel.clone());
    let lock = |lease| LockRequest {
        name: b"job".to_vec(),
        lease,
    };
    let first_lease = granted(&channel, 60).await;
    let first = locks.lock(lock(first_lease)).await.unwrap().into_inner();
    assert_eq!(first.key, format!("job/{first_lease:x}").into_bytes());
    whole(first.header);

    // Somebody waits, and gives up; so the place in the queue goes.
    let leaver = granted(&channel, 60).await;
    let mut place = watch(&channel, &format!("job/{leaver:x}")).await;
    let mut impatient = Request::new(lock(leaver));
    impatient.set_timeout(Duration::from_millis(200));
    let refused = locks.lock(impatient).await.unwrap_err();
    assert!(
        // Its own clock may be the first to say so, and then it is tonic that speaks.
        matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{refused}"
    );
    for expected in [EventType::Put, EventType::Delete] {
        let event = timeout(PATIENCE, place.recv()).await.unwrap().unwrap();
        assert_eq!(event.0, expected);
    }

    let second_lease = granted(&channel, 60).await;
    let ticket = format!("job/{second_lease:x}");
    let mut place = watch(&channel, &ticket).await;
    let waiting = tokio::spawn({
        let mut locks = locks.clone();
        async move { locks.lock(lock(second_lease)).await }
    });
    let event = timeout(PATIENCE, place.recv()).await.unwrap().unwrap();
    assert_eq!(event.0, EventType::Put);
    assert!(!waiting.is_finished());

    locks
        .unlock(UnlockRequest { key: first.key })
        .await
        .unwrap();
    let second = timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(second.into_inner().key, ticket.clone().into_bytes());

    // Held again by the same lease: the same lock.
    let again = locks.lock(lock(second_lease)).await.unwrap().into_inner();
    assert_eq!(again.key, ticket.into_bytes());
}

#[tokio::test]
async fn a_lock_without_a_lease_gets_one_and_a_dead_lease_gets_none() {
    let (_server, channel) = start().await;
    let mut locks = LockClient::new(channel.clone());
    let lock = |lease| LockRequest {
        name: b"job".to_vec(),
        lease,
    };
    let held = locks.lock(lock(0)).await.unwrap().into_inner();
    let mut kv = KvClient::new(channel);
    let ticket = kv.range(point(held.key)).await.unwrap().into_inner();
    assert_ne!(ticket.kvs[0].lease, 0);
    let refused = locks.lock(lock(4711)).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: requested lease not found");
}

#[tokio::test]
async fn a_leader_proclaims_is_observed_and_resigns() {
    let (_server, channel) = start().await;
    let mut elections = ElectionClient::new(channel.clone());
    let name = b"boss".to_vec();
    let who = LeaderRequest { name: name.clone() };
    let nobody = elections.leader(who.clone()).await.unwrap_err();
    assert_eq!(nobody.message(), "election: no leader");
    let mut observed = elections.observe(who.clone()).await.unwrap().into_inner();

    let campaign = |value: &str, lease| {
        let mut elections = elections.clone();
        let request = CampaignRequest {
            name: name.clone(),
            lease,
            value: value.into(),
        };
        tokio::spawn(async move { elections.campaign(request).await })
    };
    let (a, b) = (granted(&channel, 60).await, granted(&channel, 60).await);
    let first = campaign("a", a).await.unwrap().unwrap().into_inner();
    let first = first.leader.unwrap();
    let second = campaign("b", b);
    let mut said = async || {
        let response = timeout(PATIENCE, observed.message()).await.unwrap();
        let kv = response.unwrap().unwrap().kv.unwrap();
        String::from_utf8(kv.value.to_vec()).unwrap()
    };
    assert_eq!(said().await, "a");

    let proclaim = ProclaimRequest {
        leader: Some(first.clone()),
        value: b"a again".to_vec(),
    };
    elections.proclaim(proclaim.clone()).await.unwrap();
    assert_eq!(said().await, "a again");
    let leader = elections.leader(who).await.unwrap().into_inner();
    assert_eq!(leader.kv.unwrap().create_revision, first.rev);

    let resign = ResignRequest {
        leader: Some(first),
    };
    elections.resign(resign).await.unwrap();
    let second = timeout(PATIENCE, second).await.unwrap().unwrap().unwrap();
    assert_eq!(second.into_inner().leader.unwrap().lease, b);
    assert_eq!(said().await, "b");
    let refused = elections.proclaim(proclaim).await.unwrap_err();
    assert_eq!(refused.message(), "election: not leader");
    let missing = elections.resign(ResignRequest { leader: None }).await;
    assert_eq!(missing.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn health_says_serving() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let (_server, channel) = start().await;
    let mut health = HealthClient::new(channel);
    let answer = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status, 1);
}
