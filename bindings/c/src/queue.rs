//! The queue through which everything comes that nobody waits for: read one by one, polled by a
//! descriptor, or handed to a callback.

use std::ffi::c_void;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quorate::{Error, ErrorCode};
use quorate_bridge::{EventQueue, Inherited};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::arguments::{invalid, place, timeout};
use crate::cancel::{Cancel, cancelled, optional, quorate_cancel_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::event::{Event, quorate_event_free, quorate_event_t};
use crate::handle::{borrow, give, opaque, take};
use crate::log;
use crate::runtime::with_signals_blocked;
use crate::watch::Origin;

/// A queue of events. One is enough for a program; there may be several.
pub struct quorate_queue_t {
    _opaque: [u8; 0],
}
opaque!(quorate_queue_t, State, "queue", b"QUqueued");

/// What is called for each event, on the queue's own thread. The event is freed when it returns. It
/// may call every function of this library; it must not throw or jump out.
pub type quorate_callback_t =
    Option<unsafe extern "C" fn(event: *const quorate_event_t, user_data: *mut c_void)>;

pub(crate) struct State {
    queue: Inherited<Arc<Queue>>,
}

/// What waits in a queue.
enum Waiting {
    Event(Box<Event>, Arc<Origin>, Option<OwnedSemaphorePermit>),
    /// Log records wait in the drain; see [`crate::log`].
    Logs,
}

/// The place of [`Waiting::Logs`], of which one is enough.
const LOGS: u64 = 1;

pub(crate) struct Queue {
    waiting: EventQueue<Waiting>,
    bell: Arc<UnixStream>,
    /// Readable while something waits, or when it is closed.
    rung: UnixStream,
    closed: CancellationToken,
    /// Whether a callback takes the events.
    dispatched: AtomicBool,
    dispatcher: Mutex<Option<JoinHandle<()>>>,
}

fn ring(bell: &UnixStream) {
    // It can only be full of rings already, which is as good.
    let _ = (&mut &*bell).write(&[1]);
}

impl Queue {
    fn new() -> std::io::Result<Self> {
        let (bell, rung) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        let bell = Arc::new(bell);
        let wake = Arc::clone(&bell);
        Ok(Self {
            // Each source bounds what it has in it.
            waiting: EventQueue::new(usize::MAX, move || ring(&wake)),
            bell,
            rung,
            closed: CancellationToken::new(),
            dispatched: AtomicBool::new(false),
            dispatcher: Mutex::new(None),
        })
    }

    pub(crate) fn push(
        &self,
        event: Event,
        origin: Arc<Origin>,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        self.waiting
            .push(None, Waiting::Event(Box::new(event), origin, permit));
    }

    /// Says that log records wait.
    pub(crate) fn push_logs(&self) {
        self.waiting.push(Some(LOGS), Waiting::Logs);
    }

    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// The next event that somebody still wants.
    fn take(&self) -> Option<*mut quorate_event_t> {
        loop {
            let taken = self.waiting.pop();
            if self.waiting.is_empty() {
                self.unring();
            }
            match taken? {
                Waiting::Event(event, origin, _permit) => {
                    if !origin.is_stopped() {
                        return Some(event.read(origin.user_data()));
                    }
                }
                Waiting::Logs => {
                    if let Some((record, lost)) = log::take() {
                        // There may be more.
                        self.push_logs();
                        return Some(Event::Log(record, lost).read(std::ptr::null_mut()));
                    }
                }
            }
        }
    }

    fn unring(&self) {
        if self.closed.is_cancelled() {
            return;
        }
        let mut rings = [0u8; 64];
        while matches!((&self.rung).read(&mut rings), Ok(count) if count == rings.len()) {}
        // What came meanwhile may have rung before.
        if !self.waiting.is_empty() || self.closed.is_cancelled() {
            ring(&self.bell);
        }
    }

    /// Waits for the next event.
    fn next(
        &self,
        at_most: Option<Duration>,
        cancel: Option<&Cancel>,
    ) -> Result<*mut quorate_event_t, Error> {
        // A timeout too long to add to the clock is none.
        let deadline = at_most.and_then(|at_most| Instant::now().checked_add(at_most));
        loop {
            if self.closed.is_cancelled() {
                return Err(Error::new(ErrorCode::Closed, "the queue was closed"));
            }
            if cancel.is_some_and(Cancel::is_fired) {
                return Err(cancelled());
            }
            if let Some(event) = self.take() {
                return Ok(event);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let waited = at_most.unwrap_or_default();
                return Err(Error::new(
                    ErrorCode::Timeout,
                    format!("no event within {waited:?}"),
                ));
            }
            self.poll(left, cancel)?;
        }
    }

    /// Waits until the bell or the cancel handle is rung, or a signal comes.
    fn poll(&self, at_most: Option<Duration>, cancel: Option<&Cancel>) -> Result<(), Error> {
        let at_most = at_most.and_then(|at_most| Timespec::try_from(at_most).ok());
        let rung = self.rung.as_fd();
        let cancel = cancel.map_or(rung, Cancel::descriptor);
        let mut descriptors = [rung, cancel].map(|of| PollFd::from_borrowed_fd(of, PollFlags::IN));
        match poll(&mut descriptors, at_most.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::new(
                ErrorCode::Internal,
                format!("cannot wait for events: {error}"),
            )),
        }
    }

    /// Ends it; waits for a callback that runs, unless it is that which calls.
    fn close(&self) {
        self.closed.cancel();
        self.waiting.close();
        ring(&self.bell);
        let dispatcher = self.dispatcher.lock().take();
        if let Some(thread) = dispatcher
            && thread.thread().id() != thread::current().id()
        {
            // It ends with a panic only if the callback did, which has said so.
            let _ = thread.join();
        }
        while self.waiting.pop().is_some() {}
    }
}

/// The queue behind a handle, in the process that made it.
///
/// # Safety
/// As [`borrow`].
pub(crate) unsafe fn queue(queue: *const quorate_queue_t) -> Result<Arc<Queue>, Error> {
    // SAFETY: as the caller promises.
    let queue = Arc::clone(unsafe { borrow(queue) }?.queue.get()?);
    if queue.closed.is_cancelled() {
        return Err(Error::new(ErrorCode::Closed, "the queue was closed"));
    }
    Ok(queue)
}

/// Makes a queue. Free it with quorate_queue_free().
///
/// Errors: QUORATE_RESOURCE_EXHAUSTED without free descriptors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_queue_open(
    queue: *mut *mut quorate_queue_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(queue, "queue")?;
            let made = Queue::new().map_err(|error| {
                Error::new(
                    ErrorCode::ResourceExhausted,
                    format!("cannot make a queue: {error}"),
                )
            })?;
            place.put(give(State {
                queue: Inherited::new(Arc::new(made)),
            }));
            Ok(())
        })
    }
}

/// A descriptor that is readable while events wait, for poll(2) and event loops: when it is, call
/// quorate_queue_next() with a `timeout_ms` of 0 until it answers QUORATE_TIMEOUT. That may be at
/// once. Neither read nor close the descriptor; it lives as long as the queue. -1 for no queue and
/// in a forked child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_queue_fd(queue: *const quorate_queue_t) -> i32 {
    plain(-1, || {
        // SAFETY: as the crate's page asks of every caller.
        let state = unsafe { borrow(queue) };
        let queue = state.and_then(|state| state.queue.get());
        queue.map_or(-1, |queue| queue.rung.as_raw_fd())
    })
}

/// Takes the next event, waiting for one as long as `timeout_ms` allows: 0 does not wait. Signals
/// do not end the wait. Several threads may wait: each event goes to one of them. Free the event
/// with quorate_event_free().
///
/// Errors: QUORATE_TIMEOUT without an event, QUORATE_CANCELLED, QUORATE_CLOSED once the queue is
/// closed, QUORATE_FAILED_PRECONDITION if a callback takes the events, QUORATE_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_queue_next(
    queue: *mut quorate_queue_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    event: *mut *mut quorate_event_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(event, "event")?;
            let queue = self::queue(queue)?;
            let cancel = optional(cancel)?;
            if queue.dispatched.load(Ordering::SeqCst) {
                return Err(Error::new(
                    ErrorCode::FailedPrecondition,
                    "a callback takes this queue's events",
                ));
            }
            place.put(queue.next(timeout(timeout_ms), cancel)?);
            Ok(())
        })
    }
}

/// From now on calls `callback` with `user_data` for each event, one after the other on a thread of
/// the queue's own, until the queue is closed. Instead of quorate_queue_next(), and only once.
///
/// Errors: QUORATE_FAILED_PRECONDITION the second time, QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED,
/// QUORATE_RESOURCE_EXHAUSTED if there is no thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_queue_dispatch(
    queue: *mut quorate_queue_t,
    callback: quorate_callback_t,
    user_data: *mut c_void,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let queue = self::queue(queue)?;
            let callback = callback.ok_or_else(|| invalid("the callback is NULL"))?;
            if queue.dispatched.swap(true, Ordering::SeqCst) {
                return Err(Error::new(
                    ErrorCode::FailedPrecondition,
                    "a callback takes this queue's events already",
                ));
            }
            // A number: what it points to is the program's affair.
            let user_data = user_data.expose_provenance();
            let taken = Arc::clone(&queue);
            let dispatch = move || {
                while let Ok(mut event) = taken.next(None, None) {
                    let user_data = std::ptr::with_exposed_provenance_mut(user_data);
                    callback(event, user_data);
                    quorate_event_free(&raw mut event);
                }
            };
            let thread = with_signals_blocked(|| {
                thread::Builder::new()
                    .name("quorate-events".to_owned())
                    .spawn(dispatch)
            });
            let thread = thread.map_err(|error| {
                queue.dispatched.store(false, Ordering::SeqCst);
                Error::new(
                    ErrorCode::ResourceExhausted,
                    format!("cannot start the thread for callbacks: {error}"),
                )
            })?;
            *queue.dispatcher.lock() = Some(thread);
            Ok(())
        })
    }
}

/// Closes a queue: whoever waits for its next event gets QUORATE_CLOSED, and no callback is called
/// any more. Waits for a callback that runs, unless that is what calls. What put events into it
/// still has to be freed.
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_queue_close(
    queue: *mut quorate_queue_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            borrow(queue)?.queue.get()?.close();
            Ok(())
        })
    }
}

/// Closes a queue, frees it and sets the program's pointer to NULL. No thread may be waiting for
/// its next event. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_queue_free(queue: *mut *mut quorate_queue_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        if let Some(state) = unsafe { take(queue) }
            && let Ok(queue) = state.queue.get()
        {
            queue.close();
        }
    });
}
