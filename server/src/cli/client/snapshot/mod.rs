//! `quorate snapshot save`, `status` and `restore`.

mod restore;
mod save;

use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use quorate_store::backup::{Progress, SnapshotError, SnapshotSummary, inspect_snapshot};
use quorate_types::ErrorCode;

use super::output::{Format, Printer};
use super::{Connection, Ending};
use crate::failure::{Exit, Failure};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate snapshot save backup.db
      Save all keys, leases and revisions of the first server that answers
  quorate snapshot status backup.db
  quorate snapshot restore backup.db --data-dir /var/lib/quorate
      A new data directory with all of it, for a new cluster of one member
  quorate snapshot restore backup.db --data-dir a --name a \\
      --initial-cluster a=10.0.0.1:2380,b=10.0.0.2:2380,c=10.0.0.3:2380
      The same for a new cluster of three: once on each, with its name";

#[derive(Args, Debug)]
pub(crate) struct SnapshotArguments {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// Save the state of a server in a file, while it goes on
    Save(SaveArguments),
    /// Check a saved snapshot, and tell what it holds
    Status(StatusArguments),
    /// Make a data directory of a saved snapshot, for a new cluster
    Restore(Box<restore::RestoreArguments>),
}

#[derive(Args, Debug)]
struct SaveArguments {
    /// Where to save it; replaced only once all is there
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
struct StatusArguments {
    /// The snapshot
    file: PathBuf,
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

pub(super) async fn run(arguments: SnapshotArguments) -> Ending {
    match arguments.command {
        SnapshotCommand::Save(arguments) => {
            let connection = arguments.connection;
            let printer = Printer::new(connection.output);
            let summary = save::save(
                &connection.endpoints,
                connection.request_timeout,
                &arguments.file,
            )
            .await?;
            tell(&printer, &summary)
        }
        SnapshotCommand::Status(arguments) => {
            let mut meter = Meter::new("checked");
            let summary = inspect_snapshot(&arguments.file, &mut |progress| meter.show(progress))
                .map_err(|error| failure(&error))?;
            drop(meter);
            tell(&Printer::new(arguments.output), &summary)
        }
        SnapshotCommand::Restore(arguments) => {
            let printer = Printer::new(arguments.output());
            let summary = restore::restore(*arguments).await?;
            tell(&printer, &summary)
        }
    }
}

fn tell(printer: &Printer, summary: &SnapshotSummary) -> Ending {
    printer.rows(
        &[
            "revision",
            "compacted_revision",
            "keys",
            "leases",
            "bytes",
            "hash",
            "written_by",
        ],
        vec![vec![
            summary.revision.into(),
            summary.compacted_revision.into(),
            summary.keys.into(),
            summary.leases.into(),
            summary.bytes.into(),
            // As `etcdctl endpoint hashkv` has it.
            summary.short_hash().into(),
            summary.written_by.as_str().into(),
        ]],
    )?;
    Ok(0.into())
}

fn failure(error: &SnapshotError) -> Failure {
    let exit = match error.error_code() {
        ErrorCode::InvalidArgument => Exit::Usage,
        _ => Exit::Storage,
    };
    Failure::new(exit, error)
}

fn io_failure(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Storage,
        format!(
            "cannot {action} {}: {error}; check the path, its permissions and the free space",
            path.display()
        ),
    )
}

/// Makes the name of a file or directory that was just made survive a crash.
fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Tells a person at a terminal how far something long is, on a line of its own.
struct Meter {
    what: &'static str,
    shown: Option<Instant>,
    began: Instant,
    live: bool,
}

impl Meter {
    /// How long something takes before it is worth a word, and how often then.
    const EVERY: Duration = Duration::from_millis(500);

    fn new(what: &'static str) -> Self {
        Self {
            what,
            shown: None,
            began: Instant::now(),
            live: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, progress: Progress) {
        let since = self.shown.unwrap_or(self.began);
        if !self.live || since.elapsed() < Self::EVERY {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = progress.done.saturating_mul(100) / progress.total.max(1);
        eprint!("\r{} {}%\x1b[K", self.what, percent.min(100));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
