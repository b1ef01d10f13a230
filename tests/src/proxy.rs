//! A TCP proxy that can cut its connections or hold answers back: what a network does to a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

/// As good as no limit: more chunks than any test passes on.
const UNLIMITED: usize = Semaphore::MAX_PERMITS / 2;

/// Passes connections on to one address, until they are cut.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
    accepting: AbortHandle,
}

/// What happens to all connections.
#[derive(Debug)]
struct Network {
    /// A number that grows with each cut.
    cuts: watch::Sender<u64>,
    /// New connections are closed at once.
    severed: AtomicBool,
    /// One for each piece of an answer that may pass.
    allowed: Semaphore,
    /// How many pieces were held back so far.
    held: watch::Sender<u64>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let network = Arc::new(Network {
            cuts: watch::Sender::new(0),
            severed: AtomicBool::new(false),
            allowed: Semaphore::new(UNLIMITED),
            held: watch::Sender::new(0),
        });
        let target = target.to_owned();
        let shared = network.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), shared.clone()));
            }
        });
        Ok(Self {
            address,
            network,
            accepting: accepting.abort_handle(),
        })
    }

    /// Where it listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Closes every connection there is; new ones are accepted as before.
    pub fn cut(&self) {
        self.network.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes every connection there is, and new ones at once, until it is healed.
    pub fn sever(&self) {
        self.network.severed.store(true, Ordering::Release);
        self.cut();
    }

    /// Accepts connections again.
    pub fn heal(&self) {
        self.network.severed.store(false, Ordering::Release);
    }

    /// Lets so many more pieces of answers pass, each at most one read from the server's socket,
    /// and holds back what follows. What the client says still arrives.
    pub fn hold_answers_after(&self, pieces: usize) {
        let network = &self.network;
        network.allowed.forget_permits(usize::MAX);
        network.allowed.add_permits(pieces);
    }

    /// Resolves when an answer is held back that was not when this was called.
    pub fn holds(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut held = self.network.held.subscribe();
        async move {
            // The proxy that counts is gone: nothing will be held back any more.
            if held.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Lets everything pass again.
    pub fn release(&self) {
        self.hold_answers_after(UNLIMITED);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn pass(client: TcpStream, target: String, network: Arc<Network>) {
    // In this order a connection that comes meanwhile sees either the cut or the flag.
    let mut cuts = network.cuts.subscribe();
    if network.severed.load(Ordering::Acquire) {
        return;
    }
    let Ok(server) = TcpStream::connect(&target).await else {
        return;
    };
    // Small answers one by one, as they were sent.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let questions = async {
        copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    // Either end may close at any time; that is what a connection does.
    tokio::select! {
        _ = async { tokio::join!(questions, network.answers(from_server, to_client)) } => {}
        _ = cuts.changed() => {}
    }
}

impl Network {
    async fn answers(
        &self,
        mut from: tcp::OwnedReadHalf,
        mut to: tcp::OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let mut piece = vec![0; 64 * 1024];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return to.shutdown().await;
            }
            if let Ok(permit) = self.allowed.try_acquire() {
                permit.forget();
            } else {
                self.held.send_modify(|held| *held += 1);
                // Never closed.
                if let Ok(permit) = self.allowed.acquire().await {
                    permit.forget();
                }
            }
            to.write_all(&piece[..length]).await?;
        }
    }
}
