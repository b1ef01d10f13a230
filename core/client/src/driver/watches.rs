//! The task behind all watches of a client: one stream, many readers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{WatchCancelRequest, WatchRequest, WatchResponse};
use quorate_types::{Error, ErrorCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::call::{Calls, MAX_ANSWER, closed};
use super::duplex::{Duplex, Event, Inbound, Outbound, inbound, requiring_leader};
use super::now;
use super::watch_buffer::WatchBuffer;
use crate::engine::watches::{Command, End, WatchKey, WatchSet, WatchSpec};
use crate::error::Operation;
use crate::watch::WatchBatch;

/// The longest wait before another attempt while something is watched.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Tells the task what to watch; cheap to clone. The queue holds at most a few messages for each
/// watch of the program.
#[derive(Clone, Debug)]
pub(crate) struct WatchHub {
    messages: mpsc::UnboundedSender<Message>,
    last_key: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Add {
        watch: WatchKey,
        spec: WatchSpec,
        revision: i64,
        buffer: Arc<WatchBuffer>,
    },
    Remove(WatchKey),
    Resume(WatchKey),
}

/// A reader's end of a watch; cancels it when dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    hub: WatchHub,
    watch: WatchKey,
    pub(crate) buffer: Arc<WatchBuffer>,
}

impl WatchHub {
    /// The hub and its task, which ends with the gate of `calls`.
    pub(crate) fn new(calls: &Calls) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (messages, receiver) = mpsc::unbounded_channel();
        let hub = Self {
            messages,
            last_key: Arc::default(),
        };
        let task = Task {
            set: WatchSet::default(),
            buffers: HashMap::new(),
            stream: Duplex::new(
                calls.servers().clone(),
                calls.counters().clone(),
                LONGEST_WAIT,
                open,
            ),
        };
        (hub, task.run(receiver, calls.gate().clone()))
    }

    /// Watches from `revision` on, or from now on if that is 0.
    pub(crate) fn watch(&self, spec: WatchSpec, revision: i64) -> Watching {
        let watch = self.last_key.fetch_add(1, Ordering::Relaxed) + 1;
        let buffer = Arc::new(WatchBuffer::default());
        let add = Message::Add {
            watch,
            spec,
            revision,
            buffer: buffer.clone(),
        };
        if self.messages.send(add).is_err() {
            buffer.end(end_of_client());
        }
        Watching {
            hub: self.clone(),
            watch,
            buffer,
        }
    }
}

impl Watching {
    /// The reader has room again.
    pub(crate) fn resume(&self) {
        // Refused only when the client was closed, which has ended the watch.
        let _ = self.hub.messages.send(Message::Resume(self.watch));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Refused only when the client was closed, which has ended the watch.
        let _ = self.hub.messages.send(Message::Remove(self.watch));
    }
}

fn end_of_client() -> End {
    End {
        error: closed(Operation::plain("watch")),
        compacted: None,
    }
}

struct Task {
    set: WatchSet,
    buffers: HashMap<WatchKey, Arc<WatchBuffer>>,
    stream: Duplex<WatchRequest, WatchResponse>,
}

impl Task {
    async fn run(
        mut self,
        mut messages: mpsc::UnboundedReceiver<Message>,
        closing: CancellationToken,
    ) {
        loop {
            let wakeup = self.set.next_wakeup();
            let sleep = async {
                match wakeup {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let commands = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                message = messages.recv() => match message {
                    Some(message) => Vec::from_iter(self.heard(message)),
                    None => break,
                },
                event = self.stream.next() => self.happened(event),
                () = sleep => Vec::from_iter(self.set.poll(now())),
            };
            for command in commands {
                self.carry_out(command);
            }
            if self.set.wants_stream() {
                self.stream.open();
            } else if self.set.is_empty() {
                self.set.disconnected();
                self.stream.close();
            }
        }
        messages.close();
        while let Some(message) = messages.recv().await {
            self.heard(message);
        }
        for buffer in self.buffers.values() {
            buffer.end(end_of_client());
        }
    }

    fn heard(&mut self, message: Message) -> Option<Command> {
        match message {
            Message::Add {
                watch,
                spec,
                revision,
                buffer,
            } => {
                self.buffers.insert(watch, buffer);
                self.set.add(watch, spec, revision, now())
            }
            Message::Remove(watch) => {
                self.buffers.remove(&watch);
                self.set.remove(watch)
            }
            Message::Resume(watch) => self.set.resume(watch, now()),
        }
    }

    fn happened(&mut self, event: Event<WatchResponse>) -> Vec<Command> {
        match event {
            Event::Opened => self.set.connected(now()),
            Event::Message(response) => self.set.received(response),
            Event::Broken(failure) => {
                self.set.disconnected();
                match failure.code {
                    // Asking again would be refused again.
                    ErrorCode::Unimplemented
                    | ErrorCode::PermissionDenied
                    | ErrorCode::Unauthenticated => {
                        let message = format!("watch: {}", failure.cause);
                        self.set.end_all(&Error::new(failure.code, message))
                    }
                    _ => Vec::new(),
                }
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Create(request) => self.send(RequestUnion::CreateRequest(request)),
            Command::Cancel(watch_id) => {
                self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
            }
            Command::Started(watch, revision) => {
                if let Some(buffer) = self.buffers.get(&watch) {
                    buffer.started(revision);
                }
            }
            Command::Deliver {
                watch,
                revision,
                events,
            } => {
                let batch = WatchBatch::from_wire(revision, events);
                let full = match self.buffers.get(&watch) {
                    Some(buffer) => buffer.push(batch),
                    None => false,
                };
                if full && let Some(cancel) = self.set.park(watch) {
                    self.carry_out(cancel);
                }
            }
            Command::End(watch, end) => {
                if let Some(buffer) = self.buffers.remove(&watch) {
                    buffer.end(end);
                }
            }
            Command::Reconnect => {
                self.stream.give_up();
                self.set.disconnected();
            }
        }
    }

    fn send(&mut self, request: RequestUnion) {
        self.stream.send(WatchRequest {
            request_union: Some(request),
        });
    }
}

fn open(channel: Channel, outbound: Outbound<WatchRequest>) -> Inbound<WatchResponse> {
    inbound(async move {
        let mut client = WatchClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        client.watch(requiring_leader(outbound)).await
    })
}
