//! Choosing an instance for one call: the hot path, one allocation and no wait.

use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quorate::{Error, Instance, Outcome, PickOptions, Why};
use quorate_bridge::Inherited;

use crate::arguments::{
    self, Options, bytes, choice, initialise, milliseconds, place, text, texts,
};
use crate::client::{client, quorate_client_t};
use crate::discovery::{quorate_service_t, service};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::handle::{borrow, give, opaque, take};
use crate::memory;
use crate::view::{self, quorate_instance_t, quorate_state_t};

/// An instance chosen for one call. Say how the call went with quorate_pick_report(), then free it;
/// freed without a report, the call counts as cancelled.
pub struct quorate_pick_t {
    _opaque: [u8; 0],
}
opaque!(quorate_pick_t, Pick, "pick", b"QUpicked");

/// How an instance came to be picked. If several are true, the one named last here.
#[repr(i32)]
pub enum quorate_why_t {
    /// It was its turn.
    QUORATE_WHY_NORMAL = 0,
    /// It was its turn, and it is warming up.
    QUORATE_WHY_SLOW_START = 1,
    /// Only excluded instances are healthy, so the exclusion was ignored.
    QUORATE_WHY_EXCLUDED_FALLBACK = 2,
    /// Too few instances are healthy, so health was ignored.
    QUORATE_WHY_PANIC = 3,
    /// Its breaker is on probation, and this is the one call that decides.
    QUORATE_WHY_PROBE = 4,
}

impl From<Why> for quorate_why_t {
    fn from(why: Why) -> Self {
        match why {
            Why::Normal => Self::QUORATE_WHY_NORMAL,
            Why::SlowStart => Self::QUORATE_WHY_SLOW_START,
            Why::ExcludedFallback => Self::QUORATE_WHY_EXCLUDED_FALLBACK,
            Why::Panic => Self::QUORATE_WHY_PANIC,
            Why::Probe => Self::QUORATE_WHY_PROBE,
        }
    }
}

/// How a call went.
#[repr(i32)]
pub enum quorate_outcome_t {
    /// The instance did its work; also when its answer is an error of the caller's making.
    QUORATE_OUTCOME_OK = 0,
    /// The instance answered that it failed, or broke off.
    QUORATE_OUTCOME_FAIL = 1,
    /// It did not answer in time.
    QUORATE_OUTCOME_TIMEOUT = 2,
    /// It could not be reached.
    QUORATE_OUTCOME_CONNECT_FAIL = 3,
    /// It asked to be left alone: HTTP 429 or 503 with Retry-After.
    QUORATE_OUTCOME_OVERLOADED = 4,
    /// The caller gave up for reasons of its own. Says nothing about the instance.
    QUORATE_OUTCOME_CANCELLED = 5,
}

pub(crate) struct Pick {
    /// Taken by the report.
    pick: Mutex<Option<Inherited<quorate::Pick>>>,
    instance: Arc<Instance>,
    why: Why,
    state: quorate_state_t,
    texts: Texts,
}

/// Longest address and id, with a NUL behind each.
const ROOM: usize = quorate_types::instance::MAX_ADDRESS + quorate_types::instance::MAX_ID + 2;

/// Address and id as C reads them, in place: this saves two allocations.
struct Texts {
    bytes: [MaybeUninit<u8>; ROOM],
    id_at: usize,
}

impl Texts {
    fn write(&mut self, instance: &Instance) {
        let mut at = 0;
        for text in [&instance.address, &instance.id] {
            // Servers and the options check both; what is too long all the same is cut.
            let room = (ROOM / 2 - 1).min(text.len());
            self.id_at = at;
            for (place, byte) in self.bytes[at..].iter_mut().zip(&text.as_bytes()[..room]) {
                place.write(*byte);
            }
            self.bytes[at + room].write(0);
            at += room + 1;
        }
    }
}

/// What a call wants of its instance. Initialise it with quorate_pick_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_pick_options_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// What must stick to one instance: the same bytes give the same one with QUORATE_MAGLEV. NULL,
    /// the default, is nothing.
    pub sticky: *const c_void,
    /// How many bytes that is.
    pub sticky_size: usize,
    /// Ids of instances to avoid, because this call was there already.
    pub exclude: *const *const c_char,
    /// How many ids there are.
    pub exclude_count: usize,
    /// The sticky key as a hash, if `has_hash` is not 0: instead of `sticky`.
    pub hash: u64,
    /// Not 0 if `hash` is meant.
    pub has_hash: i32,
}

// SAFETY: pointers and numbers, any bytes are a value; it starts with its size.
unsafe impl Options for quorate_pick_options_t {
    const NAME: &'static str = "quorate_pick_options_t";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            sticky: ptr::null(),
            sticky_size: 0,
            exclude: ptr::null(),
            exclude_count: 0,
            hash: 0,
            has_hash: 0,
        }
    }
}

/// Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick_options_init(
    options: *mut quorate_pick_options_t,
    struct_size: usize,
) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { initialise(options, struct_size) });
}

/// Chooses an instance of a service for one call, from memory: no network, no waiting. A service
/// that was not followed is from now on, and has no endpoints until something is known: to wait for
/// that, quorate_discover() it first. `options` may be NULL. Free the pick with
/// quorate_pick_free().
///
/// Errors: QUORATE_NO_ENDPOINTS, QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick(
    client: *const quorate_client_t,
    service: *const c_char,
    options: *const quorate_pick_options_t,
    pick: *mut *mut quorate_pick_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(pick, "pick")?;
            let client = self::client(client)?;
            let service = text(service, "service")?;
            place.put(pick_with(options, |options| client.pick(service, options))?);
            Ok(())
        })
    }
}

/// Chooses an instance of this service for one call: as quorate_pick(), a little faster.
///
/// Errors: QUORATE_NO_ENDPOINTS, QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_pick(
    service: *const quorate_service_t,
    options: *const quorate_pick_options_t,
    pick: *mut *mut quorate_pick_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(pick, "pick")?;
            let service = self::service(service)?;
            place.put(pick_with(options, |options| service.pick(options))?);
            Ok(())
        })
    }
}

/// # Safety
/// `options` as [`arguments::options`] wants it, with arrays that can be read.
unsafe fn pick_with(
    options: *const quorate_pick_options_t,
    pick: impl FnOnce(&PickOptions<'_>) -> Result<quorate::Pick, Error>,
) -> Result<*mut quorate_pick_t, Error> {
    let picked = if options.is_null() {
        pick(&PickOptions::default())?
    } else {
        // SAFETY: as the caller promises.
        let (options, sticky, exclude) = unsafe {
            let options = arguments::options(options)?;
            let sticky = bytes(options.sticky, options.sticky_size, "sticky key")?;
            let exclude = texts(options.exclude, options.exclude_count, "excluded ids")?;
            (options, sticky, exclude)
        };
        let wanted = if options.has_hash != 0 {
            PickOptions {
                hash: Some(options.hash),
                exclude_ids: &[],
            }
        } else if options.sticky.is_null() {
            PickOptions::default()
        } else {
            PickOptions::sticky(sticky)
        };
        pick(&wanted.excluding(&exclude))?
    };
    let mut chosen = Pick {
        instance: Arc::clone(picked.instance()),
        why: picked.why(),
        state: picked.state().into(),
        pick: Mutex::new(Some(Inherited::new(picked))),
        texts: Texts {
            bytes: [MaybeUninit::uninit(); ROOM],
            id_at: 0,
        },
    };
    let Pick {
        instance, texts, ..
    } = &mut chosen;
    texts.write(instance);
    Ok(give(chosen))
}

/// Where to call: `host:port`. The text lives as long as the pick. NULL for no pick.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick_address(pick: *const quorate_pick_t) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    let pick = unsafe { borrow(pick) };
    pick.map_or(ptr::null(), |pick| pick.texts.bytes.as_ptr().cast())
}

/// The instance's id. The text lives as long as the pick. NULL for no pick.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick_id(pick: *const quorate_pick_t) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    let pick = unsafe { borrow(pick) };
    pick.map_or(ptr::null(), |pick| {
        pick.texts.bytes[pick.texts.id_at..].as_ptr().cast()
    })
}

/// Where the knowledge of it comes from: a quorate_state_t; 0 for no pick.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick_state(pick: *const quorate_pick_t) -> i32 {
    // SAFETY: as the crate's page asks of every caller.
    let pick = unsafe { borrow(pick) };
    pick.map_or(0, |pick| pick.state as i32)
}

/// How it came to be this one: a quorate_why_t; -1 for no pick.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick_why(pick: *const quorate_pick_t) -> i32 {
    // SAFETY: as the crate's page asks of every caller.
    let pick = unsafe { borrow(pick) };
    pick.map_or(-1, |pick| quorate_why_t::from(pick.why) as i32)
}

/// Everything known of the instance. Free it with quorate_instance_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick_instance(
    pick: *const quorate_pick_t,
    instance: *mut *mut quorate_instance_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(instance, "instance")?;
            let chosen = &borrow(pick)?.instance;
            place.put(memory::own(|memory| view::instance(memory, chosen)));
            Ok(())
        })
    }
}

/// Frees an instance and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_instance_free(instance: *mut *mut quorate_instance_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(instance) });
}

/// Says how the call went: a quorate_outcome_t. Only the first report counts. `latency_us` is how
/// long the call took, in microseconds; below 0: the time since the pick. `retry_after_ms` is for
/// how long an overloaded instance wants to be left alone; below 0: it did not say. Both only
/// matter where they say something.
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick_report(
    pick: *mut quorate_pick_t,
    outcome: i32,
    latency_us: i64,
    retry_after_ms: i64,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let chosen = borrow(pick)?;
            let retry_after = (retry_after_ms >= 0)
                .then(|| milliseconds(retry_after_ms, "retry_after_ms"))
                .transpose()?;
            use quorate_outcome_t as Number;
            let outcomes = [
                (Number::QUORATE_OUTCOME_OK as i32, Outcome::Ok),
                (Number::QUORATE_OUTCOME_FAIL as i32, Outcome::Fail),
                (Number::QUORATE_OUTCOME_TIMEOUT as i32, Outcome::Timeout),
                (
                    Number::QUORATE_OUTCOME_CONNECT_FAIL as i32,
                    Outcome::ConnectFail,
                ),
                (
                    Number::QUORATE_OUTCOME_OVERLOADED as i32,
                    Outcome::Overloaded { retry_after },
                ),
                (Number::QUORATE_OUTCOME_CANCELLED as i32, Outcome::Cancelled),
            ];
            let outcome = choice(outcome, "outcome", &outcomes)?;
            let latency = u64::try_from(latency_us).ok().map(Duration::from_micros);
            let first = chosen.pick.lock().take();
            if let Some(first) = first {
                first.into_inner()?.report(outcome, latency);
            }
            Ok(())
        })
    }
}

/// Frees a pick and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_pick_free(pick: *mut *mut quorate_pick_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(pick) });
    });
}

/// Whether the service can afford one more retry; takes it out of the budget if so. A service that
/// is not followed cannot, nor can anything with wrong arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_may_retry(
    client: *const quorate_client_t,
    service: *const c_char,
) -> bool {
    plain(false, || {
        // SAFETY: as the crate's page asks of every caller.
        let (client, service) = unsafe { (self::client(client), text(service, "service")) };
        matches!((client, service), (Ok(client), Ok(service)) if client.may_retry(service))
    })
}

/// Whether this service can afford one more retry: as quorate_may_retry().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_may_retry(service: *const quorate_service_t) -> bool {
    plain(false, || {
        // SAFETY: as the crate's page asks of every caller.
        let service = unsafe { self::service(service) };
        matches!(service, Ok(service) if service.may_retry())
    })
}
