//! Binding addresses before anything else happens, so that a port in use damages nothing; and
//! accepting from them when everything else is ready.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::client_threads::Dealer;
use super::connection::Accepted;
use super::no_resources;
use crate::config::{Config, ListenAddress};
use crate::failure::{Exit, Failure};
use crate::peers::{CONNECTION_WINDOW, STREAM_WINDOW};

/// Connections of other members at a time: one each would do.
const PEER_CONNECTIONS: usize = 32;

/// Bound sockets that nobody accepts from yet.
pub(super) struct Listeners {
    clients: Vec<TcpListener>,
    peer: TcpListener,
    pub(super) addresses: Addresses,
}

/// The addresses really listened on, port 0 resolved.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) clients: Vec<SocketAddr>,
    pub(super) peer: SocketAddr,
}

/// Running accept loops; dropping them closes the sockets, not the connections.
pub(super) struct Accepting(Vec<JoinHandle<()>>);

impl Listeners {
    /// Binds everything a configuration names.
    ///
    /// # Errors
    /// The first address that cannot be listened on.
    pub(super) fn bind(config: &Config) -> Result<Self, Failure> {
        let clients = config
            .listen_client
            .iter()
            .map(|address| bind(address, "clients", "--listen-client"))
            .collect::<Result<Vec<_>, _>>()?;
        let peer = bind(&config.listen_peer, "peers", "--listen-peer")?;
        let addresses = Addresses {
            clients: clients.iter().map(actual).collect::<Result<_, _>>()?,
            peer: actual(&peer)?,
        };
        Ok(Self {
            clients,
            peer,
            addresses,
        })
    }

    /// Starts accepting: clients on the runtime this is called on, members on theirs.
    ///
    /// # Errors
    /// When a runtime cannot take a socket.
    pub(super) fn accept(
        self,
        dealer: &Dealer,
        peer_routes: Routes,
        peers_runtime: &Handle,
    ) -> Result<Accepting, Failure> {
        let enter = |listener| tokio::net::TcpListener::from_std(listener).map_err(no_resources);
        let mut tasks = Vec::new();
        for listener in self.clients {
            tasks.push(tokio::spawn(dealer.clone().accept_from(enter(listener)?)));
        }
        let _on_peers_runtime = peers_runtime.enter();
        let (way, accepted) = mpsc::channel(PEER_CONNECTIONS);
        let full = "too many peer connections, closed one";
        let peers = Dealer::new(vec![way], PEER_CONNECTIONS, full);
        tasks.push(tokio::spawn(peers.accept_from(enter(self.peer)?)));
        let peers = ReceiverStream::new(accepted).map(Accepted::enter);
        // Members are heard to the end: what is under way when this one is asked to stop needs them.
        tokio::spawn(async move {
            let served = Server::builder()
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .http2_keepalive_interval(Some(Duration::from_secs(5)))
                .http2_keepalive_timeout(Some(Duration::from_secs(5)))
                .add_routes(peer_routes)
                .serve_with_incoming(peers)
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the peer listener stopped");
            }
        });
        Ok(Accepting(tasks))
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Listens on an address; `purpose` and `flag` are for the message when that fails.
fn bind(address: &ListenAddress, purpose: &str, flag: &str) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address.as_str()).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| {
        let what_to_do = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("stop the other process, or choose another address with {flag}")
            }
            io::ErrorKind::PermissionDenied => {
                format!("choose a port above 1023 with {flag}, or allow this one")
            }
            _ => format!("choose an address of this machine with {flag}"),
        };
        let address = address.as_str();
        Failure::new(
            Exit::Listen,
            format!("cannot listen for {purpose} on {address}: {error}; {what_to_do}"),
        )
    })
}

fn actual(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener
        .local_addr()
        .map_err(|error| Failure::new(Exit::Listen, format!("a bound socket is gone: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_told_with_the_flag() {
        let any: ListenAddress = "127.0.0.1:0".parse().unwrap();
        let first = bind(&any, "clients", "--listen-client").unwrap();
        let taken: ListenAddress = actual(&first).unwrap().to_string().parse().unwrap();
        let failure = bind(&taken, "clients", "--listen-client").unwrap_err();
        assert_eq!(failure.exit(), Exit::Listen);
        let message = failure.to_string();
        assert!(message.contains(taken.as_str()), "{message}");
        assert!(message.contains("--listen-client"), "{message}");
    }
}
