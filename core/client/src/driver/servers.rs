//! The servers as channels: lazily connected, one HTTP/2 connection each.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quorate_types::{Error, ErrorCode};
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint};

use super::now;
use crate::builder::Options;
pub(crate) use crate::engine::servers::ServerId;
use crate::engine::servers::ServerSet;
use crate::metrics::{Counters, count};

/// A ping when a connection with open calls was silent this long. etcd closes connections that are
/// pinged more often than every 5 s, or without an open call.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(6);
/// A ping unanswered this long ends the connection.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// All servers of the cluster; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    set: Mutex<ServerSet>,
    servers: Vec<Server>,
    /// Wakes those who wait out a pause when somebody got an answer.
    recovered: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Server {
    address: String,
    endpoint: Endpoint,
    channel: OnceLock<Channel>,
}

impl Servers {
    /// Reads the addresses; does not connect.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] naming the address.
    pub(crate) fn new(
        options: &Options,
        rng: fastrand::Rng,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let servers = options
            .endpoints
            .iter()
            .map(|address| Server::new(address, options))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            shared: Arc::new(Shared {
                set: Mutex::new(ServerSet::new(servers.len(), rng)),
                servers,
                recovered: Notify::new(),
                counters,
            }),
        })
    }

    /// The server to use now, for a first attempt on somebody's behalf: never waits. Must be called
    /// within a tokio runtime.
    pub(crate) fn channel_now(&self) -> (ServerId, Channel) {
        let server = self.shared.set.lock().choose(now()).server;
        (server, self.open(server))
    }

    /// If every server has asked to be left alone: until when.
    pub(crate) fn asked_until(&self) -> Option<Instant> {
        self.shared.set.lock().asked_until(now())
    }

    /// The server to use next, for loops that try again and again: first waits out the backoff, or
    /// until somebody else got an answer. `longest` bounds that wait, but not a pause that servers
    /// asked for.
    pub(crate) async fn channel_after_backoff(&self, longest: Duration) -> (ServerId, Channel) {
        let began = now();
        loop {
            // Created before the look, so that no wake-up falls between the look and the wait.
            let recovered = self.shared.recovered.notified();
            let (choice, asked) = {
                let mut set = self.shared.set.lock();
                (set.choose(now()), set.asked_until(now()))
            };
            let until = choice.not_before.min(began + longest);
            let until = asked.map_or(until, |asked| until.max(asked));
            if until <= now() {
                return (choice.server, self.open(choice.server));
            }
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = recovered => {}
            }
        }
    }

    /// A call or stream on this server failed; `retry_after` is what the server asked for.
    pub(crate) fn failed(&self, server: ServerId, retry_after: Option<Duration>) {
        let news = self.shared.set.lock().failed(server, retry_after, now());
        if news {
            count(&self.shared.counters.server_failures);
            tracing::debug!(server = self.address(server), "server failed");
        }
    }

    /// Prefers another server from now on, though this one works: to spread the load.
    pub(crate) fn leave(&self, server: ServerId) {
        self.shared.set.lock().leave(server);
    }

    /// This server answered.
    pub(crate) fn succeeded(&self, server: ServerId) {
        let ended_a_pause = self.shared.set.lock().succeeded(server);
        if ended_a_pause {
            tracing::debug!(server = self.address(server), "servers answer again");
            self.shared.recovered.notify_waiters();
        }
    }

    /// The address as the program gave it.
    pub(crate) fn address(&self, server: ServerId) -> &str {
        &self.shared.servers[server.index].address
    }

    /// How many there are; at least one.
    pub(crate) fn len(&self) -> usize {
        self.shared.servers.len()
    }

    /// Every server's address and channel, for questions to each of them.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, Channel)> {
        let servers = self.shared.servers.iter();
        servers.map(|server| (server.address.as_str(), server.open()))
    }

    fn open(&self, server: ServerId) -> Channel {
        self.shared.servers[server.index].open()
    }
}

impl Server {
    fn new(address: &str, options: &Options) -> Result<Self, Error> {
        let invalid = |why: &str| {
            Error::new(
                ErrorCode::InvalidArgument,
                format!("server address {address:?} {why}; expected host:port"),
            )
        };
        if address.starts_with("https://") {
            return Err(invalid("asks for TLS, which this version does not have"));
        }
        let authority = address.strip_prefix("http://").unwrap_or(address);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let uri: http::Uri = format!("http://{authority}")
            .parse()
            .map_err(|_| invalid("cannot be read"))?;
        if uri.port_u16().is_none() {
            return Err(invalid("has no port"));
        }
        if uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(invalid("has a path"));
        }
        let endpoint = Endpoint::from(uri)
            .user_agent(options.client_name.as_str())
            .map_err(|_| invalid("cannot be used with this client_name"))?
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(false);
        Ok(Self {
            address: authority.to_owned(),
            endpoint,
            channel: OnceLock::new(),
        })
    }

    fn open(&self) -> Channel {
        self.channel
            .get_or_init(|| self.endpoint.connect_lazy())
            .clone()
    }
}
