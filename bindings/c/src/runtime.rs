//! The client's threads in this process, and their end with it.

use std::sync::{Arc, Once, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use quorate::{Client, Error};
use quorate_bridge::Runtimes;
use quorate_bridge::fork::{MAX_DEPTH, depth};
use tokio::runtime::Handle;

use crate::error::plain;

static RUNTIMES: Runtimes = Runtimes::new();

/// The clients to close at exit, for each generation of forks: the lock of an inherited list may
/// be held for ever.
static OPEN: [OnceLock<Mutex<Vec<Weak<Client>>>>; MAX_DEPTH] =
    [const { OnceLock::new() }; MAX_DEPTH];

/// How long the clients that are open when the process exits have to close, all together.
const AT_EXIT: Duration = Duration::from_secs(1);
/// How long tasks that are left have then.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// The runtime of this process.
pub(crate) fn handle() -> Result<Handle, Error> {
    RUNTIMES.handle()
}

/// The runtime of this process, made if need be.
pub(crate) fn start() -> Result<Handle, Error> {
    with_signals_blocked(|| RUNTIMES.handle())
}

/// Does something that starts threads. They inherit the signal mask, and must not be the ones on
/// which the program's signals arrive.
pub(crate) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are initialised before they are read: the first by `sigfillset`, the second
    // by `pthread_sigmask`, which only fails for an unknown first argument.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let started = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        started
    }
}

/// Closes this client when the process exits, unless it is gone by then.
pub(crate) fn close_at_exit(client: &Arc<Client>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the handler has no arguments and lives as long as the library. It fails only
        // without memory; then the clients end by their time to live, as after a crash.
        let _ = unsafe { libc::atexit(end) };
    });
    RUNTIMES.accompany(client.ended());
    if let Some(open) = open() {
        let mut open = open.lock();
        open.retain(|other| other.strong_count() > 0);
        open.push(Arc::downgrade(client));
    }
}

fn open() -> Option<&'static Mutex<Vec<Weak<Client>>>> {
    Some(OPEN.get(depth())?.get_or_init(Mutex::default))
}

extern "C" fn end() {
    plain((), || {
        let Some(open) = open() else { return };
        let clients: Vec<_> = open.lock().iter().filter_map(Weak::upgrade).collect();
        // On a thread of its own: the exiting thread has lost its thread-local storage already,
        // without which nothing can be waited for.
        let closing = thread::Builder::new()
            .name("quorate-exit".to_owned())
            .spawn(move || close(&clients));
        if let Ok(closing) = closing {
            let _ = closing.join();
        }
    });
}

fn close(clients: &[Arc<Client>]) {
    if let Some(runtime) = RUNTIMES.running() {
        runtime.block_on(async {
            let end = async {
                join_all(clients.iter().map(|client| client.close())).await;
                // Those that were freed a moment ago, too.
                RUNTIMES.departures().await;
            };
            // Who is not done by then is ended by its time to live.
            let _ = tokio::time::timeout(AT_EXIT, end).await;
        });
    }
    RUNTIMES.shut_down(LAST_MOMENT);
}
