//! Proposals: everything that waits becomes one batch, and a batch is one log entry.
//!
//! There is no task in between. Whoever finds fewer than the allowed batches under way takes what waits and
//! proposes it: on an idle leader that is the caller itself, with its own command alone; on a busy one it is
//! whoever answers a batch, with all that arrived since.
//!
//! A member that does not lead sends its batches to the leader ([`forward`]), which queues their commands with its
//! own. While there is no leader, they wait. A batch that was certainly not proposed goes back into the queue; what
//! may have been is never proposed again.

mod forward;
mod queue;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt as _;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use parking_lot::Mutex;
use prost::Message as _;
use quorate_proto::log::{Command, CommandBatch};
use quorate_store::{Outcome, Reply};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};

pub(crate) use self::forward::{accept, unanswered, unanswered_to_wire};
use self::queue::{Pending, Queue};
use crate::config::NodeConfig;
use crate::error::ProposeError;
use crate::fault::FaultCell;
use crate::peers::Peers;
use crate::routing::{Route, Routing};
use crate::types::{Callback, LeaderId, Outcomes, Payload, Raft, TypeConfig};

/// What a command takes in a batch beside its own bytes: a tag and a length.
const FRAMING: usize = 8;
/// What a batch takes in a log entry beside its commands: the entry's id, the time, tags and lengths.
const ENTRY_FRAMING: usize = 128;
/// How long a batch that nobody took waits before it is tried again, if nothing is heard of a leader before.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A command that was applied: its reply, and the index of its log entry.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) reply: Reply,
    pub(crate) index: u64,
}

type Answer = Result<Applied, ProposeError>;
type Replier = oneshot::Sender<Answer>;

/// Takes commands, proposes them in batches, answers each. A cheap handle.
#[derive(Clone)]
pub(crate) struct Proposer {
    shared: Arc<Shared>,
}

/// What a proposer stands on.
pub(crate) struct Parts {
    pub(crate) raft: Raft,
    /// For what has to wait.
    pub(crate) runtime: Handle,
    pub(crate) routing: Routing,
    pub(crate) peers: Arc<dyn Peers>,
    /// The index up to which entries are applied here.
    pub(crate) applied: watch::Receiver<Option<u64>>,
    pub(crate) fault: FaultCell,
}

struct Shared {
    parts: Parts,
    member_id: u64,
    answer_within: Duration,
    /// The largest command the log takes.
    largest: usize,
    queue: Mutex<Queue<Replier>>,
    /// Told when the last batch is answered and nothing waits.
    drained: Notify,
}

impl Proposer {
    pub(crate) fn new(parts: Parts, config: &NodeConfig) -> Self {
        let largest = config.wal.largest_payload().saturating_sub(ENTRY_FRAMING);
        let mut limits = config.limits.propose.clone();
        // A batch that the log refuses would end the node.
        limits.batch_bytes = limits.batch_bytes.min(largest);
        let shared = Arc::new(Shared {
            parts,
            member_id: config.member_id,
            answer_within: config.timing.answer,
            largest,
            queue: Mutex::new(Queue::new(limits)),
            drained: Notify::new(),
        });
        let runtime = shared.parts.runtime.clone();
        runtime.spawn(follow_routes(
            shared.parts.routing.clone(),
            Arc::downgrade(&shared),
        ));
        Self { shared }
    }

    /// Proposes a command and waits for its outcome. Dropping the future withdraws a command that still waits
    /// for a batch; one that is under way takes effect or not.
    pub(crate) async fn propose(&self, command: Command) -> Answer {
        self.enqueue(command, false).await
    }

    async fn enqueue(&self, command: Command, passed_on: bool) -> Answer {
        let shared = &self.shared;
        let bytes = command.encoded_len() + FRAMING;
        if bytes > shared.largest {
            return Err(ProposeError::TooLarge {
                bytes,
                limit: shared.largest,
            });
        }
        let (reply, answered) = oneshot::channel();
        let pending = Pending {
            command,
            bytes,
            number: 0,
            passed_on,
            reply,
        };
        let (number, batch) = {
            let mut queue = shared.queue.lock();
            if queue.is_closed() {
                drop(queue);
                return Err(shared.down());
            }
            let Some(number) = queue.push(pending) else {
                return Err(ProposeError::TooManyRequests);
            };
            (number, shared.next_batch(&mut queue))
        };
        if let Some(batch) = batch {
            Shared::submit(shared, batch);
        }
        match tokio::time::timeout(shared.answer_within, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(shared.down())),
            Err(_) => Err(shared.too_late(number)),
        }
    }

    /// Proposes commands in one entry, if this member leads in this term, and only then.
    pub(crate) async fn propose_in_term(&self, term: u64, commands: Vec<Command>) -> Vec<Answer> {
        let shared = &self.shared;
        let count = commands.len();
        let payload = Payload::propose(CommandBatch {
            commands,
            proposed_at_ms: wall_clock_ms(),
        });
        if payload.encoded().len() > shared.largest {
            let too_large = ProposeError::TooLarge {
                bytes: payload.encoded().len(),
                limit: shared.largest,
            };
            return vec![Err(too_large); count];
        }
        let (answer, answered) = oneshot::channel();
        let callback = Callback::new(move |result: ClientWriteResult<TypeConfig>| {
            // Who asked may have given up.
            let _ = answer.send(match result {
                Ok(response) => {
                    let index = response.log_id.index;
                    Ok((response.data, index))
                }
                Err(error) => Err(refused(&error)),
            });
        });
        let leader = LeaderId {
            term,
            node_id: shared.member_id,
        };
        let write = shared.parts.raft.write(payload);
        if write.with_leader(leader).responder(callback).await.is_err() {
            return vec![Err(shared.down()); count];
        }
        match tokio::time::timeout(shared.answer_within, answered).await {
            Ok(Ok(Ok((Outcomes(outcomes), index)))) => outcomes
                .into_iter()
                .map(|outcome| outcome_to_answer(outcome, index))
                .collect(),
            Ok(Ok(Err(error))) => vec![Err(error); count],
            Ok(Err(_)) => vec![Err(shared.down()); count],
            Err(_) => vec![Err(ProposeError::Timeout); count],
        }
    }

    /// Takes no more commands, and waits until those it took are answered.
    pub(crate) async fn drain(&self) {
        let drained = self.shared.drained.notified();
        tokio::pin!(drained);
        // Registered before looking, so that the last answer in between is not missed.
        drained.as_mut().enable();
        if *self.shared.parts.routing.borrow() == Route::Nowhere {
            // What waits for a leader would wait in vain.
            self.close();
        }
        let is_idle = {
            let mut queue = self.shared.queue.lock();
            queue.close();
            queue.is_idle()
        };
        if !is_idle {
            drained.await;
        }
    }

    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        self.shared.queue.lock().waiting()
    }

    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.queue.lock().is_closed()
    }

    /// Takes no more commands, and answers those that wait.
    pub(crate) fn close(&self) {
        self.shared.close();
    }
}

/// Proposes what waits whenever a leader is found.
async fn follow_routes(mut routing: Routing, shared: std::sync::Weak<Shared>) {
    while routing.changed().await.is_ok() {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        Shared::submit_next(&shared);
    }
}

impl Shared {
    fn down(&self) -> ProposeError {
        let fault = self.parts.fault.get();
        fault.map_or(ProposeError::Stopped, ProposeError::Fault)
    }

    /// Why a command has no answer in time.
    fn too_late(&self, number: u64) -> ProposeError {
        let withdrawn = self.queue.lock().withdraw(number);
        if withdrawn && *self.parts.routing.borrow() == Route::Nowhere {
            return ProposeError::NoLeader { leader: None };
        }
        ProposeError::Timeout
    }

    fn close(&self) {
        let waiting = {
            let mut queue = self.queue.lock();
            queue.close();
            queue.take_all()
        };
        for pending in waiting {
            // Those who gave up are gone.
            let _ = pending.reply.send(Err(self.down()));
        }
    }

    /// The next batch, if one may begin and there is somewhere to send it.
    fn next_batch(&self, queue: &mut Queue<Replier>) -> Option<Vec<Pending<Replier>>> {
        if *self.parts.routing.borrow() == Route::Nowhere {
            return None;
        }
        queue.begin_batch(Replier::is_closed)
    }

    fn submit_next(shared: &Arc<Self>) {
        let batch = shared.next_batch(&mut shared.queue.lock());
        if let Some(batch) = batch {
            Self::submit(shared, batch);
        }
    }

    /// Sends a batch where it belongs. It has a place among those under way.
    fn submit(shared: &Arc<Self>, batch: Vec<Pending<Replier>>) {
        let place = Place {
            shared: Arc::clone(shared),
        };
        let route = shared.parts.routing.borrow().clone();
        match route {
            Route::Here(_) => Self::submit_here(place, batch),
            Route::To(leader) => forward::submit(place, leader, batch),
            Route::Nowhere => Self::retry(place, batch),
        }
    }

    /// Proposes a batch. Its answer comes by callback, from whichever thread has it.
    fn submit_here(place: Place, batch: Vec<Pending<Replier>>) {
        let raft = place.shared.parts.raft.clone();
        let (payload, waiting) = Waiting::of(batch);
        let waiters = Waiters {
            shared: Arc::clone(&place.shared),
            payload: payload.clone(),
            waiting,
            place: Some(place),
        };
        let callback = Callback::new(move |result| waiters.answer(result));
        // The channel to the core holds thousands of messages, and a few batches are under way at most: there is
        // always room, so the future is ready at once. Outside of tokio's budget, which could make it wait. If
        // it isn't ready, the core has stopped; the callback is dropped then, which answers.
        let sent = tokio::task::unconstrained(raft.client_write_ff(payload, Some(callback)));
        drop(sent.now_or_never());
    }

    /// Puts a batch back that nobody took, and tries again when there may be somebody to take it.
    fn retry(place: Place, batch: Vec<Pending<Replier>>) {
        let shared = Arc::clone(&place.shared);
        let (passed_on, own): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|pending| pending.passed_on);
        for pending in passed_on {
            // The member it came from looks for the leader itself.
            let nobody = ProposeError::NoLeader { leader: None };
            let _ = pending.reply.send(Err(nobody));
        }
        let closed = {
            let mut queue = shared.queue.lock();
            queue.put_back(own);
            queue.is_closed()
        };
        if closed {
            return shared.close();
        }
        let mut routing = shared.parts.routing.clone();
        // Otherwise it would tell at once of a change that this attempt knew of already. One that is missed by this
        // costs no more than the pause.
        routing.mark_unchanged();
        shared.parts.runtime.spawn(async move {
            // Either is as good: another attempt may go better then.
            let _ = tokio::time::timeout(TRY_AGAIN, routing.changed()).await;
            drop(place);
        });
    }
}

/// A place among the batches under way. When it is given up, the next batch takes it.
struct Place {
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let shared = &self.shared;
        let next = {
            let mut queue = shared.queue.lock();
            queue.end_batch();
            let next = shared.next_batch(&mut queue);
            if queue.is_closed() && queue.is_idle() {
                shared.drained.notify_waiters();
            }
            next
        };
        if let Some(batch) = next {
            Shared::submit(shared, batch);
        }
    }
}

/// Who waits for a command that is under way.
struct Waiting {
    bytes: usize,
    number: u64,
    passed_on: bool,
    reply: Replier,
}

impl Waiting {
    /// Parts a batch into what is proposed and who waits for it.
    fn of(batch: Vec<Pending<Replier>>) -> (Payload, Vec<Self>) {
        let (commands, waiting) = batch
            .into_iter()
            .map(|pending| {
                let waiting = Self {
                    bytes: pending.bytes,
                    number: pending.number,
                    passed_on: pending.passed_on,
                    reply: pending.reply,
                };
                (pending.command, waiting)
            })
            .unzip();
        let payload = Payload::propose(CommandBatch {
            commands,
            proposed_at_ms: wall_clock_ms(),
        });
        (payload, waiting)
    }

    /// The batch again, as it was. It was not proposed, so its payload still has the commands.
    fn into_batch(payload: Payload, waiting: Vec<Self>) -> Vec<Pending<Replier>> {
        let commands = payload
            .into_batch()
            .map(|batch| batch.commands)
            .unwrap_or_default();
        debug_assert_eq!(commands.len(), waiting.len());
        let pending = commands
            .into_iter()
            .zip(waiting)
            .map(|(command, waiting)| Pending {
                command,
                bytes: waiting.bytes,
                number: waiting.number,
                passed_on: waiting.passed_on,
                reply: waiting.reply,
            });
        pending.collect()
    }
}

/// Those who wait for one batch. They are answered in any case: by the outcome, or when this is dropped.
struct Waiters {
    shared: Arc<Shared>,
    payload: Payload,
    waiting: Vec<Waiting>,
    place: Option<Place>,
}

impl Waiters {
    fn answer(mut self, result: ClientWriteResult<TypeConfig>) {
        let place = self.place.take();
        let waiting = std::mem::take(&mut self.waiting);
        match result {
            Ok(response) => {
                // The next batch first, so that it is written while these are woken.
                drop(place);
                let index = response.log_id.index;
                let Outcomes(outcomes) = response.data;
                debug_assert_eq!(outcomes.len(), waiting.len());
                for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
                    // Those who gave up are gone.
                    let _ = waiting.reply.send(outcome_to_answer(outcome, index));
                }
            }
            Err(ClientWriteError::ForwardToLeader(_)) => {
                let batch = Waiting::into_batch(self.payload.clone(), waiting);
                if let Some(place) = place {
                    Shared::retry(place, batch);
                }
            }
            Err(error) => {
                drop(place);
                let error = refused(&error);
                for waiting in waiting {
                    let _ = waiting.reply.send(Err(error.clone()));
                }
            }
        }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        // Consensus dropped the batch: it has stopped.
        for waiting in self.waiting.drain(..) {
            let _ = waiting.reply.send(Err(self.shared.down()));
        }
        self.shared.close();
    }
}

fn outcome_to_answer(outcome: Outcome, index: u64) -> Answer {
    outcome
        .map(|reply| Applied { reply, index })
        .map_err(ProposeError::Etcd)
}

fn refused(error: &ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => ProposeError::NoLeader {
            leader: forward.leader_id,
        },
        // Its entry was cut off here, and may be committed by others all the same. The rest are of membership
        // changes and conditional writes, which these are not.
        _ => ProposeError::LeaderChanged,
    }
}

/// Unix time in milliseconds. The state machine never lets it go back.
fn wall_clock_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
