//! Unmodified etcd clients against a real server: see `tests/`.

use anyhow::Result;
use quorate_tests::server::Server;

/// What the foreign clients talk to.
#[derive(Debug)]
pub struct Target {
    endpoint: String,
    /// Held so that it lives as long as the test; `None` for a server somebody else started.
    _server: Option<Server>,
}

impl Target {
    /// A server of our own, or the one that `QUORATE_FOREIGN_ENDPOINT` names: with a real etcd
    /// there, the same tests show that they ask for nothing but etcd's behaviour.
    ///
    /// # Errors
    /// When the server does not start.
    pub fn start() -> Result<Self> {
        if let Ok(endpoint) = std::env::var("QUORATE_FOREIGN_ENDPOINT") {
            return Ok(Self {
                endpoint,
                _server: None,
            });
        }
        let server = Server::start()?;
        Ok(Self {
            endpoint: server.address().to_owned(),
            _server: Some(server),
        })
    }

    /// `host:port`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A name that no other test and no earlier run has used.
    #[must_use]
    pub fn unique(&self, name: &str) -> String {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        format!("{name}-{}-{}", std::process::id(), now.as_nanos())
    }
}
