//! Both servers side by side: the same steps, and the first difference.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    RangeRequest, WatchCancelRequest, WatchCreateRequest, WatchRequest,
};
use quorate_tests::server::Server;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::etcd::Etcd;
use crate::generate::{self, Seen};
use crate::rules;
use crate::side::Side;
use crate::step::Step;
use crate::watches::Watches;

/// How long streams may take to tell the same; a difference takes as long to be found.
const CONVERGENCE: Duration = Duration::from_secs(5);
/// How much of an answer is printed: values can be large.
const SHOWN: usize = 6000;

/// Two fresh servers.
pub(crate) struct Pair {
    etcd: Side,
    quorate: Side,
    /// What has been asked so far.
    pub(crate) done: Vec<Step>,
    seen: Seen,
    markers: i64,
    _processes: (Etcd, Server),
}

/// The first difference.
pub(crate) struct Difference {
    step: usize,
    request: String,
    etcd: String,
    quorate: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            request,
            etcd,
            quorate,
        } = self;
        write!(
            f,
            "step {step}: {request}\n   etcd: {etcd}\nquorate: {quorate}"
        )
    }
}

/// Debug text of bounded length.
pub(crate) fn shown<T: fmt::Debug>(what: &T) -> String {
    let mut text = format!("{what:?}");
    if text.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

impl Pair {
    /// Starts both.
    ///
    /// # Errors
    /// One does not start.
    pub(crate) async fn start(etcd: &Path) -> Result<Self> {
        let (etcd, etcd_channel) = Etcd::start(etcd).await?;
        let quorate = tokio::task::spawn_blocking(Server::start).await??;
        let channel = Channel::from_shared(quorate.url())?.connect().await?;
        Ok(Self {
            etcd: Side::new(etcd_channel),
            quorate: Side::new(channel),
            done: Vec::new(),
            seen: Seen::default(),
            markers: 0,
            _processes: (etcd, quorate),
        })
    }

    /// Runs a random sequence, then reads everything that there has been.
    ///
    /// # Errors
    /// A server does not answer.
    pub(crate) async fn run_random(&mut self, seed: u64, steps: u64) -> Result<Option<Difference>> {
        let mut random = Rng::with_seed(seed);
        for _ in 0..steps {
            let compacted = &self.etcd.watches.compacted;
            self.seen.compacted_streams.clone_from(compacted);
            let step = generate::step(&mut random, &self.seen);
            if let Some(difference) = self.run(step).await? {
                return Ok(Some(difference));
            }
        }
        for revision in self.seen.compacted.max(1)..=self.seen.revision {
            let everything = Step::Range(RangeRequest {
                key: b"\0".to_vec(),
                range_end: b"\0".to_vec(),
                revision,
                ..RangeRequest::default()
            });
            if let Some(difference) = self.run(everything).await? {
                return Ok(Some(difference));
            }
        }
        self.mark().await?;
        self.run(Step::LeaseLeases).await
    }

    /// Runs one step on both.
    ///
    /// # Errors
    /// A server does not answer.
    pub(crate) async fn run(&mut self, step: Step) -> Result<Option<Difference>> {
        self.done.push(step.clone());
        if disturbs_watches(&step) {
            self.mark().await?;
        }
        let mut etcd = match rules::known_answer(&step) {
            Some(answer) => answer,
            None => self.etcd.ask(&step).await?,
        };
        let mut quorate = self.quorate.ask(&step).await?;
        rules::forgive(&step, &mut etcd);
        rules::forgive(&step, &mut quorate);
        let differ = |etcd: String, quorate: String, number: usize| {
            Ok(Some(Difference {
                step: number,
                request: shown(&step),
                etcd,
                quorate,
            }))
        };
        if etcd != quorate {
            return differ(shown(&etcd), shown(&quorate), self.done.len());
        }
        if !self.converge(answered_on_stream(&step)).await {
            let logs = [&self.etcd.watches.log, &self.quorate.watches.log];
            let [etcd, quorate] = logs.map(shown);
            return differ(etcd, quorate, self.done.len());
        }
        self.seen.note(&step, &etcd);
        if matches!(step, Step::Watch(..)) {
            self.mark().await?;
        }
        Ok(None)
    }

    /// Waits until both servers' streams have told the same, and `something` if it has to be.
    async fn converge(&mut self, something: bool) -> bool {
        let deadline = Instant::now() + CONVERGENCE;
        loop {
            let (etcd, quorate) = (&mut self.etcd, &mut self.quorate);
            etcd.watches.drain(&etcd.leases);
            quorate.watches.drain(&quorate.leases);
            let told = !something || !etcd.watches.log.is_empty();
            if told && etcd.watches.log == quorate.watches.log {
                etcd.watches.log.clear();
                quorate.watches.log.clear();
                return true;
            }
            tokio::select! {
                () = etcd.watches.receive(&etcd.leases) => {}
                () = quorate.watches.receive(&quorate.leases) => {}
                () = tokio::time::sleep_until(deadline) => return false,
            }
        }
    }

    /// Waits until the streams have answered, and their watchers have read the past. etcd has
    /// all of them read it in one go every 100 ms, and a stream's answers come in order, so one
    /// more watcher of the newest revision tells when.
    async fn mark(&mut self) -> Result<()> {
        if self.seen.revision <= self.seen.compacted.max(1) {
            return Ok(());
        }
        self.markers += 1;
        let marker = Watches::marker(self.markers);
        let create = RequestUnion::CreateRequest(WatchCreateRequest {
            key: b"\0".to_vec(),
            range_end: b"\0".to_vec(),
            start_revision: self.seen.revision,
            watch_id: marker,
            ..WatchCreateRequest::default()
        });
        let cancel = RequestUnion::CancelRequest(WatchCancelRequest { watch_id: marker });
        let streams = self.seen.streams();
        for side in [&mut self.etcd, &mut self.quorate] {
            for &stream in &streams {
                side.watches.send(stream, request(create.clone()));
            }
        }
        for side in [&mut self.etcd, &mut self.quorate] {
            let deadline = Instant::now() + CONVERGENCE;
            for &stream in &streams {
                while !side.watches.marked(stream, marker) {
                    ensure!(
                        Instant::now() < deadline,
                        "a watcher is not told of the past"
                    );
                    let receive = side.watches.receive(&side.leases);
                    // The deadline is looked at above.
                    drop(tokio::time::timeout_at(deadline, receive).await);
                }
                side.watches.send(stream, request(cancel.clone()));
            }
        }
        Ok(())
    }
}

fn request(union: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}

/// Whether what watchers are told depends on how far they are when this comes.
fn disturbs_watches(step: &Step) -> bool {
    match step {
        Step::Compact(_) => true,
        Step::Watch(_, request) => {
            matches!(request.request_union, Some(RequestUnion::CancelRequest(_)))
        }
        _ => false,
    }
}

/// Whether there is an answer on the step's stream in any case.
fn answered_on_stream(step: &Step) -> bool {
    match step {
        Step::Watch(_, request) => !disturbs_watches(step) && request.request_union.is_some(),
        _ => false,
    }
}
