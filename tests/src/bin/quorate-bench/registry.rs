//! Registering, and how soon others see it; beside etcd used as a registry (a lease and a put
//! per instance, a watch per consumer).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt;
use quorate::{Client, Registration, ServiceEvent};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    LeaseGrantRequest, PutRequest, WatchCreateRequest, WatchRequest,
};
use quorate_proto::v1::registry_client::RegistryClient;
use quorate_proto::v1::{Instance, RegisterRequest, ServiceKey};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::kv::{CONNECTIONS, connect};
use crate::load::{Measure, closed_loop, sequence};

const SERVICES: u64 = 100;

fn service(number: u64) -> String {
    format!("bench-{}", number % SERVICES)
}

/// An address for each number up to some 100 million; all on loopback.
fn address(number: u64) -> String {
    format!(
        "127.{}.{}.{}:{}",
        (number >> 16) % 250,
        (number >> 8) % 256,
        number % 256,
        1 + (number >> 24) % 60_000
    )
}

/// Registrations through the SDK. A client per caller, as each stands for a program; a session
/// takes 10,000 instances at most.
pub(crate) async fn sdk(
    address_of_server: &str,
    callers: usize,
    duration: Duration,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Measure> {
    let mut clients = Vec::new();
    for _ in 0..callers {
        let client = Client::builder().endpoints([address_of_server]).build()?;
        client.connected().await?;
        clients.push(client);
    }
    let next = Arc::new(AtomicU64::new(0));
    // Kept until the end: dropping one would deregister it in the middle of the run.
    let (keep, mut kept) = mpsc::unbounded_channel();
    let clients = Arc::new(clients);
    let measured = closed_loop(callers, duration, cpu, {
        let clients = clients.clone();
        move |caller, _| {
            let client = clients[caller].clone();
            let number = next.fetch_add(1, Ordering::Relaxed);
            let keep = keep.clone();
            async move {
                let registration = Registration::new(service(number), address(number));
                let registered = client.register(registration).await?;
                keep.send(registered).ok().context("the bench has ended")
            }
        }
    })
    .await?;
    for client in clients.iter() {
        client.close().await;
    }
    kept.close();
    Ok(measured)
}

/// Registrations by one unary call each.
pub(crate) async fn unary(
    url: &str,
    callers: usize,
    duration: Duration,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Measure> {
    let clients: Vec<_> = connect(url, CONNECTIONS)
        .await?
        .into_iter()
        .map(RegistryClient::new)
        .collect();
    let next = Arc::new(AtomicU64::new(0));
    closed_loop(callers, duration, cpu, move |caller, _| {
        let mut client = clients[caller % clients.len()].clone();
        let number = next.fetch_add(1, Ordering::Relaxed);
        async move {
            let request = RegisterRequest {
                service: Some(ServiceKey {
                    namespace: String::new(),
                    name: format!("unary-{}", number % SERVICES),
                }),
                instance: Some(Instance {
                    address: address(number),
                    weight: 100,
                    ..Default::default()
                }),
            };
            client.register(request).await?;
            Ok(())
        }
    })
    .await
}

/// Registrations in etcd: a lease, and a key that hangs on it.
pub(crate) async fn etcd(
    url: &str,
    callers: usize,
    duration: Duration,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Measure> {
    let clients: Vec<_> = connect(url, CONNECTIONS)
        .await?
        .into_iter()
        .map(|channel| (LeaseClient::new(channel.clone()), KvClient::new(channel)))
        .collect();
    let next = Arc::new(AtomicU64::new(0));
    closed_loop(callers, duration, cpu, move |caller, _| {
        let (mut leases, mut kv) = clients[caller % clients.len()].clone();
        let number = next.fetch_add(1, Ordering::Relaxed);
        async move {
            let granted = leases
                .lease_grant(LeaseGrantRequest { ttl: 60, id: 0 })
                .await?
                .into_inner();
            kv.put(PutRequest {
                key: format!("services/{}/{}", service(number), address(number)).into_bytes(),
                value: address(number).into_bytes(),
                lease: granted.id,
                ..Default::default()
            })
            .await?;
            Ok(())
        }
    })
    .await
}

/// From the call of `register` to the instance in another client's cache.
pub(crate) async fn propagation(
    address_of_server: &str,
    times: u64,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Measure> {
    let provider = Client::builder().endpoints([address_of_server]).build()?;
    let consumer = Client::builder().endpoints([address_of_server]).build()?;
    provider.connected().await?;
    let (seen, mut arrivals) = mpsc::channel(64);
    let mut events = consumer.watch_service("propagation")?;
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let ServiceEvent::Changed { added, .. } = event {
                for instance in added {
                    if seen
                        .send((instance.id.clone(), Instant::now()))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
        }
    });
    // The subscription must stand before the first registration is timed.
    consumer.discover("propagation").await?;
    let arrivals = &mut arrivals;
    let mut kept = Vec::new();
    let mut latencies = Vec::new();
    let cpu_before = cpu()?;
    for number in 0..times {
        let address = address(number);
        let start = Instant::now();
        kept.push(
            provider
                .register(Registration::new("propagation", &address))
                .await?,
        );
        loop {
            let (id, at) = arrivals.recv().await.context("the watch has ended")?;
            if id == address {
                latencies.push(at - start);
                break;
            }
        }
    }
    let measured = sequence(&latencies, cpu()? - cpu_before);
    provider.close().await;
    consumer.close().await;
    Ok(measured)
}

/// From a put to the event on another connection's watch.
pub(crate) async fn etcd_propagation(
    url: &str,
    times: u64,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Measure> {
    let channels = connect(url, 2).await?;
    let mut kv = KvClient::new(channels[0].clone());
    let (requests, receiver) = mpsc::channel(1);
    requests
        .send(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
                key: b"propagation/".to_vec(),
                range_end: b"propagation0".to_vec(),
                ..Default::default()
            })),
        })
        .await?;
    let mut events = WatchClient::new(channels[1].clone())
        .watch(ReceiverStream::new(receiver))
        .await?
        .into_inner();
    let created = events.message().await?.context("the watch has ended")?;
    anyhow::ensure!(created.created, "unexpected first answer {created:?}");
    let mut latencies = Vec::new();
    let cpu_before = cpu()?;
    for number in 0..times {
        let start = Instant::now();
        kv.put(PutRequest {
            key: format!("propagation/{number}").into_bytes(),
            value: address(number).into_bytes(),
            ..Default::default()
        })
        .await?;
        while events
            .message()
            .await?
            .context("the watch has ended")?
            .events
            .is_empty()
        {}
        latencies.push(start.elapsed());
    }
    Ok(sequence(&latencies, cpu()? - cpu_before))
}
