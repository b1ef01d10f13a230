//! Commands for a member.

use quorate_proto::etcdserverpb::{PutRequest, RangeRequest};
use quorate_proto::log::{Command, command::Op};
use quorate_raft::{Node, ProposeError, Reply};
use quorate_store::Store;

/// A Put.
pub(crate) fn put_command(key: &str, value: &[u8]) -> Command {
    Command {
        op: Some(Op::Put(PutRequest {
            key: key.as_bytes().to_vec(),
            value: value.to_vec(),
            ..PutRequest::default()
        })),
    }
}

/// Puts, and returns the revision.
pub(crate) async fn put(node: &Node, key: &str, value: &[u8]) -> Result<i64, ProposeError> {
    match node.propose(put_command(key, value)).await? {
        Reply::Put(response) => Ok(response.header.expect("a header").revision),
        other => panic!("a Put was answered with {other:?}"),
    }
}

/// The value of a key in the local state.
pub(crate) fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    let request = RangeRequest {
        key: key.as_bytes().to_vec(),
        ..RangeRequest::default()
    };
    let response = store.range(&request).expect("a range over one key");
    response.kvs.first().map(|kv| kv.value.to_vec())
}
