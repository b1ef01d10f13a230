//! A TCP proxy that can cut its connections: what a network does to a client.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Passes connections on to one address, until they are cut.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// A number that grows with each cut.
    cuts: Arc<watch::Sender<u64>>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cuts = Arc::new(watch::Sender::new(0));
        let target = target.to_owned();
        let seen = cuts.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), seen.subscribe()));
            }
        });
        Ok(Self {
            address,
            cuts,
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
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn pass(mut client: TcpStream, target: String, mut cuts: watch::Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(&target).await else {
        return;
    };
    // Either end may close at any time; that is what a connection does.
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed() => {}
    }
}
