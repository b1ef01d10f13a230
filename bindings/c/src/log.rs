//! The client's log records on their way into a queue.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use quorate_bridge::fork::{MAX_DEPTH, depth};
use quorate_bridge::{LogDrain, LogLevel, LogRecord};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

use crate::arguments::choice;
use crate::error::{entry, quorate_code_t, quorate_error_t};
use crate::event::quorate_log_level_t;
use crate::queue::{self, Queue, quorate_queue_t};

static DRAIN: OnceLock<LogDrain> = OnceLock::new();

/// Where records go, for each generation of forks: an inherited one may be locked for ever.
static TO: [Mutex<Weak<Queue>>; MAX_DEPTH] = [const { Mutex::new(Weak::new()) }; MAX_DEPTH];

/// Puts what the client has to say into the queue, as QUORATE_EVENT_LOG: records of this
/// quorate_log_level_t and above, of all clients of this process. At most 1024 records wait; how
/// many were dropped is in the next one. Without a queue, or with QUORATE_LOG_OFF, nothing more
/// comes, as at the start. Records go to one queue at a time.
///
/// Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED, QUORATE_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_log(
    queue: *mut quorate_queue_t,
    level: i32,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let levels = [
                LogLevel::Trace,
                LogLevel::Debug,
                LogLevel::Info,
                LogLevel::Warn,
                LogLevel::Error,
            ];
            let mut all = vec![(quorate_log_level_t::QUORATE_LOG_OFF as i32, None)];
            all.extend(levels.map(|at| (quorate_log_level_t::from(at) as i32, Some(at))));
            let at_least = choice(level, "log_level", &all)?;
            let queue = if queue.is_null() {
                None
            } else {
                Some(queue::queue(queue)?)
            };
            send(queue.zip(at_least));
            Ok(())
        })
    }
}

fn send(to: Option<(Arc<Queue>, LogLevel)>) {
    let Some(place) = TO.get(depth()) else { return };
    let Some((queue, at_least)) = to else {
        *place.lock() = Weak::new();
        return;
    };
    drain().set_level(at_least);
    *place.lock() = Arc::downgrade(&queue);
    queue.push_logs();
}

fn drain() -> &'static LogDrain {
    DRAIN.get_or_init(|| {
        let drain = LogDrain::new(LogLevel::Error, wake);
        let ours = Targets::new().with_target("quorate", LevelFilter::TRACE);
        let subscriber = tracing_subscriber::registry()
            .with(ours)
            .with(drain.clone());
        // This library's own copy of `tracing` has no other subscriber.
        let _ = tracing::subscriber::set_global_default(subscriber);
        drain
    })
}

fn wake() {
    let to = TO.get(depth()).and_then(|place| place.lock().upgrade());
    if let Some(queue) = to {
        queue.push_logs();
    }
}

/// The next record, and how many were dropped before it.
pub(crate) fn take() -> Option<(LogRecord, u64)> {
    let drain = DRAIN.get()?;
    let record = drain.drain(1).pop()?;
    Some((record, drain.take_lost()))
}
