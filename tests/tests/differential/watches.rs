//! What a server's watch streams were told, by watcher.

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::{WatchRequest, WatchResponse};
use quorate_proto::mvccpb::Event;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

use crate::normal::ChosenLeases;
use crate::rules;

/// Watch ids from here on are the harness's own; see [`Watches::marker`].
const MARKERS: i64 = 1 << 40;

/// Something a watcher was told. How events are batched is the server's choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// A response without events.
    Control(WatchResponse),
    /// One event, and whether its response's header had its revision or a later one.
    Event(bool, Event),
    /// The stream has ended.
    Ended(tonic::Code, String),
}

/// What was told, by stream and watch id.
pub(crate) type Log = BTreeMap<(usize, i64), Vec<Told>>;

type Message = (usize, Result<WatchResponse, Status>);

/// One server's streams. Their tasks end with the client they belong to.
pub(crate) struct Watches {
    client: WatchClient<Channel>,
    streams: BTreeMap<usize, mpsc::UnboundedSender<WatchRequest>>,
    incoming: mpsc::UnboundedReceiver<Message>,
    sender: mpsc::UnboundedSender<Message>,
    /// Since the last comparison.
    pub(crate) log: Log,
    markers: BTreeSet<(usize, i64)>,
    /// Streams that have had a watcher cancelled for a compaction.
    pub(crate) compacted: BTreeSet<usize>,
}

impl Watches {
    pub(crate) fn new(channel: Channel) -> Self {
        let (sender, incoming) = mpsc::unbounded_channel();
        Self {
            client: WatchClient::new(channel).max_decoding_message_size(usize::MAX),
            streams: BTreeMap::new(),
            incoming,
            sender,
            log: Log::new(),
            markers: BTreeSet::new(),
            compacted: BTreeSet::new(),
        }
    }

    /// Sends a request on a stream, and opens the stream first if need be.
    pub(crate) fn send(&mut self, stream: usize, request: WatchRequest) {
        let requests = self.streams.entry(stream).or_insert_with(|| {
            let (requests, outgoing) = mpsc::unbounded_channel();
            let mut client = self.client.clone();
            let sender = self.sender.clone();
            tokio::spawn(async move {
                let outgoing = UnboundedReceiverStream::new(outgoing);
                let mut responses = match client.watch(outgoing).await {
                    Ok(responses) => responses.into_inner(),
                    Err(status) => return sender.send((stream, Err(status))).is_ok(),
                };
                loop {
                    let response = match responses.message().await {
                        Ok(Some(response)) => Ok(response),
                        Ok(None) => Err(Status::ok("end of stream")),
                        Err(status) => Err(status),
                    };
                    let ended = response.is_err();
                    if sender.send((stream, response)).is_err() || ended {
                        return true;
                    }
                }
            });
            requests
        });
        // A stream that has ended is told by its log.
        drop(requests.send(request));
    }

    /// The n-th marker: a watch id that no sequence uses.
    pub(crate) fn marker(number: i64) -> i64 {
        MARKERS + number
    }

    /// Whether a marker's watcher has had an event, or was cancelled for a compaction.
    pub(crate) fn marked(&self, stream: usize, marker: i64) -> bool {
        self.markers.contains(&(stream, marker))
    }

    /// Waits for a message.
    pub(crate) async fn receive(&mut self, leases: &ChosenLeases) {
        if let Some(message) = self.incoming.recv().await {
            self.take(message, leases);
        }
    }

    /// Takes the messages that are there.
    pub(crate) fn drain(&mut self, leases: &ChosenLeases) {
        while let Ok(message) = self.incoming.try_recv() {
            self.take(message, leases);
        }
    }

    fn take(&mut self, (stream, message): Message, leases: &ChosenLeases) {
        let mut response = match message {
            Ok(response) => response,
            Err(status) => {
                let told = Told::Ended(status.code(), status.message().to_owned());
                self.log.entry((stream, i64::MIN)).or_default().push(told);
                return;
            }
        };
        let id = response.watch_id;
        if id >= MARKERS {
            if !response.created {
                self.markers.insert((stream, id));
            }
            return;
        }
        leases.watched(&mut response);
        if response.compact_revision != 0 {
            self.compacted.insert(stream);
        }
        rules::forgive_watch(&mut response);
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        let log = self.log.entry((stream, id)).or_default();
        if response.events.is_empty() {
            log.push(Told::Control(response));
        } else {
            let events = std::mem::take(&mut response.events);
            log.extend(events.into_iter().map(|event| {
                let of_event = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
                Told::Event(of_event <= revision, event)
            }));
        }
    }
}
