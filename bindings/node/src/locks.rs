//! Locks, leaderships and leases that are held.

use std::rc::Rc;

use futures::FutureExt;
use napi::bindgen_prelude::{BigInt, BufferSlice, PromiseRaw};
use napi::{Env, sys};
use napi_derive::napi;
use quorate::lock::LockGuard;
use quorate::{Error, ErrorCode, election, lease};
use quorate_bridge::Holding;

use crate::arguments::{Bytes, milliseconds};
use crate::delivery::{Cancel, Deliveries, IntoJs, Pending, give};
use crate::errors::{Result, of_node, raise};

/// Waits until it is lost: `true`; `false` when the time is up or it was given up.
pub(crate) fn wait_lost<'env, T: Send + Sync + 'static>(
    holding: &Holding<T>,
    deliveries: &Deliveries,
    env: &'env Env,
    timeout_ms: Option<f64>,
    background: bool,
    cancel: Option<&Cancel>,
) -> Result<PromiseRaw<'env, bool>> {
    let timeout = timeout_ms.map(milliseconds).transpose()?;
    let lost = holding.wait_lost(timeout).map_err(|error| raise(&error))?;
    let pending = Pending::background(background);
    deliveries.start(env, pending, cancel, async move { Ok(lost.await) })
}

/// A held lock.
#[napi]
pub struct Guard {
    name: String,
    key: Vec<u8>,
    token: i64,
    holding: Holding<LockGuard>,
    deliveries: Rc<Deliveries>,
}

impl IntoJs for LockGuard {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let lost = self.lost();
        let guard = Guard {
            name: self.name().to_owned(),
            key: self.key().to_vec(),
            token: self.token(),
            holding: Holding::new(self, lost),
            deliveries: Deliveries::of(env)?,
        };
        give(env, guard)
    }
}

#[napi]
impl Guard {
    /// The lock's name.
    #[napi(getter)]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that stands for this holder.
    #[napi(getter)]
    pub fn key<'env>(&self, env: &'env Env) -> Result<BufferSlice<'env>> {
        BufferSlice::copy_from(env, &self.key).map_err(of_node)
    }

    /// The fencing token.
    #[napi(getter)]
    pub fn token(&self) -> i64 {
        self.token
    }

    /// Whether it is lost.
    #[napi]
    pub fn is_lost(&self) -> Result<bool> {
        self.holding.is_lost().map_err(|error| raise(&error))
    }

    /// `true` when it is lost; `false` when the time is up or it was given up.
    #[napi]
    pub fn wait_lost<'env>(
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

    /// Releases it; does nothing the second time.
    #[napi]
    pub fn unlock<'env>(
        &self,
        env: &'env Env,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ()>> {
        let given_up = self.holding.give_up(LockGuard::unlock);
        let given_up = given_up.map_err(|error| raise(&error))?;
        self.deliveries
            .start(env, Pending::KeepsAlive, cancel, given_up)
    }
}

/// Leadership that is held.
#[napi]
pub struct Leadership {
    name: String,
    key: Vec<u8>,
    token: i64,
    holding: Holding<election::Leadership>,
    deliveries: Rc<Deliveries>,
}

impl IntoJs for election::Leadership {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let lost = self.lost();
        let leadership = Leadership {
            name: self.name().to_owned(),
            key: self.key().to_vec(),
            token: self.token(),
            holding: Holding::new(self, lost),
            deliveries: Deliveries::of(env)?,
        };
        give(env, leadership)
    }
}

#[napi]
impl Leadership {
    /// The election's name.
    #[napi(getter)]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that stands for this leader.
    #[napi(getter)]
    pub fn key<'env>(&self, env: &'env Env) -> Result<BufferSlice<'env>> {
        BufferSlice::copy_from(env, &self.key).map_err(of_node)
    }

    /// The fencing token.
    #[napi(getter)]
    pub fn token(&self) -> i64 {
        self.token
    }

    /// Whether it is lost.
    #[napi]
    pub fn is_lost(&self) -> Result<bool> {
        self.holding.is_lost().map_err(|error| raise(&error))
    }

    /// `true` when it is lost; `false` when the time is up or it was given up.
    #[napi]
    pub fn wait_lost<'env>(
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

    /// Changes what others see of the leader.
    #[napi]
    pub fn proclaim<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "string | Uint8Array")] value: Bytes,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ()>> {
        let name = self.name.clone();
        let proclaimed = self.holding.using(
            |leadership| async { leadership.proclaim(value.0).await }.boxed(),
            move || {
                Error::new(
                    ErrorCode::LockLost,
                    format!("leadership of \"{name}\" was given up before"),
                )
            },
        );
        let proclaimed = proclaimed.map_err(|error| raise(&error))?;
        self.deliveries
            .start(env, Pending::KeepsAlive, cancel, proclaimed)
    }

    /// Gives leadership up; does nothing the second time.
    #[napi]
    pub fn resign<'env>(
        &self,
        env: &'env Env,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ()>> {
        let given_up = self.holding.give_up(election::Leadership::resign);
        let given_up = given_up.map_err(|error| raise(&error))?;
        self.deliveries
            .start(env, Pending::KeepsAlive, cancel, given_up)
    }
}

/// A lease that is renewed.
#[napi]
pub struct Lease {
    id: i64,
    ttl_ms: f64,
    holding: Holding<lease::Lease>,
    deliveries: Rc<Deliveries>,
}

impl IntoJs for lease::Lease {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        let lost = self.lost();
        let lease = Lease {
            id: self.id(),
            ttl_ms: crate::values::milliseconds(self.ttl()),
            holding: Holding::new(self, lost),
            deliveries: Deliveries::of(env)?,
        };
        give(env, lease)
    }
}

#[napi]
impl Lease {
    /// Its id.
    #[napi(getter)]
    pub fn id(&self) -> BigInt {
        BigInt::from(self.id)
    }

    /// Milliseconds, as granted.
    #[napi(getter)]
    pub fn ttl_ms(&self) -> f64 {
        self.ttl_ms
    }

    /// Whether it is lost.
    #[napi]
    pub fn is_lost(&self) -> Result<bool> {
        self.holding.is_lost().map_err(|error| raise(&error))
    }

    /// `true` when it is lost; `false` when the time is up or it was given up.
    #[napi]
    pub fn wait_lost<'env>(
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

    /// Ends it now; does nothing the second time.
    #[napi]
    pub fn revoke<'env>(
        &self,
        env: &'env Env,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, ()>> {
        let given_up = self.holding.give_up(lease::Lease::revoke);
        let given_up = given_up.map_err(|error| raise(&error))?;
        self.deliveries
            .start(env, Pending::KeepsAlive, cancel, given_up)
    }
}
