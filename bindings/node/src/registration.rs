//! A registration that is kept alive.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures::FutureExt;
use napi::bindgen_prelude::PromiseRaw;
use napi::{Env, sys};
use napi_derive::napi;
use quorate::{Error, ErrorCode, InstanceUpdate, Registered};
use quorate_bridge::Holding;

use crate::arguments::{self, Text};
use crate::client::texts;
use crate::delivery::{Cancel, Deliveries, IntoJs, Pending, give};
use crate::errors::{Result, raise};
use crate::locks::wait_lost;

/// What changes of a registered instance.
#[napi(object, object_to_js = false)]
pub struct InstanceChange {
    /// Whether it wants calls.
    #[napi(ts_type = "InstanceStatus")]
    pub status: Option<String>,
    /// Its share of the calls, 0 to 65535.
    pub weight: Option<f64>,
    /// Replaces all labels.
    #[napi(ts_type = "Record<string, string>")]
    pub metadata: Option<BTreeMap<String, Text>>,
}

/// A registered instance.
#[napi]
pub struct Registration {
    id: String,
    namespace: String,
    service: String,
    address: String,
    holding: Holding<Registered>,
    deliveries: Rc<Deliveries>,
}

/// What was registered, and where it is called.
pub(crate) struct NewRegistration {
    pub(crate) registered: Registered,
    pub(crate) address: String,
}

impl IntoJs for NewRegistration {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let registered = self.registered;
        let evicted = registered.eviction().map(drop);
        let registration = Registration {
            id: registered.id().to_owned(),
            namespace: registered.service().namespace().to_owned(),
            service: registered.service().name().to_owned(),
            address: self.address,
            holding: Holding::new(registered, evicted),
            deliveries: Deliveries::of(env)?,
        };
        give(env, registration)
    }
}

#[napi]
impl Registration {
    /// The instance's id.
    #[napi(getter)]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The service's namespace.
    #[napi(getter)]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The service's name.
    #[napi(getter)]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Where it is called.
    #[napi(getter)]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The record's revision; 0 once it was deregistered.
    #[napi]
    pub fn revision(&self) -> Result<f64> {
        let revision = self.holding.ask(Registered::revision);
        let revision = revision.map_err(|error| raise(&error))?;
        Ok(crate::values::number(revision.unwrap_or(0)))
    }

    /// Why somebody else removed it, if so.
    #[napi(ts_return_type = "RemovalReason | null")]
    pub fn evicted(&self) -> Result<Option<&'static str>> {
        let reason = self.holding.ask(Registered::evicted);
        let reason = reason.map_err(|error| raise(&error))?;
        Ok(reason.flatten().map(|reason| reason.name()))
    }

    /// `true` when it is evicted; `false` when the time is up or it was deregistered.
    #[napi]
    pub fn wait_evicted<'env>(
        &self,
        env: &'env Env,
        timeout_ms: Option<f64>,
        background: bool,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, bool>> {
        wait_lost(
            &self.holding,
            &self.deliveries,
            env,
            timeout_ms,
            background,
            cancel,
        )
    }

    /// Changes what is given.
    #[napi]
    pub fn update<'env>(
        &self,
        env: &'env Env,
        change: InstanceChange,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ()>> {
        let status = change.status.map(|status| status.parse()).transpose();
        let update = InstanceUpdate {
            status: status.map_err(|error| raise(&error))?,
            weight: change.weight.map(arguments::weight).transpose()?,
            metadata: change.metadata.map(texts),
        };
        let id = self.id.clone();
        let updated = self.holding.using(
            |registered| registered.update(update).boxed(),
            move || {
                Error::new(
                    ErrorCode::NotFound,
                    format!("instance \"{id}\" was deregistered before"),
                )
            },
        );
        let updated = updated.map_err(|error| raise(&error))?;
        self.deliveries
            .start(env, Pending::KeepsAlive, cancel, updated)
    }

    /// Removes the instance; does nothing the second time.
    #[napi]
    pub fn deregister<'env>(
        &self,
        env: &'env Env,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ()>> {
        let given_up = self.holding.give_up(Registered::deregister);
        let given_up = given_up.map_err(|error| raise(&error))?;
        self.deliveries
            .start(env, Pending::KeepsAlive, cancel, given_up)
    }
}
