//! Reading what JavaScript passes.

use std::time::Duration;

use napi::bindgen_prelude::{BigInt, FromNapiValue, Uint8ArraySlice, Utf16String};
use napi::{Status, ValueType, sys};
use quorate::PickOptions;

use crate::errors::{Result, invalid};

/// The greatest number up to which all are exact: `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// Text, which must be well-formed: a half of a surrogate pair has no UTF-8, and must not become
/// another text on the quiet.
pub struct Text(pub(crate) String);

impl FromNapiValue for Text {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        // SAFETY: the caller hands in a live environment and one of its values.
        let text = unsafe { String::from_napi_value(env, value) }?;
        // What could not be encoded has become this; so may it, rarely, have been before.
        if text.contains('\u{fffd}') {
            // SAFETY: as above.
            let wide = unsafe { Utf16String::from_napi_value(env, value) }?;
            if String::from_utf16(&wide).is_err() {
                return Err(refused(
                    "the text holds half of a surrogate pair, which has no UTF-8",
                ));
            }
        }
        Ok(Self(text))
    }
}

/// A key, a value, a name of a leader: a string is taken as UTF-8.
pub struct Bytes(pub(crate) Vec<u8>);

impl FromNapiValue for Bytes {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        if kind(env, value)? == ValueType::String {
            // SAFETY: the caller hands in a live environment and one of its values.
            let text = unsafe { Text::from_napi_value(env, value) }?;
            return Ok(Self(text.0.into_bytes()));
        }
        // SAFETY: as above; the bytes are copied before JavaScript runs again.
        match unsafe { Uint8ArraySlice::from_napi_value(env, value) } {
            Ok(bytes) => Ok(Self(bytes.to_vec())),
            Err(_) => Err(refused("expected a string or a Uint8Array")),
        }
    }
}

/// What sticks to one instance: a hash, or text or bytes to be hashed.
pub struct Hash(pub(crate) u64);

impl FromNapiValue for Hash {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        match kind(env, value)? {
            ValueType::BigInt => {
                // SAFETY: the caller hands in a live environment and one of its values.
                let number = unsafe { BigInt::from_napi_value(env, value) }?;
                match number.get_u64() {
                    (false, hash, true) => Ok(Self(hash)),
                    _ => Err(refused("a hash has 64 bits and no sign")),
                }
            }
            _ => {
                // SAFETY: as above.
                let key = unsafe { Bytes::from_napi_value(env, value) }?;
                let hash = PickOptions::sticky(key.0).hash;
                Ok(Self(hash.unwrap_or_default()))
            }
        }
    }
}

fn kind(env: sys::napi_env, value: sys::napi_value) -> napi::Result<ValueType> {
    let mut kind = 0;
    // SAFETY: both callers were handed a live environment and one of its values.
    match unsafe { sys::napi_typeof(env, value, &mut kind) } {
        sys::Status::napi_ok => Ok(ValueType::from(kind)),
        status => Err(napi::Error::from_status(Status::from(status))),
    }
}

fn refused(message: &str) -> napi::Error {
    napi::Error::new(Status::InvalidArg, message)
}

/// Milliseconds, as everywhere in Node.
pub(crate) fn milliseconds(milliseconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(milliseconds / 1000.0).map_err(|_| {
        invalid(format!(
            "{milliseconds} is not a number of milliseconds from 0 on"
        ))
    })
}

/// A whole number from 0 on: a revision, a version, a limit.
pub(crate) fn whole(what: &str, number: f64) -> Result<i64> {
    if number.fract() == 0.0 && (0.0..=MAX_SAFE).contains(&number) {
        // Exact: it is whole and within 2^53.
        Ok(number as i64)
    } else {
        Err(invalid(format!(
            "{what} {number} is not a whole number from 0 to 2^53 - 1"
        )))
    }
}

pub(crate) fn weight(weight: f64) -> Result<u16> {
    let whole = whole("weight", weight).ok();
    whole
        .and_then(|weight| u16::try_from(weight).ok())
        .ok_or_else(|| invalid(format!("weight {weight} is not within 0 and 65535")))
}

pub(crate) fn limit(limit: f64) -> Result<u32> {
    let limit = whole("limit", limit)?;
    u32::try_from(limit).map_err(|_| invalid(format!("limit {limit} is over {}", u32::MAX)))
}

pub(crate) fn lease_id(id: &BigInt) -> Result<i64> {
    match id.get_i64() {
        (id, true) => Ok(id),
        _ => Err(invalid("the id of a lease has 64 bits")),
    }
}
