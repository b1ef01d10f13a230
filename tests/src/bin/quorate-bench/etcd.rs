//! An etcd process beside ours, with defaults, on free ports and a directory of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use quorate_tests::process::{OwnedChild, Usage};
use tempfile::TempDir;

/// A running etcd; killed and removed when dropped.
pub(crate) struct Etcd {
    child: OwnedChild,
    url: String,
    _directory: TempDir,
}

impl Etcd {
    /// Starts it and waits until it answers.
    pub(crate) async fn start(binary: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("quorate-bench-etcd-")
            .tempdir()?;
        let client = format!("http://127.0.0.1:{}", free_port()?);
        let peer = format!("http://127.0.0.1:{}", free_port()?);
        let child = OwnedChild::spawn(
            Command::new(binary)
                .arg("--data-dir")
                .arg(directory.path().join("data"))
                .args(["--name", "bench", "--log-level", "error"])
                .args([
                    "--listen-client-urls",
                    &client,
                    "--advertise-client-urls",
                    &client,
                ])
                .args([
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                ])
                .args(["--initial-cluster", &format!("bench={peer}")])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )
        .with_context(|| format!("cannot start {}", binary.display()))?;
        let etcd = Self {
            child,
            url: client,
            _directory: directory,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        let endpoint = tonic::transport::Channel::from_shared(etcd.url.clone())?;
        while endpoint.connect().await.is_err() {
            if Instant::now() > deadline {
                bail!("etcd does not answer on {}", etcd.url);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(etcd)
    }

    /// Its address for clients.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// CPU time it has used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        Ok(Usage::of(self.child.id())?.cpu)
    }
}

/// etcd cannot be asked to choose its ports, so one is chosen for it: free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
