//! Following a service: what changed, as often as the program asks, never more than it can take.
//!
//! Nothing is queued. A watch remembers the view it last told of and compares it with the newest:
//! a slow program skips what happened in between and sees only the result.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt, stream};
use quorate_types::{Instance, RemovalReason};
use tokio_stream::wrappers::WatchStream;

use super::service::{Published, Service};
use super::view::{Freshness, ServiceView};
use crate::client::Inner;

/// Something happened to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// The first event: everything known.
    Snapshot {
        /// The view.
        view: ServiceView,
    },
    /// Instances came, changed or went.
    Changed {
        /// The view after it.
        view: ServiceView,
        /// New instances.
        added: Vec<Arc<Instance>>,
        /// Changed instances, as they are now.
        updated: Vec<Arc<Instance>>,
        /// Instances that went, and why.
        removed: Vec<Removed>,
    },
    /// The thread of changes was lost and the service fetched whole: read the view anew.
    Resync {
        /// The view after it.
        view: ServiceView,
    },
    /// Only the freshness changed: contact with the servers was lost or found, or the view became
    /// complete.
    State {
        /// The freshness now.
        freshness: Freshness,
    },
}

/// An instance that is no longer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// As it was last seen.
    pub instance: Arc<Instance>,
    /// Why it went; `None` if no server said.
    pub reason: Option<RemovalReason>,
}

/// A stream of [`ServiceEvent`]s: a snapshot first, then what changes. Ends when the client is
/// closed. Dropping it ends the watch.
#[must_use = "a watch does nothing until it is polled"]
pub struct ServiceWatch {
    service: Arc<Service>,
    publications: WatchStream<u64>,
    /// What the program was last told of.
    told: Option<Arc<Published>>,
    /// At most two: a change, and the state after it.
    ready: VecDeque<ServiceEvent>,
    /// Keeps the client's background work alive.
    _client: Arc<Inner>,
}

impl ServiceWatch {
    pub(crate) fn new(service: Arc<Service>, client: Arc<Inner>) -> Self {
        Self {
            publications: WatchStream::new(service.publications()),
            service,
            told: None,
            ready: VecDeque::with_capacity(2),
            _client: client,
        }
    }

    /// The events, each with the view after it: one that tells only of the freshness goes with
    /// the instances told of before.
    pub fn with_views(self) -> impl Stream<Item = (ServiceEvent, ServiceView)> + Send + 'static {
        stream::unfold((self, None), |(mut watch, before)| async move {
            let event = watch.next().await?;
            let view = match (&event, before) {
                (
                    ServiceEvent::Snapshot { view }
                    | ServiceEvent::Changed { view, .. }
                    | ServiceEvent::Resync { view },
                    _,
                ) => view.clone(),
                (ServiceEvent::State { freshness }, Some(before)) => ServiceView {
                    freshness: *freshness,
                    ..before
                },
                // The first event is a snapshot.
                (ServiceEvent::State { .. }, None) => return None,
            };
            Some(((event, view.clone()), (watch, Some(view))))
        })
    }

    /// Compares the newest view with the one last told of.
    fn catch_up(&mut self) {
        let newest = self.service.published();
        if newest.state.is_none() {
            return;
        }
        let view = || self.service.view(&newest);
        let Some(told) = self.told.replace(Arc::clone(&newest)) else {
            self.ready
                .push_back(ServiceEvent::Snapshot { view: view() });
            return;
        };
        if newest.resyncs != told.resyncs {
            self.ready.push_back(ServiceEvent::Resync { view: view() });
            return;
        }
        let mut change = difference(&told.instances, &newest.instances);
        let any =
            !(change.added.is_empty() && change.updated.is_empty() && change.removed.is_empty());
        if any {
            for removed in &mut change.removed {
                removed.reason = newest
                    .departures
                    .iter()
                    .rfind(|departed| departed.instance.id == removed.instance.id)
                    .and_then(|departed| departed.reason);
            }
            self.ready.push_back(ServiceEvent::Changed {
                view: view(),
                added: change.added,
                updated: change.updated,
                removed: change.removed,
            });
        }
        if newest.state != told.state || newest.complete != told.complete {
            self.ready.push_back(ServiceEvent::State {
                freshness: view().freshness,
            });
        }
    }
}

impl Stream for ServiceWatch {
    type Item = ServiceEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServiceEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(event));
            }
            // The first poll gives the present count at once, so nothing published before is missed.
            if ready!(Pin::new(&mut self.publications).poll_next(cx)).is_none()
                || self.service.published().closed
            {
                return Poll::Ready(None);
            }
            self.catch_up();
        }
    }
}

impl std::fmt::Debug for ServiceWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceWatch")
            .field("service", &self.service.key)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Difference {
    added: Vec<Arc<Instance>>,
    updated: Vec<Arc<Instance>>,
    removed: Vec<Removed>,
}

/// What it takes to get from one sorted list to another.
fn difference(before: &[Arc<Instance>], after: &[Arc<Instance>]) -> Difference {
    let mut difference = Difference::default();
    let mut old = before.iter().peekable();
    let mut new = after.iter().peekable();
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some(a), Some(b)) => a.id.cmp(&b.id),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return difference,
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        match (gone, come) {
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) || a.same_content(b) => {}
            (Some(_), Some(b)) => difference.updated.push(Arc::clone(b)),
            (Some(a), None) => difference.removed.push(Removed {
                instance: Arc::clone(a),
                reason: None,
            }),
            (None, Some(b)) => difference.added.push(Arc::clone(b)),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(&str, u16)]) -> Vec<Arc<Instance>> {
        let instance = |(id, weight): &(&str, u16)| {
            let mut instance = Instance::new("h:1");
            instance.id = (*id).to_owned();
            instance.weight = *weight;
            Arc::new(instance)
        };
        entries.iter().map(instance).collect()
    }

    fn ids(instances: &[Arc<Instance>]) -> Vec<&str> {
        instances.iter().map(|i| i.id.as_str()).collect()
    }

    #[test]
    fn the_difference_names_each_once() {
        let before = list(&[("a", 1), ("b", 1), ("c", 1), ("e", 1)]);
        let after = list(&[("b", 1), ("c", 2), ("d", 1), ("e", 1), ("f", 1)]);
        let change = difference(&before, &after);
        assert_eq!(ids(&change.added), ["d", "f"]);
        assert_eq!(ids(&change.updated), ["c"]);
        assert_eq!(change.removed.len(), 1);
        assert_eq!(change.removed[0].instance.id, "a");
        let none = difference(&after, &after);
        assert!(none.added.is_empty() && none.updated.is_empty() && none.removed.is_empty());
        assert_eq!(difference(&[], &after).added.len(), 5);
        assert_eq!(difference(&after, &[]).removed.len(), 5);
    }
}
