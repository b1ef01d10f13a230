//! Finding instances: asking once, and from memory; following is in [`crate::watch`].

use std::ffi::c_char;

use quorate::{Error, ServiceHandle, ServiceSummary};
use quorate_bridge::Inherited;

use crate::arguments::{optional_text, place, text, timeout};
use crate::cancel::{block, quorate_cancel_t};
use crate::client::{client, quorate_client_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::handle::{borrow, give, opaque, take};
use crate::memory::{self, list, one};
use crate::runtime;
use crate::view::{self, quorate_view_t};

/// A followed service, for those who pick often: without the look-up by name.
pub struct quorate_service_t {
    _opaque: [u8; 0],
}
opaque!(
    quorate_service_t,
    Inherited<ServiceHandle>,
    "service",
    b"QUservic"
);

/// The service behind a handle, in the process that made it.
///
/// # Safety
/// As [`borrow`].
pub(crate) unsafe fn service<'a>(
    service: *const quorate_service_t,
) -> Result<&'a ServiceHandle, Error> {
    // SAFETY: as the caller promises.
    unsafe { borrow(service) }?.get()
}

/// The instances of a service, from memory if it is followed already. The first call waits for a
/// server, at most `timeout_ms` and the request timeout; while none can be reached it answers from
/// disk or with the static instances: see the view's state. A service nobody registered is an
/// empty view. Free the view with quorate_view_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
/// QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_discover(
    client: *const quorate_client_t,
    service: *const c_char,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    view: *mut *mut quorate_view_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(view, "view")?;
            let client = self::client(client)?;
            let service = text(service, "service")?;
            let discovery = async {
                match timeout(timeout_ms) {
                    Some(timeout) => client.discover_within(service, timeout).await,
                    None => client.discover(service).await,
                }
            };
            let found = block(discovery, -1, cancel)?;
            place.put(memory::own(|memory| view::view(memory, &found)));
            Ok(())
        })
    }
}

/// Frees a view and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_view_free(view: *mut *mut quorate_view_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(view) });
}

/// Follows a service from now on. Does not wait. Free the handle with quorate_service_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_open(
    client: *const quorate_client_t,
    name: *const c_char,
    service: *mut *mut quorate_service_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(service, "service")?;
            let client = self::client(client)?;
            let name = text(name, "service")?;
            let runtime = runtime::handle()?;
            let _inside = runtime.enter();
            place.put(give(Inherited::new(client.service(name)?)));
            Ok(())
        })
    }
}

/// Frees a service and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_free(service: *mut *mut quorate_service_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(service) });
    });
}

/// The view of this moment, from memory, without waiting; NULL while nothing is known. Free it
/// with quorate_view_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_view(
    service: *const quorate_service_t,
    view: *mut *mut quorate_view_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(view, "view")?;
            if let Some(known) = self::service(service)?.view() {
                place.put(memory::own(|memory| view::view(memory, &known)));
            }
            Ok(())
        })
    }
}

/// A service, in short. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_summary_t {
    /// Its namespace.
    pub service_namespace: *const c_char,
    /// Its name.
    pub service: *const c_char,
    /// How many instances it has.
    pub instances: u32,
    /// How many of these are up.
    pub up: u32,
    /// How many clients follow it.
    pub subscribers: u32,
    /// The slot it belongs to.
    pub slot: u32,
}

/// Services, by name.
#[repr(C)]
pub struct quorate_summary_list_t {
    /// The services. NULL follows.
    pub services: *const *const quorate_summary_t,
    /// How many there are.
    pub service_count: usize,
}

/// Asks a server for the services of a namespace: NULL is the client's own, `*` is all. Free the
/// list with quorate_summary_list_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
/// QUORATE_RESOURCE_EXHAUSTED with more than 100,000 services, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_list_services(
    client: *const quorate_client_t,
    of_namespace: *const c_char,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    services: *mut *mut quorate_summary_list_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(services, "services")?;
            let client = self::client(client)?;
            let namespace = optional_text(of_namespace, "namespace")?;
            let all = block(client.list_services(namespace), timeout_ms, cancel)?;
            place.put(memory::own(|memory| quorate_summary_list_t {
                services: list(
                    memory,
                    all.iter().map(|of| one(memory, summary(memory, of))),
                ),
                service_count: all.len(),
            }));
            Ok(())
        })
    }
}

fn summary(memory: &bumpalo::Bump, summary: &ServiceSummary) -> quorate_summary_t {
    quorate_summary_t {
        service_namespace: memory::text(memory, summary.service.namespace()),
        service: memory::text(memory, summary.service.name()),
        instances: summary.instances,
        up: summary.up,
        subscribers: summary.subscribers,
        slot: summary.slot,
    }
}

/// Frees a list of services and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_summary_list_free(services: *mut *mut quorate_summary_list_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(services) });
}
