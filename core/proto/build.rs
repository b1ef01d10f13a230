//! Compiles the `.proto` files without `protoc`: protox parses them, tonic generates the code.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        [
            "etcd/rpc.proto",
            "etcd/lock.proto",
            "etcd/election.proto",
            "quorate/registry.proto",
            "quorate/peer.proto",
            "quorate/log.proto",
            "quorate/snapshot.proto",
        ],
        ["proto"],
    )?;
    tonic_prost_build::configure()
        // Records read from the store are shared, not copied, on their way out. Requests keep
        // `Vec`: decoding then copies, and a small key never pins a whole HTTP/2 read buffer.
        .bytes(".mvccpb")
        // A log entry's payload is shared between the log, its cache and the appliers.
        .bytes(".quorate.log.v1.LogEntry.batch")
        .bytes(".quorate.v1.ForwardRequest.batch")
        .bytes(".quorate.v1.SessionOpen.resume_token")
        .bytes(".quorate.v1.SessionOpened.resume_token")
        .btree_map(".quorate.v1.Instance.metadata")
        .btree_map(".quorate.v1.MetadataUpdate.entries")
        .compile_fds(descriptors)?;
    Ok(())
}
