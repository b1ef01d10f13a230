//! What puts events into a queue: watches of services and keys, elections that are observed, and
//! losses waited for.

use std::ffi::{c_char, c_void};
use std::future::Future;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use quorate::watch::WatchOptions;
use quorate::{Error, ErrorCode};
use quorate_bridge::Inherited;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::arguments::{self, Options, bytes, initialise, invalid, place, text};
use crate::client::{client, quorate_client_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::event::Event;
use crate::handle::{give, opaque, take};
use crate::queue::{self, Queue, quorate_queue_t};
use crate::runtime;

/// Something that puts events into a queue until it is freed.
pub struct quorate_watch_t {
    _opaque: [u8; 0],
}
opaque!(quorate_watch_t, Source, "watch", b"QUwatche");

/// Events of one watch that wait in the queue; the watch pauses while there are so many. So nothing
/// is lost, and a queue is bounded by the number of its watches.
const AHEAD: usize = 16;

/// A watch, for as long as the program keeps its handle.
pub(crate) struct Source {
    origin: Inherited<Arc<Origin>>,
}

/// Where an event comes from.
pub(crate) struct Origin {
    user_data: UserData,
    /// The handle was freed: what still waits is not delivered.
    stopped: CancellationToken,
}

/// The program's pointer, which is handed back and never looked at.
struct UserData(*mut c_void);

// SAFETY: it is a number here; that what it points to may be used by the thread that takes the
// event is for the program to see to.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl Origin {
    pub(crate) fn user_data(&self) -> *mut c_void {
        self.user_data.0
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_cancelled()
    }
}

impl Source {
    /// Puts everything that comes into the queue.
    fn follow(
        queue: Arc<Queue>,
        user_data: *mut c_void,
        events: impl Stream<Item = Result<Event, Error>> + Send + 'static,
    ) -> Result<Self, Error> {
        let origin = Arc::new(Origin {
            user_data: UserData(user_data),
            stopped: CancellationToken::new(),
        });
        let pump = pump(queue, Arc::clone(&origin), events);
        runtime::handle()?.spawn(pump);
        Ok(Self {
            origin: Inherited::new(origin),
        })
    }

    /// Puts one event into the queue, if there is one in the end.
    pub(crate) fn once(
        queue: Arc<Queue>,
        user_data: *mut c_void,
        event: impl Future<Output = Option<Event>> + Send + 'static,
    ) -> Result<Self, Error> {
        let events = stream::once(event).filter_map(async |event| event.map(Ok));
        Self::follow(queue, user_data, events.chain(stream::pending()))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // A forked child has no such watch.
        if let Ok(origin) = self.origin.get() {
            origin.stopped.cancel();
        }
    }
}

async fn pump(
    queue: Arc<Queue>,
    origin: Arc<Origin>,
    events: impl Stream<Item = Result<Event, Error>> + Send + 'static,
) {
    let room = Arc::new(Semaphore::new(AHEAD));
    let mut events = std::pin::pin!(events);
    let next = async |permit: &mut Option<OwnedSemaphorePermit>| {
        // The semaphore is never closed.
        *permit = Arc::clone(&room).acquire_owned().await.ok();
    };
    loop {
        let mut permit = None;
        let event = tokio::select! {
            biased;
            () = origin.stopped.cancelled() => return,
            () = queue.closed() => return,
            event = async { next(&mut permit).await; events.next().await } => event,
        };
        let event = match event {
            Some(Ok(event)) => event,
            Some(Err(error)) if error.code() != ErrorCode::Closed => Event::End(Some(error)),
            // The program closed the client: nothing went wrong.
            Some(Err(_)) | None => Event::End(None),
        };
        let is_end = matches!(event, Event::End(_));
        queue.push(event, Arc::clone(&origin), permit);
        if is_end {
            return;
        }
    }
}

/// Follows a service: puts QUORATE_EVENT_SERVICE with `user_data` into the queue, a snapshot first,
/// then what changes. One who takes them slowly is told of several changes as one. When the client
/// is closed, QUORATE_EVENT_END. Free the watch with quorate_watch_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_watch_service(
    client: *const quorate_client_t,
    service: *const c_char,
    queue: *mut quorate_queue_t,
    user_data: *mut c_void,
    watch: *mut *mut quorate_watch_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(watch, "watch")?;
            let client = self::client(client)?;
            let service = text(service, "service")?;
            let queue = queue::queue(queue)?;
            let runtime = runtime::handle()?;
            let _inside = runtime.enter();
            let events = client.watch_service(service)?.with_views();
            let events = events.map(|(event, view)| Ok(Event::Service(event, view)));
            place.put(give(Source::follow(queue, user_data, events)?));
            Ok(())
        })
    }
}

/// Which changes of keys to watch. Initialise it with quorate_watch_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_watch_options_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// From this revision on, included; 0, the default, is from now on.
    pub start_revision: i64,
    /// Not 0 for all keys that begin with the key; an empty one is all keys.
    pub prefix: i32,
    /// Not 0 to be told what each key was before, as far as it is kept.
    pub previous: i32,
}

// SAFETY: numbers, any bytes are a value; it starts with its size.
unsafe impl Options for quorate_watch_options_t {
    const NAME: &'static str = "quorate_watch_options_t";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            start_revision: 0,
            prefix: 0,
            previous: 0,
        }
    }
}

/// Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_watch_options_init(
    options: *mut quorate_watch_options_t,
    struct_size: usize,
) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { initialise(options, struct_size) });
}

/// Watches keys: puts QUORATE_EVENT_KEYS with `user_data` into the queue, every change in order and
/// without gaps, over broken connections. One who takes them slowly holds up nobody. In the end
/// QUORATE_EVENT_END, with QUORATE_OUT_OF_RANGE if the history it needs was compacted away.
/// `options` may be NULL. Free the watch with quorate_watch_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_watch(
    client: *const quorate_client_t,
    key: *const c_void,
    key_size: usize,
    options: *const quorate_watch_options_t,
    queue: *mut quorate_queue_t,
    user_data: *mut c_void,
    watch: *mut *mut quorate_watch_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(watch, "watch")?;
            let client = self::client(client)?;
            let key = bytes(key, key_size, "key")?;
            let given = arguments::options(options)?;
            if given.start_revision < 0 {
                return Err(invalid("start_revision is below 0"));
            }
            let queue = queue::queue(queue)?;
            let mut options = WatchOptions::new().start_revision(given.start_revision);
            if given.prefix != 0 {
                options = options.prefix();
            }
            if given.previous != 0 {
                options = options.previous();
            }
            let runtime = runtime::handle()?;
            let _inside = runtime.enter();
            let batches = client
                .watch(key, options)
                .map(|batch| batch.map(Event::Keys));
            place.put(give(Source::follow(queue, user_data, batches)?));
            Ok(())
        })
    }
}

/// Observes an election: puts QUORATE_EVENT_LEADER with `user_data` into the queue for the leader
/// there is, then for every new leader and every new value. Free the watch with
/// quorate_watch_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_observe(
    client: *const quorate_client_t,
    election: *const c_char,
    queue: *mut quorate_queue_t,
    user_data: *mut c_void,
    watch: *mut *mut quorate_watch_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(watch, "watch")?;
            let client = self::client(client)?;
            let election = text(election, "election")?;
            let queue = queue::queue(queue)?;
            let runtime = runtime::handle()?;
            let _inside = runtime.enter();
            let leaders = client.election(election).observe();
            let leaders = leaders.map(|leader| leader.map(Event::Leader));
            place.put(give(Source::follow(queue, user_data, leaders)?));
            Ok(())
        })
    }
}

/// Ends a watch, frees it and sets the program's pointer to NULL. Its events that still wait are
/// dropped, so that its user data is not handed out any more; a callback that runs at this moment
/// on the dispatcher's thread may still have it. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_watch_free(watch: *mut *mut quorate_watch_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(watch) });
    });
}
