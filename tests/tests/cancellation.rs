//! Whoever stops waiting for a lock or for leadership leaves nothing behind, wherever it stopped:
//! no ticket in line, and no lease, which here would live far longer than the tests wait.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use quorate::kv::RangeOptions;
use quorate::{Client, Error, ErrorCode};
use quorate_proto::etcdserverpb::LeaseLeasesRequest;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_tests::proxy::Proxy;
use quorate_tests::server::Server;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

/// Nothing expires within a test.
const TTL: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(60);
/// More points to stop at than there are.
const MANY: usize = 500;

/// Acquires something and keeps it; what it is makes no difference to what is left behind.
type Held = Box<dyn Send>;
type Acquire = fn(Client) -> BoxFuture<'static, Result<Held, Error>>;

fn lock(client: Client) -> BoxFuture<'static, Result<Held, Error>> {
    async move {
        let guard = client.lock("l").ttl(TTL).acquire().await?;
        Ok(Box::new(guard) as Held)
    }
    .boxed()
}

fn lock_within_a_time(client: Client) -> BoxFuture<'static, Result<Held, Error>> {
    async move {
        let request = client.lock("l").ttl(TTL).timeout(PATIENCE * 2);
        Ok(Box::new(request.acquire().await?) as Held)
    }
    .boxed()
}

fn try_lock(client: Client) -> BoxFuture<'static, Result<Held, Error>> {
    async move {
        let guard = client.lock("l").ttl(TTL).try_acquire().await?;
        Ok(Box::new(guard) as Held)
    }
    .boxed()
}

fn campaign(client: Client) -> BoxFuture<'static, Result<Held, Error>> {
    async move {
        let leadership = client.election("l").ttl(TTL).campaign("me").await?;
        Ok(Box::new(leadership) as Held)
    }
    .boxed()
}

/// All that waits, and can be dropped.
const ALL: [(&str, Acquire); 4] = [
    ("lock", lock),
    ("lock with a timeout", lock_within_a_time),
    ("try_lock", try_lock),
    ("campaign", campaign),
];
/// Those that stand in line.
const WAITING: [(&str, Acquire); 3] = [ALL[0], ALL[1], ALL[3]];

/// A server, a client behind a proxy that is interrupted, and a view past both.
struct Scene {
    _server: Server,
    proxy: Proxy,
    client: Client,
    other: Client,
    leases: LeaseClient<Channel>,
}

impl Scene {
    async fn new() -> Result<Self> {
        let server = Server::start()?;
        let proxy = Proxy::to(server.address()).await?;
        let client = connected(&proxy.address()).await?;
        let other = connected(server.address()).await?;
        let leases = LeaseClient::connect(server.url()).await?;
        Ok(Self {
            _server: server,
            proxy,
            client,
            other,
            leases,
        })
    }

    async fn counts(&mut self) -> Result<(u64, usize)> {
        let tickets = RangeOptions::prefix("l/").count_only();
        let tickets = self.other.range(tickets).await?.count;
        let leases = self.leases.lease_leases(LeaseLeasesRequest {}).await?;
        Ok((tickets, leases.into_inner().leases.len()))
    }

    /// Waits until as many are in line, and as many leases are there.
    async fn until_in_line(&mut self, wanted: u64) -> Result<()> {
        let wanted = (wanted, wanted as usize);
        let mut found = (0, 0);
        let looking = async {
            loop {
                found = self.counts().await?;
                if found == wanted {
                    return Ok(());
                }
                // Nothing announces that something has *not* been left behind.
                sleep(Duration::from_millis(2)).await;
            }
        };
        match timeout(PATIENCE, looking).await {
            Ok(result) => result,
            Err(_) => anyhow::bail!("(tickets, leases) are {found:?} instead of {wanted:?}"),
        }
    }
}

async fn connected(address: &str) -> Result<Client> {
    let client = Client::builder().endpoints([address]).build()?;
    client.connected().await?;
    Ok(client)
}

/// Polls the future when it is woken, so often at most; `None` if it was not ready by then.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Otherwise nobody would come back to say that it was enough.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_after_any_poll_nothing_is_left() -> Result<()> {
    let mut scene = Scene::new().await?;
    for (name, acquire) in ALL {
        let mut done = false;
        for polls in 1..MANY {
            let held = timeout(PATIENCE, polled(acquire(scene.client.clone()), polls)).await?;
            done = held.transpose()?.is_some();
            let place = || format!("{name}, dropped after poll {polls}");
            scene.until_in_line(0).await.with_context(place)?;
            if done {
                ensure!(polls > 2, "{name} is done after {polls} polls: not a test");
                break;
            }
        }
        ensure!(done, "{name} is never done");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_after_any_answer_nothing_is_left() -> Result<()> {
    let mut scene = Scene::new().await?;
    for (name, acquire) in ALL {
        let mut done = false;
        for pieces in 0..MANY {
            let held_back = scene.proxy.holds();
            scene.proxy.hold_answers_after(pieces);
            let mut acquiring = acquire(scene.client.clone());
            let held = tokio::select! {
                biased;
                held = &mut acquiring => Some(held?),
                () = held_back => None,
            };
            done = held.is_some();
            // Before anything passes again: the answer that is held back finds nobody.
            drop((held, acquiring));
            scene.proxy.release();
            let place = || format!("{name}, dropped after answer {pieces}");
            scene.until_in_line(0).await.with_context(place)?;
            if done {
                ensure!(pieces > 1, "{name} needs {pieces} answers: not a test");
                break;
            }
        }
        ensure!(done, "{name} is never done");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_while_in_line_only_the_holder_is_left() -> Result<()> {
    let mut scene = Scene::new().await?;
    for (name, acquire) in WAITING {
        let holder = lock(scene.other.clone()).await?;
        let mut waits = false;
        for polls in 1..MANY {
            let waiting = polled(acquire(scene.client.clone()), polls);
            let mut waiting = pin!(waiting);
            // Once it waits for the holder, no more polls come.
            waits = tokio::select! {
                held = &mut waiting => {
                    ensure!(held.transpose()?.is_none(), "{name}: two hold");
                    false
                }
                result = scene.until_in_line(2) => {
                    result?;
                    timeout(Duration::from_millis(200), &mut waiting).await.is_err()
                }
            };
            waiting.set(polled(acquire(scene.client.clone()), 0));
            let place = || format!("{name}, dropped after poll {polls}");
            scene.until_in_line(1).await.with_context(place)?;
            if waits {
                break;
            }
        }
        ensure!(waits, "{name} never comes to wait");
        drop(holder);
        scene.until_in_line(0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_when_it_would_be_its_turn_the_next_one_has_it() -> Result<()> {
    let mut scene = Scene::new().await?;
    for (name, acquire) in WAITING {
        let mut done = false;
        for pieces in 0..MANY {
            let holder = lock(scene.other.clone()).await?;
            let mut acquiring = acquire(scene.client.clone());
            tokio::select! {
                _ = &mut acquiring => anyhow::bail!("{name}: two hold"),
                result = scene.until_in_line(2) => result?,
            }
            let held_back = scene.proxy.holds();
            scene.proxy.hold_answers_after(pieces);
            drop(holder);
            let held = tokio::select! {
                biased;
                held = &mut acquiring => Some(held?),
                () = held_back => None,
            };
            done = held.is_some();
            drop((held, acquiring));
            scene.proxy.release();
            // Not at its time to live: at once.
            let next = timeout(PATIENCE, lock(scene.other.clone())).await;
            let place = || format!("{name}, dropped after answer {pieces} of its turn");
            drop(next.with_context(place)??);
            scene.until_in_line(0).await.with_context(place)?;
            if done {
                ensure!(pieces > 0, "{name} needs no answer: not a test");
                break;
            }
        }
        ensure!(done, "{name} is never done");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_dropped_is_done_all_the_same() -> Result<()> {
    let mut scene = Scene::new().await?;
    for polls in 0..MANY {
        let guard = scene.client.lock("l").ttl(TTL).acquire().await?;
        let released = polled(guard.unlock(), polls).await.transpose()?;
        scene.until_in_line(0).await?;
        let leadership = scene.client.election("l").ttl(TTL).campaign("me").await?;
        let resigned = polled(leadership.resign(), polls).await.transpose()?;
        scene.until_in_line(0).await?;
        if released.is_some() && resigned.is_some() {
            return Ok(());
        }
    }
    anyhow::bail!("never released")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_closed_at_any_answer_leaves_nothing() -> Result<()> {
    let mut scene = Scene::new().await?;
    for (name, acquire) in ALL {
        let mut done = false;
        for pieces in 0..MANY {
            let client = connected(&scene.proxy.address()).await?;
            let held_back = scene.proxy.holds();
            scene.proxy.hold_answers_after(pieces);
            let mut acquiring = acquire(client.clone());
            let mut held = tokio::select! {
                biased;
                held = &mut acquiring => Some(held?),
                () = held_back => None,
            };
            done = held.is_some();
            let closing = tokio::spawn(async move { client.close().await });
            if held.is_none() {
                // It hears of the end, and not of an answer.
                held = match timeout(PATIENCE, &mut acquiring).await? {
                    Ok(held) => Some(held),
                    Err(error) => {
                        ensure!(error.code() == ErrorCode::Closed, "{error}");
                        None
                    }
                };
            }
            scene.proxy.release();
            closing.await?;
            let place = || format!("{name}, closed after answer {pieces}");
            scene.until_in_line(0).await.with_context(place)?;
            drop(held);
            if done {
                break;
            }
        }
        ensure!(done, "{name} is never done");
    }
    Ok(())
}
