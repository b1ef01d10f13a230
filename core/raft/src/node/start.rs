//! Starting: opens log and state, checks that they fit, and brings the parts up in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::metrics::WaitError;
use openraft::{ChangeMembers, ServerState};
use parking_lot::Mutex;
use quorate_store::Store;
use quorate_wal::Disk;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{Inner, Threads};
use crate::announce;
use crate::barrier::{self, Barrier};
use crate::config::{Founding, NodeConfig};
use crate::consensus_thread::ConsensusThread;
use crate::encoding::{self, AppliedState};
use crate::error::RaftFault;
use crate::fault::{Fault, FaultCell};
use crate::leadership::{self, Leadership};
use crate::log::{self, LogStore};
use crate::machine::{Applier, ApplierThread, ApplyQueue, Machine};
use crate::network::Network;
use crate::peers::Peers;
use crate::propose::{self, Proposer};
use crate::routing::{Route, Routing};
use crate::trim;
use crate::types::{Membership, Raft};

/// How long a single voter may take to elect itself. It needs a few writes to the log.
const ELECTED_WITHIN: Duration = Duration::from_secs(30);

/// See [`Node::start`](super::Node::start).
pub(super) fn start(
    disk: Arc<dyn Disk>,
    config: NodeConfig,
    store: Store,
    peers: Arc<dyn Peers>,
) -> Result<Inner, RaftFault> {
    let raft_config = Arc::new(config.openraft()?);
    let fault = FaultCell::new();
    let leadership = Arc::new(Leadership::new(config.member_id));
    let state = applied_state(&config, &store)?;
    let recovered = log::open(disk, &config)?;
    let log = LogStore::new(
        recovered,
        config.identity(),
        config.limits.log.clone(),
        Arc::clone(&leadership),
        fault.clone(),
    );
    check_fit(&config, &log, &state, store.received_up_to())?;
    let is_new = log.is_pristine() && state.last_applied.is_none();
    if let Founding::Together(members) = &config.founding
        && is_new
    {
        let voters = members.keys().copied().collect();
        let membership = Membership::new(vec![voters], members.clone())
            .map_err(|error| RaftFault::InvalidConfig(error.to_string()))?;
        log.found(membership)?;
    }
    let queue = ApplyQueue::new(config.limits.apply.clone());
    let (applied_sender, applied) = watch::channel(state.last_applied.map(|id| id.index));
    let (durable_sender, durable) = watch::channel(state.clone());
    let applier = ApplierThread::start(Applier {
        store: store.clone(),
        log: log.clone(),
        queue: Arc::clone(&queue),
        limits: config.limits.apply.clone(),
        cluster_id: config.cluster_id,
        fault: fault.clone(),
        state,
        applied: applied_sender,
        durable: durable_sender,
        dirty: None,
        // A compaction may have been under way when it stopped.
        compacting: true,
    })?;
    let machine = Machine::new(Arc::clone(&queue), durable.clone());
    let setup = {
        let (config, store, peers) = (config.clone(), store.clone(), Arc::clone(&peers));
        let (log, leadership) = (log.clone(), Arc::clone(&leadership));
        let (applied, fault) = (applied.clone(), fault.clone());
        async move {
            let within = config.timing.election_max;
            let network = Network::new(Arc::clone(&peers), store.clone(), within);
            let raft = Raft::build(config.member_id, raft_config, network, log.clone(), machine)
                .await
                .map_err(|error| failed(&fault, &error))?;
            let (route, routing) = watch::channel(Route::Nowhere);
            let barrier = Barrier::new(barrier::Parts {
                raft: raft.clone(),
                runtime: Handle::current(),
                leadership: Arc::clone(&leadership),
                routing: routing.clone(),
                peers: Arc::clone(&peers),
                applied: applied.clone(),
                answer_within: config.timing.answer,
                fault: fault.clone(),
            });
            let proposer = Proposer::new(
                propose::Parts {
                    raft: raft.clone(),
                    runtime: Handle::current(),
                    routing: routing.clone(),
                    peers: Arc::clone(&peers),
                    applied,
                    fault: fault.clone(),
                },
                &config,
            );
            run(&config, &raft, &log, &leadership, &fault).await?;
            tokio::spawn(leadership::follow(
                raft.clone(),
                store,
                barrier.clone(),
                Arc::clone(&leadership),
                route,
            ));
            tokio::spawn(trim::follow(raft.clone(), log, durable));
            tokio::spawn(report_end(raft.clone(), fault.clone()));
            if leadership.is_sole_voter() {
                tokio::select! {
                    () = leadership.until_ready() => {}
                    fault = fault.wait() => return Err(RaftFault::Failed(fault)),
                }
            } else {
                tokio::spawn(announce::until_known(
                    raft.clone(),
                    config.member_id,
                    config.member.clone(),
                    peers,
                    routing.clone(),
                ));
            }
            Ok(Consensus {
                raft,
                barrier,
                proposer,
                routing,
            })
        }
    };
    let (thread, consensus) = ConsensusThread::start(setup)?;
    Ok(Inner {
        config,
        store,
        raft: consensus.raft,
        log,
        leadership,
        proposer: consensus.proposer,
        barrier: consensus.barrier,
        routing: consensus.routing,
        queue,
        applied,
        fault,
        threads: Mutex::new(Some(Threads {
            _consensus: thread,
            _applier: applier,
        })),
    })
}

/// What is started on the consensus thread.
struct Consensus {
    raft: Raft,
    barrier: Barrier,
    proposer: Proposer,
    routing: Routing,
}

/// What the store says of where it is in the log.
fn applied_state(config: &NodeConfig, store: &Store) -> Result<AppliedState, RaftFault> {
    let damaged = |what: String| RaftFault::Damaged {
        what: format!("the store's position in the log: {what}"),
    };
    let mark = store.durable_applied();
    let (cluster_id, state) =
        encoding::decode_applied(&mark.raft_state).map_err(|error| damaged(error.to_string()))?;
    match cluster_id {
        Some(found) if found != config.cluster_id => Err(damaged(format!(
            "it belongs to cluster {found:x}, and this is cluster {:x}",
            config.cluster_id
        ))),
        _ => Ok(state),
    }
}

/// Refuses a log and a state that are not of one history: going on would lose or invent data.
///
/// A state that came as a snapshot, up to entry `received`, may be ahead of the log until the log knows of it.
fn check_fit(
    config: &NodeConfig,
    log: &LogStore,
    state: &AppliedState,
    received: u64,
) -> Result<(), RaftFault> {
    let applied = state.last_applied.map(|id| id.index);
    if received != 0 && applied == Some(received) {
        return Ok(());
    }
    if let Some(applied) = applied
        && log.is_pristine()
    {
        return Err(config.damaged_log(&format!(
            "it is empty, and the store has applied {applied} entries"
        )));
    }
    let last = log.last_log_id().map(|id| id.index);
    if last < applied {
        return Err(config.damaged_log(&format!(
            "it ends before what the store has applied, which is entry {}",
            applied.unwrap_or_default(),
        )));
    }
    if let Some(purged) = log.purged()
        && applied.is_none_or(|applied| applied < purged.index)
    {
        return Err(config.damaged_log(&format!(
            "it begins behind entry {}, and the store has applied up to {}",
            purged.index,
            applied.map_or("none".to_owned(), |index| format!("entry {index}")),
        )));
    }
    Ok(())
}

/// Starts consensus; founds the cluster if there is none; a single voter is elected at once. Others come to it by
/// and by.
async fn run(
    config: &NodeConfig,
    raft: &Raft,
    log: &LogStore,
    leadership: &Leadership,
    fault: &FaultCell,
) -> Result<(), RaftFault> {
    let is_new = log.is_pristine();
    raft.run();
    if is_new {
        if config.founding != Founding::Alone {
            return Ok(());
        }
        let members = BTreeMap::from([(config.member_id, config.member.clone())]);
        // It elects itself with that.
        raft.initialize(members)
            .await
            .map_err(|error| failed(fault, &error))?;
    } else {
        let membership = raft
            .with_raft_state(|state| state.membership_state.effective().membership().clone())
            .await
            .map_err(|error| failed(fault, &error))?;
        leadership.membership_changes(&membership);
        if !leadership.is_sole_voter() {
            return Ok(());
        }
        // No one else can win, so there is no reason to wait for an election timeout.
        raft.trigger()
            .elect(false)
            .await
            .map_err(|error| failed(fault, &error))?;
    }
    let elected = raft
        .wait(Some(ELECTED_WITHIN))
        .state(ServerState::Leader, "a single voter elects itself")
        .await
        .map_err(|error| no_leader(fault, &error))?;
    let known = elected.membership_config.membership();
    if known.get_node(&config.member_id) != Some(&config.member) {
        // It was started with another name or other addresses than last time. Those may have been written
        // right before the end and not be known to be committed; the new term's first entry does that.
        let written = elected.membership_config.log_id().map(|id| id.index);
        raft.wait(Some(ELECTED_WITHIN))
            .metrics(
                |metrics| metrics.last_applied.map(|id| id.index) >= written,
                "the membership is committed",
            )
            .await
            .map_err(|error| no_leader(fault, &error))?;
        let members = BTreeMap::from([(config.member_id, config.member.clone())]);
        raft.change_membership(ChangeMembers::SetNodes(members), false)
            .await
            .map_err(|error| failed(fault, &error))?;
    }
    Ok(())
}

/// Why waiting for a leader that can act has ended.
fn no_leader(fault: &FaultCell, error: &WaitError) -> RaftFault {
    match error {
        WaitError::Timeout(..) => RaftFault::NoLeader(ELECTED_WITHIN),
        WaitError::ShuttingDown => failed(fault, error),
    }
}

/// The fault behind a failure, or the failure itself if nothing else is known.
fn failed(fault: &FaultCell, error: &dyn std::fmt::Display) -> RaftFault {
    let first = fault.get();
    RaftFault::Failed(first.unwrap_or_else(|| Fault::Consensus(error.to_string())))
}

/// Reports it if consensus ends by itself, by an error or by a panic.
async fn report_end(raft: Raft, fault: FaultCell) {
    let mut metrics = raft.metrics();
    loop {
        let ended = metrics.borrow_and_update().running_state.clone();
        match ended {
            Ok(()) => {}
            Err(Fatal::Stopped) => return,
            Err(error) => return fault.report(Fault::Consensus(error.to_string())),
        }
        if metrics.changed().await.is_err() {
            // Stopping it is told above; here its task is gone without a word.
            return fault.report(Fault::Consensus("it panicked".to_owned()));
        }
    }
}
