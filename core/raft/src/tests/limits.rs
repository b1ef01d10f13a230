//! What is bounded: the queue, the time, the log on disk; and who shares what.

use std::time::Duration;

use futures::future::join_all;
use prost::Message as _;
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};
use quorate_proto::log::{Command, command::Op};
use quorate_store::EtcdError;
use quorate_wal::crash_disk::Operation;

use crate::ProposeError;
use crate::testing::{TestMember, config, get, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_wait_together_share_an_entry_and_each_gets_its_own_answer() {
    let member = TestMember::found(config()).await;
    let node = &member.node;
    let held = member.disk.hold_syncs();
    let before = node.status().last_log;
    let writes: Vec<_> = (0..500)
        .map(|number| {
            let node = node.clone();
            tokio::spawn(async move {
                let revision =
                    put(&node, &format!("{number}"), format!("{number}").as_bytes()).await;
                (number, revision.unwrap())
            })
        })
        .collect();
    node.until_queued(499).await;
    drop(held);
    let mut revisions = Vec::new();
    for write in writes {
        let (number, revision) = write.await.unwrap();
        let value = get(&member.store, &format!("{number}")).unwrap();
        assert_eq!(value, format!("{number}").as_bytes());
        revisions.push(revision);
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..502).collect::<Vec<i64>>());
    let entries = node.status().last_log - before;
    assert_eq!(entries, 2, "one under way, and one for the rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once_and_a_held_up_disk_is_a_timeout() {
    let mut config = config();
    config.limits.propose.queued_commands = 10;
    config.timing.answer = Duration::from_millis(300);
    let member = TestMember::found(config).await;
    let held = member.disk.hold_syncs();
    let node = &member.node;
    let answers = join_all((0..30).map(|number| {
        let node = node.clone();
        async move { put(&node, &format!("{number}"), b"x").await }
    }))
    .await;
    let count = |wanted: fn(&ProposeError) -> bool| {
        answers
            .iter()
            .filter(|answer| answer.as_ref().is_err_and(wanted))
            .count()
    };
    assert_eq!(
        count(|error| matches!(error, ProposeError::TooManyRequests)),
        19
    );
    assert_eq!(count(|error| matches!(error, ProposeError::Timeout)), 11);
    drop(held);
    // The one under way takes effect; those that waited in the queue had been given up.
    while let Err(refused) = put(node, "later", b"x").await {
        assert!(
            matches!(refused, ProposeError::TooManyRequests),
            "{refused}"
        );
        tokio::task::yield_now().await;
    }
    let written = (0..30).filter(|number| get(&member.store, &number.to_string()).is_some());
    assert_eq!(written.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_see_what_was_acknowledged_by_a_round_and_without() {
    let member = TestMember::found(config()).await;
    let node = &member.node;
    let readers: Vec<_> = (0..8)
        .map(|reader| {
            let (node, store) = (node.clone(), member.store.clone());
            tokio::spawn(async move {
                for number in 0..50 {
                    let key = format!("{reader}/{number}");
                    put(&node, &key, b"x").await.unwrap();
                    if number % 2 == 0 {
                        node.read_barrier().await.unwrap();
                    } else {
                        node.read_index().await.unwrap();
                    }
                    assert!(get(&store, &key).is_some());
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    // A local read waits for no disk.
    let held = member.disk.hold_syncs();
    node.read_barrier().await.unwrap();
    node.read_index().await.unwrap();
    drop(held);
    node.shutdown().await;
    assert!(matches!(
        node.read_barrier().await,
        Err(ProposeError::Stopped)
    ));
    assert!(matches!(
        node.read_index().await,
        Err(ProposeError::Stopped)
    ));
    assert!(matches!(
        node.read_index().await,
        Err(ProposeError::Stopped)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_on_disk_stays_bounded() {
    let mut config = config();
    config.limits.apply.checkpoint_bytes = 100 << 10;
    config.limits.log.kept_bytes = 50 << 10;
    let member = TestMember::found(config.clone()).await;
    let mut most = 0;
    for number in 0..600 {
        put(
            &member.node,
            &format!("{}", number % 20),
            &[number as u8; 5000],
        )
        .await
        .unwrap();
        most = most.max(member.disk.names().len());
    }
    // 3 MB went through segments of 64 kB; up to 150 kB may be kept, and what is being written and prepared.
    assert!(most <= 12, "{most} segments");
    assert!(member.disk.count(Operation::Remove) > 20);
    let hash = member.store.hash_kv(0).unwrap();
    let member = member.restart(config).await.unwrap();
    assert_eq!(member.store.hash_kv(0).unwrap(), hash);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_down_answers_what_is_under_way_and_leaves_nothing_to_replay() {
    let member = TestMember::found(config()).await;
    let node = member.node.clone();
    let held = member.disk.hold_syncs();
    let writes: Vec<_> = (0..20)
        .map(|number| {
            let node = node.clone();
            tokio::spawn(async move { put(&node, &format!("{number}"), b"x").await })
        })
        .collect();
    node.until_queued(19).await;
    let stopping = tokio::spawn(async move { node.shutdown().await });
    member.node.until_closed().await;
    let late = put(&member.node, "late", b"x").await;
    assert!(matches!(late, Err(ProposeError::Stopped)));
    drop(held);
    for write in writes {
        write.await.unwrap().unwrap();
    }
    stopping.await.unwrap();
    let durable = member.store.durable_applied();
    assert_eq!(durable, member.store.applied());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_fit_into_the_log_however_much_waits() {
    let mut config = config();
    config.wal.segment_bytes = 8 << 10;
    let member = TestMember::found(config.clone()).await;
    let node = &member.node;
    // Together they are more than an entry can hold.
    let held = member.disk.hold_syncs();
    let writes: Vec<_> = (0..20)
        .map(|number| {
            let node = node.clone();
            tokio::spawn(async move { put(&node, &format!("{number}"), &[7; 1000]).await })
        })
        .collect();
    node.until_queued(19).await;
    drop(held);
    for write in writes {
        write.await.unwrap().unwrap();
    }
    let hash = member.store.hash_kv(0).unwrap();
    let member = member.restart(config).await.unwrap();
    assert_eq!(member.store.hash_kv(0).unwrap(), hash);
}

/// The largest command that is let in must fit, to the byte: a log that refuses an entry ends the node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_command_fits() {
    let mut config = config();
    config.wal.segment_bytes = 8 << 10;
    let member = TestMember::found(config).await;
    let refused = put(&member.node, "a", &[7; 8 << 10]).await.unwrap_err();
    let ProposeError::TooLarge { bytes, limit } = refused else {
        panic!("{refused}");
    };
    let fits = vec![7; (8 << 10) - (bytes - limit)];
    put(&member.node, "a", &fits).await.unwrap();
    let over = [&fits[..], &[7]].concat();
    assert!(matches!(
        put(&member.node, "a", &over).await,
        Err(ProposeError::TooLarge { .. })
    ));
}

/// Transactions in one another, the innermost with a put.
fn nested(levels: usize) -> TxnRequest {
    let key = format!("nested-{levels}").into_bytes();
    let mut inner = Request::RequestPut(PutRequest {
        key,
        ..PutRequest::default()
    });
    for _ in 0..levels {
        inner = Request::RequestTxn(wrapping(inner));
    }
    wrapping(inner)
}

fn wrapping(inner: Request) -> TxnRequest {
    let operation = RequestOp {
        request: Some(inner),
    };
    TxnRequest {
        success: vec![operation],
        ..TxnRequest::default()
    }
}

/// Decoders stop at some depth, and in the log a transaction is deeper than on the wire: one that is let in and
/// can't be read back would keep the member from ever starting again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deepest_transaction_let_in_can_be_read_back() {
    let member = TestMember::found(config()).await;
    let mut deepest = 0;
    let mut refused = 0;
    for levels in 0.. {
        let txn = nested(levels);
        if TxnRequest::decode(&txn.encode_to_vec()[..]).is_err() {
            // No client can send it.
            break;
        }
        let op = Some(Op::Txn(txn));
        match member.node.propose(Command { op }).await {
            Ok(_) => deepest = levels,
            Err(ProposeError::Etcd(EtcdError::TooManyOps)) => refused += 1,
            Err(error) => panic!("{levels} levels: {error}"),
        }
    }
    assert!(deepest >= 30, "{deepest}");
    // The store is as of its last checkpoint, so all of it is read from the log.
    let (disk, directory, store_path) = member.after_power_loss(1);
    let member = TestMember::start(disk, directory, store_path, config())
        .await
        .unwrap();
    let innermost = get(&member.store, &format!("nested-{deepest}"));
    assert_eq!(innermost, Some(Vec::new()));
    assert!(
        refused > 0,
        "the wire is stricter than this test takes it for"
    );
}
