//! The settings of `quorate serve` as they are written: as flags, in the environment, in a file.
//!
//! One struct for all three, so that a setting cannot exist in one and be missing in another.
//! Nothing here has a default: absence is how the layers know what to take from the next.

use std::path::PathBuf;

use clap::{Args, Command};
use serde::Deserialize;

use super::cluster::{InitialClusterState, InitialMember, PeerUrl};
use super::retention::CompactionMode;
use super::values::{ByteSize, ListenAddress, LogFormat, LogLevel, Period};

macro_rules! settings {
    ($($(#[$meta:meta])* $name:ident: $kind:ty,)*) => {
        /// Run a server
        #[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub(crate) struct ServeArguments {
            /// TOML file with settings; its keys are these flags without the dashes in front
            #[arg(long, env = "QUORATE_CONFIG", value_name = "FILE", hide_env_values = true)]
            #[serde(skip)]
            pub(crate) config: Option<PathBuf>,
            $($(#[$meta])* pub(crate) $name: Option<$kind>,)*
        }

        impl ServeArguments {
            /// These settings, and those of `below` where these say nothing.
            pub(super) fn over(self, below: Self) -> Self {
                Self {
                    config: self.config,
                    $($name: self.$name.or(below.$name),)*
                }
            }
        }
    };
}

settings! {
    /// Directory for everything the server keeps [default: ./quorate.data]
    #[arg(long, env = "QUORATE_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    data_dir: PathBuf,

    /// This member's name, for people, and in --initial-cluster [default: default]
    #[arg(long, env = "QUORATE_NAME", value_name = "NAME", hide_env_values = true)]
    name: String,

    /// Where clients connect; several separated by commas, port 0 for any free one
    /// [default: 127.0.0.1:2379]
    #[arg(long, env = "QUORATE_LISTEN_CLIENT", value_name = "HOST:PORT", value_delimiter = ',',
          help_heading = "Addresses", hide_env_values = true)]
    listen_client: Vec<ListenAddress>,

    /// Where other members connect [default: 127.0.0.1:2380]
    #[arg(long, env = "QUORATE_LISTEN_PEER", value_name = "HOST:PORT",
          help_heading = "Addresses", hide_env_values = true)]
    listen_peer: ListenAddress,

    /// Client URLs told in the member list [default: http:// and the client addresses]
    #[arg(long, env = "QUORATE_ADVERTISE_CLIENT", value_name = "URL", value_delimiter = ',',
          help_heading = "Addresses", hide_env_values = true)]
    advertise_client: Vec<String>,

    /// Peer URLs told in the member list [default: http:// and the peer address, or those of --initial-cluster]
    #[arg(long, env = "QUORATE_ADVERTISE_PEER", value_name = "URL", value_delimiter = ',',
          help_heading = "Addresses", hide_env_values = true)]
    advertise_peer: Vec<PeerUrl>,

    /// Write the addresses here, as JSON, once the server answers; removed when it stops
    #[arg(long, env = "QUORATE_READY_FILE", value_name = "FILE",
          help_heading = "Addresses", hide_env_values = true)]
    ready_file: PathBuf,

    /// The members that found a cluster, this one among them, the same on all; only needed until this one has
    /// a data directory [default: this one alone]
    #[arg(long, env = "QUORATE_INITIAL_CLUSTER", value_name = "NAME=HOST:PORT", value_delimiter = ',',
          help_heading = "Cluster", hide_env_values = true)]
    initial_cluster: Vec<InitialMember>,

    /// Whether --initial-cluster is founded by this start, or exists [default: new]
    #[arg(long, env = "QUORATE_INITIAL_CLUSTER_STATE", value_name = "STATE", value_enum,
          help_heading = "Cluster", hide_env_values = true)]
    initial_cluster_state: InitialClusterState,

    /// Keeps clusters apart that are founded with the same addresses [default: quorate-cluster]
    #[arg(long, env = "QUORATE_INITIAL_CLUSTER_TOKEN", value_name = "TOKEN",
          help_heading = "Cluster", hide_env_values = true)]
    initial_cluster_token: String,

    /// What --auto-compaction-retention counts [default: periodic]
    #[arg(long, env = "QUORATE_AUTO_COMPACTION_MODE", value_name = "MODE", value_enum,
          help_heading = "History", hide_env_values = true)]
    auto_compaction_mode: CompactionMode,

    /// History that is kept; older is compacted by itself. Hours, or a time such as 30m; with the mode
    /// 'revision' a number of revisions; 0 keeps all [default: 0]
    #[arg(long, env = "QUORATE_AUTO_COMPACTION_RETENTION", value_name = "HISTORY",
          help_heading = "History", hide_env_values = true)]
    auto_compaction_retention: String,

    /// After a restart, how long absence of an instance means nothing [default: 15s]
    #[arg(long, env = "QUORATE_REGISTRY_WARM_UP", value_name = "TIME",
          help_heading = "Timing", hide_env_values = true)]
    registry_warm_up: Period,

    /// How long calls in flight may take to finish when the server is asked to stop [default: 5s]
    #[arg(long, env = "QUORATE_DRAIN_TIMEOUT", value_name = "TIME",
          help_heading = "Timing", hide_env_values = true)]
    drain_timeout: Period,

    /// Largest request; messages may have 512 KiB on top [default: 1536KiB]
    #[arg(long, env = "QUORATE_MAX_REQUEST_SIZE", value_name = "SIZE",
          help_heading = "Limits", hide_env_values = true)]
    max_request_size: ByteSize,

    /// Largest answer of a read; more is refused, to be read in parts with a limit [default: 256MiB]
    #[arg(long, env = "QUORATE_MAX_ANSWER_SIZE", value_name = "SIZE",
          help_heading = "Limits", hide_env_values = true)]
    max_answer_size: ByteSize,

    /// Client connections at a time; one more is closed at once [default: 10000]
    #[arg(long, env = "QUORATE_MAX_CONNECTIONS", value_name = "N",
          help_heading = "Limits", hide_env_values = true)]
    max_connections: usize,

    /// Calls and streams at a time per connection; one more waits at the client [default: 10000]
    #[arg(long, env = "QUORATE_MAX_STREAMS_PER_CONNECTION", value_name = "N",
          help_heading = "Limits", hide_env_values = true)]
    max_streams_per_connection: u32,

    /// Threads that serve client connections [default: one per core]
    #[arg(long, env = "QUORATE_CLIENT_THREADS", value_name = "N",
          help_heading = "Limits", hide_env_values = true)]
    client_threads: usize,

    /// How log lines on stderr look [default: text]
    #[arg(long, env = "QUORATE_LOG_FORMAT", value_name = "FORMAT", value_enum,
          help_heading = "Logs", hide_env_values = true)]
    log_format: LogFormat,

    /// How much is logged: off, error, warn, info, debug, trace, or target=level directives
    /// [default: info]
    #[arg(long, env = "QUORATE_LOG_LEVEL", value_name = "LEVEL",
          help_heading = "Logs", hide_env_values = true)]
    log_level: LogLevel,
}

impl ServeArguments {
    /// The names a configuration file may use: those of the flags, but for `--config` itself.
    pub(super) fn setting_names() -> Vec<String> {
        Self::augment_args(Command::new("serve"))
            .get_arguments()
            .filter_map(|argument| argument.get_long())
            .filter(|name| *name != "config")
            .map(str::to_owned)
            .collect()
    }
}
