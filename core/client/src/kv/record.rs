//! One version of one key.

use bytes::Bytes;
use quorate_proto::mvccpb;

/// A key, its value, and where it is in the store's history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty also if only keys were asked for.
    pub value: Bytes,
    /// The revision at which the key was last created; 0 in a deletion.
    pub create_revision: i64,
    /// The revision of the last change.
    pub mod_revision: i64,
    /// How many changes since the creation, itself included; 0 in a deletion.
    pub version: i64,
    /// The lease the key lives and dies with; 0 is none.
    pub lease: i64,
}

impl From<mvccpb::KeyValue> for KeyValue {
    fn from(wire: mvccpb::KeyValue) -> Self {
        Self {
            key: wire.key,
            value: wire.value,
            create_revision: wire.create_revision,
            mod_revision: wire.mod_revision,
            version: wire.version,
            lease: wire.lease,
        }
    }
}
