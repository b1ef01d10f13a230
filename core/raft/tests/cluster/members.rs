//! Members in one process, and a network between them that can be cut.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use quorate_raft::{
    Founding, Member, Node, NodeConfig, PeerAnswer, PeerCall, PeerError, PeerRequest, Peers,
    SnapshotParts, WireVote,
};
use quorate_store::{Progress, Store, StoreOptions};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// How long what must happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A request, and who waits for its answer.
type Sent = (PeerRequest, oneshot::Sender<PeerAnswer>);

/// Who is there, and what is cut.
#[derive(Default)]
struct Network {
    nodes: HashMap<u64, Node>,
    /// Pairs that do not hear each other, the sender first.
    cut: HashSet<(u64, u64)>,
    lines: HashMap<(u64, u64), mpsc::UnboundedSender<Sent>>,
}

/// One member's way to the others.
struct Line {
    from: u64,
    network: Weak<Mutex<Network>>,
    runtime: tokio::runtime::Handle,
}

impl Peers for Line {
    fn call(&self, id: u64, _member: &Member, request: PeerRequest) -> PeerCall {
        let Some(network) = self.network.upgrade() else {
            return std::future::ready(Err(PeerError::not_sent("the test is over"))).boxed();
        };
        let (answer, answered) = oneshot::channel();
        {
            let mut locked = network.lock();
            if locked.cut.contains(&(self.from, id)) || !locked.nodes.contains_key(&id) {
                return std::future::ready(Err(PeerError::not_sent("out of reach"))).boxed();
            }
            let from = self.from;
            let line = locked.lines.entry((from, id)).or_insert_with(|| {
                let (line, sent) = mpsc::unbounded_channel();
                self.runtime
                    .spawn(deliver(from, id, self.network.clone(), sent));
                line
            });
            // Its end is an answer that never comes.
            drop(line.send((request, answer)));
        }
        let (from, network) = (self.from, self.network.clone());
        async move {
            let answer = answered.await;
            // What was cut meanwhile has no way back.
            let cut = network
                .upgrade()
                .is_none_or(|network| network.lock().cut.contains(&(id, from)));
            match answer {
                Ok(answer) if !cut => Ok(answer),
                _ => Err(PeerError::unanswered("the line was cut")),
            }
        }
        .boxed()
    }

    fn send_snapshot(
        &self,
        id: u64,
        _member: &Member,
        vote: WireVote,
        parts: SnapshotParts,
    ) -> BoxFuture<'static, Result<WireVote, PeerError>> {
        let node = self.reach(id);
        let runtime = self.runtime.clone();
        async move {
            // Reading it blocks, and so needs a runtime that allows for it.
            let delivered = runtime.spawn(deliver_snapshot(node?, vote, parts)).await;
            let vote = delivered.map_err(|error| PeerError::unanswered(error.to_string()))?;
            vote.map_err(|error| PeerError::unanswered(error.to_string()))
        }
        .boxed()
    }
}

impl Line {
    fn reach(&self, id: u64) -> Result<Node, PeerError> {
        let network = self.network.upgrade();
        let network = network.ok_or_else(|| PeerError::not_sent("the test is over"))?;
        let network = network.lock();
        let node = network.nodes.get(&id).cloned();
        node.filter(|_| !network.cut.contains(&(self.from, id)))
            .ok_or_else(|| PeerError::not_sent("out of reach"))
    }
}

async fn deliver_snapshot(
    node: Node,
    vote: WireVote,
    mut parts: SnapshotParts,
) -> anyhow::Result<WireVote> {
    let mut incoming = node.receive_snapshot()?;
    while let Some(part) = parts.next().await {
        match incoming.write(part?)? {
            Progress::Incomplete(rest) => incoming = rest,
            Progress::Complete(state) => {
                let installed = node.install_snapshot(&vote, state).await;
                return installed.map_err(|refused| anyhow::anyhow!(refused.message));
            }
        }
    }
    anyhow::bail!("a snapshot without an end")
}

/// Hands requests over in order.
async fn deliver(
    from: u64,
    to: u64,
    network: Weak<Mutex<Network>>,
    mut sent: mpsc::UnboundedReceiver<Sent>,
) {
    while let Some((request, answer)) = sent.recv().await {
        let Some(network) = network.upgrade() else {
            return;
        };
        let node = {
            let network = network.lock();
            let node = network.nodes.get(&to).cloned();
            node.filter(|_| !network.cut.contains(&(from, to)))
        };
        let Some(node) = node else { continue };
        let mut answering = Box::pin(async move { node.answer(from, request).await });
        match futures::poll!(&mut answering) {
            Poll::Ready(answered) => drop(answer.send(answered)),
            Poll::Pending => drop(tokio::spawn(async move {
                drop(answer.send(answering.await));
            })),
        }
    }
}

/// Members that can be stopped, started again, and cut off.
pub(crate) struct Cluster {
    network: Arc<Mutex<Network>>,
    members: BTreeMap<u64, Member>,
    directory: TempDir,
    stores: HashMap<u64, Store>,
    /// What stays in the log behind a checkpoint.
    kept_entries: usize,
}

impl Cluster {
    /// Founds a cluster of members 1 to `size`.
    pub(crate) async fn found(size: u64) -> Self {
        Self::found_keeping(size, 100_000).await
    }

    /// As [`found`](Self::found); whoever is further behind than this needs a snapshot.
    pub(crate) async fn found_keeping(size: u64, kept_entries: usize) -> Self {
        let members = (1..=size).map(|id| {
            let member = Member {
                name: format!("m{id}"),
                peer_urls: vec![format!("test://{id}")],
                ..Member::default()
            };
            (id, member)
        });
        let mut cluster = Self {
            network: Arc::default(),
            members: members.collect(),
            directory: tempfile::tempdir().unwrap(),
            stores: HashMap::new(),
            kept_entries,
        };
        for id in 1..=size {
            cluster.start(id).await;
        }
        cluster
    }

    fn path(&self, id: u64) -> PathBuf {
        self.directory.path().join(id.to_string())
    }

    /// Starts a member on what it has.
    pub(crate) async fn start(&mut self, id: u64) {
        let path = self.path(id);
        let mut member = self.members[&id].clone();
        member.client_urls = vec![format!("client://{id}")];
        let mut config = NodeConfig::new(0xc1, id, member, path.join("wal"));
        config.founding = Founding::Together(self.members.clone());
        config.wal.segment_bytes = 256 << 10;
        config.limits.log.kept_entries = self.kept_entries;
        config.limits.apply.checkpoint_interval = Duration::from_millis(200);
        config.timing.heartbeat = Duration::from_millis(50);
        config.timing.election_min = Duration::from_millis(400);
        config.timing.election_max = Duration::from_millis(800);
        let line = Arc::new(Line {
            from: id,
            network: Arc::downgrade(&self.network),
            runtime: tokio::runtime::Handle::current(),
        });
        let started = tokio::task::spawn_blocking(move || {
            let directory = path.join("store");
            std::fs::create_dir_all(&directory).unwrap();
            let store = Store::open(&directory, StoreOptions::default()).unwrap();
            let node = Node::start(config, store.clone(), line).unwrap();
            (node, store)
        });
        let (node, store) = started.await.unwrap();
        self.network.lock().nodes.insert(id, node);
        self.stores.insert(id, store);
    }

    /// Stops a member.
    pub(crate) async fn stop(&mut self, id: u64) {
        let node = {
            let mut network = self.network.lock();
            network
                .lines
                .retain(|(from, to), _| *from != id && *to != id);
            network.nodes.remove(&id)
        };
        let node = node.expect("it runs");
        node.shutdown().await;
        let store = self.stores.remove(&id);
        // Blocks until the last handle is gone.
        tokio::task::spawn_blocking(move || drop((node, store)))
            .await
            .unwrap();
    }

    /// Cuts a member off from all others, both ways.
    pub(crate) fn cut_off(&self, id: u64) {
        let mut network = self.network.lock();
        for &other in self.members.keys().filter(|other| **other != id) {
            network.cut.insert((id, other));
            network.cut.insert((other, id));
        }
    }

    /// Cuts the line from one member to another, one way.
    pub(crate) fn cut(&self, from: u64, to: u64) {
        self.network.lock().cut.insert((from, to));
    }

    /// Heals every line.
    pub(crate) fn heal(&self) {
        self.network.lock().cut.clear();
    }

    pub(crate) fn node(&self, id: u64) -> Node {
        self.network.lock().nodes[&id].clone()
    }

    pub(crate) fn store(&self, id: u64) -> Store {
        self.stores[&id].clone()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    /// Waits for a leader among these that is ready, and that all of them follow.
    pub(crate) async fn leader_of(&self, ids: &[u64]) -> u64 {
        let nodes: Vec<_> = ids.iter().map(|id| (*id, self.node(*id))).collect();
        let found = async {
            loop {
                let leader = nodes.iter().find(|(_, node)| node.is_leader());
                if let Some((leader, _)) = leader
                    && nodes.iter().all(|(id, node)| {
                        id == leader
                            || node
                                .other_leader()
                                .is_some_and(|(other, _)| other == *leader)
                    })
                {
                    return *leader;
                }
                let (_, first) = &nodes[0];
                first.leadership_changes(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.expect("a leader is elected")
    }

    /// Waits for a leader that all follow.
    pub(crate) async fn leader(&self) -> u64 {
        self.leader_of(&self.ids()).await
    }
}
