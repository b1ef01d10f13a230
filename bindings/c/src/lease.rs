//! Leases that are renewed.

use std::ffi::c_void;
use std::time::Duration;

use quorate::lease::Lease;
use quorate_bridge::Holding;

use crate::arguments::{milliseconds, place};
use crate::cancel::{block, quorate_cancel_t};
use crate::client::{client, quorate_client_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::handle::{borrow, give, opaque, take};
use crate::kv::{quorate_bytes_t, read_bytes};
use crate::lock;
use crate::memory;
use crate::queue::quorate_queue_t;
use crate::watch::quorate_watch_t;

/// A lease, renewed in the background until it is revoked or freed; then the keys put with it go.
pub struct quorate_lease_t {
    _opaque: [u8; 0],
}
opaque!(quorate_lease_t, State, "lease", b"QUleased");

pub(crate) struct State {
    holding: Holding<Lease>,
    id: i64,
    ttl_ms: i64,
}

/// Takes a lease and renews it. `ttl_ms` is rounded up to whole seconds; the server may raise it.
/// Free the lease with quorate_lease_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT for a time to live that cannot be, QUORATE_UNAVAILABLE,
/// QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease(
    client: *const quorate_client_t,
    ttl_ms: i64,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    lease: *mut *mut quorate_lease_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(lease, "lease")?;
            let client = self::client(client)?;
            let ttl = milliseconds(ttl_ms, "ttl_ms")?;
            let granted = block(client.lease(ttl), timeout_ms, cancel)?;
            let lost = granted.lost();
            place.put(give(State {
                id: granted.id(),
                ttl_ms: i64::try_from(granted.ttl().as_millis()).unwrap_or(i64::MAX),
                holding: Holding::new(granted, lost),
            }));
            Ok(())
        })
    }
}

/// The id, by which keys are attached. 0 for no lease.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_id(lease: *const quorate_lease_t) -> i64 {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(lease) };
    state.map_or(0, |state| state.id)
}

/// The time to live the server granted. 0 for no lease.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_ttl_ms(lease: *const quorate_lease_t) -> i64 {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(lease) };
    state.map_or(0, |state| state.ttl_ms)
}

/// Whether it ended although it was not revoked here. `true` for no lease and in a forked child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_is_lost(lease: *const quorate_lease_t) -> bool {
    plain(true, || {
        // SAFETY: as the crate's page asks of every caller.
        let state = unsafe { borrow(lease) };
        state
            .and_then(|state| state.holding.is_lost())
            .unwrap_or(true)
    })
}

/// Waits until the lease is lost, and writes `true`; `false` when the time is up or it was revoked.
///
/// Errors: QUORATE_CANCELLED, QUORATE_FORKED, QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_wait_lost(
    lease: *const quorate_lease_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    lost: *mut bool,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            lock::wait_lost(&borrow(lease)?.holding, timeout_ms, cancel, lost)
        })
    }
}

/// Puts a QUORATE_EVENT_LOST with `user_data` into the queue when the lease is lost. Free the watch
/// with quorate_watch_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_notify(
    lease: *const quorate_lease_t,
    queue: *mut quorate_queue_t,
    user_data: *mut c_void,
    watch: *mut *mut quorate_watch_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            lock::notify(&borrow(lease)?.holding, queue, user_data, watch)
        })
    }
}

/// Ends the lease now; its keys are deleted. Does nothing the second time. The handle still has to
/// be freed.
///
/// Errors: QUORATE_SESSION_EXPIRED if it had ended before; QUORATE_UNAVAILABLE, QUORATE_TIMEOUT or
/// QUORATE_CANCELLED if no server answers in time: it then ends by its time to live at the latest;
/// QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_revoke(
    lease: *mut quorate_lease_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let end = borrow(lease)?.holding.give_up(Lease::revoke)?;
            block(end, timeout_ms, cancel)
        })
    }
}

/// Frees a lease and sets the program's pointer to NULL. If it was not revoked, it is in the
/// background. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_free(lease: *mut *mut quorate_lease_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(lease) });
    });
}

/// What a server knows of a lease. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_lease_info_t {
    /// Its id.
    pub id: i64,
    /// The time to live it was granted.
    pub granted_ms: i64,
    /// What is left of it, in whole seconds.
    pub remaining_ms: i64,
    /// The keys that go with it.
    pub keys: *const quorate_bytes_t,
    /// How many there are.
    pub key_count: usize,
}

/// What is left of a lease, and which keys it has; NULL if there is no such lease. Free it with
/// quorate_lease_info_free().
///
/// Errors: QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_time_to_live(
    client: *const quorate_client_t,
    id: i64,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    info: *mut *mut quorate_lease_info_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(info, "lease's info")?;
            let client = self::client(client)?;
            let Some(found) = block(client.lease_time_to_live(id), timeout_ms, cancel)? else {
                return Ok(());
            };
            let milliseconds = |of: Duration| i64::try_from(of.as_millis()).unwrap_or(i64::MAX);
            place.put(memory::own(|memory| quorate_lease_info_t {
                id: found.id,
                granted_ms: milliseconds(found.granted),
                remaining_ms: milliseconds(found.remaining),
                keys: memory
                    .alloc_slice_fill_iter(found.keys.iter().map(|key| read_bytes(memory, key)))
                    .as_ptr(),
                key_count: found.keys.len(),
            }));
            Ok(())
        })
    }
}

/// Frees a lease's info and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lease_info_free(info: *mut *mut quorate_lease_info_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(info) });
}
