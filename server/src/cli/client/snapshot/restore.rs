//! Restoring: a data directory for a new cluster, which begins with what the snapshot holds.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use quorate_store::backup::{SnapshotSummary, inspect_snapshot, restore_snapshot};

use super::super::output::Format;
use super::{Meter, failure, io_failure, sync_parent};
use crate::bootstrap::InitialCluster;
use crate::config::{Config, InitialMember, PeerUrl, ServeArguments};
use crate::data_dir::{DataDir, Identity};
use crate::failure::{Exit, Failure};

#[derive(Args, Debug)]
pub(super) struct RestoreArguments {
    /// The snapshot
    file: PathBuf,
    /// The data directory to make; there must be nothing of that name
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The member's name, in --initial-cluster
    #[arg(long, value_name = "NAME", requires = "initial_cluster")]
    name: Option<String>,
    /// The members of the new cluster, the same on all [default: this one alone]
    #[arg(
        long,
        value_name = "NAME=HOST:PORT",
        value_delimiter = ',',
        requires = "name"
    )]
    initial_cluster: Option<Vec<InitialMember>>,
    /// Keeps the new cluster apart from others with the same addresses, the same on all
    /// [default: made of the snapshot]
    #[arg(long, value_name = "TOKEN", requires = "initial_cluster")]
    initial_cluster_token: Option<String>,
    /// Where the other members reach this one, if not as --initial-cluster says
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        requires = "initial_cluster"
    )]
    advertise_peer: Option<Vec<PeerUrl>>,
    /// A table for people, or JSON for programs
    #[arg(
        long,
        env = "QUORATE_OUTPUT",
        value_name = "FORMAT",
        value_enum,
        default_value_t = Format::Table
    )]
    output: Format,
}

impl RestoreArguments {
    pub(super) fn output(&self) -> Format {
        self.output
    }
}

/// Makes the directory: whole, or not at all.
pub(super) async fn restore(arguments: RestoreArguments) -> Result<SnapshotSummary, Failure> {
    let file = arguments.file.clone();
    // Without a slash at its end, which would hide its name.
    let wanted: PathBuf = arguments.data_dir.components().collect();
    refuse_existing(&wanted)?;
    // Checked before anything is made; and the new cluster's token is made of what it is.
    let mut meter = Meter::new("checked");
    let summary = inspect_snapshot(&file, &mut |progress| meter.show(progress))
        .map_err(|error| failure(&error))?;
    drop(meter);
    let identity = identity(arguments, &summary).await?;
    let unfinished = Unfinished::create(&wanted)?;
    let data_dir = DataDir::open(&unfinished.0, || Ok(identity))?;
    let store = data_dir.store();
    fs::create_dir(&store).map_err(|error| io_failure("create", &store, &error))?;
    let mut meter = Meter::new("restored");
    restore_snapshot(&file, &store, &mut |progress| meter.show(progress))
        .map_err(|error| failure(&error))?;
    for made in [&store.join("store.redb"), &store] {
        sync_parent(made).map_err(|error| io_failure("write", made, &error))?;
    }
    // Nobody else uses what has had no name until now.
    drop(data_dir);
    refuse_existing(&wanted)?;
    fs::rename(&unfinished.0, &wanted)
        .and_then(|()| sync_parent(&wanted))
        .map_err(|error| io_failure("create", &wanted, &error))?;
    Ok(summary)
}

fn refuse_existing(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::DataDirectory,
        format!(
            "data directory {}: it exists already; choose another with --data-dir, or move it away",
            path.display()
        ),
    ))
}

/// Ids that no other cluster has: the one the snapshot is from may still run.
async fn identity(
    arguments: RestoreArguments,
    summary: &SnapshotSummary,
) -> Result<Identity, Failure> {
    if arguments.initial_cluster.is_none() {
        return Ok(Identity::random());
    }
    let token = arguments
        .initial_cluster_token
        .unwrap_or_else(|| format!("restored {} {:016x}", summary.revision, summary.hash));
    let config = Config::resolve(ServeArguments {
        name: arguments.name,
        initial_cluster: arguments.initial_cluster,
        initial_cluster_token: Some(token),
        advertise_peer: arguments.advertise_peer,
        ..ServeArguments::default()
    })?;
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let initial = InitialCluster::of(&config).map_err(usage)?;
    match initial {
        Some(initial) => initial.found(&config).await.map_err(usage),
        None => Ok(Identity::random()),
    }
}

/// A directory beside the one that is wanted; removed unless it gets that name.
struct Unfinished(PathBuf);

impl Unfinished {
    fn create(wanted: &Path) -> Result<Self, Failure> {
        let mut path = wanted.as_os_str().to_owned();
        path.push(format!(".{}.unfinished", std::process::id()));
        let path = PathBuf::from(path);
        if let Some(parent) = wanted.parent() {
            fs::create_dir_all(parent).map_err(|error| io_failure("create", parent, &error))?;
        }
        let created = DirBuilder::new().mode(0o700).create(&path);
        created.map_err(|error| io_failure("create", &path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already if it was finished; else there is nothing more to be done about it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
