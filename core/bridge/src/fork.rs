//! Noticing that this process is a forked child, and keeping it off what it inherited.
//!
//! A fork copies memory but only the calling thread. In the child the client's threads are gone,
//! its locks may be held by nobody for ever, and its sockets are the parent's: a byte written
//! there corrupts the parent's connection, and a lock released there is the parent's lock. So
//! whatever was made before the fork is neither used nor dropped in the child; it is leaked, and
//! its use is answered with [`ErrorCode::Forked`].

use std::mem::ManuallyDrop;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_types::{Error, ErrorCode};

/// How many generations of processes are served: a child of a child of a child…
pub const MAX_DEPTH: usize = 16;

/// How many forks lie between the process that first asked and this one.
static DEPTH: AtomicUsize = AtomicUsize::new(0);

/// The number of forks between the process that first called this and the present one: it
/// differs between a process and its child. Costs one atomic load, so it can be asked on every
/// call; a process id would cost a system call.
#[must_use]
pub fn depth() -> usize {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    DEPTH.load(Ordering::Relaxed)
}

extern "C" fn count_fork() {
    DEPTH.fetch_add(1, Ordering::Relaxed);
}

#[allow(unsafe_code)]
fn register() {
    // SAFETY: the handler lives as long as the program, and in the child it only adds to an
    // atomic, which is safe there: it takes no lock and allocates nothing.
    let failed = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
    // It fails only when memory is exhausted. Forks would then go unnoticed, as without us.
    debug_assert_eq!(failed, 0);
}

/// Something that only the process that made it may use or drop.
#[derive(Debug)]
pub struct Inherited<T> {
    made_at: usize,
    value: ManuallyDrop<T>,
}

impl<T> Inherited<T> {
    /// Ties a value to the present process.
    pub fn new(value: T) -> Self {
        Self {
            made_at: depth(),
            value: ManuallyDrop::new(value),
        }
    }

    /// Whether this process is a child of the one that made it.
    #[must_use]
    pub fn is_forked(&self) -> bool {
        self.made_at != depth()
    }

    /// The value.
    ///
    /// # Errors
    /// [`ErrorCode::Forked`] in a child process.
    pub fn get(&self) -> Result<&T, Error> {
        if self.is_forked() {
            return Err(forked());
        }
        Ok(&self.value)
    }

    /// The value, mutably.
    ///
    /// # Errors
    /// [`ErrorCode::Forked`] in a child process.
    pub fn get_mut(&mut self) -> Result<&mut T, Error> {
        if self.is_forked() {
            return Err(forked());
        }
        Ok(&mut self.value)
    }

    /// The value itself.
    ///
    /// # Errors
    /// [`ErrorCode::Forked`] in a child process; the value is leaked there.
    pub fn into_inner(self) -> Result<T, Error> {
        let mut this = ManuallyDrop::new(self);
        if this.is_forked() {
            return Err(forked());
        }
        Ok(take(&mut this.value))
    }
}

impl<T> Drop for Inherited<T> {
    fn drop(&mut self) {
        if !self.is_forked() {
            drop(take(&mut self.value));
        }
    }
}

#[allow(unsafe_code)]
fn take<T>(value: &mut ManuallyDrop<T>) -> T {
    // SAFETY: both callers own the `Inherited` and never look at its value again: one is its
    // `drop`, the other has put it into a `ManuallyDrop`, so `drop` will not run.
    unsafe { ManuallyDrop::take(value) }
}

/// What the child is told.
#[must_use]
pub fn forked() -> Error {
    Error::new(
        ErrorCode::Forked,
        "this client was made before the process forked and belongs to the parent; \
         open a new client in the child",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn in_its_own_process_the_value_is_used_and_dropped() {
        let value = Arc::new(7);
        let inherited = Inherited::new(value.clone());
        assert_eq!(**inherited.get().unwrap(), 7);
        drop(inherited);
        assert_eq!(Arc::strong_count(&value), 1);
        let inherited = Inherited::new(value.clone());
        drop(inherited.into_inner().unwrap());
        assert_eq!(Arc::strong_count(&value), 1);
    }

    /// The child must not run the test harness further: it reports by its exit code.
    #[test]
    #[allow(unsafe_code)]
    fn a_child_is_told_and_drops_nothing() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if depth() > 0 {
                    std::process::abort();
                }
            }
        }
        let before = depth();
        let mut inherited = Inherited::new(Bomb);
        // SAFETY: the child only calls functions that take no lock, and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let told = inherited.get().is_err() && inherited.get_mut().is_err();
            let counted = depth() == before + 1;
            drop(inherited);
            // SAFETY: always sound; skips the parent's exit handlers on purpose.
            unsafe { libc::_exit(i32::from(!(told && counted))) }
        }
        assert!(child > 0);
        let mut status = 0;
        // SAFETY: `status` is a valid place to write to, and `child` is ours to reap.
        let reaped = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(reaped, child);
        assert!(libc::WIFEXITED(status), "the child was killed: {status}");
        assert_eq!(libc::WEXITSTATUS(status), 0);
        assert!(!inherited.is_forked());
    }
}
