//! Tests of streams as their clients see them.

mod create;
mod events;
mod log;
mod progress;
mod slow;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use quorate_proto::etcdserverpb::watch_create_request::FilterType;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    TxnRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
    WatchResponse,
};
use quorate_proto::mvccpb::event::EventType;

use super::{WatchLimits, WatchStream};
use crate::testing::*;

fn create(key: &str, range_end: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: key.into(),
        range_end: range_end.into(),
        ..WatchCreateRequest::default()
    }
}

impl WatchStream {
    fn ask(&self, request: RequestUnion) {
        self.request(WatchRequest {
            request_union: Some(request),
        })
        .unwrap();
    }

    fn watch(&self, request: WatchCreateRequest) {
        self.ask(RequestUnion::CreateRequest(request));
    }

    fn cancel_watch(&self, watch_id: i64) {
        self.ask(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
    }

    fn ask_progress(&self) {
        self.ask(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The next response, or `None` if the stream would wait.
fn poll_next(stream: &WatchStream) -> Option<WatchResponse> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut future = Box::pin(stream.next());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(response) => return Some(response),
            Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
            Poll::Pending => return None,
        }
    }
}

/// The next response; the test fails if there is none soon.
async fn next(stream: &WatchStream) -> WatchResponse {
    tokio::time::timeout(Duration::from_secs(10), stream.next())
        .await
        .expect("a response")
}

/// Nothing is to be sent.
async fn silent(stream: &WatchStream) {
    // A stream never waits for time: what it has to send, it sends within a few polls.
    let patience = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        response = stream.next() => panic!("{response:?}"),
        () = patience => {}
    }
}

fn revision(response: &WatchResponse) -> i64 {
    response.header.unwrap().revision
}

/// Key, kind and revision of each event.
fn told(response: &WatchResponse) -> Vec<(String, EventType, i64)> {
    let event = |event: &quorate_proto::mvccpb::Event| {
        let kv = event.kv.as_ref().unwrap();
        let key = String::from_utf8(kv.key.to_vec()).unwrap();
        (key, event.r#type(), kv.mod_revision)
    };
    response.events.iter().map(event).collect()
}

fn stream(fixture: &Fixture) -> WatchStream {
    fixture.store.watch_stream(WatchLimits::default())
}
