//! Withdrawing calls that wait, from any thread and from signal handlers; and waiting itself.

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quorate::{Error, ErrorCode};
use quorate_bridge::{Inherited, wait};
use tokio::io::Interest;
use tokio::net::UnixStream as Watched;

use crate::arguments::{place, timeout};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::handle::{borrow, give, opaque, peek, take};
use crate::runtime;

/// Withdraws calls: each call that waits can be given one, and ends with QUORATE_CANCELLED when it
/// is fired. One may serve any number of calls, one after the other and at the same time.
pub struct quorate_cancel_t {
    _opaque: [u8; 0],
}
opaque!(
    quorate_cancel_t,
    Inherited<Cancel>,
    "cancel handle",
    b"QUcancel"
);

pub(crate) struct Cancel {
    fired: AtomicBool,
    bell: UnixStream,
    /// Readable while it is fired. A descriptor, because ringing it is allowed in a signal
    /// handler.
    rung: UnixStream,
    /// The same for the client's threads, registered with them at the first use.
    watched: OnceLock<Watched>,
}

impl Cancel {
    fn new() -> std::io::Result<Self> {
        let (bell, rung) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        Ok(Self {
            fired: AtomicBool::new(false),
            bell,
            rung,
            watched: OnceLock::new(),
        })
    }

    /// No lock, no allocation.
    fn fire(&self) {
        if !self.fired.swap(true, Ordering::SeqCst) {
            // It can only be full of rings already, which is as good.
            let _ = (&self.bell).write(&[1]);
        }
    }

    fn reset(&self) {
        let mut rings = [0u8; 16];
        while matches!((&self.rung).read(&mut rings), Ok(count) if count > 0) {}
        self.fired.store(false, Ordering::SeqCst);
    }

    pub(crate) fn is_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.rung.as_fd()
    }

    /// Waits until it is fired. Inside the runtime.
    async fn fired(&self) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            Error::new(
                ErrorCode::Internal,
                format!("cannot wait for a cancel handle: {error}"),
            )
        };
        let watched = match self.watched.get() {
            Some(watched) => watched,
            None => {
                let rung = self.rung.try_clone().and_then(Watched::from_std);
                let rung = rung.map_err(failed)?;
                self.watched.get_or_init(|| rung)
            }
        };
        while !self.is_fired() {
            watched.readable().await.map_err(failed)?;
            // If not, that was left over from before it was reset, and is to be forgotten.
            let _ = watched.try_io(Interest::READABLE, || match self.is_fired() {
                true => Ok(()),
                false => Err(ErrorKind::WouldBlock.into()),
            });
        }
        Ok(())
    }
}

pub(crate) fn cancelled() -> Error {
    Error::new(ErrorCode::Cancelled, "the call was cancelled")
}

/// Makes a cancel handle. Free it with quorate_cancel_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_cancel_open(
    cancel: *mut *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let cancel = place(cancel, "cancel handle")?;
            let made = Cancel::new().map_err(|error| {
                Error::new(
                    ErrorCode::ResourceExhausted,
                    format!("cannot make a cancel handle: {error}"),
                )
            })?;
            cancel.put(give(Inherited::new(made)));
            Ok(())
        })
    }
}

/// Withdraws all calls that wait with this handle, and those that will, until it is reset. May be
/// called from any thread and from a signal handler. Does nothing with NULL, and in a forked child
/// with a handle of its parent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_cancel_fire(cancel: *mut quorate_cancel_t) {
    // Nothing here allocates, locks or panics: it is for signal handlers.
    // SAFETY: as the crate's page asks of every caller.
    let Some(cancel) = (unsafe { peek(cancel) }) else {
        return;
    };
    if !cancel.is_forked()
        && let Ok(cancel) = cancel.get()
    {
        let errno = errno();
        cancel.fire();
        set_errno(errno);
    }
}

/// What a signal handler interrupts may be about to look at it.
fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn set_errno(value: i32) {
    #[cfg(target_os = "linux")]
    // SAFETY: the place of this thread's errno.
    unsafe {
        *libc::__errno_location() = value;
    }
    #[cfg(target_vendor = "apple")]
    // SAFETY: the place of this thread's errno.
    unsafe {
        *libc::__error() = value;
    }
}

/// Whether it was fired and not reset since; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_cancel_is_fired(cancel: *const quorate_cancel_t) -> bool {
    plain(false, || {
        // SAFETY: as the crate's page asks of every caller.
        let cancel = unsafe { borrow(cancel) };
        matches!(cancel.map(Inherited::get), Ok(Ok(cancel)) if cancel.is_fired())
    })
}

/// Makes it ready to be used again, once no call waits with it. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_cancel_reset(cancel: *mut quorate_cancel_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        if let Ok(Ok(cancel)) = unsafe { borrow(cancel) }.map(Inherited::get) {
            cancel.reset();
        }
    });
}

/// Frees it and sets the program's pointer to NULL. No call may be waiting with it. Does nothing
/// with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_cancel_free(cancel: *mut *mut quorate_cancel_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(cancel) });
    });
}

/// The cancel handle of a call, if it has one.
///
/// # Safety
/// As [`borrow`].
pub(crate) unsafe fn optional<'a>(
    cancel: *const quorate_cancel_t,
) -> Result<Option<&'a Cancel>, Error> {
    if cancel.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    unsafe { borrow(cancel) }?.get().map(Some)
}

/// Blocks until the future is done, the time is up or the call is cancelled; in the last two cases
/// the future is dropped, which withdraws what it was about.
///
/// # Safety
/// `cancel` as [`borrow`] wants it.
pub(crate) unsafe fn block<T>(
    future: impl Future<Output = Result<T, Error>>,
    timeout_ms: i64,
    cancel: *const quorate_cancel_t,
) -> Result<T, Error> {
    // SAFETY: as the caller promises.
    let cancel = unsafe { optional(cancel) }?;
    block_for(future, timeout(timeout_ms), cancel)
}

fn block_for<T>(
    future: impl Future<Output = Result<T, Error>>,
    at_most: Option<Duration>,
    cancel: Option<&Cancel>,
) -> Result<T, Error> {
    let runtime = runtime::handle()?;
    let Some(cancel) = cancel else {
        return wait(&runtime, future, at_most, || false);
    };
    let either = async {
        tokio::select! {
            biased;
            fired = cancel.fired() => Err(fired.err().unwrap_or_else(cancelled)),
            done = future => done,
        }
    };
    wait(&runtime, either, at_most, || false)
}
