//! The door over a real connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::v1;
use quorate_proto::v1::registry_client::RegistryClient;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;
use quorate_registry::{RegistryOptions, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Server};
use tonic::{Code, Streaming};

use super::*;

struct Running {
    registry: Registry,
    client: RegistryClient<Channel>,
    _server: AbortOnDropHandle<()>,
}

async fn start(open_within: Duration) -> Running {
    let clock = Arc::new(SystemClock::new());
    let registry = Registry::new(RegistryOptions::new(1, 2, 3), clock);
    let door = RegistryServer::new(RegistryDoor {
        registry: registry.clone(),
        open_within,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder()
        .add_service(door)
        .serve_with_incoming(TcpListenerStream::new(listener));
    let server = tokio::spawn(async move { server.await.unwrap() });
    Running {
        registry,
        client: RegistryClient::connect(address).await.unwrap(),
        _server: AbortOnDropHandle::new(server),
    }
}

/// Every wait has an end.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("in time")
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

type Commands = mpsc::Sender<v1::SessionRequest>;

async fn connect(running: &Running) -> (Commands, Streaming<v1::SessionResponse>) {
    let (commands, requests) = mpsc::channel(4);
    let requests = ReceiverStream::new(requests);
    let responses = soon(running.client.clone().session(requests)).await;
    (commands, responses.unwrap().into_inner())
}

fn request(request_id: u64, body: Command) -> v1::SessionRequest {
    v1::SessionRequest {
        commands: vec![v1::SessionCommand {
            request_id,
            body: Some(body),
        }],
    }
}

fn open_with(token: &[u8]) -> v1::SessionRequest {
    request(
        0,
        Command::Open(v1::SessionOpen {
            client_id: "a".into(),
            resume_token: token.to_vec().into(),
            ..Default::default()
        }),
    )
}

fn service_key() -> Option<v1::ServiceKey> {
    Some(v1::ServiceKey {
        name: "web".into(),
        ..Default::default()
    })
}

fn register() -> v1::SessionRequest {
    request(
        1,
        Command::Register(v1::SessionRegister {
            service: service_key(),
            instance: Some(v1::Instance {
                address: "10.0.0.1:80".into(),
                ..Default::default()
            }),
        }),
    )
}

fn subscribe() -> v1::SessionRequest {
    request(
        0,
        Command::Subscribe(v1::SessionSubscribe {
            service: service_key(),
            known: None,
        }),
    )
}

fn heartbeat(request_id: u64) -> v1::SessionRequest {
    request(request_id, Command::Heartbeat(v1::SessionHeartbeat {}))
}

async fn events(responses: &mut Streaming<v1::SessionResponse>) -> Vec<Event> {
    let response = soon(responses.message()).await.unwrap().expect("open");
    response
        .events
        .into_iter()
        .map(|event| event.body.unwrap())
        .collect()
}

async fn opened(responses: &mut Streaming<v1::SessionResponse>) -> v1::SessionOpened {
    match events(responses).await.remove(0) {
        Event::Opened(opened) => opened,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_goes_both_ways_and_a_reset_only_detaches_it() {
    let running = start(OPEN_WITHIN).await;
    let (commands, mut responses) = connect(&running).await;
    commands.send(open_with(b"")).await.unwrap();
    let first = opened(&mut responses).await;
    assert!(!first.resumed);
    commands.send(register()).await.unwrap();
    assert!(matches!(&events(&mut responses).await[..], [Event::Ack(ack)] if ack.code == 0));
    commands.send(subscribe()).await.unwrap();
    assert!(matches!(
        &events(&mut responses).await[..],
        [Event::Snapshot(_)]
    ));

    // Nobody holds the stream any more: HTTP/2 resets it.
    drop((commands, responses));
    until(|| running.registry.metrics().subscriptions == 0).await;
    let (commands, mut responses) = connect(&running).await;
    commands.send(open_with(&first.resume_token)).await.unwrap();
    assert!(opened(&mut responses).await.resumed);

    // Saying no more is a detach too, and a good end of the stream.
    drop(commands);
    assert_eq!(soon(responses.message()).await.unwrap(), None);
    let metrics = running.registry.metrics();
    assert_eq!((metrics.instances, metrics.sessions), (1, 1));

    let (commands, mut responses) = connect(&running).await;
    commands.send(open_with(&first.resume_token)).await.unwrap();
    assert!(opened(&mut responses).await.resumed);
    let close = Command::Close(v1::SessionClose {});
    commands.send(request(7, close)).await.unwrap();
    assert!(matches!(&events(&mut responses).await[..], [Event::Ack(ack)] if ack.request_id == 7));
    assert_eq!(soon(responses.message()).await.unwrap(), None);
    let metrics = running.registry.metrics();
    assert_eq!((metrics.instances, metrics.sessions), (0, 0));
}

#[tokio::test]
async fn a_stream_that_does_not_begin_with_open_is_refused() {
    let running = start(Duration::from_millis(50)).await;
    let (commands, mut responses) = connect(&running).await;
    commands.send(heartbeat(1)).await.unwrap();
    let status = soon(responses.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);

    let (_commands, mut responses) = connect(&running).await;
    let status = soon(responses.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    let (commands, mut responses) = connect(&running).await;
    drop(commands);
    assert_eq!(soon(responses.message()).await.unwrap(), None);
    assert_eq!(running.registry.metrics().sessions_opened, 0);
}

#[tokio::test]
async fn the_newer_connection_ends_the_older() {
    let running = start(OPEN_WITHIN).await;
    let (older, mut old_responses) = connect(&running).await;
    older.send(open_with(b"")).await.unwrap();
    let token = opened(&mut old_responses).await.resume_token;
    let (newer, mut responses) = connect(&running).await;
    newer.send(open_with(&token)).await.unwrap();
    assert!(opened(&mut responses).await.resumed);
    let status = soon(old_responses.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    newer.send(heartbeat(1)).await.unwrap();
    assert_eq!(events(&mut responses).await.len(), 2);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either_and_loses_nothing() {
    const COUNT: u64 = 40_000;
    let running = start(OPEN_WITHIN).await;
    let (commands, mut responses) = connect(&running).await;
    commands.send(open_with(b"")).await.unwrap();
    opened(&mut responses).await;
    // Refused with its name in the message: answers fill the windows soon.
    let wrong = Command::Subscribe(v1::SessionSubscribe {
        service: Some(v1::ServiceKey {
            name: format!("-{}", "x".repeat(200)),
            ..Default::default()
        }),
        known: None,
    });
    let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let sending = {
        let sent = sent.clone();
        tokio::spawn(async move {
            for first in (1..COUNT).step_by(1_000) {
                let commands_in_one = (first..first + 1_000).map(|request_id| v1::SessionCommand {
                    request_id,
                    body: Some(wrong.clone()),
                });
                let message = v1::SessionRequest {
                    commands: commands_in_one.collect(),
                };
                commands.send(message).await.unwrap();
                sent.fetch_add(1_000, std::sync::atomic::Ordering::SeqCst);
            }
            commands
        })
    };
    // Until everything on the way is full: windows, queues. Then nothing more is taken.
    let count = || sent.load(std::sync::atomic::Ordering::SeqCst);
    soon(async {
        let mut before = u64::MAX;
        while before != count() || before == 0 {
            before = count();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    assert!(count() < COUNT, "the server takes all without an end");
    let mut acks = 0;
    while acks < COUNT {
        let events = events(&mut responses).await;
        for event in events {
            if let Event::Ack(ack) = event {
                acks += 1;
                assert_eq!(ack.request_id, acks);
            }
        }
    }
    drop(soon(sending).await.unwrap());
    assert_eq!(soon(responses.message()).await.unwrap(), None);
}

#[tokio::test]
async fn draining_is_told_and_stopping_ends_every_stream() {
    let running = start(OPEN_WITHIN).await;
    let (commands, mut responses) = connect(&running).await;
    commands.send(open_with(b"")).await.unwrap();
    opened(&mut responses).await;
    let request = v1::WatchServiceRequest {
        service: service_key(),
        known: None,
    };
    let watch = soon(running.client.clone().watch_service(request.clone())).await;
    let mut watch = watch.unwrap().into_inner();
    assert!(soon(watch.message()).await.unwrap().is_some());

    running.registry.drain(Duration::from_secs(1), "upgrade");
    running.registry.stop();
    assert!(
        matches!(&events(&mut responses).await[..], [Event::Drain(drain)]
        if drain.reason == "upgrade" && drain.reconnect_after_ms <= 1_000)
    );
    let status = soon(responses.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let status = soon(watch.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let refused = soon(running.client.clone().watch_service(request)).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    let (commands, mut responses) = connect(&running).await;
    commands.send(open_with(b"")).await.unwrap();
    let status = soon(responses.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn simple_clients_call_and_get_codes_for_their_mistakes() {
    let running = start(OPEN_WITHIN).await;
    let mut client = running.client.clone();
    let instance = Some(v1::Instance {
        address: "10.0.0.1:80".into(),
        ..Default::default()
    });
    let register = v1::RegisterRequest {
        service: service_key(),
        instance,
    };
    let registered = soon(client.register(register.clone())).await.unwrap();
    let id = registered.into_inner().id;
    let heartbeat = v1::HeartbeatRequest {
        service: service_key(),
        id: id.clone(),
    };
    assert_eq!(
        soon(client.heartbeat(heartbeat.clone()))
            .await
            .unwrap()
            .into_inner()
            .ttl_ms,
        10_000
    );
    let discover = v1::DiscoverRequest {
        service: service_key(),
    };
    let snapshot = soon(client.discover(discover)).await.unwrap().into_inner();
    assert_eq!(snapshot.snapshot.unwrap().instances[0].id, id);
    let list = v1::ListServicesRequest::default();
    let services = soon(client.list_services(list)).await.unwrap().into_inner();
    assert_eq!(services.services.len(), 1);
    let deregister = v1::DeregisterRequest {
        service: service_key(),
        id,
    };
    assert!(
        soon(client.deregister(deregister))
            .await
            .unwrap()
            .into_inner()
            .removed
    );

    let status = soon(client.heartbeat(heartbeat)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let nameless = v1::RegisterRequest {
        service: None,
        ..register
    };
    let status = soon(client.register(nameless)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "the request names no service");
}
