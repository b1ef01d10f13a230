//! What an instance costs: memory, and time to register, push and keep alive.
//!
//! `cargo bench -p quorate-registry [-- INSTANCES SERVICES CLIENTS]`; by default a tenth of the
//! design's 1,000,000 instances in 10,000 services from 10,000 clients. One thread, no network.
//! Bytes are those of the process (`/proc/self/statm`), the allocator's waste included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_registry::{Registry, RegistryOptions, Session, SystemClock};

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let [instances, services, clients] = sizes[..] else {
        return run(100_000, 1_000, 1_000);
    };
    run(instances, services, clients);
}

fn run(instances: usize, services: usize, clients: usize) {
    let per_client = instances.div_ceil(clients);
    println!("{instances} instances, {services} services, {clients} clients");
    let registry = Registry::new(RegistryOptions::new(1, 1, 1), Arc::new(SystemClock::new()));
    let sessions: Vec<_> = (0..clients).map(|n| open(&registry, n)).collect();
    let before = resident();

    // Made outside of the clock, message by message: reading them is the network's work.
    let mut registering = Duration::ZERO;
    for (n, session) in sessions.iter().enumerate() {
        let first = n * per_client;
        let message = register_all(first..instances.min(first + per_client), services);
        let start = Instant::now();
        session.handle(message).expect("open");
        drain(session);
        registering += start.elapsed();
    }
    let bytes = resident().saturating_sub(before);
    assert_eq!(registry.metrics().instances, instances as u64);
    report("registrations", instances, registering);
    println!("{:>28} bytes per instance", bytes / instances);

    let subscribe = |session: &Session, n: usize| {
        let service = service(n % services);
        session.handle(message([Command::Subscribe(v1::SessionSubscribe {
            service,
            known: None,
        })]))
    };
    let start = Instant::now();
    for (n, session) in sessions.iter().enumerate() {
        subscribe(session, n).expect("open");
        assert_eq!(drain(session), 1);
    }
    report("snapshots", clients, start.elapsed());

    // All watch one service, one instance of which changes.
    for session in &sessions {
        subscribe(session, 0).expect("open");
        drain(session);
    }
    const CHANGES: usize = 20;
    let start = Instant::now();
    let mut pushes = 0;
    for change in 0..CHANGES {
        let update = Command::Update(v1::SessionUpdate {
            service: service(0),
            id: address(0),
            weight: Some(change as u32),
            ..Default::default()
        });
        sessions[0].handle(message([update])).expect("open");
        pushes += sessions.iter().map(drain).sum::<usize>();
    }
    assert_eq!(pushes, CHANGES * clients);
    report("deltas pushed", pushes, start.elapsed());

    let start = Instant::now();
    for session in &sessions {
        let beat = message([Command::Heartbeat(v1::SessionHeartbeat {})]);
        session.handle(beat).expect("open");
        drain(session);
    }
    report("heartbeats of clients", clients, start.elapsed());

    let start = Instant::now();
    for session in &sessions {
        let close = message([Command::Close(v1::SessionClose {})]);
        session.handle(close).expect_err("closed");
    }
    report("removals", instances, start.elapsed());
    assert_eq!(registry.metrics().instances, 0);
}

fn open(registry: &Registry, n: usize) -> Session {
    let open = Command::Open(v1::SessionOpen {
        client_id: format!("client-{n}"),
        ..Default::default()
    });
    let session = registry.open(message([open])).expect("within the limits");
    drain(&session);
    session
}

fn register_all(numbers: std::ops::Range<usize>, services: usize) -> v1::SessionRequest {
    message(numbers.map(|n| {
        Command::Register(v1::SessionRegister {
            service: service(n % services),
            instance: Some(v1::Instance {
                address: address(n),
                weight: 100,
                zone: format!("zone-{}", n % 3),
                version: "1.24.3".into(),
                metadata: [
                    ("build", "3f9c2e1"),
                    ("protocol", "grpc"),
                    ("team", "payments"),
                ]
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
                ttl_ms: 3_600_000,
                ..Default::default()
            }),
        })
    }))
}

/// Takes what waits for a client; returns how many views it was sent.
fn drain(session: &Session) -> usize {
    let mut views = 0;
    // `next` is ready as long as something waits.
    while let Some(response) = futures_now(session.next()) {
        use v1::session_event::Body;
        views += response
            .expect("open")
            .events
            .iter()
            .filter(|e| matches!(e.body, Some(Body::Snapshot(_) | Body::Delta(_))))
            .count();
    }
    views
}

/// What a future gives at once.
fn futures_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

fn message(commands: impl IntoIterator<Item = Command>) -> v1::SessionRequest {
    let commands = commands.into_iter().map(|body| v1::SessionCommand {
        request_id: 0,
        body: Some(body),
    });
    v1::SessionRequest {
        commands: commands.collect(),
    }
}

fn service(n: usize) -> Option<v1::ServiceKey> {
    Some(v1::ServiceKey {
        namespace: "production".into(),
        name: format!("service-{n}"),
    })
}

fn address(n: usize) -> String {
    let [_, a, b, c] = (n as u32).to_be_bytes();
    format!("10.{a}.{b}.{c}:8080")
}

fn report(what: &str, count: usize, elapsed: Duration) {
    let rate = count as f64 / elapsed.as_secs_f64();
    println!("{rate:>28.0} {what} per second");
}

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .and_then(|field| field.parse().ok())
        .expect("the second field is resident pages");
    pages * 4096
}
