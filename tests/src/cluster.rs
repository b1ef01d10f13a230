//! Several `quorate serve` processes that found a cluster, on addresses that stay theirs.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{StatusRequest, StatusResponse};
use socket2::{Domain, Socket, Type};
use tonic::transport::{Channel, Endpoint};

use crate::server::{Server, binary};

/// How long a cluster may take to elect a leader on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a member may take to say how it is; one that stands still does not.
const STATUS_WITHIN: Duration = Duration::from_secs(1);

/// A cluster. Dropping it kills its members and removes their data.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Server>,
    /// Bound and not listened on, so that nobody else gets a member's port while it is down.
    _ports: Vec<Socket>,
}

impl Cluster {
    /// Starts so many members, and waits until they serve; they may still have to elect a leader.
    ///
    /// # Errors
    /// When one does not start; with what it printed.
    pub fn start(size: usize) -> Result<Self> {
        Self::start_with(size, &[])
    }

    /// As [`start`](Self::start), with more flags for each.
    ///
    /// # Errors
    /// When one does not start; with what it printed.
    pub fn start_with(size: usize, extra: &[&str]) -> Result<Self> {
        let mut cluster = Self::prepare(&binary()?, size, extra)?;
        for member in &mut cluster.members {
            member.spawn()?;
        }
        for member in &mut cluster.members {
            member.until_ready()?;
        }
        Ok(cluster)
    }

    fn prepare(binary: &Path, size: usize, extra: &[&str]) -> Result<Self> {
        let ports: Vec<(Socket, SocketAddr)> =
            (0..size).map(|_| reserve()).collect::<Result<_>>()?;
        let pairs: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(number, (_, address))| format!("m{number}={address}"))
            .collect();
        let initial = pairs.join(",");
        let mut members = Vec::new();
        for (number, (_, address)) in ports.iter().enumerate() {
            let name = format!("m{number}");
            let mut flags = vec!["--name", &name, "--initial-cluster", &initial];
            flags.extend(extra);
            members.push(Server::prepare(binary, &address.to_string(), &flags)?);
        }
        Ok(Self {
            members,
            _ports: ports.into_iter().map(|(socket, _)| socket).collect(),
        })
    }

    /// The members, running or not.
    #[must_use]
    pub fn members(&self) -> &[Server] {
        &self.members
    }

    /// A member, to be killed and started.
    pub fn member(&mut self, number: usize) -> &mut Server {
        &mut self.members[number]
    }

    /// Where clients reach all of them, separated by commas.
    #[must_use]
    pub fn addresses(&self) -> String {
        let addresses: Vec<&str> = self.members.iter().map(Server::address).collect();
        addresses.join(",")
    }

    /// Waits until those that answer agree on a leader that is one of them, and are a majority; its number.
    ///
    /// # Errors
    /// When they don't in time; with what they logged.
    pub async fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut known = Vec::new();
            for (number, member) in self.members.iter().enumerate() {
                if let Ok(status) = status(member).await {
                    let id = status.header.as_ref().map_or(0, |header| header.member_id);
                    known.push((number, id, status.leader));
                }
            }
            let leader = known.iter().find(|(_, id, leader)| id == leader);
            if let Some((number, id, _)) = leader
                && known.len() > self.members.len() / 2
                && known.iter().all(|(_, _, leader)| leader == id)
            {
                return Ok(*number);
            }
            if Instant::now() > deadline {
                let logs: Vec<String> = self.members.iter().map(Server::log).collect();
                bail!(
                    "no leader after {PATIENCE:?}: {known:?}\n{}",
                    logs.join("\n---\n")
                );
            }
            // Leadership is known to no single process: asking around is all there is.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A connection to a member.
///
/// # Errors
/// When it cannot be made.
pub async fn connect(member: &Server) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(member.url())?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(5));
    endpoint.connect().await.context("connecting to a member")
}

/// How a member is.
///
/// # Errors
/// When it does not say.
pub async fn status(member: &Server) -> Result<StatusResponse> {
    let asked = async {
        let mut client = MaintenanceClient::new(connect(member).await?);
        let answer = client.status(StatusRequest {}).await?;
        anyhow::Ok(answer.into_inner())
    };
    tokio::time::timeout(STATUS_WITHIN, asked).await?
}

/// A free port that stays ours, and that a member can listen on: Linux lets two sockets with `SO_REUSEADDR` have an
/// address as long as one of them at most listens.
fn reserve() -> Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let address = socket.local_addr()?.as_socket().context("no address")?;
    Ok((socket, address))
}
