//! A `quorate serve` process with a data directory of its own, on free ports.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{OwnedChild, Usage};

/// How long a server may take to start or to stop on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running (or killed) server. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    directory: TempDir,
    extra: Vec<String>,
    /// Kept over restarts, so that clients find it again.
    client: String,
    peer: String,
    child: Option<OwnedChild>,
}

impl Server {
    /// Starts a server and waits until it serves.
    ///
    /// # Errors
    /// When it does not start; with what it printed.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with more flags.
    ///
    /// # Errors
    /// When it does not start; with what it printed.
    pub fn start_with(extra: &[&str]) -> Result<Self> {
        Self::start_binary(&binary()?, extra)
    }

    /// Starts a given binary with more flags.
    ///
    /// # Errors
    /// When it does not start; with what it printed.
    pub fn start_binary(binary: &Path, extra: &[&str]) -> Result<Self> {
        let mut server = Self::prepare(binary, "127.0.0.1:0", extra)?;
        server.restart()?;
        Ok(server)
    }

    /// A server that does not run yet, with the address for other members given.
    pub(crate) fn prepare(binary: &Path, peer: &str, extra: &[&str]) -> Result<Self> {
        Ok(Self {
            binary: binary.to_owned(),
            directory: tempfile::Builder::new().prefix("quorate-test-").tempdir()?,
            extra: extra.iter().map(|flag| (*flag).to_owned()).collect(),
            client: "127.0.0.1:0".to_owned(),
            peer: peer.to_owned(),
            child: None,
        })
    }

    /// Starts it again on the same data and the same ports; kills it first if it runs.
    ///
    /// # Errors
    /// When it does not start; with what it printed.
    pub fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.until_ready()
    }

    /// As [`restart`](Self::restart), without waiting until it serves.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        self.kill();
        let ready = self.directory.path().join("ready.json");
        if ready.exists() {
            fs::remove_file(&ready)?;
        }
        let log = self.log_path();
        let log_file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)?;
        let child = OwnedChild::spawn(
            Command::new(&self.binary)
                .arg("serve")
                .arg("--data-dir")
                .arg(self.data_directory())
                .args(["--listen-client", &self.client])
                .args(["--listen-peer", &self.peer])
                .arg("--ready-file")
                .arg(&ready)
                .args(&self.extra)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log_file),
        )
        .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// When it ends instead, or takes too long; with what it printed.
    pub fn until_ready(&mut self) -> Result<()> {
        let ready = self.directory.path().join("ready.json");
        let deadline = Instant::now() + PATIENCE;
        // The file appears by a rename, whole; nothing but looking tells when.
        let text = loop {
            if let Ok(text) = fs::read_to_string(&ready) {
                break text;
            }
            let child = self.child.as_mut().context("the server does not run")?;
            if let Some(status) = child.child().try_wait()? {
                bail!("the server ended with {status}: {}", self.log());
            }
            if Instant::now() > deadline {
                bail!("the server is not ready after {PATIENCE:?}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let addresses: Value = serde_json::from_str(&text).context("ready file")?;
        let first = |what: &str| -> Result<String> {
            addresses[what][0]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("no {what} address in {text}"))
        };
        self.client = first("client")?;
        self.peer = first("peer")?;
        Ok(())
    }

    /// The address for clients, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.client
    }

    /// The address for other members, `host:port`.
    #[must_use]
    pub fn peer_address(&self) -> &str {
        &self.peer
    }

    /// The address for clients as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.client)
    }

    /// Where it keeps its data.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Ends it with SIGTERM and waits.
    ///
    /// # Errors
    /// When it does not end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("the server does not run")?;
        child.signal(Signal::TERM)?;
        Ok(child.wait(PATIENCE)?)
    }

    /// Sends it a signal, for instance STOP and CONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("the server does not run")?;
        Ok(child.signal(signal)?)
    }

    /// What the process has used so far.
    ///
    /// # Errors
    /// When it does not run.
    pub fn usage(&self) -> Result<Usage> {
        let child = self.child.as_ref().context("the server does not run")?;
        Ok(Usage::of(child.id())?)
    }

    /// What it has logged so far, the last 8 KiB.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = fs::File::open(self.log_path()) {
            // A log that is not text is shown as empty.
            drop(file.read_to_string(&mut text));
        }
        let from = text.len().saturating_sub(8 * 1024);
        let from = (from..text.len())
            .find(|index| text.is_char_boundary(*index))
            .unwrap_or(text.len());
        text.split_off(from)
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }
}

/// The `quorate` binary: `QUORATE_BINARY`, or the one built beside the running test.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("QUORATE_BINARY") {
        return Ok(path.into());
    }
    let mut directory = std::env::current_exe()?;
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let path = directory.join("quorate");
    if !path.is_file() {
        bail!(
            "{} does not exist: run `cargo build -p quorate-server` first",
            path.display()
        );
    }
    Ok(path)
}
