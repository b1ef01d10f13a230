//! A fresh etcd process, on free ports and a directory of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use quorate_tests::process::OwnedChild;
use tempfile::TempDir;
use tonic::transport::Channel;

/// A running etcd; killed and removed when dropped.
pub(crate) struct Etcd {
    _child: OwnedChild,
    _directory: TempDir,
}

impl Etcd {
    /// Starts it and waits until it answers.
    pub(crate) async fn start(binary: &Path) -> Result<(Self, Channel)> {
        let directory = tempfile::Builder::new().prefix("quorate-etcd-").tempdir()?;
        let client = format!("http://127.0.0.1:{}", free_port()?);
        let peer = format!("http://127.0.0.1:{}", free_port()?);
        let mut child = OwnedChild::spawn(
            Command::new(binary)
                .arg("--data-dir")
                .arg(directory.path().join("data"))
                .args(["--name", "one", "--log-level", "error", "--unsafe-no-fsync"])
                .args(["--listen-client-urls", &client])
                .args(["--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer])
                .args(["--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &format!("one={peer}")])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )
        .with_context(|| format!("cannot start {}", binary.display()))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let endpoint = Channel::from_shared(client.clone())?;
        let channel = loop {
            if let Ok(channel) = endpoint.connect().await {
                break channel;
            }
            if let Some(status) = child.child().try_wait()? {
                bail!("etcd ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("etcd does not answer on {client}");
            }
            // It opens its port once it serves; nothing but trying tells when.
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let etcd = Self {
            _child: child,
            _directory: directory,
        };
        Ok((etcd, channel))
    }
}

/// etcd cannot be asked to choose its ports, so one is chosen for it: free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
