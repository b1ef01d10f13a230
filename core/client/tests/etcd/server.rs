//! A real etcd for the length of a test, if there is one on this machine.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quorate::Client;

/// The path of an etcd binary; `etcdctl` is expected beside it.
const VARIABLE: &str = "QUORATE_ETCD";

pub(crate) struct Etcd {
    binary: PathBuf,
    child: Option<Child>,
    data: tempfile::TempDir,
    client_port: u16,
    peer_port: u16,
}

impl Etcd {
    /// Starts etcd, or says why the test is skipped.
    pub(crate) async fn start() -> Option<Self> {
        let Some(binary) = std::env::var_os(VARIABLE) else {
            eprintln!("skipped: {VARIABLE} does not name an etcd binary");
            return None;
        };
        // Held until both are known, so that they differ.
        let (one, two) = (free_port(), free_port());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let mut etcd = Self {
            binary: binary.into(),
            child: None,
            data: tempfile::tempdir().unwrap(),
            client_port: port(&one),
            peer_port: port(&two),
        };
        drop((one, two));
        etcd.run().await;
        Some(etcd)
    }

    /// Starts the process, again after [`Etcd::kill`], and waits until it answers.
    pub(crate) async fn run(&mut self) {
        let (client, peer) = (self.endpoint_url(), self.peer_url());
        let child = Command::new(&self.binary)
            .args(["--name", "test", "--logger", "zap", "--log-level", "error"])
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
            .args(["--initial-cluster", &format!("test={peer}")])
            .arg("--data-dir")
            .arg(self.data.path())
            .args([
                "--unsafe-no-fsync",
                "--heartbeat-interval",
                "20",
                "--election-timeout",
                "200",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        self.child = Some(child);
        let client = self.client();
        for _ in 0..20 {
            if client.connected().await.is_ok() {
                return;
            }
        }
        panic!("etcd does not answer");
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn pause(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    pub(crate) fn client(&self) -> Client {
        Client::builder()
            .endpoints([self.endpoint()])
            .request_timeout(Duration::from_secs(5))
            .build()
            .unwrap()
    }

    /// A command of etcdctl, ready to be started.
    pub(crate) fn etcdctl(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.binary.with_file_name("etcdctl"));
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoint()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command of etcdctl to its end.
    pub(crate) async fn run_etcdctl(&self, arguments: &[&str]) {
        let output = soon(self.etcdctl(arguments).output()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn endpoint_url(&self) -> String {
        format!("http://{}", self.endpoint())
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Waits for what must come, but not forever.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it must come soon")
}
