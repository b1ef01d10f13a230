//! What commands made, by the names they gave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::future::AbortHandle;
use quorate::election::Leadership;
use quorate::lease::Lease;
use quorate::lock::LockGuard;
use quorate::{Client, Pick, Registered};
use quorate_tests::conformance::line::{Answer, Fields};

use crate::arguments::Arguments;
use crate::watches::Items;
use crate::{Done, NAMES};

/// A thing with a name.
pub(crate) enum Thing {
    Client(Client),
    Registration(Arc<Registered>),
    Watch(Arc<tokio::sync::Mutex<Items>>, AbortHandle),
    Pick(Pick),
    Holding(Arc<Holding>),
}

/// A thing that is held.
pub(crate) enum Holding {
    Lock(LockGuard),
    Leadership(Leadership),
    Lease(Lease),
}

pub(crate) struct Names {
    things: Mutex<Option<HashMap<String, Thing>>>,
}

impl Names {
    pub(crate) const fn new() -> Self {
        Self {
            things: Mutex::new(None),
        }
    }

    fn with<T>(&self, with: impl FnOnce(&mut HashMap<String, Thing>) -> T) -> T {
        let mut things = self.things.lock().expect("nobody panics with it");
        with(things.get_or_insert_default())
    }

    pub(crate) fn set(&self, name: String, thing: Thing) {
        // What had the name goes after the lock is free: dropping it may take its time.
        drop(self.with(|things| things.insert(name, thing)));
    }

    pub(crate) fn take(&self, name: &str) -> Result<Thing, Answer> {
        self.with(|things| things.remove(name))
            .ok_or_else(|| unknown(name))
    }

    fn find<T>(&self, name: &str, of: impl FnOnce(&Thing) -> Option<T>) -> Result<T, Answer> {
        self.with(|things| things.get(name).and_then(of))
            .ok_or_else(|| unknown(name))
    }

    pub(crate) fn client(&self, arguments: &mut Arguments) -> Result<Client, Answer> {
        let name = arguments.needed("client", Arguments::text)?;
        self.find(&name, |thing| match thing {
            Thing::Client(client) => Some(client.clone()),
            _ => None,
        })
    }

    pub(crate) fn registration(&self, name: &str) -> Result<Arc<Registered>, Answer> {
        self.find(name, |thing| match thing {
            Thing::Registration(registered) => Some(registered.clone()),
            _ => None,
        })
    }

    pub(crate) fn watch(&self, name: &str) -> Result<Arc<tokio::sync::Mutex<Items>>, Answer> {
        self.find(name, |thing| match thing {
            Thing::Watch(items, _) => Some(items.clone()),
            _ => None,
        })
    }

    /// What closes a watch; closed, it keeps its name.
    pub(crate) fn closing(&self, name: &str) -> Result<AbortHandle, Answer> {
        self.find(name, |thing| match thing {
            Thing::Watch(_, handle) => Some(handle.clone()),
            _ => None,
        })
    }

    pub(crate) fn holding(&self, name: &str) -> Result<Arc<Holding>, Answer> {
        self.find(name, |thing| match thing {
            Thing::Holding(holding) => Some(holding.clone()),
            _ => None,
        })
    }

    /// A holding to be given up: nobody else may be at it.
    pub(crate) fn take_holding(&self, name: &str) -> Result<Holding, Answer> {
        match self.take(name)? {
            Thing::Holding(holding) => Arc::try_unwrap(holding)
                .map_err(|_| Answer::refused("performer:malformed", "it is in use")),
            _ => Err(unknown(name)),
        }
    }
}

pub(crate) fn unknown(name: &str) -> Answer {
    Answer::refused("performer:unknown_name", name)
}

pub(crate) fn let_go(arguments: &mut Arguments) -> Done {
    let name = arguments.needed("handle", Arguments::text)?;
    arguments.end()?;
    drop(NAMES.take(&name)?);
    Ok(Fields::new())
}
