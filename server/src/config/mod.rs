//! What `quorate serve` runs with: flag over environment over file over default.

mod arguments;
mod cluster;
mod file;
mod retention;
mod values;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use arguments::ServeArguments;
pub(crate) use cluster::{InitialClusterState, InitialMember, PeerUrl};
pub(crate) use retention::Retention;
pub(crate) use values::{ListenAddress, LogFormat, LogLevel};

use crate::failure::{Exit, Failure};

/// All settings, decided. [`ServeArguments`] says what each is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) name: String,
    pub(crate) listen_client: Vec<ListenAddress>,
    pub(crate) listen_peer: ListenAddress,
    /// Empty: made of the addresses actually listened on.
    pub(crate) advertise_client: Vec<String>,
    /// Empty: those of the initial cluster, or made of the address actually listened on.
    pub(crate) advertise_peer: Vec<PeerUrl>,
    pub(crate) ready_file: Option<PathBuf>,
    /// Empty: this member alone.
    pub(crate) initial_cluster: Vec<InitialMember>,
    pub(crate) initial_cluster_state: InitialClusterState,
    pub(crate) initial_cluster_token: String,
    /// How much history is kept; `None`: all of it, until somebody compacts it.
    pub(crate) auto_compaction: Option<Retention>,
    pub(crate) registry_warm_up: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_answer_bytes: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_streams_per_connection: u32,
    pub(crate) client_threads: usize,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogLevel,
}

impl Config {
    /// Decides every setting; `arguments` hold flags and environment, in clap's order.
    ///
    /// # Errors
    /// A configuration file that cannot be read, or a value that can never work.
    pub(crate) fn resolve(arguments: ServeArguments) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Exit::Usage, message);
        let file = match &arguments.config {
            Some(path) => file::read(path).map_err(usage)?,
            None => ServeArguments::default(),
        };
        let settings = arguments.over(file);
        let auto_compaction = Retention::parse(
            settings.auto_compaction_mode.unwrap_or_default(),
            settings.auto_compaction_retention.as_deref().unwrap_or("0"),
        )
        .map_err(usage)?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let config = Self {
            data_dir: settings.data_dir.unwrap_or_else(|| "./quorate.data".into()),
            name: settings.name.unwrap_or_else(|| "default".to_owned()),
            listen_client: settings
                .listen_client
                .unwrap_or_else(|| vec![fixed("127.0.0.1:2379")]),
            listen_peer: settings
                .listen_peer
                .unwrap_or_else(|| fixed("127.0.0.1:2380")),
            advertise_client: settings.advertise_client.unwrap_or_default(),
            advertise_peer: settings.advertise_peer.unwrap_or_default(),
            ready_file: settings.ready_file,
            initial_cluster: settings.initial_cluster.unwrap_or_default(),
            initial_cluster_state: settings.initial_cluster_state.unwrap_or_default(),
            initial_cluster_token: settings
                .initial_cluster_token
                .unwrap_or_else(|| "quorate-cluster".to_owned()),
            auto_compaction,
            registry_warm_up: settings
                .registry_warm_up
                .map_or(Duration::from_secs(15), |period| period.0),
            drain_timeout: settings
                .drain_timeout
                .map_or(Duration::from_secs(5), |period| period.0),
            max_request_bytes: settings.max_request_size.map_or(1536 << 10, |size| size.0),
            max_answer_bytes: settings.max_answer_size.map_or(256 << 20, |size| size.0),
            max_connections: settings.max_connections.unwrap_or(10_000),
            max_streams_per_connection: settings.max_streams_per_connection.unwrap_or(10_000),
            client_threads: settings.client_threads.unwrap_or(cores),
            log_format: settings.log_format.unwrap_or(LogFormat::Text),
            log_level: settings.log_level.unwrap_or_else(|| fixed("info")),
        };
        config.check().map_err(usage)?;
        Ok(config)
    }

    /// What no single value shows: settings that parse but cannot work.
    fn check(&self) -> Result<(), String> {
        let at_least_one = [
            ("listen-client", self.listen_client.len()),
            ("max-connections", self.max_connections),
            (
                "max-streams-per-connection",
                self.max_streams_per_connection as usize,
            ),
            ("client-threads", self.client_threads),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("'{name}' must be at least one"));
        }
        let (least, most) = (4 << 10, 64 << 20);
        if !(least..=most).contains(&self.max_request_bytes) {
            return Err("'max-request-size' must be from 4KiB to 64MiB".to_owned());
        }
        // A message of gRPC's has 2 GiB at most.
        let (least, most) = (1 << 20, 2047 << 20);
        if !(least..=most).contains(&self.max_answer_bytes) {
            return Err("'max-answer-size' must be from 1MiB to 2047MiB".to_owned());
        }
        if self.client_threads > 1024 {
            return Err("'client-threads' must be at most 1024".to_owned());
        }
        Ok(())
    }
}

/// Reads a default, which is always valid.
fn fixed<T: std::str::FromStr<Err = String>>(text: &str) -> T {
    text.parse().expect("defaults are valid, and tested")
}

#[cfg(test)]
mod tests;
