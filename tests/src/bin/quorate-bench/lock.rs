//! What a lock costs: nobody else wants it; hundreds stand in line.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quorate::Client;
use quorate::kv::RangeOptions;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Locks taken one after the other.
const LOCKS: usize = 300;
/// Clients among which those in line are spread.
const CLIENTS: usize = 8;
/// Nothing expires meanwhile.
const TTL: Duration = Duration::from_secs(60);

/// Medians, in milliseconds, of acquiring and of releasing a lock that nobody else wants.
pub(crate) async fn alone(address: &str) -> Result<[f64; 2]> {
    let client = connected(address).await?;
    let (mut acquired, mut released) = (Vec::new(), Vec::new());
    for _ in 0..LOCKS {
        let begin = Instant::now();
        let guard = client.lock("bench/alone").acquire().await?;
        acquired.push(begin.elapsed());
        let begin = Instant::now();
        guard.unlock().await?;
        released.push(begin.elapsed());
    }
    client.close().await;
    Ok([median(acquired), median(released)])
}

/// With so many in line: the median, in milliseconds, from the release of the lock to the next one's
/// having it; and the server's CPU time for each, from entering the line to having left it.
pub(crate) async fn in_line(
    address: &str,
    waiting: usize,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<[f64; 2]> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(connected(address).await?);
    }
    let name = "bench/line";
    let first = clients[0].lock(name).ttl(TTL).acquire().await?;
    let (has_it, mut holders) = mpsc::unbounded_channel();
    let cpu_before = cpu()?;
    let mut tasks = JoinSet::new();
    for number in 0..waiting {
        let request = clients[number % CLIENTS].lock(name).ttl(TTL);
        let has_it = has_it.clone();
        tasks.spawn(async move {
            let guard = request.acquire().await?;
            has_it.send((guard, Instant::now())).ok().context("ended")
        });
    }
    let line = RangeOptions::prefix(format!("{name}/")).count_only();
    while clients[0].range(line.clone()).await?.count <= waiting as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut handed_over = Vec::new();
    let mut holder = first;
    for _ in 0..waiting {
        let token = holder.token();
        let begin = Instant::now();
        holder.unlock().await?;
        let (next, at) = holders.recv().await.context("nobody has it")?;
        ensure!(next.token() > token, "the line was not kept");
        handed_over.push(at - begin);
        holder = next;
    }
    holder.unlock().await?;
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let spent = (cpu()? - cpu_before).as_secs_f64() * 1e3;
    for client in clients {
        client.close().await;
    }
    Ok([median(handed_over), spent / waiting as f64])
}

async fn connected(address: &str) -> Result<Client> {
    let client = Client::builder()
        .endpoints([address])
        .request_timeout(TTL)
        .build()?;
    client.connected().await?;
    Ok(client)
}

fn median(mut latencies: Vec<Duration>) -> f64 {
    latencies.sort();
    latencies[latencies.len() / 2].as_secs_f64() * 1e3
}
