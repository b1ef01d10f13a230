//! The options of a client.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use quorate::{Algorithm, Builder, Client, Error, Instance, InstanceStatus};
use quorate_types::Ttl;

use crate::arguments::{
    self, Options, array, choice, initialise, labels, milliseconds, optional_text, quorate_label_t,
    text, texts,
};
use crate::error::plain;

/// How instances are drawn. All give each instance its weight's share.
#[repr(i32)]
pub enum quorate_algorithm_t {
    /// The better of two weighted draws, by latency and calls under way.
    QUORATE_P2C = 0,
    /// One weighted draw.
    QUORATE_WEIGHTED_RANDOM = 1,
    /// Evenly spaced, no chance involved.
    QUORATE_WEIGHTED_ROUND_ROBIN = 2,
    /// The same sticky key gives the same instance, on every client.
    QUORATE_MAGLEV = 3,
}

/// Whether an instance wants calls. Only those that are up receive new ones.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum quorate_status_t {
    /// Ready.
    QUORATE_STATUS_UP = 1,
    /// Registered, not ready yet.
    QUORATE_STATUS_STARTING = 2,
    /// Finishing what it has.
    QUORATE_STATUS_DRAINING = 3,
    /// Reports itself unhealthy.
    QUORATE_STATUS_DOWN = 4,
}

impl From<InstanceStatus> for quorate_status_t {
    fn from(status: InstanceStatus) -> Self {
        match status {
            InstanceStatus::Up => Self::QUORATE_STATUS_UP,
            InstanceStatus::Starting => Self::QUORATE_STATUS_STARTING,
            InstanceStatus::Draining => Self::QUORATE_STATUS_DRAINING,
            InstanceStatus::Down => Self::QUORATE_STATUS_DOWN,
        }
    }
}

/// The status of a number.
pub(crate) fn status(number: i32) -> Result<InstanceStatus, Error> {
    let all = [
        InstanceStatus::Up,
        InstanceStatus::Starting,
        InstanceStatus::Draining,
        InstanceStatus::Down,
    ];
    let all = all.map(|status| (quorate_status_t::from(status) as i32, status));
    choice(number, "status", &all)
}

/// What an instance is, apart from its service and address. Initialise it with
/// quorate_instance_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_instance_options_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// Unique in the service; NULL, the default, is the address.
    pub id: *const c_char,
    /// Where it runs; NULL is nowhere in particular.
    pub zone: *const c_char,
    /// The program's version; NULL is none.
    pub version: *const c_char,
    /// Labels, so many.
    pub metadata: *const quorate_label_t,
    /// How many labels there are.
    pub metadata_count: usize,
    /// How long it stays when this program vanishes: 1 s to 1 h. Default: 10 s.
    pub ttl_ms: i64,
    /// The share of calls relative to others, 0 to 65535; 0 receives none. Default: 100.
    pub weight: i32,
    /// A quorate_status_t. Default: up.
    pub status: i32,
}

// SAFETY: pointers and numbers, any bytes are a value; it starts with its size.
unsafe impl Options for quorate_instance_options_t {
    const NAME: &'static str = "quorate_instance_options_t";

    fn defaults() -> Self {
        let instance = Instance::new("");
        Self {
            struct_size: size_of::<Self>(),
            id: ptr::null(),
            zone: ptr::null(),
            version: ptr::null(),
            metadata: ptr::null(),
            metadata_count: 0,
            ttl_ms: i64::from(instance.ttl.as_millis()),
            weight: i32::from(instance.weight),
            status: quorate_status_t::from(instance.status) as i32,
        }
    }
}

/// Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_instance_options_init(
    options: *mut quorate_instance_options_t,
    struct_size: usize,
) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { initialise(options, struct_size) });
}

/// An instance that is known beforehand.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_static_instance_t {
    /// The service's name.
    pub service: *const c_char,
    /// `host:port`.
    pub address: *const c_char,
    /// The rest; NULL is all defaults.
    pub options: *const quorate_instance_options_t,
}

/// One setting of the balancer: breakers, slow start, ejection, retry budget.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_setting_t {
    /// Its name, such as `panic_threshold`; a wrong one is answered with a list of all.
    pub name: *const c_char,
    /// Its value; times are in milliseconds, switches 0 or 1.
    pub value: f64,
}

/// The options of a client. Initialise them with quorate_client_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_client_options_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// The servers, as `host:port` or `http://host:port`, all of one cluster, in any order.
    pub endpoints: *const *const c_char,
    /// How many servers there are. Without any: 127.0.0.1:2379.
    pub endpoint_count: usize,
    /// The namespace of services. NULL, the default, is `default`.
    pub default_namespace: *const c_char,
    /// A directory in which discovered services survive a restart of this program. NULL, the
    /// default: they are kept in memory only.
    pub cache_dir: *const c_char,
    /// What this program calls itself, for people who read the servers' logs. NULL is a default.
    pub client_name: *const c_char,
    /// How long a call to the servers may take, failover included. Default: 5000; at most an hour.
    pub request_timeout_ms: i64,
    /// How long one attempt to connect may take. Default: 2000; at most an hour.
    pub connect_timeout_ms: i64,
    /// What a service falls back on while neither a server nor the cache knows it.
    pub static_instances: *const quorate_static_instance_t,
    /// How many of these there are.
    pub static_instance_count: usize,
    /// Settings of the balancer; those that are not named have their defaults.
    pub balancer: *const quorate_setting_t,
    /// How many settings there are.
    pub balancer_count: usize,
    /// A quorate_algorithm_t. Default: QUORATE_P2C.
    pub algorithm: i32,
}

// SAFETY: pointers and numbers, any bytes are a value; it starts with its size.
unsafe impl Options for quorate_client_options_t {
    const NAME: &'static str = "quorate_client_options_t";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            endpoints: ptr::null(),
            endpoint_count: 0,
            default_namespace: ptr::null(),
            cache_dir: ptr::null(),
            client_name: ptr::null(),
            request_timeout_ms: Builder::REQUEST_TIMEOUT.as_millis() as i64,
            connect_timeout_ms: Builder::CONNECT_TIMEOUT.as_millis() as i64,
            static_instances: ptr::null(),
            static_instance_count: 0,
            balancer: ptr::null(),
            balancer_count: 0,
            algorithm: quorate_algorithm_t::QUORATE_P2C as i32,
        }
    }
}

/// Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_client_options_init(
    options: *mut quorate_client_options_t,
    struct_size: usize,
) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { initialise(options, struct_size) });
}

/// The builder of a client with these options.
///
/// # Safety
/// `options` as [`arguments::options`] wants it, with arrays and texts that can be read.
pub(crate) unsafe fn builder(options: *const quorate_client_options_t) -> Result<Builder, Error> {
    // SAFETY: as the caller promises, here and below.
    unsafe {
        let options = arguments::options(options)?;
        let mut builder = Client::builder()
            .endpoints(texts(
                options.endpoints,
                options.endpoint_count,
                "endpoints",
            )?)
            .request_timeout(milliseconds(
                options.request_timeout_ms,
                "request_timeout_ms",
            )?)
            .connect_timeout(milliseconds(
                options.connect_timeout_ms,
                "connect_timeout_ms",
            )?)
            .algorithm(algorithm(options.algorithm)?);
        if let Some(namespace) = optional_text(options.default_namespace, "default_namespace")? {
            builder = builder.namespace(namespace);
        }
        if !options.cache_dir.is_null() {
            // A path is any bytes.
            let directory = CStr::from_ptr(options.cache_dir).to_bytes();
            builder = builder.cache_dir(OsStr::from_bytes(directory));
        }
        if let Some(name) = optional_text(options.client_name, "client_name")? {
            builder = builder.client_name(name);
        }
        for setting in array(options.balancer, options.balancer_count, "settings")? {
            let name = text(setting.name, "name of a balancer setting")?;
            builder = builder.balancer_setting(name, setting.value);
        }
        let instances = array(
            options.static_instances,
            options.static_instance_count,
            "static_instances",
        )?;
        let mut by_service = BTreeMap::<&str, Vec<Instance>>::new();
        for one in instances {
            let service = text(one.service, "service of a static instance")?;
            by_service.entry(service).or_default().push(instance(one)?);
        }
        for (service, instances) in by_service {
            builder = builder.static_instances(service, instances);
        }
        Ok(builder)
    }
}

fn algorithm(number: i32) -> Result<Algorithm, Error> {
    use quorate_algorithm_t as Number;
    let all = [
        (Number::QUORATE_P2C as i32, Algorithm::P2c),
        (
            Number::QUORATE_WEIGHTED_RANDOM as i32,
            Algorithm::WeightedRandom,
        ),
        (
            Number::QUORATE_WEIGHTED_ROUND_ROBIN as i32,
            Algorithm::WeightedRoundRobin,
        ),
        (Number::QUORATE_MAGLEV as i32, Algorithm::Maglev),
    ];
    choice(number, "algorithm", &all)
}

unsafe fn instance(given: &quorate_static_instance_t) -> Result<Instance, Error> {
    // SAFETY: as the caller of `builder` promises.
    unsafe {
        let options = arguments::options(given.options)?;
        let mut instance = Instance::new(text(given.address, "address of a static instance")?);
        if let Some(id) = optional_text(options.id, "id")? {
            instance.id = id.to_owned();
        }
        instance.zone = optional_text(options.zone, "zone")?
            .unwrap_or_default()
            .to_owned();
        instance.version = optional_text(options.version, "version")?
            .unwrap_or_default()
            .to_owned();
        instance.metadata = labels(options.metadata, options.metadata_count)?;
        instance.weight = arguments::weight(options.weight)?;
        instance.status = status(options.status)?;
        let ttl = milliseconds(options.ttl_ms, "ttl_ms")?.as_millis();
        instance.ttl = Ttl::from_millis(u32::try_from(ttl).unwrap_or(u32::MAX).max(1))?;
        Ok(instance)
    }
}
