//! The client's options, checked once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use quorate_balance::{Algorithm, BalancerConfig};
use quorate_types::{DEFAULT_NAMESPACE, Error, ErrorCode, Instance, ServiceKey};

use crate::Client;

/// Longest time an option may ask for.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Most server addresses.
const MAX_ENDPOINTS: usize = 64;

/// Collects the options of a [`Client`]; see [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build()"]
pub struct Builder {
    options: Options,
    /// Changes to the balancer by name, checked when the client is made.
    balancer_settings: Vec<(String, f64)>,
}

/// Checked options.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// `host:port` of each server, as given.
    pub(crate) endpoints: Vec<String>,
    /// Where services without a namespace of their own belong.
    pub(crate) namespace: String,
    /// Where discovered services are kept across restarts; `None` keeps them in memory only.
    pub(crate) cache_dir: Option<PathBuf>,
    /// What to answer for a service that neither a server nor the cache knows.
    pub(crate) static_instances: HashMap<String, Vec<Instance>>,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    /// How instances are picked.
    pub(crate) balancer: BalancerConfig,
    /// What this program calls itself: in the servers' logs and in `user-agent`.
    pub(crate) client_name: String,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            options: Options {
                endpoints: Vec::new(),
                namespace: DEFAULT_NAMESPACE.to_owned(),
                cache_dir: None,
                static_instances: HashMap::new(),
                request_timeout: Self::REQUEST_TIMEOUT,
                connect_timeout: Self::CONNECT_TIMEOUT,
                balancer: BalancerConfig::default(),
                client_name: concat!("quorate/", env!("CARGO_PKG_VERSION")).to_owned(),
            },
            balancer_settings: Vec::new(),
        }
    }
}

impl Builder {
    /// How long a call may take unless [`request_timeout`](Self::request_timeout) says otherwise.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long an attempt to connect may take unless [`connect_timeout`](Self::connect_timeout)
    /// says otherwise.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

    /// The servers, as `host:port` or `http://host:port`; all of one cluster, in any order.
    /// Without any: `127.0.0.1:2379`.
    pub fn endpoints<I, S>(mut self, endpoints: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.options.endpoints = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// The namespace of services named without one. Default: `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.options.namespace = namespace.into();
        self
    }

    /// A directory in which discovered services survive a restart of this program.
    /// Default: none, they are kept in memory only.
    pub fn cache_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.options.cache_dir = Some(directory.into());
        self
    }

    /// Instances to fall back on while neither a server nor the cache knows the service.
    pub fn static_instances(
        mut self,
        service: impl Into<String>,
        instances: Vec<Instance>,
    ) -> Self {
        self.options
            .static_instances
            .insert(service.into(), instances);
        self
    }

    /// How long a call may take, failover included. Default: 5 s; at most an hour.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.request_timeout = timeout;
        self
    }

    /// How long one attempt to connect may take. Default: 2 s; at most an hour.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// How instances are drawn. Default: P2C, the better of two by latency and load.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.options.balancer.algorithm = algorithm;
        self
    }

    /// Everything about picking: the algorithm, breakers, slow start, ejection, retry budget. The
    /// seed is replaced, one for each service.
    pub fn balancer(mut self, config: BalancerConfig) -> Self {
        self.options.balancer = config;
        self
    }

    /// One setting of the balancer by its name, on top of [`balancer`](Self::balancer): for
    /// configuration files, and for other languages. [`Setting::ALL`](crate::Setting::ALL) lists
    /// them, each a number; times are in milliseconds, switches are 0 or 1.
    pub fn balancer_setting(mut self, name: impl Into<String>, number: f64) -> Self {
        self.balancer_settings.push((name.into(), number));
        self
    }

    /// What this program calls itself, for people who read the servers' logs.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.options.client_name = name.into();
        self
    }

    /// Makes the client. Does not connect: see [`Client::connected`].
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] naming the option that is wrong;
    /// [`ErrorCode::FailedPrecondition`] outside a tokio runtime.
    pub fn build(mut self) -> Result<Client, Error> {
        if self.options.endpoints.is_empty() {
            self.options.endpoints.push("127.0.0.1:2379".to_owned());
        }
        for (name, number) in self.balancer_settings.drain(..) {
            let set = self.options.balancer.set(&name, number);
            set.map_err(|error| Error::new(ErrorCode::InvalidArgument, error.to_string()))?;
        }
        self.options.check()?;
        Client::start(self.options)
    }
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        if self.endpoints.len() > MAX_ENDPOINTS {
            return invalid(format!(
                "{} server addresses, over {MAX_ENDPOINTS}",
                self.endpoints.len()
            ));
        }
        for (name, timeout) in [
            ("request_timeout", self.request_timeout),
            ("connect_timeout", self.connect_timeout),
        ] {
            if timeout.is_zero() || timeout > MAX_TIMEOUT {
                return invalid(format!("{name} must be over 0 and at most one hour"));
            }
        }
        if self.client_name.is_empty()
            || self.client_name.len() > 128
            || !self.client_name.bytes().all(|b| (0x20..0x7f).contains(&b))
        {
            return invalid("client_name must be 1 to 128 printable ASCII characters".to_owned());
        }
        // The name is only there because a key needs one; the namespace is what is checked.
        ServiceKey::new(&self.namespace, "service")?;
        for (service, instances) in &self.static_instances {
            ServiceKey::new(&self.namespace, service)?;
            for instance in instances {
                instance.validate()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: Builder) -> String {
        let error = builder.build().expect_err("must be refused");
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn wrong_options_are_named() {
        let builder = Client::builder;
        assert!(refused(builder().request_timeout(Duration::ZERO)).contains("request_timeout"));
        assert!(refused(builder().connect_timeout(Duration::MAX)).contains("connect_timeout"));
        assert!(refused(builder().client_name("a\nb")).contains("client_name"));
        assert!(refused(builder().namespace("a b")).contains("namespace"));
        assert!(refused(builder().endpoints(["nowhere"])).contains("nowhere"));
        assert!(refused(builder().endpoints(["https://a:1"])).contains("https"));
        assert!(refused(builder().balancer_setting("panic", 1.0)).contains("panic_threshold"));
        assert!(refused(builder().balancer_setting("outlier_jitter", 7.0)).contains('7'));
        let many = (0..65).map(|n| format!("h{n}:1"));
        assert!(refused(builder().endpoints(many)).contains("65"));
        let bad = Instance::new("no-port");
        assert!(refused(builder().static_instances("web", vec![bad])).contains("no-port"));
    }

    #[test]
    fn outside_a_runtime_is_an_error_not_a_panic() {
        let error = Client::builder().build().expect_err("must be refused");
        assert_eq!(error.code(), ErrorCode::FailedPrecondition);
    }
}
