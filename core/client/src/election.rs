//! Elections: one leader at a time, known to all who ask.
//!
//! The keys are those of etcd's concurrency package, so `etcdctl elect` and programs in other
//! languages take part. A leader is the holder of a ticket whose value is what it says of itself;
//! its token is the revision at which the ticket was created, and grows from leader to leader.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use quorate_types::{Error, ErrorCode};

use crate::Client;
use crate::client::Inner;
use crate::driver::call::Repeat;
use crate::engine::ticket::{oldest, prefix_of, put_if_created};
use crate::engine::watches::WatchSpec;
use crate::holding::{DEFAULT_TTL, Holding, Wanted, lost_before, patient_range};
use crate::kv::{KeyValue, prefix_end, range, txn_call};
use crate::watch::{EventKind, KeyWatch, WatchBatch, watch};

/// How many leaders an observer that reads slowly is shown one by one; then only the newest.
const MAX_BEHIND: usize = 16;

/// An election; see [`Client::election`].
#[derive(Clone)]
#[must_use]
pub struct Election {
    client: Client,
    name: String,
    ttl: Duration,
    timeout: Option<Duration>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// What the leader says of itself.
    pub value: Bytes,
    /// Greater than that of every earlier leader; the same while one leads.
    pub token: i64,
    /// The key that stands for the leader.
    pub key: Bytes,
}

impl From<KeyValue> for Leader {
    fn from(kv: KeyValue) -> Self {
        Self {
            value: kv.value,
            token: kv.create_revision,
            key: kv.key,
        }
    }
}

impl Client {
    /// The election of this name.
    pub fn election(&self, name: impl Into<String>) -> Election {
        Election {
            client: self.clone(),
            name: name.into(),
            ttl: DEFAULT_TTL,
            timeout: None,
        }
    }
}

impl Election {
    /// How long leadership outlives a program that vanishes. Default: 10 s; rounded up to whole
    /// seconds; the server may raise it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long to campaign. Default: as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits to become the leader, in the order of arrival; `value` is what others then see.
    /// Dropping the future leaves the line.
    ///
    /// # Errors
    /// As [`LockRequest::acquire`](crate::lock::LockRequest::acquire).
    pub async fn campaign(&self, value: impl Into<Vec<u8>>) -> Result<Leadership, Error> {
        let wanted = Wanted {
            name: self.name.clone(),
            value: value.into(),
            ttl: self.ttl,
            timeout: self.timeout,
            kind: "election",
        };
        let inner = self.client.inner.clone();
        let holding = wanted.acquire(&inner).await?;
        Ok(Leadership {
            name: self.name.clone(),
            inner,
            holding,
        })
    }

    /// Who leads now; `None` if nobody does.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`], [`ErrorCode::Timeout`], [`ErrorCode::Closed`].
    pub async fn leader(&self) -> Result<Option<Leader>, Error> {
        let request = oldest(&prefix_of(&self.name));
        let result = range(&self.client.inner.calls, &request).await?;
        Ok(result.kvs.into_iter().next().map(Leader::from))
    }

    /// Follows the election: the leader there is, then every new leader and every new value, in
    /// order. One who reads slowly is shown the newest instead of all that was. While no server
    /// answers it waits; it ends with an error if that is of no use.
    pub fn observe(&self) -> impl Stream<Item = Result<Leader, Error>> + Send + Unpin + 'static {
        let observer = Observer {
            inner: self.client.inner.clone(),
            prefix: prefix_of(&self.name),
            watch: None,
            seen: 0,
            leader: None,
            unread: VecDeque::new(),
            ended: false,
            error: None,
        };
        let leaders: BoxStream<'static, _> = stream::unfold(observer, |mut observer| async move {
            let next = observer.next().await?;
            Some((next, observer))
        })
        .boxed();
        leaders
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election")
            .field("name", &self.name)
            .field("ttl", &self.ttl)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

struct Observer {
    inner: Arc<Inner>,
    prefix: Vec<u8>,
    watch: Option<KeyWatch>,
    /// Everything up to this revision is taken into account.
    seen: i64,
    leader: Option<Leader>,
    unread: VecDeque<Leader>,
    ended: bool,
    /// Told after what is unread.
    error: Option<Error>,
}

impl Observer {
    async fn next(&mut self) -> Option<Result<Leader, Error>> {
        let mut more = !self.ended;
        while more {
            more = match self.catch_up().await {
                Ok(more) => more,
                Err(error) => {
                    self.ended = true;
                    self.error = Some(error);
                    false
                }
            };
        }
        match self.unread.pop_front() {
            Some(leader) => Some(Ok(leader)),
            None => self.error.take().map(Err),
        }
    }

    /// Takes in a part of what there is, and waits for it if there is nothing to show yet. Answers
    /// whether to go on.
    async fn catch_up(&mut self) -> Result<bool, Error> {
        let Some(watch) = &mut self.watch else {
            self.look().await?;
            let spec = WatchSpec {
                key: self.prefix.clone(),
                range_end: prefix_end(&self.prefix),
                previous: false,
            };
            self.watch = Some(watch(&self.inner, spec, self.seen + 1));
            return Ok(true);
        };
        let batch = if self.unread.is_empty() {
            watch.next().await
        } else {
            match watch.next().now_or_never() {
                Some(batch) => batch,
                None => return Ok(false),
            }
        };
        match batch {
            Some(Ok(batch)) => self.take(batch).await?,
            // The history is gone: look at what is, and follow from there.
            Some(Err(error)) if error.code() == ErrorCode::OutOfRange => self.watch = None,
            Some(Err(error)) => return Err(error),
            None => {
                self.ended = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn take(&mut self, batch: WatchBatch) -> Result<(), Error> {
        for event in batch.events {
            if event.kv.mod_revision <= self.seen {
                continue;
            }
            let leads = self.leader.as_ref().is_some_and(|l| l.key == event.kv.key);
            match (event.kind, leads) {
                (EventKind::Put, true) => self.show(event.kv.into()),
                // The leader is gone, or the first of a new line is here.
                (EventKind::Delete, true) => self.look().await?,
                (EventKind::Put, false) if self.leader.is_none() => self.look().await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Error> {
        let result = patient_range(&self.inner, &oldest(&self.prefix)).await?;
        self.seen = result.revision;
        match result.kvs.into_iter().next() {
            Some(kv) => self.show(kv.into()),
            None => self.leader = None,
        }
        Ok(())
    }

    fn show(&mut self, leader: Leader) {
        if self.leader.as_ref() == Some(&leader) {
            return;
        }
        self.leader = Some(leader.clone());
        if self.unread.len() >= MAX_BEHIND {
            self.unread.clear();
        }
        self.unread.push_back(leader);
    }
}

/// Leadership, renewed in the background. Dropping it resigns in the background.
#[must_use = "dropped leadership is given up"]
pub struct Leadership {
    name: String,
    inner: Arc<Inner>,
    holding: Holding,
}

impl Leadership {
    /// The election's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that stands for this leader.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.holding.key()
    }

    /// The fencing token: greater than that of every earlier leader.
    #[must_use]
    pub fn token(&self) -> i64 {
        self.holding.token()
    }

    /// Whether leadership is lost. `false` is a snapshot, not a promise: see [`Leadership::token`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.holding.lost_token().is_cancelled()
    }

    /// Resolves when leadership is lost: it could not be renewed in time, its lease was revoked or
    /// its key deleted by somebody else, or the client was closed. It never resolves for what was given
    /// up.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        self.holding.lost_token().clone().cancelled_owned()
    }

    /// Changes what others see of the leader. Proclaim one value after the other: of two at the same
    /// time, either may be the last.
    ///
    /// # Errors
    /// [`ErrorCode::LockLost`] if this is not the leader any more; [`ErrorCode::Unavailable`],
    /// [`ErrorCode::Timeout`].
    pub async fn proclaim(&self, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        let holding = &self.holding;
        let (key, lease) = (holding.key(), holding.lease());
        let request = put_if_created(key, value.into(), lease, holding.token());
        // The same value under the same condition: twice is as good as once.
        let result = match txn_call(&self.inner.calls, &request, Repeat::Safe).await {
            Err(error) if error.code() == ErrorCode::NotFound => return Err(self.lost_before()),
            result => result?,
        };
        if result.succeeded {
            Ok(())
        } else {
            Err(self.lost_before())
        }
    }

    /// Gives leadership up; the next in line leads when this returns.
    ///
    /// # Errors
    /// [`ErrorCode::LockLost`] if it was lost before; [`ErrorCode::Unavailable`] or
    /// [`ErrorCode::Timeout`] if no server answers: it is then given up in the background, by its
    /// time to live at the latest.
    pub async fn resign(self) -> Result<(), Error> {
        let what = self.what();
        self.holding.release(&what).await
    }

    fn lost_before(&self) -> Error {
        lost_before(&self.what())
    }

    fn what(&self) -> String {
        format!("leadership of \"{}\"", self.name)
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership")
            .field("name", &self.name)
            .field("token", &self.token())
            .field("lost", &self.is_lost())
            .finish()
    }
}
