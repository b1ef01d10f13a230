//! Elections: campaigning, leading, asking who leads; observing is in [`crate::watch`].

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use bumpalo::Bump;
use futures::FutureExt;
use quorate::election::{Leader, Leadership};
use quorate::{Error, ErrorCode};
use quorate_bridge::Holding;

use crate::arguments::{self, bytes, milliseconds, place, text, timeout};
use crate::cancel::{block, quorate_cancel_t};
use crate::client::{client, quorate_client_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::handle::{borrow, give, opaque, take};
use crate::lock::{self, quorate_hold_options_t};
use crate::memory;
use crate::queue::quorate_queue_t;
use crate::registration::c_text;
use crate::watch::quorate_watch_t;

/// Leadership that is held, renewed in the background until it is resigned or freed.
pub struct quorate_leadership_t {
    _opaque: [u8; 0],
}
opaque!(quorate_leadership_t, State, "leadership", b"QUleader");

pub(crate) struct State {
    holding: Holding<Leadership>,
    name: CString,
    key: Vec<u8>,
    token: i64,
}

/// Waits to become the leader, in the order of arrival, as long as `timeout_ms` allows; others then
/// see `value`. `options` may be NULL. Whoever stops waiting leaves the line. Free the leadership
/// with quorate_leadership_free().
///
/// Errors: as quorate_lock().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_campaign(
    client: *const quorate_client_t,
    election: *const c_char,
    value: *const c_void,
    value_size: usize,
    options: *const quorate_hold_options_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    leadership: *mut *mut quorate_leadership_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(leadership, "leadership")?;
            let client = self::client(client)?;
            let name = text(election, "election")?;
            let value = bytes(value, value_size, "value")?;
            let options = arguments::options(options)?;
            let mut election = client
                .election(name)
                .ttl(milliseconds(options.ttl_ms, "ttl_ms")?);
            if let Some(timeout) = timeout(timeout_ms) {
                election = election.timeout(timeout);
            }
            // The election keeps the time, as it also withdraws.
            let leads = block(election.campaign(value), -1, cancel)?;
            let lost = leads.lost();
            place.put(give(State {
                name: c_text(name),
                key: [leads.key(), b"\0"].concat(),
                token: leads.token(),
                holding: Holding::new(leads, lost),
            }));
            Ok(())
        })
    }
}

/// The election's name. The text lives as long as the handle. NULL for no leadership.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_name(
    leadership: *const quorate_leadership_t,
) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(leadership) };
    state.map_or(ptr::null(), |state| state.name.as_ptr())
}

/// The key that stands for this leader, with a NUL behind it; its size goes to `size`, unless that
/// is NULL. It lives as long as the handle. NULL for no leadership.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_key(
    leadership: *const quorate_leadership_t,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        let state = borrow(leadership).ok();
        lock::key(state.map(|state| state.key.as_slice()), size)
    }
}

/// The fencing token: greater than that of every earlier leader. 0 for no leadership.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_token(leadership: *const quorate_leadership_t) -> i64 {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(leadership) };
    state.map_or(0, |state| state.token)
}

/// Whether leadership is lost. `false` is a snapshot, not a promise: see quorate_leadership_token().
/// `true` for no leadership and in a forked child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_is_lost(
    leadership: *const quorate_leadership_t,
) -> bool {
    plain(true, || {
        // SAFETY: as the crate's page asks of every caller.
        let state = unsafe { borrow(leadership) };
        state
            .and_then(|state| state.holding.is_lost())
            .unwrap_or(true)
    })
}

/// Waits until leadership is lost, and writes `true`; `false` when the time is up or it was
/// resigned.
///
/// Errors: QUORATE_CANCELLED, QUORATE_FORKED, QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_wait_lost(
    leadership: *const quorate_leadership_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    lost: *mut bool,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            lock::wait_lost(&borrow(leadership)?.holding, timeout_ms, cancel, lost)
        })
    }
}

/// Puts a QUORATE_EVENT_LOST with `user_data` into the queue when leadership is lost. Free the watch
/// with quorate_watch_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_notify(
    leadership: *const quorate_leadership_t,
    queue: *mut quorate_queue_t,
    user_data: *mut c_void,
    watch: *mut *mut quorate_watch_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            lock::notify(&borrow(leadership)?.holding, queue, user_data, watch)
        })
    }
}

/// Changes what others see of the leader.
///
/// Errors: QUORATE_LOCK_LOST if this is not the leader any more; QUORATE_UNAVAILABLE,
/// QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_proclaim(
    leadership: *mut quorate_leadership_t,
    value: *const c_void,
    value_size: usize,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let state = borrow(leadership)?;
            let value = bytes(value, value_size, "value")?.to_vec();
            let name = state.name.clone();
            let proclaim = state.holding.using(
                |leads| leads.proclaim(value).boxed(),
                move || {
                    Error::new(
                        ErrorCode::LockLost,
                        format!("leadership of {name:?} was given up before"),
                    )
                },
            )?;
            block(proclaim, timeout_ms, cancel)
        })
    }
}

/// Gives leadership up; the next in line leads when this returns. Does nothing the second time. The
/// handle still has to be freed.
///
/// Errors: as quorate_lock_unlock().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_resign(
    leadership: *mut quorate_leadership_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let end = borrow(leadership)?.holding.give_up(Leadership::resign)?;
            block(end, timeout_ms, cancel)
        })
    }
}

/// Frees leadership and sets the program's pointer to NULL. If it was not resigned, it is in the
/// background. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leadership_free(leadership: *mut *mut quorate_leadership_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(leadership) });
    });
}

/// Who leads. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_leader_t {
    /// What the leader says of itself. A NUL follows, which does not count.
    pub value: *const c_char,
    /// How many bytes that is.
    pub value_size: usize,
    /// The key that stands for the leader. A NUL follows, which does not count.
    pub key: *const c_char,
    /// How many bytes that is.
    pub key_size: usize,
    /// Greater than that of every earlier leader; the same while one leads.
    pub token: i64,
}

pub(crate) fn leader(memory: &Bump, leader: &Leader) -> quorate_leader_t {
    quorate_leader_t {
        value: memory::bytes(memory, &leader.value),
        value_size: leader.value.len(),
        key: memory::bytes(memory, &leader.key),
        key_size: leader.key.len(),
        token: leader.token,
    }
}

/// Who leads now; NULL if nobody does. Free it with quorate_leader_free().
///
/// Errors: QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_INVALID_ARGUMENT,
/// QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leader(
    client: *const quorate_client_t,
    election: *const c_char,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    leader: *mut *mut quorate_leader_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(leader, "leader")?;
            let election = self::client(client)?.election(text(election, "election")?);
            if let Some(found) = block(election.leader(), timeout_ms, cancel)? {
                place.put(memory::own(|memory| self::leader(memory, &found)));
            }
            Ok(())
        })
    }
}

/// Frees a leader and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_leader_free(leader: *mut *mut quorate_leader_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(leader) });
}
