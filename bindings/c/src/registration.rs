//! Registering an instance, and the handle that keeps it so.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use futures::FutureExt;
use quorate::{Error, ErrorCode, InstanceUpdate, Registered, Registration};
use quorate_bridge::Holding;

use crate::arguments::{
    self, Options, initialise, labels, milliseconds, optional_text, place, quorate_label_t, text,
};
use crate::cancel::{block, quorate_cancel_t};
use crate::client::{client, quorate_client_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::event::Event;
use crate::handle::{borrow, give, opaque, take};
use crate::options::{quorate_instance_options_t, status};
use crate::queue::{self, quorate_queue_t};
use crate::view::quorate_reason_t;
use crate::watch::{Source, quorate_watch_t};

/// A registered instance. It stays registered, through broken connections and restarted servers,
/// until it is deregistered or freed.
pub struct quorate_registration_t {
    _opaque: [u8; 0],
}
opaque!(quorate_registration_t, State, "registration", b"QUregist");

pub(crate) struct State {
    holding: Holding<Registered>,
    id: CString,
    namespace: CString,
    service: CString,
    address: CString,
}

/// A text of which all servers and options made sure that it has no NUL.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Registers an instance; returns when a server has it, at most after `timeout_ms` and the request
/// timeout. `options` may be NULL. Registering the same id of a service again replaces the earlier
/// registration. Nothing stays registered if it fails, times out or is cancelled. Free the
/// registration with quorate_registration_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
/// QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_register(
    client: *const quorate_client_t,
    service: *const c_char,
    address: *const c_char,
    options: *const quorate_instance_options_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    registration: *mut *mut quorate_registration_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(registration, "registration")?;
            let client = self::client(client)?;
            let service = text(service, "service")?;
            let address = text(address, "address")?;
            let options = arguments::options(options)?;
            let mut wanted = Registration::new(service, address)
                .weight(arguments::weight(options.weight)?)
                .zone(optional_text(options.zone, "zone")?.unwrap_or_default())
                .version(optional_text(options.version, "version")?.unwrap_or_default())
                .status(status(options.status)?)
                .ttl(milliseconds(options.ttl_ms, "ttl_ms")?);
            if let Some(id) = optional_text(options.id, "id")? {
                wanted = wanted.id(id);
            }
            for (key, value) in labels(options.metadata, options.metadata_count)? {
                wanted = wanted.metadata(key, value);
            }
            let registered = block(client.register(wanted), timeout_ms, cancel)?;
            place.put(give(State {
                id: c_text(registered.id()),
                namespace: c_text(registered.service().namespace()),
                service: c_text(registered.service().name()),
                address: c_text(address),
                holding: {
                    let evicted = registered.eviction().map(drop);
                    Holding::new(registered, evicted)
                },
            }));
            Ok(())
        })
    }
}

/// The instance's id. The text lives as long as the registration. NULL for no registration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_id(
    registration: *const quorate_registration_t,
) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(registration) };
    state.map_or(ptr::null(), |state| state.id.as_ptr())
}

/// The service's namespace. The text lives as long as the registration. NULL for no registration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_namespace(
    registration: *const quorate_registration_t,
) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(registration) };
    state.map_or(ptr::null(), |state| state.namespace.as_ptr())
}

/// The service's name. The text lives as long as the registration. NULL for no registration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_service(
    registration: *const quorate_registration_t,
) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(registration) };
    state.map_or(ptr::null(), |state| state.service.as_ptr())
}

/// The instance's address. The text lives as long as the registration. NULL for no registration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_address(
    registration: *const quorate_registration_t,
) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(registration) };
    state.map_or(ptr::null(), |state| state.address.as_ptr())
}

/// The record's revision, as the server last said; 0 once it was deregistered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_revision(
    registration: *const quorate_registration_t,
) -> u64 {
    plain(0, || {
        // SAFETY: as the crate's page asks of every caller.
        let state = unsafe { borrow(registration) };
        let revision = state.and_then(|state| state.holding.ask(Registered::revision));
        revision.ok().flatten().unwrap_or(0)
    })
}

/// Why somebody else removed it for good, if so: a quorate_reason_t, 0 if not. Such a one is not
/// put back; register again if that is wanted. quorate_registration_notify() tells when it happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_evicted(
    registration: *const quorate_registration_t,
) -> i32 {
    plain(0, || {
        // SAFETY: as the crate's page asks of every caller.
        let state = unsafe { borrow(registration) };
        let reason = state.and_then(|state| state.holding.ask(Registered::evicted));
        quorate_reason_t::from(reason.ok().flatten().flatten()) as i32
    })
}

/// "As it is", for a weight in an update.
pub const QUORATE_UNCHANGED: i32 = i32::MIN;

/// What to change of a registration. Initialise it with quorate_update_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_update_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// All labels, if `set_metadata` is not 0.
    pub metadata: *const quorate_label_t,
    /// How many labels there are.
    pub metadata_count: usize,
    /// Not 0 to replace all metadata.
    pub set_metadata: i32,
    /// The new weight, 0 to 65535. Default: QUORATE_UNCHANGED.
    pub weight: i32,
    /// A quorate_status_t. Default: 0, unchanged.
    pub status: i32,
}

// SAFETY: pointers and numbers, any bytes are a value; it starts with its size.
unsafe impl Options for quorate_update_t {
    const NAME: &'static str = "quorate_update_t";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            metadata: ptr::null(),
            metadata_count: 0,
            set_metadata: 0,
            weight: QUORATE_UNCHANGED,
            status: 0,
        }
    }
}

/// Writes the defaults into an update of `struct_size` bytes: pass `sizeof update`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_update_init(update: *mut quorate_update_t, struct_size: usize) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { initialise(update, struct_size) });
}

/// Changes status, weight or metadata; returns when a server has it. If no server answers in time
/// the change is remembered, and told to the next server that does.
///
/// Errors: QUORATE_INVALID_ARGUMENT; QUORATE_NOT_FOUND if it was deregistered, removed by somebody
/// else or replaced by a later registration; QUORATE_UNAVAILABLE, QUORATE_TIMEOUT,
/// QUORATE_CANCELLED, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_update(
    registration: *mut quorate_registration_t,
    update: *const quorate_update_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let state = borrow(registration)?;
            let given = arguments::options(update)?;
            let update = InstanceUpdate {
                status: (given.status != 0)
                    .then(|| status(given.status))
                    .transpose()?,
                weight: (given.weight != QUORATE_UNCHANGED)
                    .then(|| arguments::weight(given.weight))
                    .transpose()?,
                metadata: (given.set_metadata != 0)
                    .then(|| labels(given.metadata, given.metadata_count))
                    .transpose()?,
            };
            let id = state.id.clone();
            let change = state.holding.using(
                |registered| registered.update(update).boxed(),
                move || {
                    Error::new(
                        ErrorCode::NotFound,
                        format!("instance {id:?} was deregistered before"),
                    )
                },
            )?;
            block(change, timeout_ms, cancel)
        })
    }
}

/// Removes the instance; returns when a server knows. If none answers in time, it is told when one
/// does. Does nothing the second time. The handle still has to be freed.
///
/// Errors: QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_deregister(
    registration: *mut quorate_registration_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let end = borrow(registration)?
                .holding
                .give_up(Registered::deregister)?;
            block(end, timeout_ms, cancel)
        })
    }
}

/// Puts a QUORATE_EVENT_EVICTED with `user_data` into the queue when somebody else removes the
/// instance for good. Free the watch with quorate_watch_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_notify(
    registration: *const quorate_registration_t,
    queue: *mut quorate_queue_t,
    user_data: *mut c_void,
    watch: *mut *mut quorate_watch_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(watch, "watch")?;
            let state = borrow(registration)?;
            let queue = queue::queue(queue)?;
            let reason = state.holding.ask(Registered::eviction)?;
            let lost = state.holding.wait_lost(None)?;
            let evicted = async move {
                let reason = reason?;
                lost.await.then_some(())?;
                Some(Event::Evicted(reason.await))
            };
            place.put(give(Source::once(queue, user_data, evicted)?));
            Ok(())
        })
    }
}

/// Frees a registration and sets the program's pointer to NULL. If it was not deregistered, it is
/// in the background. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_registration_free(registration: *mut *mut quorate_registration_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(registration) });
    });
}
