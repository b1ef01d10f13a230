//! The client against a real etcd. Set `QUORATE_ETCD` to the path of an etcd binary, with
//! etcdctl beside it; without it these tests say that they are skipped.

mod elections;
mod keys;
mod locks;
mod server;
