//! The two tasks behind all leases of a client: one renews them over one stream, one revokes those
//! that nobody wants any more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
};
use quorate_types::{Error, ErrorCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::call::{Calls, Repeat, timed};
use super::duplex::{Duplex, Event, Inbound, Outbound, inbound, requiring_leader};
use super::now;
use crate::engine::leases::{Command, LeaseBook, Loss};
use crate::error::Operation;
use crate::metrics::{Counters, count};

/// While leases are held, a server is tried at least this often: they expire otherwise.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How many revocations are under way at once.
const REVOCATIONS_AT_ONCE: usize = 16;

/// Tells the tasks what to do; cheap to clone. The queues hold at most a few messages for each
/// lease of the program.
#[derive(Clone, Debug)]
pub(crate) struct LeaseKeeper {
    renewals: mpsc::UnboundedSender<Message>,
    revocations: mpsc::UnboundedSender<i64>,
}

#[derive(Debug)]
enum Message {
    Ask(i64),
    Add {
        id: i64,
        ttl: Duration,
        sent: Instant,
        lost: CancellationToken,
    },
    Remove(i64),
}

/// What the tasks read.
pub(crate) struct LeaseQueues {
    renewals: mpsc::UnboundedReceiver<Message>,
    revocations: mpsc::UnboundedReceiver<i64>,
}

impl LeaseKeeper {
    pub(crate) fn new() -> (Self, LeaseQueues) {
        let (renewals, renewals_receiver) = mpsc::unbounded_channel();
        let (revocations, revocations_receiver) = mpsc::unbounded_channel();
        (
            Self {
                renewals,
                revocations,
            },
            LeaseQueues {
                renewals: renewals_receiver,
                revocations: revocations_receiver,
            },
        )
    }

    /// A server is about to be asked for this lease: whatever comes of it, it is added or removed
    /// later, and does not outlive the client. Answers whether the client is still open.
    #[must_use]
    pub(crate) fn ask(&self, id: i64) -> bool {
        self.renewals.send(Message::Ask(id)).is_ok()
    }

    /// Renews this lease from now on; `lost` is cancelled when it is lost. `sent` is when the
    /// request that granted it was sent.
    pub(crate) fn add(&self, id: i64, ttl: Duration, sent: Instant, lost: CancellationToken) {
        let add = Message::Add {
            id,
            ttl,
            sent,
            lost,
        };
        if let Err(refused) = self.renewals.send(add)
            && let Message::Add { lost, .. } = refused.0
        {
            // The client was closed.
            lost.cancel();
        }
    }

    /// Renews it no more.
    pub(crate) fn remove(&self, id: i64) {
        // Refused only when the client was closed, which renews nothing.
        let _ = self.renewals.send(Message::Remove(id));
    }

    /// Renews it no more and revokes it in the background; its keys go with it.
    pub(crate) fn revoke(&self, id: i64) {
        // Refused only when the client was closed, which has revoked everything it knew of; and
        // until the next line it knows of this one.
        let _ = self.revocations.send(id);
        self.remove(id);
    }
}

impl LeaseQueues {
    /// The task that renews, until `closing`: then everything is lost, and revoked. And the task
    /// that revokes, with `calls`, which must outlive `closing`.
    pub(crate) fn start(
        self,
        calls: &Calls,
        closing: CancellationToken,
        keeper: &LeaseKeeper,
        finish: CancellationToken,
    ) -> (
        impl Future<Output = ()> + Send + 'static,
        impl Future<Output = ()> + Send + 'static,
    ) {
        let renewal = Renewal {
            asked: HashSet::new(),
            book: LeaseBook::default(),
            lost: HashMap::new(),
            stream: Duplex::new(
                calls.servers().clone(),
                calls.counters().clone(),
                LONGEST_WAIT,
                keep_alive,
            ),
            counters: calls.counters().clone(),
            revocations: keeper.revocations.clone(),
        };
        let revocation = revoke_all(calls.clone(), self.revocations, finish);
        (renewal.run(self.renewals, closing), revocation)
    }
}

struct Renewal {
    /// Leases that a server may have granted already, and nobody has yet.
    asked: HashSet<i64>,
    book: LeaseBook,
    lost: HashMap<i64, CancellationToken>,
    stream: Duplex<LeaseKeepAliveRequest, LeaseKeepAliveResponse>,
    counters: Arc<Counters>,
    revocations: mpsc::UnboundedSender<i64>,
}

impl Renewal {
    async fn run(
        mut self,
        mut messages: mpsc::UnboundedReceiver<Message>,
        closing: CancellationToken,
    ) {
        loop {
            let wakeup = self.book.next_wakeup();
            let sleep = async {
                match wakeup {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = closing.cancelled() => break,
                message = messages.recv() => match message {
                    Some(message) => self.heard(message),
                    None => break,
                },
                event = self.stream.next() => self.happened(event),
                () = sleep => {}
            }
            self.act();
        }
        messages.close();
        while let Some(message) = messages.recv().await {
            self.heard(message);
        }
        for id in self.book.ids().chain(self.asked.iter().copied()) {
            let _ = self.revocations.send(id);
        }
        for lost in self.lost.values() {
            lost.cancel();
        }
    }

    fn heard(&mut self, message: Message) {
        match message {
            Message::Ask(id) => {
                self.asked.insert(id);
            }
            Message::Add {
                id,
                ttl,
                sent,
                lost,
            } => {
                self.asked.remove(&id);
                self.book.add(id, ttl, sent);
                self.lost.insert(id, lost);
            }
            Message::Remove(id) => {
                self.asked.remove(&id);
                self.book.remove(id);
                self.lost.remove(&id);
            }
        }
    }

    fn happened(&mut self, event: Event<LeaseKeepAliveResponse>) {
        match event {
            Event::Opened => self.book.connected(),
            Event::Broken(_) => self.book.disconnected(),
            Event::Message(answer) => {
                let ttl = u64::try_from(answer.ttl).ok().filter(|&ttl| ttl > 0);
                let lost = self.book.renewed(answer.id, ttl.map(Duration::from_secs));
                if let Some(command) = lost {
                    self.carry_out(command);
                }
            }
        }
    }

    fn act(&mut self) {
        for command in self.book.poll(now()) {
            self.carry_out(command);
        }
        if self.book.is_empty() {
            self.stream.close();
            self.book.disconnected();
        } else {
            self.stream.open();
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Renew(id) => self.stream.send(LeaseKeepAliveRequest { id }),
            Command::Reconnect => {
                self.stream.give_up();
                self.book.disconnected();
            }
            Command::Lost(id, loss) => {
                tracing::warn!(lease = format_args!("{id:x}"), ?loss, "lease lost");
                count(&self.counters.leases_lost);
                if let Some(lost) = self.lost.remove(&id) {
                    lost.cancel();
                }
                if loss == Loss::NotRenewed {
                    // The server may still have it, and others wait for its keys to go.
                    let _ = self.revocations.send(id);
                }
            }
        }
    }
}

fn keep_alive(
    channel: Channel,
    outbound: Outbound<LeaseKeepAliveRequest>,
) -> Inbound<LeaseKeepAliveResponse> {
    inbound(async move {
        let mut client = LeaseClient::new(channel);
        client.lease_keep_alive(requiring_leader(outbound)).await
    })
}

/// Revokes what comes in, until nobody can send more or `finish` says that nobody will. A lease
/// that cannot be revoked within the request timeout is left to expire.
async fn revoke_all(
    calls: Calls,
    mut queue: mpsc::UnboundedReceiver<i64>,
    finish: CancellationToken,
) {
    let mut running = FuturesUnordered::new();
    let mut open = true;
    while open || !running.is_empty() {
        tokio::select! {
            biased;
            Some(()) = running.next(), if !running.is_empty() => {}
            id = queue.recv(), if open && running.len() < REVOCATIONS_AT_ONCE => match id {
                Some(id) => running.push(revoke_quietly(&calls, id)),
                None => open = false,
            },
            () = finish.cancelled(), if !queue.is_closed() => queue.close(),
        }
    }
}

async fn revoke_quietly(calls: &Calls, id: i64) {
    if let Err(error) = revoke(calls, id).await
        && error.code() != ErrorCode::NotFound
    {
        tracing::debug!(%error, "a lease is left to expire");
    }
}

/// Revokes a lease.
///
/// # Errors
/// [`ErrorCode::NotFound`] if there is none; those of every call.
pub(crate) async fn revoke(calls: &Calls, id: i64) -> Result<(), Error> {
    let name = format!("{id:x}");
    let attempt = |channel, time| async move {
        let request = timed(LeaseRevokeRequest { id }, time);
        LeaseClient::new(channel).lease_revoke(request).await
    };
    let operation = Operation::on("revoke lease", name.as_bytes());
    calls.call(operation, Repeat::Safe, attempt).await?;
    Ok(())
}
