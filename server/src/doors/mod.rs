//! The front doors: one module per gRPC service, and what they share.
//!
//! - `etcd_*`: etcd v3's services, on [`member`], this node's log and state;
//! - `registry`: quorate.v1, on the available plane;
//! - `peer`, `health`: for the other members, and for load balancers;
//! - `lease_time`: how long leases have left, which only the leader knows;
//! - `status`: every error's way to a client; `away`: what takes long; `queue`, `key_events`: what locks and elections
//!   stand on.

mod away;
mod etcd_auth;
mod etcd_cluster;
mod etcd_election;
mod etcd_kv;
mod etcd_lease;
mod etcd_lock;
mod etcd_maintenance;
mod etcd_watch;
pub(crate) mod health;
mod key_events;
mod lease_time;
pub(crate) mod member;
pub(crate) mod peer;
mod queue;
mod registry;
mod status;

use quorate_registry::Registry;
use tonic::service::Routes;

use self::member::Member;

/// Room for what surrounds a request: etcd's own allowance for the message around it.
const MESSAGE_OVERHEAD: usize = 512 << 10;

/// Adds etcd's services to the client listener's.
pub(crate) fn etcd(member: &Member, routes: Routes) -> Routes {
    let largest = member.options().max_request_bytes + MESSAGE_OVERHEAD;
    routes
        .add_service(etcd_kv::service(member.clone()).max_decoding_message_size(largest))
        .add_service(etcd_watch::service(member.clone()))
        .add_service(etcd_lease::service(member.clone()))
        .add_service(etcd_lock::service(member.clone()).max_decoding_message_size(largest))
        .add_service(etcd_election::service(member.clone()).max_decoding_message_size(largest))
        .add_service(etcd_cluster::service(member.clone()))
        .add_service(etcd_maintenance::service(member.clone()))
        .add_service(etcd_auth::service())
}

/// Adds the available plane to the client listener's.
pub(crate) fn registry(registry: &Registry, routes: Routes) -> Routes {
    routes.add_service(registry::service(registry.clone()))
}
