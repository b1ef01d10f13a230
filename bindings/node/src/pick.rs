//! Choosing an instance for one call: the hot path, so no promise and no object of the engine.
//!
//! A pick crosses the border as one number. JavaScript keeps the instances it has seen in an array,
//! and asks for one only at its first pick; so a pick makes neither a string nor a wrapped object,
//! and the report of it goes back with the ticket that is in the number.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use napi_derive::napi;
use quorate::{CacheState, Error, Outcome, Pick, PickOptions, ServiceHandle, Why};

use crate::arguments::{Hash, Text, milliseconds};
use crate::errors::{Result, invalid, raise};
use crate::values::{Instance, ServiceView};

/// Picks under way at most; with more, the oldest counts as cancelled. The balancer has a bound of
/// its own for each service.
const MOST_UNDER_WAY: usize = 1 << 16;
/// Instances remembered at most; then all are forgotten, and asked for again.
const MOST_INSTANCES: usize = 1 << 14;
/// Tickets count up to this and start again.
const TICKETS: u64 = 1 << 32;

/// What JavaScript needs to read a pick's number: `ticket · 2^20 + instance · 2^6 + fresh · 2^5 +
/// why · 2^2 + state`. `fresh` is 1 if the instances before this one are forgotten.
#[napi(object, object_from_js = false)]
pub struct PickNames {
    /// By number.
    #[napi(ts_type = "CacheState[]")]
    pub states: Vec<&'static str>,
    /// By number.
    #[napi(ts_type = "Why[]")]
    pub whys: Vec<&'static str>,
}

const STATES: [CacheState; 4] = [
    CacheState::Live,
    CacheState::Stale,
    CacheState::Snapshot,
    CacheState::Static,
];
const WHYS: [Why; 5] = [
    Why::Normal,
    Why::SlowStart,
    Why::ExcludedFallback,
    Why::Panic,
    Why::Probe,
];

/// The names behind the numbers.
#[napi]
pub fn pick_names() -> PickNames {
    PickNames {
        states: STATES.iter().map(|state| state.name()).collect(),
        whys: WHYS.iter().map(|why| why.name()).collect(),
    }
}

/// What an HTTP status says of the instance that gave it.
#[napi(object, object_from_js = false)]
pub struct HttpOutcome {
    /// To be reported.
    #[napi(ts_type = "Outcome")]
    pub outcome: &'static str,
    /// Milliseconds it asks to be left alone.
    pub retry_after_ms: Option<f64>,
}

/// What an HTTP status and `Retry-After` say of an instance: the same for the adapters of all
/// languages.
#[napi]
pub fn http_outcome(status: u32, retry_after: Option<String>) -> HttpOutcome {
    let status = u16::try_from(status).unwrap_or(u16::MAX);
    let (outcome, retry_after) = match Outcome::of_http(status, retry_after.as_deref()) {
        Outcome::Ok => ("ok", None),
        Outcome::Fail => ("fail", None),
        Outcome::Timeout => ("timeout", None),
        Outcome::ConnectFail => ("connect_fail", None),
        Outcome::Overloaded { retry_after } => ("overloaded", retry_after),
        Outcome::Cancelled => ("cancelled", None),
    };
    HttpOutcome {
        outcome,
        retry_after_ms: retry_after.map(|time| time.as_secs_f64() * 1000.0),
    }
}

/// The picks under way of one client, and the instances JavaScript knows.
#[derive(Default)]
pub(crate) struct Picks {
    under_way: VecDeque<Option<Pick>>,
    /// The ticket of the first of them.
    first: u64,
    instances: Vec<Arc<quorate::Instance>>,
    /// Where in `instances` each is, by its address in memory, which it keeps while it is there.
    places: HashMap<*const quorate::Instance, usize>,
}

impl Picks {
    /// The number of a pick.
    fn note(&mut self, pick: Pick) -> f64 {
        let state = STATES.iter().position(|state| *state == pick.state());
        let why = WHYS.iter().position(|why| *why == pick.why());
        let (place, fresh) = self.place(pick.instance());
        if self.under_way.len() == MOST_UNDER_WAY {
            self.under_way.pop_front();
            self.first += 1;
        }
        let ticket = (self.first + self.under_way.len() as u64) % TICKETS;
        self.under_way.push_back(Some(pick));
        let bits = usize::from(fresh) << 5 | why.unwrap_or(0) << 2 | state.unwrap_or(0);
        // Exact: 32 bits, 14 and 6 are less than 53.
        (ticket << 20 | (place << 6 | bits) as u64) as f64
    }

    /// Where JavaScript finds the instance, and whether it has to forget all others.
    fn place(&mut self, instance: &Arc<quorate::Instance>) -> (usize, bool) {
        if let Some(place) = self.places.get(&Arc::as_ptr(instance)) {
            return (*place, false);
        }
        let full = self.instances.len() == MOST_INSTANCES;
        if full {
            self.instances.clear();
            self.places.clear();
        }
        let place = self.instances.len();
        self.instances.push(Arc::clone(instance));
        self.places.insert(Arc::as_ptr(instance), place);
        (place, full)
    }

    /// The pick with this ticket, if it was not reported yet.
    fn take(&mut self, ticket: f64) -> Option<Pick> {
        // Numbers that are no tickets become ones that are not under way.
        let behind = (ticket as u64).wrapping_sub(self.first) % TICKETS;
        let pick = self.under_way.get_mut(usize::try_from(behind).ok()?)?;
        let pick = pick.take();
        while let Some(None) = self.under_way.front() {
            self.under_way.pop_front();
            self.first += 1;
        }
        pick
    }
}

/// The picks of one client: they are reported, and their instances read, here.
#[napi]
#[derive(Clone)]
pub struct Picker {
    picks: Rc<RefCell<Picks>>,
}

impl Picker {
    pub(crate) fn new() -> Self {
        Self {
            picks: Rc::default(),
        }
    }

    /// Picks with these wishes, and notes it.
    pub(crate) fn pick(
        &self,
        hash: Option<Hash>,
        exclude: Option<Vec<Text>>,
        pick: impl FnOnce(&PickOptions<'_>) -> std::result::Result<Pick, Error>,
    ) -> Result<f64> {
        let hash = hash.map(|hash| hash.0);
        let picked = match &exclude {
            None => pick(&PickOptions {
                hash,
                exclude_ids: &[],
            }),
            Some(ids) => pick(&PickOptions {
                hash,
                exclude_ids: &ids.iter().map(|id| id.0.as_str()).collect::<Vec<_>>(),
            }),
        };
        let picked = picked.map_err(|error| raise(&error))?;
        Ok(self.picks.borrow_mut().note(picked))
    }
}

#[napi]
impl Picker {
    /// The instance at this place.
    #[napi]
    pub fn instance(&self, place: u32) -> Option<Instance> {
        let picks = self.picks.borrow();
        let instance = picks.instances.get(place as usize)?;
        Some(Instance::from(&**instance))
    }

    /// Says how a call went; does nothing the second time. Without `latency_ms`, the time since the
    /// pick.
    #[napi]
    pub fn report(
        &self,
        ticket: f64,
        #[napi(ts_arg_type = "Outcome")] outcome: String,
        latency_ms: Option<f64>,
        retry_after_ms: Option<f64>,
    ) -> Result<()> {
        let latency = latency_ms.map(milliseconds).transpose()?;
        let retry_after = retry_after_ms.map(milliseconds).transpose()?;
        let outcome = match outcome.as_str() {
            "ok" => Outcome::Ok,
            "fail" => Outcome::Fail,
            "timeout" => Outcome::Timeout,
            "connect_fail" => Outcome::ConnectFail,
            "overloaded" => Outcome::Overloaded { retry_after },
            "cancelled" => Outcome::Cancelled,
            _ => {
                return Err(invalid(format!(
                    "unknown outcome {outcome:?}: use ok, fail, timeout, connect_fail, \
                     overloaded or cancelled"
                )));
            }
        };
        let taken = self.picks.borrow_mut().take(ticket);
        if let Some(pick) = taken {
            pick.report(outcome, latency);
        }
        Ok(())
    }
}

/// A followed service: picks without looking it up by name.
#[napi]
pub struct Service {
    handle: ServiceHandle,
    picker: Picker,
}

impl Service {
    pub(crate) fn new(handle: ServiceHandle, picker: Picker) -> Self {
        Self { handle, picker }
    }
}

#[napi]
impl Service {
    /// The view of this moment, from memory; `null` while nothing is known.
    #[napi]
    pub fn view(&self) -> Option<ServiceView> {
        self.handle.view().as_ref().map(ServiceView::from)
    }

    /// Chooses an instance for one call, from memory.
    #[napi]
    pub fn pick(
        &self,
        #[napi(ts_arg_type = "string | Uint8Array | bigint | undefined")] hash: Option<Hash>,
        #[napi(ts_arg_type = "string[] | undefined")] exclude: Option<Vec<Text>>,
    ) -> Result<f64> {
        self.picker
            .pick(hash, exclude, |options| self.handle.pick(options))
    }

    /// Whether the service can afford one more retry; takes it out of the budget if so.
    #[napi]
    pub fn may_retry(&self) -> bool {
        self.handle.may_retry()
    }
}
