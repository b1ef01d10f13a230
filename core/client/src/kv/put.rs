//! Writing one key.

use quorate_proto::etcdserverpb::{PutRequest, PutResponse};
use quorate_types::Error;

use super::KeyValue;

/// How to write a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct PutOptions {
    lease: i64,
    previous: bool,
}

impl PutOptions {
    /// No lease, and the previous version is not asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key is deleted when this lease ends. 0, the default, is none: the key stays.
    pub fn lease(mut self, id: i64) -> Self {
        self.lease = id;
        self
    }

    /// Also answer what the key was before.
    pub fn previous(mut self) -> Self {
        self.previous = true;
        self
    }

    pub(crate) fn into_wire(self, key: Vec<u8>, value: Vec<u8>) -> Result<PutRequest, Error> {
        super::check_key(&key)?;
        Ok(PutRequest {
            key,
            value,
            lease: self.lease,
            prev_kv: self.previous,
            ..PutRequest::default()
        })
    }
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutResult {
    /// The store's revision right after it.
    pub revision: i64,
    /// What the key was before, if asked for and if it was.
    pub previous: Option<KeyValue>,
}

impl From<PutResponse> for PutResult {
    fn from(wire: PutResponse) -> Self {
        Self {
            revision: wire.header.map_or(0, |header| header.revision),
            previous: wire.prev_kv.map(KeyValue::from),
        }
    }
}
