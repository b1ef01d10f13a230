//! The client, each operation once: what waits is a promise, what goes on is a [`Stream`].

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::rc::Rc;

use futures::StreamExt;
use napi::Env;
use napi::bindgen_prelude::{BigInt, PromiseRaw};
use napi_derive::napi;
use quorate::kv::RangeOptions;
use quorate::watch::WatchOptions;
use quorate::{Client, Error};
use quorate_types::Ttl;

use crate::arguments::{self, Bytes, Hash, Text, lease_id, milliseconds, whole};
use crate::delivery::{Cancel, Deliveries, IntoJs, Pending};
use crate::errors::{Result, invalid, raise};
use crate::locks::{Guard, Leadership, Lease};
use crate::pick::{Picker, Service};
use crate::registration::{NewRegistration, Registration};
use crate::runtime;
use crate::stream::Stream;
use crate::txn::{Put, Range, Transaction};
use crate::values::{
    Deleted, KeyValue, Leader, LeaseInfo, PutResult, RangeResult, ServerStatus, ServiceSummary,
    ServiceView, TxnResult, number,
};

/// What a client is told; what is left out has the core's default.
#[napi(object, object_to_js = false)]
pub struct CoreOptions {
    /// `host:port` of each server of one cluster, in any order.
    pub endpoints: Vec<String>,
    /// That of services.
    pub namespace: Option<String>,
    /// Where discovered services survive a restart of this program.
    pub cache_dir: Option<String>,
    /// Milliseconds a call may take, failover included.
    pub request_timeout_ms: Option<f64>,
    /// Milliseconds one attempt to connect may take.
    pub connect_timeout_ms: Option<f64>,
    /// How instances are picked.
    #[napi(ts_type = "Algorithm")]
    pub algorithm: Option<String>,
    /// Settings of breakers, ejection, slow start and the retry budget, by name.
    pub balancer: Option<HashMap<String, f64>>,
    /// For people who read the servers' logs.
    pub client_name: Option<String>,
    /// What a service falls back on while neither a server nor the cache knows it.
    pub static_instances: Option<HashMap<String, Vec<InstanceDescription>>>,
}

/// An instance, as a program describes it.
#[napi(object, object_to_js = false)]
pub struct InstanceDescription {
    /// `host:port`
    #[napi(ts_type = "string")]
    pub address: Text,
    /// Unique in the service; the address by default.
    #[napi(ts_type = "string")]
    pub id: Option<Text>,
    /// Share of calls relative to others, 0 to 65535; 100 by default.
    pub weight: Option<f64>,
    /// Where it runs.
    #[napi(ts_type = "string")]
    pub zone: Option<Text>,
    /// The program's version.
    #[napi(ts_type = "string")]
    pub version: Option<Text>,
    /// Labels.
    #[napi(ts_type = "Record<string, string>")]
    pub metadata: Option<BTreeMap<String, Text>>,
    /// Whether it wants calls; `up` by default.
    #[napi(ts_type = "InstanceStatus")]
    pub status: Option<String>,
    /// Milliseconds it stays when the program vanishes, 1,000 to 3,600,000; 10,000 by default.
    pub ttl_ms: Option<f64>,
}

impl InstanceDescription {
    fn registration(self, service: String) -> Result<quorate::Registration> {
        let mut registration = quorate::Registration::new(service, self.address.0);
        if let Some(id) = self.id {
            registration = registration.id(id.0);
        }
        if let Some(weight) = self.weight {
            registration = registration.weight(arguments::weight(weight)?);
        }
        if let Some(zone) = self.zone {
            registration = registration.zone(zone.0);
        }
        if let Some(version) = self.version {
            registration = registration.version(version.0);
        }
        for (key, value) in self.metadata.unwrap_or_default() {
            registration = registration.metadata(key, value.0);
        }
        if let Some(status) = self.status {
            registration = registration.status(status.parse().map_err(|error| raise(&error))?);
        }
        if let Some(ttl) = self.ttl_ms {
            registration = registration.ttl(milliseconds(ttl)?);
        }
        Ok(registration)
    }

    fn instance(self) -> Result<quorate::Instance> {
        let mut instance = quorate::Instance::new(self.address.0);
        if let Some(id) = self.id {
            instance.id = id.0;
        }
        if let Some(weight) = self.weight {
            instance.weight = arguments::weight(weight)?;
        }
        instance.zone = self.zone.map(|zone| zone.0).unwrap_or_default();
        instance.version = self.version.map(|version| version.0).unwrap_or_default();
        instance.metadata = texts(self.metadata.unwrap_or_default());
        if let Some(status) = self.status {
            instance.status = status.parse().map_err(|error| raise(&error))?;
        }
        if let Some(ttl) = self.ttl_ms {
            let millis = milliseconds(ttl)?.as_millis();
            let millis = u32::try_from(millis).unwrap_or(u32::MAX).max(1);
            instance.ttl = Ttl::from_millis(millis).map_err(|error| raise(&error))?;
        }
        Ok(instance)
    }
}

/// Labels without their wrapping.
pub(crate) fn texts(labels: BTreeMap<String, Text>) -> BTreeMap<String, String> {
    labels
        .into_iter()
        .map(|(key, value)| (key, value.0))
        .collect()
}

/// A client.
#[napi]
pub struct Core {
    client: Client,
    number: u64,
    picker: Picker,
    deliveries: Rc<Deliveries>,
}

impl Core {
    /// An operation on the client, awaited by somebody.
    fn run<'env, T, V, F>(
        &self,
        env: &'env Env,
        cancel: Option<&Cancel>,
        call: impl FnOnce(Client) -> F,
    ) -> Result<PromiseRaw<'env, V>>
    where
        T: IntoJs,
        F: Future<Output = std::result::Result<T, Error>> + Send + 'static,
    {
        let work = call(self.client.clone());
        self.deliveries
            .start(env, Pending::KeepsAlive, cancel, work)
    }
}

#[napi]
impl Core {
    /// Does not connect yet.
    #[napi(constructor)]
    pub fn new(env: &Env, options: CoreOptions) -> Result<Self> {
        let mut builder = Client::builder().endpoints(options.endpoints);
        if let Some(namespace) = options.namespace {
            builder = builder.namespace(namespace);
        }
        if let Some(directory) = options.cache_dir {
            builder = builder.cache_dir(directory);
        }
        if let Some(timeout) = options.request_timeout_ms {
            builder = builder.request_timeout(milliseconds(timeout)?);
        }
        if let Some(timeout) = options.connect_timeout_ms {
            builder = builder.connect_timeout(milliseconds(timeout)?);
        }
        if let Some(name) = options.algorithm {
            let algorithm = name.parse::<quorate::Algorithm>();
            builder = builder.algorithm(algorithm.map_err(|error| invalid(error.to_string()))?);
        }
        for (name, number) in options.balancer.unwrap_or_default() {
            builder = builder.balancer_setting(name, number);
        }
        if let Some(name) = options.client_name {
            builder = builder.client_name(name);
        }
        for (service, instances) in options.static_instances.unwrap_or_default() {
            let instances = instances.into_iter().map(InstanceDescription::instance);
            builder = builder.static_instances(service, instances.collect::<Result<_>>()?);
        }
        let deliveries = Deliveries::of(env)?;
        let runtime = runtime::handle()?;
        let _inside = runtime.enter();
        let client = builder.build().map_err(|error| raise(&error))?;
        Ok(Self {
            number: runtime::opened(deliveries.environment(), client.clone()),
            client,
            picker: Picker::new(),
            deliveries,
        })
    }

    /// Waits until a server answers.
    #[napi]
    pub fn connected<'env>(
        &self,
        env: &'env Env,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ()>> {
        self.run(
            env,
            cancel,
            |client| async move { client.connected().await },
        )
    }

    /// Ends everything this client does.
    #[napi]
    pub fn close<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, ()>> {
        let number = self.number;
        self.run(env, None, move |client| async move {
            client.close().await;
            runtime::closed(number);
            Ok(())
        })
    }

    /// What this client has counted so far.
    #[napi]
    pub fn metrics(&self) -> HashMap<String, f64> {
        let counts = self.client.metrics().named().into_iter();
        counts
            .map(|(name, count)| (name.to_owned(), number(count)))
            .collect()
    }

    /// Asks every server how it is.
    #[napi]
    pub fn server_status<'env>(
        &self,
        env: &'env Env,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Vec<ServerStatus>>> {
        self.run(env, cancel, |client| async move {
            Ok(client.server_status().await)
        })
    }

    /// Registers an instance.
    #[napi]
    pub fn register<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string")] service: Text,
        instance: InstanceDescription,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Registration>> {
        let address = instance.address.0.clone();
        let registration = instance.registration(service.0)?;
        self.run(env, cancel, |client| async move {
            let registered = client.register(registration).await?;
            Ok(NewRegistration {
                registered,
                address,
            })
        })
    }

    /// The instances of a service.
    #[napi]
    pub fn discover<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string")] service: Text,
        timeout_ms: Option<f64>,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ServiceView>> {
        let timeout = timeout_ms.map(milliseconds).transpose()?;
        self.run(env, cancel, |client| async move {
            match timeout {
                Some(timeout) => client.discover_within(&service.0, timeout).await,
                None => client.discover(&service.0).await,
            }
        })
    }

    /// Follows a service.
    #[napi]
    pub fn watch_service(&self, #[napi(ts_arg_type = "string")] service: Text) -> Result<Stream> {
        let runtime = runtime::handle()?;
        let _inside = runtime.enter();
        let watch = self.client.watch_service(&service.0);
        let events = watch.map_err(|error| raise(&error))?.with_views();
        Ok(Stream::new(&self.deliveries, events.map(Ok)))
    }

    /// A handle for those who pick often from one service.
    #[napi]
    pub fn service(&self, #[napi(ts_arg_type = "string")] service: Text) -> Result<Service> {
        let runtime = runtime::handle()?;
        let _inside = runtime.enter();
        let handle = self.client.service(&service.0);
        let handle = handle.map_err(|error| raise(&error))?;
        Ok(Service::new(handle, self.picker.clone()))
    }

    /// The picks of this client.
    #[napi]
    pub fn picker(&self) -> Picker {
        self.picker.clone()
    }

    /// Chooses an instance for one call, from memory.
    #[napi]
    pub fn pick(
        &self,
        #[napi(ts_arg_type = "string")] service: Text,
        #[napi(ts_arg_type = "string | Uint8Array | bigint | undefined")] hash: Option<Hash>,
        #[napi(ts_arg_type = "string[] | undefined")] exclude: Option<Vec<Text>>,
    ) -> Result<f64> {
        self.picker.pick(hash, exclude, |options| {
            self.client.pick(&service.0, options)
        })
    }

    /// Whether the service can afford one more retry.
    #[napi]
    pub fn may_retry(&self, #[napi(ts_arg_type = "string")] service: Text) -> bool {
        self.client.may_retry(&service.0)
    }

    /// The services of a namespace.
    #[napi]
    pub fn list_services<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string | undefined")] namespace: Option<Text>,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Vec<ServiceSummary>>> {
        self.run(env, cancel, |client| async move {
            let namespace = namespace.as_ref().map(|namespace| namespace.0.as_str());
            client.list_services(namespace).await
        })
    }

    /// Takes a lock, first come, first served.
    #[napi]
    pub fn lock<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string")] name: Text,
        ttl_ms: Option<f64>,
        timeout_ms: Option<f64>,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Guard>> {
        let mut request = self.client.lock(name.0);
        if let Some(ttl) = ttl_ms {
            request = request.ttl(milliseconds(ttl)?);
        }
        if let Some(timeout) = timeout_ms {
            request = request.timeout(milliseconds(timeout)?);
        }
        self.run(env, cancel, |_| request.acquire())
    }

    /// Takes a lock if nobody holds it and nobody waits for it.
    #[napi]
    pub fn try_lock<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string")] name: Text,
        ttl_ms: Option<f64>,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Guard>> {
        let mut request = self.client.lock(name.0);
        if let Some(ttl) = ttl_ms {
            request = request.ttl(milliseconds(ttl)?);
        }
        self.run(env, cancel, |_| request.try_acquire())
    }

    /// Waits to become the leader.
    #[napi]
    pub fn campaign<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string")] name: Text,
        #[napi(ts_arg_type = "string | Uint8Array")] value: Bytes,
        ttl_ms: Option<f64>,
        timeout_ms: Option<f64>,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Leadership>> {
        let mut election = self.client.election(name.0);
        if let Some(ttl) = ttl_ms {
            election = election.ttl(milliseconds(ttl)?);
        }
        if let Some(timeout) = timeout_ms {
            election = election.timeout(milliseconds(timeout)?);
        }
        self.run(
            env,
            cancel,
            |_| async move { election.campaign(value.0).await },
        )
    }

    /// Who leads now.
    #[napi]
    pub fn leader<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string")] name: Text,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Option<Leader<'env>>>> {
        let election = self.client.election(name.0);
        self.run(env, cancel, |_| async move { election.leader().await })
    }

    /// The leader there is, then every new leader and every new value.
    #[napi]
    pub fn observe(&self, #[napi(ts_arg_type = "string")] name: Text) -> Stream {
        Stream::new(&self.deliveries, self.client.election(name.0).observe())
    }

    /// Takes a lease, and renews it.
    #[napi]
    pub fn lease<'env>(
        &self,
        env: &'env Env,
        ttl_ms: f64,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Lease>> {
        let ttl = milliseconds(ttl_ms)?;
        self.run(env, cancel, |client| async move { client.lease(ttl).await })
    }

    /// What is left of a lease.
    #[napi]
    pub fn lease_time_to_live<'env>(
        &self,
        env: &'env Env,
        id: BigInt,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Option<LeaseInfo<'env>>>> {
        let id = lease_id(&id)?;
        self.run(env, cancel, |client| async move {
            client.lease_time_to_live(id).await
        })
    }

    /// Writes a key.
    #[napi]
    pub fn put<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string | Uint8Array")] key: Bytes,
        #[napi(ts_arg_type = "string | Uint8Array")] value: Bytes,
        options: Put,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, PutResult<'env>>> {
        let options = options.options()?;
        self.run(env, cancel, |client| async move {
            client.put_with(key.0, value.0, options).await
        })
    }

    /// Reads a key.
    #[napi]
    pub fn get<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string | Uint8Array")] key: Bytes,
        revision: Option<f64>,
        serializable: Option<bool>,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Option<KeyValue<'env>>>> {
        let mut options = RangeOptions::key(key.0);
        if let Some(revision) = revision {
            options = options.revision(whole("revision", revision)?);
        }
        if serializable == Some(true) {
            options = options.serializable();
        }
        self.run(env, cancel, |client| async move {
            let found = client.range(options).await?;
            Ok(found.kvs.into_iter().next())
        })
    }

    /// Reads a range.
    #[napi]
    pub fn range<'env>(
        &self,
        env: &'env Env,
        range: Range,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, RangeResult<'env>>> {
        let options = range.options()?;
        self.run(
            env,
            cancel,
            |client| async move { client.range(options).await },
        )
    }

    /// Deletes a key, or all that begin with it; gives how many are gone.
    #[napi]
    pub fn delete<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string | Uint8Array")] key: Bytes,
        prefix: bool,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, f64>> {
        self.run(env, cancel, move |client| async move {
            let gone = if prefix {
                client.delete_prefix(key.0).await
            } else {
                client.delete(key.0).await
            };
            gone.map(Deleted)
        })
    }

    /// If all comparisons hold, does `then`, otherwise `otherwise`, as one revision.
    #[napi]
    pub fn txn<'env>(
        &self,
        env: &'env Env,
        txn: Transaction,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, TxnResult<'env>>> {
        let txn = txn.txn()?;
        self.run(env, cancel, |client| async move { client.txn(txn).await })
    }

    /// Forgets all versions older than a revision.
    #[napi]
    pub fn compact<'env>(
        &self,
        env: &'env Env,
        revision: f64,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ()>> {
        let revision = whole("revision", revision)?;
        self.run(env, cancel, move |client| async move {
            client.compact(revision).await
        })
    }

    /// Every change of a key, or of all keys that begin with it.
    #[napi]
    pub fn watch(
        &self,
        #[napi(ts_arg_type = "string | Uint8Array")] key: Bytes,
        prefix: Option<bool>,
        start_revision: Option<f64>,
        previous: Option<bool>,
    ) -> Result<Stream> {
        let mut options = WatchOptions::new();
        if let Some(revision) = start_revision {
            options = options.start_revision(whole("revision", revision)?);
        }
        if prefix == Some(true) {
            options = options.prefix();
        }
        if previous == Some(true) {
            options = options.previous();
        }
        let batches = self.client.watch(key.0, options);
        Ok(Stream::new(&self.deliveries, batches))
    }
}
