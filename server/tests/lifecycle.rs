//! `quorate serve` as a process: how it starts, refuses, drains and comes back.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest, RangeRequest, WatchCreateRequest,
    WatchRequest,
};
use quorate_proto::v1::peer_client::PeerClient;
use quorate_proto::v1::registry_client::RegistryClient;
use quorate_proto::v1::session_command::Body;
use quorate_proto::v1::session_event::Body as Event;
use quorate_proto::v1::{IdentifyRequest, SessionCommand, SessionOpen, SessionRequest};
use quorate_proto::v3lockpb::LockRequest;
use quorate_proto::v3lockpb::lock_client::LockClient;
use quorate_tests::server::Server;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

const BINARY: &str = env!("CARGO_BIN_EXE_quorate");

fn start(flags: &[&str]) -> Server {
    Server::start_binary(Path::new(BINARY), flags).unwrap()
}

async fn channel(url: String) -> Channel {
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

/// Asks a server to stop and waits for it, on another thread: connections of this one must go on
/// to answer its goodbye.
async fn stop(mut server: Server) -> Server {
    let stopping = tokio::task::spawn_blocking(move || {
        assert!(server.terminate().unwrap().success());
        server
    });
    stopping.await.unwrap()
}

async fn put(kv: &mut KvClient<Channel>, key: &str, value: &str) -> i64 {
    let request = PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    };
    let response = kv.put(request).await.unwrap().into_inner();
    response.header.unwrap().revision
}

async fn get(kv: &mut KvClient<Channel>, key: &str) -> Option<(String, i64)> {
    let request = RangeRequest {
        key: key.into(),
        ..RangeRequest::default()
    };
    let response = kv.range(request).await.unwrap().into_inner();
    let kv = response.kvs.first()?;
    Some((
        String::from_utf8(kv.value.to_vec()).unwrap(),
        kv.mod_revision,
    ))
}

/// Runs `quorate serve` in a way that must fail: exit code, and the one line it says.
fn refused(flags: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new("timeout");
    // A server that starts by mistake must not hang the test.
    command
        .args(["-s", "KILL", "60", BINARY, "serve"])
        .args(flags);
    command.envs(environment.iter().copied());
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8(stderr).unwrap();
    assert_eq!(told.lines().count(), 1, "not one line: {told}");
    assert!(told.starts_with("quorate: "), "{told}");
    (status.code().expect("it was not killed"), told)
}

const ANY_PORTS: [&str; 4] = [
    "--listen-client",
    "127.0.0.1:0",
    "--listen-peer",
    "127.0.0.1:0",
];

#[tokio::test]
async fn data_survives_a_stop_a_restart_and_a_kill() {
    let server = start(&[]);
    let mut kv = KvClient::new(channel(server.url()).await);
    let first = put(&mut kv, "city", "Lyon").await;

    let mut server = stop(server).await;
    server.restart().unwrap();
    let mut kv = KvClient::new(channel(server.url()).await);
    assert_eq!(get(&mut kv, "city").await, Some(("Lyon".into(), first)));

    let second = put(&mut kv, "city", "Turin").await;
    assert_eq!(second, first + 1);
    server.kill();
    server.restart().unwrap();
    let mut kv = KvClient::new(channel(server.url()).await);
    assert_eq!(get(&mut kv, "city").await, Some(("Turin".into(), second)));
}

#[tokio::test]
async fn a_stop_ends_open_streams_and_exits_with_success() {
    let server = start(&[]);
    let channel = channel(server.url()).await;

    let (requests, sent) = mpsc::channel(4);
    let create = RequestUnion::CreateRequest(WatchCreateRequest {
        key: b"k".to_vec(),
        ..WatchCreateRequest::default()
    });
    let request = WatchRequest {
        request_union: Some(create),
    };
    requests.send(request).await.unwrap();
    let mut watch = WatchClient::new(channel.clone())
        .watch(ReceiverStream::new(sent))
        .await
        .unwrap()
        .into_inner();
    assert!(watch.message().await.unwrap().unwrap().created);

    let (commands, sent) = mpsc::channel(4);
    let open = SessionCommand {
        request_id: 1,
        body: Some(Body::Open(SessionOpen {
            client_id: "00112233445566778899aabbccddeeff".into(),
            client_name: "a test".into(),
            ..SessionOpen::default()
        })),
    };
    let first = SessionRequest {
        commands: vec![open],
    };
    commands.send(first).await.unwrap();
    let mut session = RegistryClient::new(channel)
        .session(ReceiverStream::new(sent))
        .await
        .unwrap()
        .into_inner();
    let opened = session.message().await.unwrap().unwrap();
    assert!(matches!(opened.events[0].body, Some(Event::Opened(_))));

    let started = std::time::Instant::now();
    stop(server).await;
    // The drain timeout is for calls that do not end by themselves.
    assert!(started.elapsed() < Duration::from_secs(5));
    let ended = watch.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    let mut told = Vec::new();
    while let Ok(Some(response)) = session.message().await {
        told.extend(response.events.into_iter().filter_map(|event| event.body));
    }
    let notice = told.iter().any(|body| matches!(body, Event::Drain(_)));
    assert!(notice, "{told:?}");
}

#[tokio::test]
async fn a_second_signal_is_not_argued_with() {
    let mut server = start(&["--drain-timeout", "1h"]);
    // A connection that does not answer the goodbye: this thread is busy with the signals.
    let mut kv = KvClient::new(channel(server.url()).await);
    put(&mut kv, "a", "1").await;
    server.signal(Signal::TERM).unwrap();
    while !server.log().contains("draining") {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(server.terminate().unwrap().code(), Some(143));
}

#[tokio::test]
async fn a_stop_sends_waiters_away_and_keeps_who_holds() {
    let server = start(&[]);
    let connected = channel(server.url()).await;
    let mut leases = LeaseClient::new(connected.clone());
    let mut tickets = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..2 {
        let request = LeaseGrantRequest { ttl: 60, id: 0 };
        let lease = leases.lease_grant(request).await.unwrap().into_inner().id;
        tickets.push(format!("job/{lease:x}"));
        let mut locks = LockClient::new(connected.clone());
        let request = LockRequest {
            name: b"job".to_vec(),
            lease,
        };
        calls.push(tokio::spawn(async move { locks.lock(request).await }));
        // The second comes when the first has its ticket.
        let mut kv = KvClient::new(connected.clone());
        while get(&mut kv, tickets.last().unwrap()).await.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let waiter = calls.pop().unwrap();
    let holder = calls.pop().unwrap();
    holder.await.unwrap().unwrap();

    let mut server = stop(server).await;
    let refused = waiter.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(refused.message(), "etcdserver: server stopped");
    server.restart().unwrap();
    let mut kv = KvClient::new(channel(server.url()).await);
    assert!(get(&mut kv, &tickets[0]).await.is_some());
    assert!(get(&mut kv, &tickets[1]).await.is_none());
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_a_closed_one_makes_room() {
    let server = start(&["--max-connections", "1"]);
    let first = channel(server.url()).await;
    put(&mut KvClient::new(first.clone()), "a", "1").await;
    let mut second = TcpStream::connect(server.address()).await.unwrap();
    let mut nothing = [0; 1];
    let read = tokio::time::timeout(Duration::from_secs(30), second.read(&mut nothing));
    assert_eq!(read.await.unwrap().unwrap_or(0), 0);
    drop(first);
    // Room comes when the server has noticed, which nothing tells from outside.
    let mut tries = 0;
    loop {
        tries += 1;
        let channel = Channel::from_shared(server.url()).unwrap().connect().await;
        if let Ok(channel) = channel {
            let mut kv = KvClient::new(channel);
            let request = RangeRequest {
                key: b"a".to_vec(),
                ..RangeRequest::default()
            };
            if kv.range(request).await.is_ok() {
                return;
            }
        }
        assert!(tries < 1000, "the place is not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn connections_leave_the_log_the_files_it_needs() {
    let directory = tempfile::tempdir().unwrap();
    let limited = directory.path().join("limited");
    fs::write(
        &limited,
        format!("#!/bin/sh\nulimit -Sn 100 && ulimit -Hn 200 && exec {BINARY} \"$@\"\n"),
    )
    .unwrap();
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o700)).unwrap();
    let server = Server::start_binary(&limited, &[]).unwrap();
    let mut kv = KvClient::new(channel(server.url()).await);
    put(&mut kv, "a", "first").await;
    let mut crowd = Vec::new();
    for address in [server.address(), server.peer_address()] {
        for _ in 0..120 {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }
    }
    // More than one of the log's files holds.
    let value = "v".repeat(1 << 20);
    for _ in 0..70 {
        put(&mut kv, "a", &value).await;
    }
    drop(crowd);
    let log = stop(server).await.log();
    assert!(log.contains("too many peer connections"), "{log}");
}

#[tokio::test]
async fn a_server_that_was_stalled_lets_no_lease_run_out_for_it() {
    let server = start(&[]);
    let mut leases = LeaseClient::new(channel(server.url()).await);
    let request = LeaseGrantRequest { ttl: 2, id: 0 };
    let granted = leases.lease_grant(request).await.unwrap().into_inner();
    server.signal(Signal::STOP).unwrap();
    // Longer than the lease: nobody can renew it meanwhile, and that is the experiment.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    server.signal(Signal::CONT).unwrap();
    let (requests, sent) = mpsc::channel(1);
    let request = LeaseKeepAliveRequest { id: granted.id };
    requests.send(request).await.unwrap();
    let renewed = leases.lease_keep_alive(ReceiverStream::new(sent)).await;
    let answer = renewed.unwrap().into_inner().message().await.unwrap();
    assert_eq!(answer.unwrap().ttl, 2);
}

#[test]
fn a_wrong_flag_is_one_line_and_two() {
    let (code, told) = refused(&["--lisen-client", "127.0.0.1:0"], &[]);
    assert_eq!(code, 2);
    assert!(told.contains("--listen-client"), "{told}");
    let (code, told) = refused(&[], &[("QUORATE_REGISTRY_WARM_UP", "soon")]);
    assert_eq!(code, 2);
    assert!(told.contains("'soon'"), "{told}");
}

#[test]
fn a_wrong_file_is_one_line_and_two() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("q.toml");
    fs::write(&file, "registry-warmup = \"1s\"").unwrap();
    let (code, told) = refused(&["--config", file.to_str().unwrap()], &[]);
    assert_eq!(code, 2);
    assert!(told.contains("'registry-warm-up'"), "{told}");
}

#[test]
fn a_port_in_use_is_one_line_and_three_and_makes_no_directory() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let data_dir = data.to_str().unwrap();
    let (code, told) = refused(&["--data-dir", data_dir, "--listen-client", &address], &[]);
    assert_eq!(code, 3);
    assert!(told.contains(&address), "{told}");
    assert!(!data.exists());
}

#[test]
fn a_foreign_directory_is_one_line_and_four_and_stays_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("photo.jpg"), "me").unwrap();
    let data_dir = root.path().to_str().unwrap();
    let flags = [&ANY_PORTS[..], &["--data-dir", data_dir]].concat();
    let (code, told) = refused(&flags, &[]);
    assert_eq!(code, 4);
    assert!(told.contains("photo.jpg"), "{told}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_second_process_is_one_line_and_four_and_the_first_goes_on() {
    let mut server = start(&[]);
    let data = server.data_directory();
    let flags = [&ANY_PORTS[..], &["--data-dir", data.to_str().unwrap()]].concat();
    let (code, told) = refused(&flags, &[]);
    assert_eq!(code, 4);
    assert!(told.contains("is using it"), "{told}");
    assert!(server.terminate().unwrap().success());
}

#[test]
fn damaged_state_is_one_line_and_five() {
    let mut server = start(&[]);
    assert!(server.terminate().unwrap().success());
    let store = server.data_directory().join("store");
    for entry in fs::read_dir(store).unwrap() {
        fs::write(entry.unwrap().path(), "scribbled over").unwrap();
    }
    let data = server.data_directory();
    let flags = [
        &ANY_PORTS[..],
        &["--log-level", "off", "--data-dir", data.to_str().unwrap()],
    ]
    .concat();
    let (code, told) = refused(&flags, &[]);
    assert!(code == 4 || code == 5, "{code}: {told}");
    assert!(told.contains(data.to_str().unwrap()), "{told}");
}

#[tokio::test]
async fn the_environment_is_heard_and_the_flag_wins() {
    let root = tempfile::tempdir().unwrap();
    let ready = root.path().join("ready.json");
    let mut server = Command::new(BINARY)
        .args(["serve", "--name", "from-flag"])
        .env("QUORATE_NAME", "from-environment")
        .env("QUORATE_DATA_DIR", root.path().join("data"))
        .env("QUORATE_LISTEN_CLIENT", "127.0.0.1:0,127.0.0.1:0")
        .env("QUORATE_LISTEN_PEER", "127.0.0.1:0")
        .env("QUORATE_READY_FILE", &ready)
        .env("QUORATE_LOG_FORMAT", "json")
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let addresses: Value = loop {
        if let Ok(text) = fs::read(&ready) {
            break serde_json::from_slice(&text).unwrap();
        }
        assert!(server.try_wait().unwrap().is_none(), "it did not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let client = |n: usize| format!("http://{}", addresses["client"][n].as_str().unwrap());
    let mut names = Vec::new();
    for n in [0, 1] {
        use quorate_proto::etcdserverpb::MemberListRequest;
        use quorate_proto::etcdserverpb::cluster_client::ClusterClient;
        let mut cluster = ClusterClient::new(channel(client(n)).await);
        let request = MemberListRequest::default();
        let listed = cluster.member_list(request).await.unwrap().into_inner();
        assert_eq!(listed.header.unwrap().revision, 0);
        assert_eq!(listed.members[0].client_ur_ls, [client(0), client(1)]);
        names.push(listed.members[0].name.clone());
    }
    assert_eq!(names, ["from-flag", "from-flag"]);
    server.kill().unwrap();
    server.wait().unwrap();
}

#[tokio::test]
async fn peers_of_another_cluster_are_refused() {
    let server = start(&[]);
    let ready = server.data_directory().with_file_name("ready.json");
    let told: Value = serde_json::from_slice(&fs::read(&ready).unwrap()).unwrap();
    let id = |name: &str| u64::from_str_radix(told[name].as_str().unwrap(), 16).unwrap();
    let peer = format!("http://{}", told["peer"][0].as_str().unwrap());
    let mut peers = PeerClient::new(channel(peer).await);
    let mut ask = IdentifyRequest {
        cluster_id: id("cluster_id"),
        member_id: 1,
    };
    let known = peers.identify(ask).await.unwrap().into_inner();
    assert_eq!(known.member_id, id("member_id"));
    ask.cluster_id += 1;
    let refusal = peers.identify(ask).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    drop(server);
}
