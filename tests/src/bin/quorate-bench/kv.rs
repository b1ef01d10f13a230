//! Put and linearizable get over etcd's protocol: the same client code for both servers.

use std::time::Duration;

use anyhow::Result;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::{PutRequest, RangeRequest};
use tonic::transport::Channel;

use crate::load::{Measure, closed_loop};

/// Connections that the callers share.
pub(crate) const CONNECTIONS: usize = 8;
const KEYS: u64 = 10_000;
const VALUE: usize = 256;

/// What a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// One key, 256 bytes.
    Put,
    /// One key, linearizable.
    Get,
}

/// Opens so many connections.
pub(crate) async fn connect(url: &str, connections: usize) -> Result<Vec<Channel>> {
    let mut channels = Vec::with_capacity(connections);
    for _ in 0..connections {
        channels.push(Channel::from_shared(url.to_owned())?.connect().await?);
    }
    Ok(channels)
}

/// Runs one operation in so many callers.
pub(crate) async fn run(
    url: &str,
    operation: Operation,
    callers: usize,
    duration: Duration,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Measure> {
    let clients: Vec<_> = connect(url, CONNECTIONS.min(callers))
        .await?
        .into_iter()
        .map(KvClient::new)
        .collect();
    closed_loop(callers, duration, cpu, move |caller, count| {
        let mut client = clients[caller % clients.len()].clone();
        let key = key(caller, count);
        async move {
            match operation {
                Operation::Put => {
                    let value = vec![b'v'; VALUE];
                    client
                        .put(PutRequest {
                            key,
                            value,
                            ..Default::default()
                        })
                        .await?;
                }
                Operation::Get => {
                    client
                        .range(RangeRequest {
                            key,
                            ..Default::default()
                        })
                        .await?;
                }
            }
            Ok(())
        }
    })
    .await
}

/// Spreads the callers over the keys without a random number each.
fn key(caller: usize, count: u64) -> Vec<u8> {
    let number = (caller as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(count.wrapping_mul(0xD1B5_4A32_D192_ED03));
    format!("bench/{:06}", (number >> 20) % KEYS).into_bytes()
}
