//! Watching one service without a session: a snapshot, then deltas.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use quorate_proto::convert;
use quorate_proto::v1;
use quorate_types::{Error, ErrorCode};

use crate::plane::Plane;
use crate::session::SessionEnd;
use crate::subscription::{Mailbox, Subscription, Taken};
use crate::view::Position;

/// Every watch, so that they can be ended.
#[derive(Default)]
pub(crate) struct Watches {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    mailboxes: HashMap<u64, Arc<Mailbox>>,
    last_number: u64,
    /// Why no watch can be opened any more.
    closed: Option<String>,
}

/// What a watcher of one service is sent. Dropping it ends the watch.
pub struct ServiceWatch {
    plane: Arc<Plane>,
    number: u64,
    mailbox: Arc<Mailbox>,
    subscription: Arc<Subscription>,
}

// === impl Watches ===

impl Watches {
    /// Ends all watches, and opens none from here on.
    pub(crate) fn close(&self, why: &str) {
        let mailboxes: Vec<_> = {
            let mut open = self.open.lock();
            open.closed.get_or_insert_with(|| why.to_owned());
            open.mailboxes.values().cloned().collect()
        };
        for mailbox in mailboxes {
            mailbox.end(SessionEnd::Stopped);
        }
    }

    fn add(&self, mailbox: Arc<Mailbox>, limit: usize) -> Result<u64, Error> {
        let mut open = self.open.lock();
        if let Some(why) = &open.closed {
            return Err(Error::new(ErrorCode::Unavailable, why.clone()));
        }
        if open.mailboxes.len() >= limit {
            return Err(Error::new(
                ErrorCode::ResourceExhausted,
                format!("the server has {limit} watches, the limit"),
            ));
        }
        open.last_number += 1;
        let number = open.last_number;
        open.mailboxes.insert(number, mailbox);
        Ok(number)
    }
}

// === impl ServiceWatch ===

impl ServiceWatch {
    pub(crate) fn open(
        plane: &Arc<Plane>,
        request: &v1::WatchServiceRequest,
    ) -> Result<Self, Error> {
        let key = convert::service_key(request.service.as_ref())?;
        let mailbox = Arc::new(Mailbox::default());
        let number = plane
            .watches
            .add(mailbox.clone(), plane.options.limits.watches)?;
        match plane.subscribe(key, &mailbox, request.known.map(Position::from)) {
            Ok(subscription) => Ok(Self {
                plane: plane.clone(),
                number,
                mailbox,
                subscription,
            }),
            Err(error) => {
                plane.watches.open.lock().mailboxes.remove(&number);
                Err(error)
            }
        }
    }

    /// The next message: a snapshot, unless the watcher's version can be brought up to date by
    /// deltas. Changes that come faster than they are taken become one. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// `Unavailable` when the server stops: watch elsewhere, or later.
    pub async fn next(&self) -> Result<v1::WatchServiceResponse, Error> {
        loop {
            if let Some(response) = self.try_next()? {
                return Ok(response);
            }
            self.mailbox.woken().await;
        }
    }

    pub(crate) fn try_next(&self) -> Result<Option<v1::WatchServiceResponse>, Error> {
        if let Some(Taken::Ended(why)) = self.mailbox.take(0) {
            return Err(why
                .error()
                .unwrap_or_else(|| Error::new(ErrorCode::Closed, "the watch has ended")));
        }
        let view = self
            .mailbox
            .take_changed()
            .and_then(|subscription| self.plane.news(&subscription));
        Ok(view.map(|view| view.to_watch_response()))
    }
}

impl fmt::Debug for ServiceWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceWatch")
            .field("service", &self.subscription.key)
            .finish_non_exhaustive()
    }
}

impl Drop for ServiceWatch {
    fn drop(&mut self) {
        self.mailbox.end(SessionEnd::Detached);
        self.plane.unsubscribe(&self.subscription);
        self.plane
            .watches
            .open
            .lock()
            .mailboxes
            .remove(&self.number);
    }
}
