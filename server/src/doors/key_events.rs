//! The events of one key or prefix, one after the other: what queues and elections wait on.

use std::collections::VecDeque;

use quorate_proto::etcdserverpb::WatchCreateRequest;
use quorate_proto::etcdserverpb::WatchRequest;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::mvccpb::Event;
use quorate_store::{WatchLimits, WatchStream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::member::Member;
use super::status::server_stopped;

/// A single watch, its events flattened.
pub(super) struct KeyEvents {
    stopping: CancellationToken,
    watches: WatchStream,
    waiting: VecDeque<Event>,
}

impl KeyEvents {
    /// Watches a key, or a range if `range_end` is not empty, from a revision on.
    pub(super) fn of(
        member: &Member,
        key: Vec<u8>,
        range_end: Vec<u8>,
        start_revision: i64,
    ) -> Self {
        let watches = member.store().watch_stream(WatchLimits::default());
        let asked = watches.request(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
                key,
                range_end,
                start_revision,
                ..WatchCreateRequest::default()
            })),
        });
        debug_assert!(asked.is_ok(), "one request does not overrun a stream");
        Self {
            stopping: member.stopping(),
            watches,
            waiting: VecDeque::new(),
        }
    }

    /// The next event; `None` if what is next is compacted, so that one has to look again.
    ///
    /// Fails when this member stops.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Status> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            let response = tokio::select! {
                () = self.stopping.cancelled() => return Err(server_stopped()),
                response = self.watches.next() => response,
            };
            if response.canceled {
                return Ok(None);
            }
            self.waiting.extend(response.events);
        }
    }
}
