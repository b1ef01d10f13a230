//! The client, each operation once: what waits is an [`Operation`], what goes on is a [`Stream`].
//! The sync and the asyncio classes of the Python package call it; defaults are theirs.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::PathBuf;

use futures::StreamExt;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use quorate::kv::RangeOptions;
use quorate::watch::WatchOptions;
use quorate::{Client, Error, Instance};
use quorate_bridge::Inherited;
use quorate_types::Ttl;

use crate::arguments::{self, Bytes, Hash, LeaseId, duration, invalid};
use crate::errors::raise;
use crate::locks::{Guard, Leadership, Lease};
use crate::operation::Operation;
use crate::pick::{Pick, Service};
use crate::registration::Registration;
use crate::stream::Stream;
use crate::txn::{self, Compare, Op};
use crate::{runtime, values};

/// A client.
#[pyclass(frozen, weakref, module = "quorate._quorate")]
pub(crate) struct Core {
    client: Inherited<Client>,
}

impl Core {
    pub(crate) fn client(&self) -> PyResult<&Client> {
        self.client.get().map_err(|error| raise(&error))
    }

    /// An operation on the client.
    fn run<T, F, C>(&self, call: impl FnOnce(Client) -> F, convert: C) -> PyResult<Operation>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        Ok(Operation::new(call(self.client()?.clone()), convert))
    }
}

/// The Python object of a handle.
fn object<T: pyo3::PyClass + Into<pyo3::PyClassInitializer<T>>>(
    py: Python<'_>,
    handle: T,
) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, handle)?.into_any())
}

#[pymethods]
impl Core {
    #[new]
    fn new(
        endpoints: Vec<String>,
        namespace: String,
        cache_dir: Option<PathBuf>,
        request_timeout: f64,
        connect_timeout: f64,
        algorithm: &str,
        balancer: HashMap<String, f64>,
        client_name: Option<String>,
        static_instances: HashMap<String, Vec<StaticInstance>>,
    ) -> PyResult<Self> {
        let mut builder = Client::builder()
            .endpoints(endpoints)
            .namespace(namespace)
            .request_timeout(duration(request_timeout)?)
            .connect_timeout(duration(connect_timeout)?)
            .algorithm(arguments::algorithm(algorithm)?);
        if let Some(directory) = cache_dir {
            builder = builder.cache_dir(directory);
        }
        if let Some(name) = client_name {
            builder = builder.client_name(name);
        }
        for (name, number) in balancer {
            builder = builder.balancer_setting(name, number);
        }
        for (service, instances) in static_instances {
            let instances = instances.into_iter().map(|instance| instance.0).collect();
            builder = builder.static_instances(service, instances);
        }
        let runtime = runtime::handle()?;
        let _inside = runtime.enter();
        let client = builder.build().map_err(|error| raise(&error))?;
        runtime::accompany(&client);
        Ok(Self {
            client: Inherited::new(client),
        })
    }

    /// Whether this process is a child of the one that made it.
    fn is_forked(&self) -> bool {
        self.client.is_forked()
    }

    fn connected(&self) -> PyResult<Operation> {
        let client = self.client()?.clone();
        Ok(Operation::unit(async move { client.connected().await }))
    }

    fn close(&self) -> PyResult<Operation> {
        let client = self.client()?.clone();
        Ok(Operation::unit(async move {
            client.close().await;
            Ok(())
        }))
    }

    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        values::metrics(py, self.client()?.metrics())
    }

    fn server_status(&self) -> PyResult<Operation> {
        self.run(
            |client| async move { Ok(client.server_status().await) },
            values::server_statuses,
        )
    }

    // Discovery

    fn register(
        &self,
        service: String,
        address: String,
        id: Option<String>,
        weight: i64,
        zone: String,
        version: String,
        metadata: BTreeMap<String, String>,
        status: &str,
        ttl: f64,
    ) -> PyResult<Operation> {
        let mut registration = quorate::Registration::new(service, &address)
            .weight(arguments::weight(weight)?)
            .zone(zone)
            .version(version)
            .status(arguments::status(status)?)
            .ttl(duration(ttl)?);
        if let Some(id) = id {
            registration = registration.id(id);
        }
        for (key, value) in metadata {
            registration = registration.metadata(key, value);
        }
        self.run(
            |client| async move { client.register(registration).await },
            |py, registered| object(py, Registration::new(registered, address)),
        )
    }

    fn discover(&self, service: String, timeout: Option<f64>) -> PyResult<Operation> {
        let timeout = timeout.map(duration).transpose()?;
        self.run(
            |client| async move {
                match timeout {
                    Some(timeout) => client.discover_within(&service, timeout).await,
                    None => client.discover(&service).await,
                }
            },
            values::service_view,
        )
    }

    fn watch_service(&self, service: &str) -> PyResult<Stream> {
        let _inside = runtime::handle()?.enter();
        let watch = self
            .client()?
            .watch_service(service)
            .map_err(|error| raise(&error))?;
        let events = watch.with_views().map(Ok);
        Ok(Stream::new(events, values::service_event))
    }

    fn service(&self, service: &str) -> PyResult<Service> {
        let _inside = runtime::handle()?.enter();
        let handle = self.client()?.service(service);
        Ok(Service::new(handle.map_err(|error| raise(&error))?))
    }

    fn pick(
        &self,
        service: &str,
        hash: Option<Hash>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Pick> {
        let client = self.client()?;
        Pick::new(hash, exclude, |options| client.pick(service, options))
    }

    fn may_retry(&self, service: &str) -> PyResult<bool> {
        Ok(self.client()?.may_retry(service))
    }

    fn list_services(&self, namespace: Option<String>) -> PyResult<Operation> {
        self.run(
            |client| async move { client.list_services(namespace.as_deref()).await },
            values::service_summaries,
        )
    }

    // Locks, elections, leases

    fn lock(&self, name: String, ttl: f64, timeout: Option<f64>) -> PyResult<Operation> {
        let mut request = self.client()?.lock(name).ttl(duration(ttl)?);
        if let Some(timeout) = timeout {
            request = request.timeout(duration(timeout)?);
        }
        let acquire = request.acquire();
        Ok(Operation::new(acquire, |py, guard| {
            object(py, Guard::new(guard))
        }))
    }

    fn try_lock(&self, name: String, ttl: f64) -> PyResult<Operation> {
        let acquire = self.client()?.lock(name).ttl(duration(ttl)?).try_acquire();
        Ok(Operation::new(acquire, |py, guard| {
            object(py, Guard::new(guard))
        }))
    }

    fn campaign(
        &self,
        name: String,
        value: Bytes,
        ttl: f64,
        timeout: Option<f64>,
    ) -> PyResult<Operation> {
        let mut election = self.client()?.election(name).ttl(duration(ttl)?);
        if let Some(timeout) = timeout {
            election = election.timeout(duration(timeout)?);
        }
        Ok(Operation::new(
            async move { election.campaign(value.0).await },
            |py, leadership| object(py, Leadership::new(leadership)),
        ))
    }

    fn leader(&self, name: String) -> PyResult<Operation> {
        let election = self.client()?.election(name);
        Ok(Operation::new(
            async move { election.leader().await },
            values::optional_leader,
        ))
    }

    fn observe(&self, name: String) -> PyResult<Stream> {
        let leaders = self.client()?.election(name).observe();
        Ok(Stream::new(leaders, values::leader))
    }

    fn lease(&self, ttl: f64) -> PyResult<Operation> {
        let ttl = duration(ttl)?;
        self.run(
            move |client| async move { client.lease(ttl).await },
            |py, lease| object(py, Lease::new(lease)),
        )
    }

    fn lease_time_to_live(&self, lease: LeaseId) -> PyResult<Operation> {
        self.run(
            move |client| async move { client.lease_time_to_live(lease.0).await },
            values::optional_lease_info,
        )
    }

    // Keys

    fn put(
        &self,
        key: Bytes,
        value: Bytes,
        lease: Option<LeaseId>,
        previous: bool,
    ) -> PyResult<Operation> {
        let options = txn::put_options(lease, previous);
        self.run(
            |client| async move { client.put_with(key.0, value.0, options).await },
            values::put_result,
        )
    }

    fn get(&self, key: Bytes, revision: i64, serializable: bool) -> PyResult<Operation> {
        let mut options = RangeOptions::key(key.0).revision(revision);
        if serializable {
            options = options.serializable();
        }
        self.run(
            |client| async move {
                let found = client.range(options).await?;
                Ok(found.kvs.into_iter().next())
            },
            values::optional_key_value,
        )
    }

    /// What `Op.range` describes.
    fn range(&self, op: Op) -> PyResult<Operation> {
        let options = op.0.into_range();
        let options = options.ok_or_else(|| invalid("expected an operation made by Op.range"))?;
        self.run(
            |client| async move { client.range(options).await },
            values::range_result,
        )
    }

    fn delete(&self, key: Bytes, prefix: bool) -> PyResult<Operation> {
        self.run(
            move |client| async move {
                if prefix {
                    client.delete_prefix(key.0).await
                } else {
                    client.delete(key.0).await
                }
            },
            |py, count| Ok(count.into_pyobject(py)?.into_any().unbind()),
        )
    }

    fn txn(&self, when: Vec<Compare>, then: Vec<Op>, otherwise: Vec<Op>) -> PyResult<Operation> {
        let txn = txn::txn(when, then, otherwise);
        self.run(
            |client| async move { client.txn(txn).await },
            values::txn_result,
        )
    }

    fn compact(&self, revision: i64) -> PyResult<Operation> {
        let client = self.client()?.clone();
        Ok(Operation::unit(
            async move { client.compact(revision).await },
        ))
    }

    fn watch(
        &self,
        key: Bytes,
        prefix: bool,
        start_revision: i64,
        previous: bool,
    ) -> PyResult<Stream> {
        let mut options = WatchOptions::new().start_revision(start_revision);
        if prefix {
            options = options.prefix();
        }
        if previous {
            options = options.previous();
        }
        let batches = self.client()?.watch(key.0, options);
        Ok(Stream::new(batches, values::watch_batch))
    }
}

/// An instance of the configuration: a `quorate.Instance`.
pub(crate) struct StaticInstance(Instance);

impl<'a, 'py> FromPyObject<'a, 'py> for StaticInstance {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let mut instance = Instance::new(object.getattr("address")?.extract::<String>()?);
        instance.id = object.getattr("id")?.extract()?;
        instance.weight = arguments::weight(object.getattr("weight")?.extract()?)?;
        instance.zone = object.getattr("zone")?.extract()?;
        instance.version = object.getattr("version")?.extract()?;
        let metadata = object.getattr("metadata")?;
        instance.metadata = metadata.cast::<PyDict>()?.extract()?;
        instance.status = arguments::status(&object.getattr("status")?.extract::<String>()?)?;
        let ttl = duration(object.getattr("ttl")?.extract()?)?;
        let millis = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX).max(1);
        instance.ttl = Ttl::from_millis(millis).map_err(|error| invalid(error.message()))?;
        instance.revision = object.getattr("revision")?.extract()?;
        Ok(Self(instance))
    }
}
