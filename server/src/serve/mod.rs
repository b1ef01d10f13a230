//! A server from its start to its end.
//!
//! Order of the start: addresses (nothing is touched if one is taken), data directory, state and
//! log, client threads, and last the ready file. The end goes the other way round. In a cluster, ready means that
//! it serves; whether there is a leader is for the others to say too.

mod banner;
mod client_threads;
mod compactor;
mod connection;
mod deadline;
mod descriptors;
mod lease_keeper;
mod listen;
mod ready_file;
mod registry_sweeper;
mod signals;
mod state;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_raft::Peers;
use quorate_registry::{Registry, RegistryOptions, SystemClock};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use self::client_threads::{ClientLimits, ClientThreads};
use self::listen::{Addresses, Listeners};
use self::ready_file::{Ready, ReadyFile};
use self::signals::StopSignals;
use crate::bootstrap::InitialCluster;
use crate::config::{Config, InitialClusterState};
use crate::data_dir::{DataDir, Identity};
use crate::doors;
use crate::doors::member::{Member, MemberOptions};
use crate::failure::{Exit, Failure};
use crate::peers::{Party, PeerLinks};

/// Over how long clients spread their return after a drain notice.
const RECONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long abandoned lock tickets may take to be given up at the end.
const CHORES_WITHIN: Duration = Duration::from_secs(2);

/// Runs a server until it is asked to stop.
///
/// # Errors
/// When it cannot start, or cannot go on.
pub(crate) fn run(config: Config) -> Result<(), Failure> {
    let initial = InitialCluster::of(&config)
        .map_err(|contradiction| Failure::new(Exit::Usage, contradiction))?;
    let listeners = Listeners::bind(&config)?;
    // Everything that serves neither clients nor members runs here, on this thread.
    let background = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_resources)?;
    // Members wait for each other's heartbeats, so nothing else may keep this thread.
    let peers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .thread_name("peers")
        .build()
        .map_err(no_resources)?;
    let found = || match &initial {
        None => Ok(Identity::random()),
        Some(initial) => background.block_on(initial.found(&config)),
    };
    let data_dir = Arc::new(DataDir::open(&config.data_dir, found)?);
    check_identity(&config, initial.as_ref(), data_dir.identity())?;
    let ready_file = ReadyFile::prepare(config.ready_file.clone())?;
    background.block_on(async {
        let signals = StopSignals::catch().map_err(no_resources)?;
        let addresses = listeners.addresses.clone();
        let server = Server::start(&config, listeners, &data_dir, peers.handle()).await?;
        server.announce(&config, &addresses, &data_dir, &ready_file)?;
        server.serve_until(signals, &config, &data_dir).await
    })
}

/// A server that answers.
struct Server {
    member: Member,
    registry: Registry,
    health: HealthReporter,
    threads: ClientThreads,
    accepting: listen::Accepting,
    /// Watching over time: leases, history, and the registry's sessions.
    keepers: JoinSet<()>,
    stopping: CancellationToken,
}

impl Server {
    /// Recovers what is stored and starts every part.
    async fn start(
        config: &Config,
        listeners: Listeners,
        data_dir: &Arc<DataDir>,
        peers_runtime: &Handle,
    ) -> Result<Self, Failure> {
        let stopping = CancellationToken::new();
        let options = member_options(config, &listeners.addresses, data_dir);
        let party = Party {
            cluster_id: options.cluster_id,
            member_id: options.member_id,
        };
        let peers: Arc<dyn Peers> = Arc::new(PeerLinks::new(party, peers_runtime.clone()));
        let (store, node) = {
            let (data_dir, options) = (Arc::clone(data_dir), options.clone());
            let peers = Arc::clone(&peers);
            tokio::task::spawn_blocking(move || state::open(&data_dir, &options, peers))
                .await
                .map_err(|error| Failure::new(Exit::Failed, error))??
        };
        let member = Member::new(node, store, peers, options, stopping.clone());
        let registry = Registry::new(
            registry_options(config, data_dir),
            Arc::new(SystemClock::new()),
        );
        let mut keepers = JoinSet::new();
        keepers.spawn(lease_keeper::keep(member.clone()));
        keepers.spawn(registry_sweeper::sweep(registry.clone()));
        if let Some(retention) = config.auto_compaction {
            keepers.spawn(compactor::compact(member.clone(), retention));
        }

        let health = HealthReporter::new();
        let base = Routes::new(doors::health::service(&health, &stopping));
        let client_routes = doors::etcd(&member, base.clone());
        let client_routes = doors::registry(&registry, client_routes);
        let threads = ClientThreads::start(client_limits(config), &client_routes, &stopping)
            .map_err(no_resources)?;
        let peer_routes = base.add_service(doors::peer::service(member.clone()));
        let accepting = listeners.accept(&threads.dealer(), peer_routes, peers_runtime)?;
        Ok(Self {
            member,
            registry,
            health,
            threads,
            accepting,
            keepers,
            stopping,
        })
    }

    /// Says that it answers, to programs and to people.
    fn announce(
        &self,
        config: &Config,
        addresses: &Addresses,
        data_dir: &DataDir,
        ready_file: &ReadyFile,
    ) -> Result<(), Failure> {
        let identity = data_dir.identity();
        ready_file.write(&Ready {
            pid: std::process::id(),
            client: &addresses.clients,
            peer: [addresses.peer],
            identity,
        })?;
        tracing::info!(
            cluster = %identity.cluster_id,
            member = %identity.member_id,
            clients = ?addresses.clients,
            peers = %addresses.peer,
            data = %data_dir.path().display(),
            "serving"
        );
        banner::print(config, &addresses.clients, addresses.peer);
        Ok(())
    }

    /// Serves until a signal, then drains; or until it cannot go on.
    async fn serve_until(
        self,
        mut signals: StopSignals,
        config: &Config,
        data_dir: &DataDir,
    ) -> Result<(), Failure> {
        tokio::select! {
            (name, _) = signals.next() => {
                tracing::info!("{name}, draining");
                tokio::spawn(signals.exit_at_next());
                self.drain(config.drain_timeout).await
            }
            fault = self.member.node().fatal() => {
                // What is on the disk is no longer known. The next start recovers from it.
                Err(state::failure(data_dir.path(), fault.code(), &fault))
            }
        }
    }

    /// Ends in order: newcomers first, then who waits, then who is being answered, then the log.
    async fn drain(mut self, drain_timeout: Duration) -> Result<(), Failure> {
        set_health(&self.health, ServingStatus::NotServing).await;
        drop(self.accepting);
        self.registry
            .drain(RECONNECT_WITHIN, "the server is stopping");
        self.registry.stop();
        self.stopping.cancel();
        let threads = self.threads;
        tokio::task::spawn_blocking(move || threads.join())
            .await
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        self.member
            .finish_chores(CHORES_WITHIN.min(drain_timeout))
            .await;
        self.keepers.shutdown().await;
        self.member.node().shutdown().await;
        Ok(())
    }
}

/// Refuses a data directory of another cluster than the one the flags found. What a cluster has become since is
/// no contradiction, but then they don't found it.
fn check_identity(
    config: &Config,
    initial: Option<&InitialCluster>,
    identity: &Identity,
) -> Result<(), Failure> {
    let Some(initial) = initial else {
        return Ok(());
    };
    let is_theirs =
        identity.cluster_id.0 == initial.cluster_id && identity.member_id.0 == initial.member_id;
    if is_theirs || config.initial_cluster_state == InitialClusterState::Existing {
        return Ok(());
    }
    Err(Failure::new(
        Exit::DataDirectory,
        format!(
            "data directory {}: it belongs to member {} of cluster {}, and --initial-cluster founds member \
             {:016x} of cluster {:016x}; choose another with --data-dir, or leave --initial-cluster out: the \
             directory remembers its own",
            config.data_dir.display(),
            identity.member_id,
            identity.cluster_id,
            initial.member_id,
            initial.cluster_id
        ),
    ))
}

fn member_options(config: &Config, addresses: &Addresses, data_dir: &DataDir) -> MemberOptions {
    let url = |address: &std::net::SocketAddr| format!("http://{address}");
    let client_urls = if config.advertise_client.is_empty() {
        addresses.clients.iter().map(url).collect()
    } else {
        config.advertise_client.clone()
    };
    let peer_urls = if config.advertise_peer.is_empty() {
        vec![url(&addresses.peer)]
    } else {
        let urls = config.advertise_peer.iter();
        urls.map(ToString::to_string).collect()
    };
    MemberOptions {
        cluster_id: data_dir.identity().cluster_id.0,
        member_id: data_dir.identity().member_id.0,
        name: config.name.clone(),
        client_urls,
        peer_urls,
        max_request_bytes: config.max_request_bytes,
        max_answer_bytes: config.max_answer_bytes,
    }
}

fn registry_options(config: &Config, data_dir: &DataDir) -> RegistryOptions {
    let identity = data_dir.identity();
    let epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    let mut options = RegistryOptions::new(epoch, identity.cluster_id.0, identity.member_id.0);
    // On a fresh directory there is nobody to come back.
    let warm_up = config.registry_warm_up;
    options.warm_up = (data_dir.used_before() && !warm_up.is_zero()).then_some(warm_up);
    options
}

fn client_limits(config: &Config) -> ClientLimits {
    ClientLimits {
        threads: config.client_threads,
        connections: descriptors::connections(config.max_connections, config.client_threads),
        streams_per_connection: config.max_streams_per_connection,
        drain_timeout: config.drain_timeout,
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
}

fn no_resources(error: std::io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("the system gives no more threads or file descriptors: {error}"),
    )
}
