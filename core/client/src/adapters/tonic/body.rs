//! The two bodies of a call: what is sent, which may have to be sent again, and what comes back,
//! at whose end the status is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use quorate_balance::Outcome;
use tonic::Status;
use tonic::body::Body;

use super::channel::outcome_in;
use crate::adapters::failure::outcome_of;
use crate::discovery::Pick;

/// Most bytes of a call that are kept to be sent again.
const MOST_KEPT: usize = 256 * 1024;

/// What a call sends, to one instance after the other. Behind a lock, because a transport that is
/// done with a body says so by dropping it whenever it likes; only the newest attempt reads.
pub(super) struct Replayed {
    source: Arc<Mutex<Source>>,
}

struct Source {
    rest: Body,
    /// What was read of it so far, if that is kept.
    kept: Option<Vec<Bytes>>,
    bytes: usize,
    touched: bool,
    attempt: u32,
}

/// A body for one attempt: what was kept, then the rest.
struct Attempt {
    source: Arc<Mutex<Source>>,
    number: u32,
    /// How much of what was kept is sent.
    sent: usize,
}

impl Replayed {
    /// `keeps`: what is sent is kept, so that it can be sent again.
    pub(super) fn new(body: Body, keeps: bool) -> Self {
        let source = Source {
            rest: body,
            kept: keeps.then(Vec::new),
            bytes: 0,
            touched: false,
            attempt: 0,
        };
        Self {
            source: Arc::new(Mutex::new(source)),
        }
    }

    /// The body of the next attempt; that of the one before ends.
    pub(super) fn to_send(&self) -> Body {
        let number = {
            let mut source = self.source.lock();
            source.attempt += 1;
            source.attempt
        };
        Body::new(Attempt {
            source: Arc::clone(&self.source),
            number,
            sent: 0,
        })
    }

    /// Whether all that was read can be sent once more.
    pub(super) fn can_be_sent_again(&self) -> bool {
        let source = self.source.lock();
        !source.touched || source.kept.is_some()
    }
}

impl Source {
    /// Keeps a piece that was read. Answers how much is kept.
    fn keep(&mut self, data: &Bytes) -> usize {
        self.touched = true;
        self.bytes = self.bytes.saturating_add(data.len());
        if self.bytes > MOST_KEPT {
            self.kept = None;
        }
        match &mut self.kept {
            Some(kept) => {
                kept.push(data.clone());
                kept.len()
            }
            None => 0,
        }
    }

    fn kept(&self, place: usize) -> Option<&Bytes> {
        self.kept.as_ref()?.get(place)
    }
}

impl HttpBody for Attempt {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let source = Arc::clone(&self.source);
        let mut source = source.lock();
        if source.attempt != self.number {
            return Poll::Ready(None);
        }
        if let Some(data) = source.kept(self.sent) {
            self.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        let frame = ready!(Pin::new(&mut source.rest).poll_frame(context));
        match frame
            .as_ref()
            .map(|frame| frame.as_ref().ok().and_then(Frame::data_ref))
        {
            Some(Some(data)) => self.sent = source.keep(data),
            // An error, or trailers, which calls do not have: not to be had twice.
            Some(None) => (source.touched, source.kept) = (true, None),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.lock();
        source.kept(self.sent).is_none() && source.rest.is_end_stream()
    }
}

/// An answer at whose end the status is: then the pick is reported. Dropped before, the call was
/// cancelled.
pub(super) struct Reported {
    answer: Body,
    pick: Option<Pick>,
    latency: Duration,
}

impl Reported {
    pub(super) fn new(answer: Body, pick: Pick, latency: Duration) -> Self {
        Self {
            answer,
            pick: Some(pick),
            latency,
        }
    }
}

impl HttpBody for Reported {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.answer).poll_frame(context));
        let outcome = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().and_then(outcome_in),
            Some(Err(error)) => Some(outcome_of(error)),
            // No status: the instance broke off.
            None => Some(Outcome::Fail),
        };
        if let Some(outcome) = outcome
            && let Some(pick) = self.pick.take()
        {
            pick.report(outcome, Some(self.latency));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}
