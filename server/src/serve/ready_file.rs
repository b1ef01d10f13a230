//! The ready file: where this server answers, for programs that start one.
//!
//! It appears, whole, once the server answers, and goes when the server stops.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data_dir::Identity;
use crate::failure::{Exit, Failure};

/// What the file holds.
#[derive(Debug, Serialize)]
pub(super) struct Ready<'a> {
    pub(super) pid: u32,
    /// Where clients connect.
    pub(super) client: &'a [SocketAddr],
    /// Where other members connect.
    pub(super) peer: [SocketAddr; 1],
    #[serde(flatten)]
    pub(super) identity: &'a Identity,
}

/// A ready file that may exist; removed when dropped.
pub(super) struct ReadyFile(Option<PathBuf>);

impl ReadyFile {
    /// Removes what an earlier process left behind, before it can be mistaken for ours.
    ///
    /// # Errors
    /// When something is there that cannot be removed.
    pub(super) fn prepare(path: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = &path {
            match fs::remove_file(path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failure(path, &error)),
            }
        }
        Ok(Self(path))
    }

    /// Makes it appear, whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, ready: &Ready<'_>) -> Result<(), Failure> {
        let Some(path) = &self.0 else { return Ok(()) };
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".unfinished");
        serde_json::to_vec_pretty(ready)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&unfinished, text))
            .and_then(|()| fs::rename(&unfinished, path))
            .map_err(|error| failure(path, &error))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may never have been written.
            drop(fs::remove_file(path));
        }
    }
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!(
            "cannot write the ready file {}: {error}; choose another with --ready-file",
            path.display()
        ),
    )
}
