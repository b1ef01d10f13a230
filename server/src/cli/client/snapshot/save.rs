//! Saving: through the same call that `etcdctl snapshot save` makes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use quorate_store::backup::{Progress, SnapshotSummary, inspect_snapshot};
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use super::{Meter, failure, io_failure};
use crate::failure::{Exit, Failure};

/// How long the next piece may take, once there was a first one.
const STALLED: Duration = Duration::from_secs(60);

/// Saves the state of the first server that answers; the file is there whole, and checked, or not
/// at all.
pub(super) async fn save(
    endpoints: &[String],
    timeout: Duration,
    file: &Path,
) -> Result<SnapshotSummary, Failure> {
    let pieces = begin(endpoints, timeout).await?;
    let mut unfinished = Unfinished::create(file)?;
    receive(pieces, &mut unfinished).await?;
    unfinished.finish(file)
}

async fn begin(
    endpoints: &[String],
    timeout: Duration,
) -> Result<Streaming<SnapshotResponse>, Failure> {
    let mut last = "no server is named".to_owned();
    for endpoint in endpoints {
        match tokio::time::timeout(timeout, ask(endpoint)).await {
            Ok(Ok(pieces)) => return Ok(pieces),
            Ok(Err(error)) => last = format!("{endpoint}: {error}"),
            Err(_) => last = format!("{endpoint}: no answer within {timeout:?}"),
        }
    }
    Err(Failure::new(
        Exit::Unavailable,
        format!("no server gives a snapshot: {last}; check --endpoints, and that one is running"),
    ))
}

async fn ask(endpoint: &str) -> Result<Streaming<SnapshotResponse>, String> {
    let url = if endpoint.contains("://") {
        endpoint.to_owned()
    } else {
        format!("http://{endpoint}")
    };
    let endpoint = Endpoint::from_shared(url).map_err(|_| "not an address".to_owned())?;
    let channel = endpoint.connect().await.map_err(|error| {
        use std::error::Error as _;
        let cause = error.source().map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string())
    })?;
    let mut maintenance = MaintenanceClient::new(channel);
    let answer = maintenance.snapshot(SnapshotRequest {}).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| status.message().to_owned())
}

async fn receive(
    mut pieces: Streaming<SnapshotResponse>,
    to: &mut Unfinished,
) -> Result<(), Failure> {
    let mut meter = Meter::new("saved");
    let mut done = 0;
    loop {
        let next = tokio::time::timeout(STALLED, pieces.message()).await;
        let next = next.unwrap_or_else(|_| {
            let why = format!("no more came for {STALLED:?}");
            Err(Status::deadline_exceeded(why))
        });
        let piece = next.map_err(|status| {
            Failure::new(
                Exit::Unavailable,
                format!("the snapshot broke off: {}; try again", status.message()),
            )
        })?;
        let Some(piece) = piece else {
            return Ok(());
        };
        to.write(&piece.blob)?;
        done += piece.blob.len() as u64;
        meter.show(Progress {
            done,
            total: done.saturating_add(piece.remaining_bytes),
        });
    }
}

/// A file beside the one that is wanted; removed unless it is finished.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    fn create(wanted: &Path) -> Result<Self, Failure> {
        let mut path = wanted.as_os_str().to_owned();
        path.push(format!(".{}.part", std::process::id()));
        let path = PathBuf::from(path);
        // It holds everyone's values.
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match created {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => Err(io_failure("create", &path, &error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| io_failure("write", &self.path, &error))
    }

    /// Checks it, and puts it where it is wanted.
    fn finish(self, wanted: &Path) -> Result<SnapshotSummary, Failure> {
        let synced = self.file.sync_all();
        synced.map_err(|error| io_failure("write", &self.path, &error))?;
        let mut meter = Meter::new("checked");
        let summary = inspect_snapshot(&self.path, &mut |progress| meter.show(progress))
            .map_err(|error| failure(&error))?;
        fs::rename(&self.path, wanted)
            .and_then(|()| super::sync_parent(wanted))
            .map_err(|error| io_failure("write", wanted, &error))?;
        Ok(summary)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already if it was finished; else there is nothing more to be done about it.
        let _ = fs::remove_file(&self.path);
    }
}
