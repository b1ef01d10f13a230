//! Making plain JavaScript objects of what the core gives. Their TypeScript types come from here.

use std::collections::BTreeMap;
use std::time::Duration;

use napi::bindgen_prelude::{BigInt, BufferSlice, Either4};
use napi::{Env, sys};
use napi_derive::napi;
use quorate::lease::LeaseInfo as Remaining;
use quorate::watch::{EventKind, WatchBatch as Batch};
use quorate::{ServiceEvent as Event, election, kv};

use crate::delivery::{IntoJs, give};
use crate::errors::{Result, of_node};

/// A count or a revision, exact up to 2^53.
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn buffer<'env>(env: &'env Env, bytes: &[u8]) -> Result<BufferSlice<'env>> {
    BufferSlice::copy_from(env, bytes).map_err(of_node)
}

/// One address that serves a service.
#[napi(object, object_from_js = false)]
pub struct Instance {
    /// Unique within its service.
    pub id: String,
    /// `host:port`
    pub address: String,
    /// Relative share of the calls, 0 to 65535.
    pub weight: u32,
    /// Where it runs.
    pub zone: String,
    /// The program's version.
    pub version: String,
    /// Labels.
    pub metadata: BTreeMap<String, String>,
    /// Whether it wants calls.
    #[napi(ts_type = "InstanceStatus")]
    pub status: &'static str,
    /// Milliseconds it stays without a sign of life.
    pub ttl_ms: f64,
    /// Grows with every change of the record; set by the server.
    pub revision: f64,
}

impl From<&quorate::Instance> for Instance {
    fn from(instance: &quorate::Instance) -> Self {
        Self {
            id: instance.id.clone(),
            address: instance.address.clone(),
            weight: u32::from(instance.weight),
            zone: instance.zone.clone(),
            version: instance.version.clone(),
            metadata: instance.metadata.clone(),
            status: instance.status.name(),
            ttl_ms: milliseconds(instance.ttl.as_duration()),
            revision: number(instance.revision),
        }
    }
}

fn instances<'a>(
    some: impl IntoIterator<Item = &'a std::sync::Arc<quorate::Instance>>,
) -> Vec<Instance> {
    some.into_iter().map(|one| Instance::from(&**one)).collect()
}

/// How much to trust a view.
#[napi(object, object_from_js = false)]
pub struct Freshness {
    /// `live`: as the server has it. `stale`: no server answers. `snapshot`: from disk. `static`:
    /// from the program's own configuration.
    #[napi(ts_type = "CacheState")]
    pub state: &'static str,
    /// The epoch in which the revision counts; 0 if no server vouches for this content.
    pub epoch: f64,
    /// The service's revision.
    pub revision: f64,
    /// Milliseconds since a server last confirmed it.
    pub age_ms: f64,
    /// False while the server has started too recently to know everybody.
    pub complete: bool,
}

impl From<quorate::Freshness> for Freshness {
    fn from(freshness: quorate::Freshness) -> Self {
        Self {
            state: freshness.state.name(),
            epoch: number(freshness.epoch),
            revision: number(freshness.revision),
            age_ms: milliseconds(freshness.age),
            complete: freshness.complete,
        }
    }
}

/// The instances of a service, as this client knows them.
#[napi(object, object_from_js = false)]
pub struct ServiceView {
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub service: String,
    /// All of them, by id, also those that are not up.
    pub instances: Vec<Instance>,
    /// How much to trust it.
    pub freshness: Freshness,
}

impl From<&quorate::ServiceView> for ServiceView {
    fn from(view: &quorate::ServiceView) -> Self {
        Self {
            namespace: view.service.namespace().to_owned(),
            service: view.service.name().to_owned(),
            instances: instances(view.instances.iter()),
            freshness: view.freshness.into(),
        }
    }
}

impl IntoJs for quorate::ServiceView {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        give(env, ServiceView::from(&self))
    }
}

/// An instance that went.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct Removed {
    /// As it was last seen.
    pub instance: Instance,
    /// Why it went; `null` if no server said.
    #[napi(ts_type = "RemovalReason")]
    pub reason: Option<&'static str>,
}

/// A change of a service. `snapshot` comes first and `resync` after a gap: there `added` holds
/// everything. `state` tells that only the freshness changed.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct ServiceEvent {
    /// What happened.
    #[napi(ts_type = "'snapshot' | 'changed' | 'resync' | 'state'")]
    pub kind: &'static str,
    /// The view after it.
    pub view: ServiceView,
    /// New instances.
    pub added: Vec<Instance>,
    /// Changed instances, as they are now.
    pub updated: Vec<Instance>,
    /// Instances that went.
    pub removed: Vec<Removed>,
}

impl IntoJs for (Event, quorate::ServiceView) {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let (event, view) = self;
        let all = || instances(view.instances.iter());
        let (kind, added, updated, removed) = match &event {
            Event::Changed {
                added,
                updated,
                removed,
                ..
            } => {
                let removed = removed.iter().map(|removed| Removed {
                    instance: Instance::from(&*removed.instance),
                    reason: removed.reason.map(|reason| reason.name()),
                });
                let removed = removed.collect();
                ("changed", instances(added), instances(updated), removed)
            }
            Event::Resync { .. } => ("resync", all(), Vec::new(), Vec::new()),
            Event::State { .. } => ("state", Vec::new(), Vec::new(), Vec::new()),
            _ => ("snapshot", all(), Vec::new(), Vec::new()),
        };
        let view = ServiceView::from(&view);
        give(
            env,
            ServiceEvent {
                kind,
                view,
                added,
                updated,
                removed,
            },
        )
    }
}

/// A service, as a list of services shows it.
#[napi(object, object_from_js = false)]
pub struct ServiceSummary {
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub service: String,
    /// Its instances.
    pub instances: u32,
    /// Of these, those that are up.
    pub up: u32,
    /// How many clients follow it.
    pub subscribers: u32,
}

impl IntoJs for Vec<quorate::ServiceSummary> {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let all = self.into_iter().map(|summary| ServiceSummary {
            namespace: summary.service.namespace().to_owned(),
            service: summary.service.name().to_owned(),
            instances: summary.instances,
            up: summary.up,
            subscribers: summary.subscribers,
        });
        give(env, all.collect::<Vec<_>>())
    }
}

/// One version of one key.
#[napi(object, object_from_js = false)]
pub struct KeyValue<'env> {
    /// The key.
    pub key: BufferSlice<'env>,
    /// The value.
    pub value: BufferSlice<'env>,
    /// The revision at which it was created.
    pub create_revision: i64,
    /// The revision of its last change.
    pub mod_revision: i64,
    /// How many changes since the creation.
    pub version: i64,
    /// The lease it goes with; `0n`: none.
    pub lease: BigInt,
}

fn key_value<'env>(env: &'env Env, kv: &kv::KeyValue) -> Result<KeyValue<'env>> {
    Ok(KeyValue {
        key: buffer(env, &kv.key)?,
        value: buffer(env, &kv.value)?,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: BigInt::from(kv.lease),
    })
}

fn optional<'env>(env: &'env Env, kv: Option<&kv::KeyValue>) -> Result<Option<KeyValue<'env>>> {
    kv.map(|kv| key_value(env, kv)).transpose()
}

impl IntoJs for Option<kv::KeyValue> {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        give(env, optional(env, self.as_ref())?)
    }
}

/// What a write did.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct PutResult<'env> {
    /// The store's revision right after it.
    pub revision: i64,
    /// The value before, if it was asked for and there was one.
    pub previous: Option<KeyValue<'env>>,
}

fn put_result<'env>(env: &'env Env, result: &kv::PutResult) -> Result<PutResult<'env>> {
    Ok(PutResult {
        revision: result.revision,
        previous: optional(env, result.previous.as_ref())?,
    })
}

impl IntoJs for kv::PutResult {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        give(env, put_result(env, &self)?)
    }
}

/// The records read.
#[napi(object, object_from_js = false)]
pub struct RangeResult<'env> {
    /// The records, in the order asked for.
    pub kvs: Vec<KeyValue<'env>>,
    /// How many there are in the range, whatever the limit.
    pub count: f64,
    /// Whether the limit left some out.
    pub more: bool,
    /// The store's revision at the read.
    pub revision: i64,
}

fn range_result<'env>(env: &'env Env, result: &kv::RangeResult) -> Result<RangeResult<'env>> {
    let kvs = result.kvs.iter().map(|kv| key_value(env, kv));
    Ok(RangeResult {
        kvs: kvs.collect::<Result<_>>()?,
        count: number(result.count),
        more: result.more,
        revision: result.revision,
    })
}

impl IntoJs for kv::RangeResult {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        give(env, range_result(env, &self)?)
    }
}

/// How many keys a deletion removed.
pub(crate) struct Deleted(pub(crate) u64);

impl IntoJs for Deleted {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        give(env, number(self.0))
    }
}

type OpResult<'env> = Either4<PutResult<'env>, RangeResult<'env>, f64, TxnResult<'env>>;

/// What a transaction did.
#[napi(object, object_from_js = false)]
pub struct TxnResult<'env> {
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// The store's revision right after it.
    pub revision: i64,
    /// One for each operation done; of a deletion the number of keys that are gone.
    #[napi(ts_type = "Array<PutResult | RangeResult | number | TxnResult>")]
    pub results: Vec<OpResult<'env>>,
}

fn txn_result<'env>(env: &'env Env, result: &kv::TxnResult) -> Result<TxnResult<'env>> {
    let results = result.responses.iter().filter_map(|response| {
        Some(match response {
            kv::OpResult::Put(put) => put_result(env, put).map(Either4::A),
            kv::OpResult::Range(range) => range_result(env, range).map(Either4::B),
            kv::OpResult::Deleted(count) => Ok(Either4::C(number(*count))),
            kv::OpResult::Txn(txn) => txn_result(env, txn).map(Either4::D),
            // Of an operation this binding has no name for, so nobody asked for it.
            _ => return None,
        })
    });
    Ok(TxnResult {
        succeeded: result.succeeded,
        revision: result.revision,
        results: results.collect::<Result<_>>()?,
    })
}

impl IntoJs for kv::TxnResult {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        give(env, txn_result(env, &self)?)
    }
}

/// A change of one key.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct KeyEvent<'env> {
    /// What happened.
    #[napi(ts_type = "'put' | 'delete'")]
    pub kind: &'static str,
    /// After a delete: only key and modRevision.
    pub kv: KeyValue<'env>,
    /// The value before, if it was asked for and there was one.
    pub previous: Option<KeyValue<'env>>,
}

/// All changes of one or more revisions.
#[napi(object, object_from_js = false)]
pub struct WatchBatch<'env> {
    /// The newest revision in it.
    pub revision: i64,
    /// The changes, in order.
    pub events: Vec<KeyEvent<'env>>,
}

impl IntoJs for Batch {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let events = self.events.iter().map(|event| {
            Ok(KeyEvent {
                kind: match event.kind {
                    EventKind::Put => "put",
                    EventKind::Delete => "delete",
                },
                kv: key_value(env, &event.kv)?,
                previous: optional(env, event.previous.as_ref())?,
            })
        });
        let batch = WatchBatch {
            revision: self.revision,
            events: events.collect::<Result<_>>()?,
        };
        give(env, batch)
    }
}

/// Who leads an election.
#[napi(object, object_from_js = false)]
pub struct Leader<'env> {
    /// What the leader says of itself.
    pub value: BufferSlice<'env>,
    /// The key that stands for the leader.
    pub key: BufferSlice<'env>,
    /// The fencing token.
    pub token: i64,
}

impl IntoJs for election::Leader {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let leader = Leader {
            value: buffer(env, &self.value)?,
            key: buffer(env, &self.key)?,
            token: self.token,
        };
        give(env, leader)
    }
}

impl IntoJs for Option<election::Leader> {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        match self {
            Some(leader) => leader.into_js(env),
            None => give(env, napi::bindgen_prelude::Null),
        }
    }
}

/// What is left of a lease, and the keys on it.
#[napi(object, object_from_js = false)]
pub struct LeaseInfo<'env> {
    /// Its id.
    pub id: BigInt,
    /// Milliseconds it was granted.
    pub granted_ms: f64,
    /// Milliseconds that are left, in whole seconds.
    pub remaining_ms: f64,
    /// The keys that go with it.
    pub keys: Vec<BufferSlice<'env>>,
}

impl IntoJs for Option<Remaining> {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let Some(info) = self else {
            return give(env, napi::bindgen_prelude::Null);
        };
        let keys = info.keys.iter().map(|key| buffer(env, key));
        let info = LeaseInfo {
            id: BigInt::from(info.id),
            granted_ms: milliseconds(info.granted),
            remaining_ms: milliseconds(info.remaining),
            keys: keys.collect::<Result<_>>()?,
        };
        give(env, info)
    }
}

/// A server, as it sees itself.
#[napi(object, object_from_js = false)]
pub struct ServerInfo {
    /// The program's version.
    pub version: String,
    /// Its id in the cluster.
    pub member_id: BigInt,
    /// The cluster's id.
    pub cluster_id: BigInt,
    /// The leader it knows; `0n`: none.
    pub leader: BigInt,
    /// The consensus term.
    pub term: f64,
    /// The store's revision.
    pub revision: i64,
    /// Bytes.
    pub db_size: f64,
    /// What is wrong, in its own words.
    pub errors: Vec<String>,
}

/// What a server answered, or why it did not.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct ServerStatus {
    /// The address, as the client was given it.
    pub address: String,
    /// What it answered; `null` if it could not be asked.
    pub info: Option<ServerInfo>,
    /// Why it could not be asked; `null` if it could.
    pub error: Option<String>,
}

impl IntoJs for Vec<quorate::ServerStatus> {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let all = self.into_iter().map(|status| {
            let (info, error) = match status.result {
                Ok(info) => (Some(info), None),
                Err(error) => (None, Some(error.to_string())),
            };
            ServerStatus {
                address: status.address,
                info: info.map(|info| ServerInfo {
                    version: info.version,
                    member_id: BigInt::from(info.member_id),
                    cluster_id: BigInt::from(info.cluster_id),
                    leader: BigInt::from(info.leader),
                    term: number(info.term),
                    revision: info.revision,
                    db_size: number(info.db_size),
                    errors: info.errors,
                }),
                error,
            }
        });
        give(env, all.collect::<Vec<_>>())
    }
}
