//! A service's instances as tower's changes.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use quorate_types::{Instance, InstanceStatus};
use tower::discover::Change;

use crate::adapters::endpoints::is_called_alike;
use crate::discovery::{ServiceEvent, ServiceView, ServiceWatch};

/// The instances of a service that want calls, as a [`Discover`](tower::discover::Discover): each
/// is inserted under its id, inserted again when its address, version, zone or metadata change, and
/// removed when it goes, is not up any more, or has weight 0. Ends when the client is closed.
///
/// While no server is reachable the instances stay. tower's balancers draw all instances equally:
/// weights, breakers and the retry budget are in [`Balance`](super::Balance) only.
///
/// ```no_run
/// use quorate::adapters::tower::Discovery;
/// # use tower::Service;
/// # async fn example(client: quorate::Client) -> Result<(), quorate::Error> {
/// let discovery = Discovery::new(client.watch_service("shop")?, |instance| {
///     let address = instance.address.clone();
///     tower::service_fn(move |name: String| {
///         let address = address.clone();
///         async move { Ok::<_, std::io::Error>(format!("{name} by {address}")) }
///     })
/// });
/// // For instance, for tower::balance::p2c::Balance.
/// # let _ = discovery;
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct Discovery<M, S> {
    watch: ServiceWatch,
    make: M,
    /// What was inserted and not removed.
    told: BTreeMap<String, Arc<Instance>>,
    changes: VecDeque<Change<String, S>>,
}

impl<M, S> Discovery<M, S>
where
    M: FnMut(&Instance) -> S,
{
    /// Follows `watch`, and makes a service for each instance with `make`.
    pub fn new(watch: ServiceWatch, make: M) -> Self {
        Self {
            watch,
            make,
            told: BTreeMap::new(),
            changes: VecDeque::new(),
        }
    }

    fn take(&mut self, view: &ServiceView) {
        let wanted: BTreeMap<&str, &Arc<Instance>> = view
            .instances
            .iter()
            .filter(|instance| instance.status == InstanceStatus::Up && instance.weight > 0)
            .map(|instance| (instance.id.as_str(), instance))
            .collect();
        let stays = |id: &String| wanted.contains_key(id.as_str());
        let gone: Vec<String> = self.told.keys().filter(|id| !stays(id)).cloned().collect();
        for id in gone {
            self.told.remove(&id);
            self.changes.push_back(Change::Remove(id));
        }
        for (id, instance) in wanted {
            let told = self.told.get(id);
            if told.is_some_and(|told| is_called_alike(told, instance)) {
                continue;
            }
            let service = (self.make)(instance);
            self.changes
                .push_back(Change::Insert(id.to_owned(), service));
            self.told.insert(id.to_owned(), Arc::clone(instance));
        }
    }
}

impl<M, S> Stream for Discovery<M, S>
where
    M: FnMut(&Instance) -> S + Unpin,
    S: Unpin,
{
    type Item = Result<Change<String, S>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Poll::Ready(Some(Ok(change)));
            }
            match ready!(Pin::new(&mut self.watch).poll_next(context)) {
                Some(
                    ServiceEvent::Snapshot { view }
                    | ServiceEvent::Changed { view, .. }
                    | ServiceEvent::Resync { view },
                ) => self.take(&view),
                Some(ServiceEvent::State { .. }) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<M, S> fmt::Debug for Discovery<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery")
            .field("told", &self.told.len())
            .finish_non_exhaustive()
    }
}
