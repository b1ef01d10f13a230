//! The wire: the etcd v3 packages, `quorate.v1`, and the commands the log holds.
//!
//! The modules below are generated from `proto/` at build time, without `protoc`; see `build.rs`.
//! Their layout follows the protobuf packages. [`convert`] goes between the wire and
//! [`quorate_types`].

macro_rules! generated {
    ($(#[$doc:meta])* $name:ident, $package:literal) => {
        $(#[$doc])*
        #[allow(missing_docs, unreachable_pub, clippy::all)]
        pub mod $name {
            tonic::include_proto!($package);
        }
    };
}

generated!(
    /// etcd: key-value records and events.
    mvccpb, "mvccpb");
generated!(
    /// etcd: users, roles, permissions.
    authpb, "authpb");
generated!(
    /// etcd: KV, Watch, Lease, Cluster, Maintenance, Auth.
    etcdserverpb, "etcdserverpb");
generated!(
    /// etcd: the lock service.
    v3lockpb, "v3lockpb");
generated!(
    /// etcd: the election service.
    v3electionpb, "v3electionpb");

mod quorate {
    generated!(
        /// The registry, and what nodes say to each other.
        v1, "quorate.v1");
    pub(crate) mod log {
        generated!(
            /// What the replicated log holds.
            v1, "quorate.log.v1");
    }
    pub(crate) mod snapshot {
        generated!(
            /// What a saved snapshot holds.
            v1, "quorate.snapshot.v1");
    }
}

pub use quorate::log::v1 as log;
pub use quorate::snapshot::v1 as snapshot;
pub use quorate::v1;

pub mod convert;
