//! What one scenario is played in: its servers, the networks in front of them, its programs, its
//! variables. Everything ends when it is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::task::block_in_place;

use super::language::Language;
use super::performer::Performer;
use super::scenario::{Control, MAIN, Scenario};
use super::values::Variables;
use crate::proxy::Proxy;
use crate::server::Server;

/// See the module.
#[derive(Debug)]
pub struct World {
    /// Addresses, names, and what was captured.
    pub variables: Variables,
    programs: BTreeMap<String, Performer>,
    proxies: BTreeMap<String, Proxy>,
    servers: BTreeMap<String, Server>,
    /// The server of those that have none of their own.
    shared: Option<Arc<Server>>,
    /// Bound and not listening: nobody answers there.
    _nowhere: TcpSocket,
    /// Caches and logs.
    directory: TempDir,
}

impl World {
    /// Starts everything a scenario needs. `name` is its own in everything shared.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn build(
        scenario: &Scenario,
        name: &str,
        languages: &BTreeMap<String, Language>,
        language: &str,
        shared: &Arc<Server>,
    ) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("quorate-conformance-")
            .tempdir()?;
        let mut variables = Variables::default();
        variables.set("name", name);
        let cache = directory.path().join("cache");
        variables.set("cache", cache.to_string_lossy().into_owned());
        let nowhere = TcpSocket::new_v4()?;
        nowhere.bind(([127, 0, 0, 1], 0).into())?;
        variables.set("nowhere", nowhere.local_addr()?.to_string());

        let mut servers = BTreeMap::new();
        for (name, flags) in &scenario.servers {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let server = block_in_place(|| Server::start_with(&flags))?;
            variables.set(name, server.address());
            servers.insert(name.clone(), server);
        }
        let shared = servers.is_empty().then(|| Arc::clone(shared));
        if let Some(shared) = &shared {
            variables.set("server", shared.address());
        }
        let mut proxies = BTreeMap::new();
        for (name, server) in &scenario.proxies {
            let target = variables.key(&format!("${{{server}}}"))?;
            let proxy = Proxy::to(&target).await?;
            variables.set(name, proxy.address());
            proxies.insert(name.clone(), proxy);
        }
        let mut programs = BTreeMap::new();
        let all = scenario.programs.iter();
        let all = all.map(|(name, language)| (name.as_str(), language.as_deref()));
        for (name, other) in all.chain([(MAIN, None)]) {
            let language = other.unwrap_or(language);
            let language = languages
                .get(language)
                .with_context(|| format!("program {name:?} needs {language}"))?;
            let stderr = directory.path().join(format!("{name}.stderr"));
            let performer = Performer::start(language, &stderr).await?;
            programs.insert(name.to_owned(), performer);
        }
        Ok(Self {
            variables,
            programs,
            proxies,
            servers,
            shared,
            _nowhere: nowhere,
            directory,
        })
    }

    /// A running program.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn program(&mut self, name: &str) -> Result<&mut Performer> {
        let program = self.programs.get_mut(name);
        program.with_context(|| format!("no program {name:?}"))
    }

    /// Does something to a server, a proxy or a program.
    ///
    /// # Errors
    /// When it cannot be done.
    pub async fn control(&mut self, control: Control, name: &str, within: Duration) -> Result<()> {
        match control {
            Control::Cut => self.proxy(name)?.sever(),
            Control::Break => self.proxy(name)?.cut(),
            Control::Heal => self.proxy(name)?.heal(),
            Control::Pause => self.server(name)?.signal(Signal::STOP)?,
            Control::Resume => self.server(name)?.signal(Signal::CONT)?,
            Control::Restart => block_in_place(|| self.server(name)?.restart())?,
            Control::Terminate => {
                let status = block_in_place(|| self.server(name)?.terminate())?;
                if !status.success() {
                    bail!("the server ended with {status}");
                }
            }
            Control::Kill => match self.programs.get_mut(name) {
                Some(program) => program.kill().await?,
                None => block_in_place(|| self.server(name).map(Server::kill))?,
            },
            Control::Exit => {
                let status = self.program(name)?.exit(within).await?;
                if !status.success() {
                    bail!("the program ended with {status}");
                }
            }
        }
        Ok(())
    }

    fn server(&mut self, name: &str) -> Result<&mut Server> {
        let server = self.servers.get_mut(name);
        server.with_context(|| format!("no server {name:?} of its own"))
    }

    fn proxy(&self, name: &str) -> Result<&Proxy> {
        let proxy = self.proxies.get(name);
        proxy.with_context(|| format!("no proxy {name:?}"))
    }

    /// What servers and programs wrote last, for a failure's report.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let mut add = |title: &str, log: &str| {
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(25);
            text.push_str(&format!("-- {title}\n{}\n", lines[from..].join("\n")));
        };
        for (name, program) in &self.programs {
            add(&format!("stderr of program {name}"), &program.stderr());
        }
        for (name, server) in &self.servers {
            add(&format!("log of server {name}"), &server.log());
        }
        if let Some(shared) = &self.shared {
            add("log of the shared server", &shared.log());
        }
        text
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}
