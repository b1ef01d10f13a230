//! Locks that are held.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use quorate::lock::{self, LockGuard};
use quorate_bridge::Holding;

use crate::arguments::{self, Options, initialise, milliseconds, place, text, timeout};
use crate::cancel::{block, quorate_cancel_t};
use crate::client::{client, quorate_client_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::event::Event;
use crate::handle::{borrow, give, opaque, take};
use crate::queue::{self, quorate_queue_t};
use crate::registration::c_text;
use crate::watch::{Source, quorate_watch_t};

/// A held lock, renewed in the background until it is unlocked or freed.
pub struct quorate_lock_t {
    _opaque: [u8; 0],
}
opaque!(quorate_lock_t, State, "lock", b"QUlocked");

pub(crate) struct State {
    holding: Holding<LockGuard>,
    name: CString,
    key: Vec<u8>,
    token: i64,
}

impl State {
    fn new(guard: LockGuard) -> Self {
        let lost = guard.lost();
        Self {
            name: c_text(guard.name()),
            key: [guard.key(), b"\0"].concat(),
            token: guard.token(),
            holding: Holding::new(guard, lost),
        }
    }
}

/// How to hold a lock or leadership. Initialise it with quorate_hold_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_hold_options_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// How long it outlives a program that vanishes; rounded up to whole seconds, and the server
    /// may raise it. Default: 10000.
    pub ttl_ms: i64,
}

// SAFETY: numbers, any bytes are a value; it starts with its size.
unsafe impl Options for quorate_hold_options_t {
    const NAME: &'static str = "quorate_hold_options_t";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            ttl_ms: lock::DEFAULT_TTL.as_millis() as i64,
        }
    }
}

/// Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_hold_options_init(
    options: *mut quorate_hold_options_t,
    struct_size: usize,
) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { initialise(options, struct_size) });
}

/// Waits for a lock, first come, first served, as long as `timeout_ms` allows. `options` may be
/// NULL. Whoever stops waiting leaves the line. Free the lock with quorate_lock_free().
///
/// Errors: QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_UNAVAILABLE if no server answers when it
/// enters the line, QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock(
    client: *const quorate_client_t,
    name: *const c_char,
    options: *const quorate_hold_options_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    lock: *mut *mut quorate_lock_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(lock, "lock")?;
            let client = self::client(client)?;
            let name = text(name, "name")?;
            let options = arguments::options(options)?;
            let mut request = client
                .lock(name)
                .ttl(milliseconds(options.ttl_ms, "ttl_ms")?);
            if let Some(timeout) = timeout(timeout_ms) {
                request = request.timeout(timeout);
            }
            // The request keeps the time, as it also withdraws.
            let guard = block(request.acquire(), -1, cancel)?;
            place.put(give(State::new(guard)));
            Ok(())
        })
    }
}

/// Takes a lock if nobody holds it and nobody waits for it. `options` may be NULL. Free the lock
/// with quorate_lock_free().
///
/// Errors: QUORATE_CONFLICT if somebody does; otherwise as quorate_lock().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_try_lock(
    client: *const quorate_client_t,
    name: *const c_char,
    options: *const quorate_hold_options_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    lock: *mut *mut quorate_lock_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(lock, "lock")?;
            let client = self::client(client)?;
            let name = text(name, "name")?;
            let options = arguments::options(options)?;
            let request = client
                .lock(name)
                .ttl(milliseconds(options.ttl_ms, "ttl_ms")?);
            let guard = block(request.try_acquire(), timeout_ms, cancel)?;
            place.put(give(State::new(guard)));
            Ok(())
        })
    }
}

/// The lock's name. The text lives as long as the handle. NULL for no lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock_name(lock: *const quorate_lock_t) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(lock) };
    state.map_or(ptr::null(), |state| state.name.as_ptr())
}

/// The key that stands for this holder, with a NUL behind it; its size goes to `size`, unless that
/// is NULL. It lives as long as the handle. NULL for no lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock_key(
    lock: *const quorate_lock_t,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: as the crate's page asks of every caller.
    unsafe { key(borrow(lock).ok().map(|state| state.key.as_slice()), size) }
}

/// A key with a NUL behind it, as C reads it.
///
/// # Safety
/// `size` is null or can be written to.
pub(crate) unsafe fn key(terminated: Option<&[u8]>, size: *mut usize) -> *const c_char {
    if !size.is_null() {
        let length = terminated.map_or(0, |key| key.len().saturating_sub(1));
        // SAFETY: as the caller promises.
        unsafe { size.write(length) };
    }
    terminated.map_or(ptr::null(), |key| key.as_ptr().cast())
}

/// The fencing token: greater than that of every earlier holder. Resources that take part refuse
/// tokens older than ones they saw. 0 for no lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock_token(lock: *const quorate_lock_t) -> i64 {
    // SAFETY: as the crate's page asks of every caller.
    let state = unsafe { borrow(lock) };
    state.map_or(0, |state| state.token)
}

/// Whether the lock is lost: it could not be renewed in time, or somebody else ended it. `false` is
/// a snapshot, not a promise: see quorate_lock_token(). `true` for no lock and in a forked child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock_is_lost(lock: *const quorate_lock_t) -> bool {
    plain(true, || {
        // SAFETY: as the crate's page asks of every caller.
        let state = unsafe { borrow(lock) };
        state
            .and_then(|state| state.holding.is_lost())
            .unwrap_or(true)
    })
}

/// Waits until the lock is lost, and writes `true`; `false` when the time is up or it was unlocked.
///
/// Errors: QUORATE_CANCELLED, QUORATE_FORKED, QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock_wait_lost(
    lock: *const quorate_lock_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    lost: *mut bool,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            wait_lost(&borrow(lock)?.holding, timeout_ms, cancel, lost)
        })
    }
}

/// Waits until something held is lost.
///
/// # Safety
/// `cancel` as [`borrow`] wants it; `lost` is null or can be written to.
pub(crate) unsafe fn wait_lost<T: Send + Sync + 'static>(
    holding: &Holding<T>,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    lost: *mut bool,
) -> Result<(), quorate::Error> {
    if lost.is_null() {
        return Err(arguments::invalid("the place for the answer is NULL"));
    }
    let end = holding.wait_lost(timeout(timeout_ms))?;
    // SAFETY: as the caller promises.
    let is_lost = unsafe { block(async { Ok(end.await) }, -1, cancel) }?;
    // SAFETY: as the caller promises.
    unsafe { lost.write(is_lost) };
    Ok(())
}

/// Puts a QUORATE_EVENT_LOST with `user_data` into the queue when the lock is lost. Free the watch
/// with quorate_watch_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock_notify(
    lock: *const quorate_lock_t,
    queue: *mut quorate_queue_t,
    user_data: *mut c_void,
    watch: *mut *mut quorate_watch_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            notify(&borrow(lock)?.holding, queue, user_data, watch)
        })
    }
}

/// Tells a queue when something held is lost.
///
/// # Safety
/// `queue` as [`borrow`] wants it; `watch` is null or can be written to.
pub(crate) unsafe fn notify<T: Send + Sync + 'static>(
    holding: &Holding<T>,
    queue: *mut quorate_queue_t,
    user_data: *mut c_void,
    watch: *mut *mut quorate_watch_t,
) -> Result<(), quorate::Error> {
    // SAFETY: as the caller promises.
    let (place, queue) = unsafe { (place(watch, "watch")?, queue::queue(queue)?) };
    let end = holding.wait_lost(None)?;
    let lost = async move { end.await.then_some(Event::Lost) };
    place.put(give(Source::once(queue, user_data, lost)?));
    Ok(())
}

/// Releases the lock; the next in line has it when this returns. Does nothing the second time. The
/// handle still has to be freed.
///
/// Errors: QUORATE_LOCK_LOST if it was lost before; QUORATE_UNAVAILABLE, QUORATE_TIMEOUT or
/// QUORATE_CANCELLED if no server answers in time: it is then released in the background, by its
/// time to live at the latest; QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock_unlock(
    lock: *mut quorate_lock_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let end = borrow(lock)?.holding.give_up(LockGuard::unlock)?;
            block(end, timeout_ms, cancel)
        })
    }
}

/// Frees a lock and sets the program's pointer to NULL. If it was not unlocked, it is released in
/// the background. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lock_free(lock: *mut *mut quorate_lock_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(lock) });
    });
}
