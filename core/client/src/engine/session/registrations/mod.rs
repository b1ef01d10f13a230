//! The redo log: what this program wants registered, whatever happens to servers and streams.
//!
//! Each entry holds the content wanted *now*, not a list of calls: an update replaces it, a
//! deregistration makes it "gone". An entry is sent until the server of the present session has
//! acknowledged its newest version, with at most one message in flight per entry; registration is
//! idempotent, so sending it again is harmless. When a session starts afresh, everything is sent
//! again; when it is resumed, only what had not been acknowledged.
//!
//! Callers wait with a ticket for the version they asked for. A call that was refused puts the
//! entry back to what a server last accepted; a registration that nobody waits for any more
//! (refused, out of time, its future dropped) is withdrawn, so that nothing is left behind.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use quorate_proto::v1;
use quorate_types::{Error, ErrorCode, Instance, RemovalReason, ServiceKey};

use super::Ticket;
use super::deadlines::Deadlines;
use crate::engine::backoff::Backoff;

mod outcomes;

/// Most registrations of one client.
const MOST: usize = 100_000;

/// Who answers for a registration: a later registration of the same id takes it over, and what
/// the earlier owner then does has no effect.
pub(crate) type Owner = u64;

/// A registration's name: the service and the instance id.
pub(crate) type Name = Arc<(ServiceKey, String)>;

/// Changes to a registration; absent fields stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceUpdate {
    /// The new status.
    pub status: Option<quorate_types::InstanceStatus>,
    /// The new weight.
    pub weight: Option<u16>,
    /// Replaces all metadata.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Something the redo log has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A caller's answer: the instance's revision.
    Answer(Ticket, Result<u64, Error>),
    /// The registration stands, with this revision.
    Standing(Owner, u64),
    /// Someone else removed it, and it will not be put back.
    Evicted(Owner, RemovalReason),
}

#[derive(Clone, Debug)]
struct InFlight {
    version: u64,
    content: Option<Arc<Instance>>,
    owner: Owner,
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    /// `None`: to be deregistered.
    wanted: Option<Arc<Instance>>,
    /// Counts what was wanted.
    version: u64,
    /// The newest version the present session has acknowledged.
    acknowledged: u64,
    in_flight: Option<InFlight>,
    /// Whether any server may know of it.
    sent: bool,
    /// What a server last accepted, and for whom.
    accepted: Option<(Arc<Instance>, Owner, u64)>,
    /// Who waits, and for which version.
    waiting: Vec<(u64, Ticket)>,
    /// For what was refused and nobody waits for: it is tried again, ever more slowly.
    backoff: Backoff,
}

/// Who waits for an answer.
#[derive(Debug)]
struct Caller {
    name: Name,
    owner: Owner,
    /// For a registration, not a change of one.
    registers: bool,
}

/// All registrations of a client.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    entries: BTreeMap<Name, Entry>,
    /// Those with something to send.
    unsent: BTreeSet<Name>,
    /// Those refused, until they are tried again.
    retries: Deadlines<Name>,
    tickets: HashMap<Ticket, Caller>,
    /// Owners whose registration was confirmed to them, until they end it: others left nobody who
    /// could end it.
    confirmed: HashSet<Owner>,
    notices: Vec<Notice>,
}

impl Registrations {
    /// Wants `instance` registered for `owner`, in place of what is registered under its id.
    pub(crate) fn register(
        &mut self,
        service: &ServiceKey,
        instance: Instance,
        owner: Owner,
        ticket: Ticket,
    ) {
        let name = Arc::new((service.clone(), instance.id.clone()));
        if !self.entries.contains_key(&name) && self.entries.len() >= MOST {
            let error = Error::new(
                ErrorCode::ResourceExhausted,
                format!("this client has {MOST} registrations, the most one may have"),
            );
            self.notices.push(Notice::Answer(ticket, Err(error)));
            return;
        }
        let entry = self
            .entries
            .entry(Arc::clone(&name))
            .or_insert_with(|| Entry {
                owner,
                wanted: None,
                version: 0,
                acknowledged: 0,
                in_flight: None,
                sent: false,
                accepted: None,
                waiting: Vec::new(),
                backoff: Backoff::default(),
            });
        self.retries.clear(&name);
        entry.owner = owner;
        entry.want(Some(Arc::new(instance)));
        entry.waiting.push((entry.version, ticket));
        let caller = Caller {
            name: Arc::clone(&name),
            owner,
            registers: true,
        };
        self.tickets.insert(ticket, caller);
        self.enqueue(&name);
    }

    /// Changes what `owner` registered.
    pub(crate) fn update(
        &mut self,
        name: &Name,
        owner: Owner,
        update: InstanceUpdate,
        ticket: Ticket,
    ) {
        let wanted = self
            .entries
            .get_mut(name)
            .filter(|entry| entry.owner == owner)
            .and_then(|entry| entry.wanted.clone().map(|wanted| (entry, wanted)));
        let Some((entry, wanted)) = wanted else {
            let error = Error::new(
                ErrorCode::NotFound,
                format!(
                    "{} is no longer registered for {} by this handle",
                    name.1, name.0
                ),
            );
            self.notices.push(Notice::Answer(ticket, Err(error)));
            return;
        };
        let mut instance = Instance::clone(&wanted);
        if let Some(status) = update.status {
            instance.status = status;
        }
        if let Some(weight) = update.weight {
            instance.weight = weight;
        }
        if let Some(metadata) = update.metadata {
            instance.metadata = metadata;
        }
        if instance.same_content(&wanted) && entry.acknowledged == entry.version {
            let revision = entry.accepted.as_ref().map_or(0, |(_, _, r)| *r);
            self.notices.push(Notice::Answer(ticket, Ok(revision)));
            return;
        }
        self.retries.clear(name);
        entry.want(Some(Arc::new(instance)));
        entry.waiting.push((entry.version, ticket));
        self.tickets.insert(ticket, Caller::of_change(name, owner));
        self.enqueue(name);
    }

    /// Ends what `owner` registered; does nothing if it is another's by now.
    pub(crate) fn deregister(&mut self, name: &Name, owner: Owner, ticket: Option<Ticket>) {
        self.confirmed.remove(&owner);
        let entry = self
            .entries
            .get_mut(name)
            .filter(|entry| entry.owner == owner);
        let Some(entry) = entry else {
            self.answer(ticket, Ok(0));
            return;
        };
        if entry.wanted.is_some() {
            self.retries.clear(name);
            entry.want(None);
        }
        if !entry.sent {
            self.remove(name, &gone(name));
            self.answer(ticket, Ok(0));
            return;
        }
        if let Some(ticket) = ticket {
            entry.waiting.push((entry.version, ticket));
            self.tickets.insert(ticket, Caller::of_change(name, owner));
        }
        self.enqueue(name);
    }

    /// A caller waits no longer. If it waited for a registration, that is withdrawn: nobody would
    /// know how to end it.
    pub(crate) fn abandon(&mut self, ticket: Ticket) {
        let Some(caller) = self.tickets.remove(&ticket) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&caller.name) else {
            return;
        };
        entry.waiting.retain(|(_, waiting)| *waiting != ticket);
        if caller.registers && entry.owner == caller.owner {
            self.withdraw(&caller.name);
        }
    }

    /// What should be said to the server next; `id` becomes its request id.
    pub(crate) fn next_to_send(&mut self) -> Option<(Name, u64, v1::session_command::Body)> {
        while let Some(name) = self.unsent.pop_first() {
            let Some(entry) = self.entries.get_mut(&name) else {
                continue;
            };
            if entry.in_flight.is_some() || entry.acknowledged == entry.version {
                continue;
            }
            entry.sent = true;
            entry.in_flight = Some(InFlight {
                version: entry.version,
                content: entry.wanted.clone(),
                owner: entry.owner,
            });
            let service = Some(v1::ServiceKey::from(&name.0));
            let body = match &entry.wanted {
                Some(instance) => v1::session_command::Body::Register(v1::SessionRegister {
                    service,
                    instance: Some((&**instance).into()),
                }),
                None => v1::session_command::Body::Deregister(v1::SessionDeregister {
                    service,
                    id: name.1.clone(),
                }),
            };
            let version = entry.version;
            return Some((name, version, body));
        }
        None
    }

    /// Puts those due for another try back in line.
    pub(crate) fn retry_due(&mut self, now: Instant) {
        while let Some(name) = self.retries.pop_due(now) {
            self.unsent.insert(name);
        }
    }

    /// When the next of those is due.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.retries.next()
    }

    /// Takes out what there is to say.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Whether a server may hold any registration of ours.
    pub(crate) fn any_sent(&self) -> bool {
        self.entries.values().any(|entry| entry.sent)
    }

    /// How many are wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.entries.values().filter(|e| e.wanted.is_some()).count()
    }

    /// The client closes: everybody is told, nothing is left.
    pub(crate) fn close(&mut self, error: &Error) {
        let names: Vec<_> = self.entries.keys().cloned().collect();
        for name in names {
            self.remove(&name, error);
        }
    }

    fn enqueue(&mut self, name: &Name) {
        if let Some(entry) = self.entries.get(name)
            && entry.in_flight.is_none()
            && entry.acknowledged != entry.version
            && !self.retries.contains(name)
        {
            self.unsent.insert(Arc::clone(name));
        }
    }

    fn answer(&mut self, ticket: Option<Ticket>, answer: Result<u64, Error>) {
        if let Some(ticket) = ticket {
            if let Some(caller) = self.tickets.remove(&ticket)
                && caller.registers
                && answer.is_ok()
            {
                self.confirmed.insert(caller.owner);
            }
            self.notices.push(Notice::Answer(ticket, answer));
        }
    }

    fn answer_up_to(&mut self, name: &Name, version: u64, answer: &Result<u64, Error>) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let (answered, waiting) = std::mem::take(&mut entry.waiting)
            .into_iter()
            .partition(|(wanted, _)| *wanted <= version);
        entry.waiting = waiting;
        let answered: Vec<(u64, Ticket)> = answered;
        for (_, ticket) in answered {
            self.answer(Some(ticket), answer.clone());
        }
    }

    /// Forgets an entry; those still waiting get `error`.
    fn remove(&mut self, name: &Name, error: &Error) {
        if let Some(entry) = self.entries.remove(name) {
            for (_, ticket) in entry.waiting {
                self.answer(Some(ticket), Err(error.clone()));
            }
        }
        self.unsent.remove(name);
        self.retries.clear(name);
    }
}

impl Caller {
    fn of_change(name: &Name, owner: Owner) -> Self {
        Self {
            name: Arc::clone(name),
            owner,
            registers: false,
        }
    }
}

impl Entry {
    fn want(&mut self, wanted: Option<Arc<Instance>>) {
        self.wanted = wanted;
        self.version += 1;
    }
}

fn gone(name: &Name) -> Error {
    Error::new(
        ErrorCode::Cancelled,
        format!("{} of {} was deregistered meanwhile", name.1, name.0),
    )
}
