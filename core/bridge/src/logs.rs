//! Handing log records to the host's own logging, in batches.
//!
//! Calling the host's logger from our threads deadlocks sooner or later: it takes the host's
//! interpreter lock, which may wait for us. So records go into a bounded queue, and the host
//! comes for them.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::events::EventQueue;
use crate::fork::{self, MAX_DEPTH};

/// Records that wait at most; older ones are dropped, and counted.
const CAPACITY: usize = 1024;

/// How serious a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LogLevel {
    /// The finest detail.
    Trace = 1,
    /// For whoever looks for a defect.
    Debug = 2,
    /// Normal events worth knowing.
    Info = 3,
    /// Something is not as it should be, and is being dealt with.
    Warn = 4,
    /// Something failed.
    Error = 5,
}

impl From<&Level> for LogLevel {
    fn from(level: &Level) -> Self {
        match *level {
            Level::TRACE => Self::Trace,
            Level::DEBUG => Self::Debug,
            Level::INFO => Self::Info,
            Level::WARN => Self::Warn,
            Level::ERROR => Self::Error,
        }
    }
}

/// One record.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// When it was written.
    pub time: SystemTime,
    /// How serious it is.
    pub level: LogLevel,
    /// The module that wrote it.
    pub target: &'static str,
    /// The message, and behind it the fields as `name=value`.
    pub message: String,
}

/// Collects the client's log records until the host takes them.
///
/// Each process has a queue of its own, so that one drain, installed once, also serves forked
/// children: the lock of an inherited queue may be held by a thread that does not exist there.
#[derive(Clone)]
pub struct LogDrain {
    inner: Arc<Inner>,
}

struct Inner {
    at_least: AtomicU8,
    by_depth: [OnceLock<EventQueue<LogRecord>>; MAX_DEPTH],
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl LogDrain {
    /// A drain for records of this level and above; `wake` is called when the first one waits.
    pub fn new(at_least: LogLevel, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                at_least: AtomicU8::new(at_least as u8),
                by_depth: [const { OnceLock::new() }; MAX_DEPTH],
                wake: Arc::new(wake),
            }),
        }
    }

    /// Collects records of this level and above from now on.
    pub fn set_level(&self, at_least: LogLevel) {
        self.inner.at_least.store(at_least as u8, Ordering::Relaxed);
    }

    /// Takes up to `at_most` records, oldest first.
    #[must_use]
    pub fn drain(&self, at_most: usize) -> Vec<LogRecord> {
        self.queue()
            .map_or_else(Vec::new, |queue| queue.drain(at_most))
    }

    /// How many records were dropped since this was last asked.
    #[must_use]
    pub fn take_lost(&self) -> u64 {
        self.queue().map_or(0, EventQueue::take_lost)
    }

    /// The queue of this process.
    fn queue(&self) -> Option<&EventQueue<LogRecord>> {
        let cell = self.inner.by_depth.get(fork::depth())?;
        Some(cell.get_or_init(|| {
            let wake = Arc::clone(&self.inner.wake);
            EventQueue::new(CAPACITY, move || wake())
        }))
    }
}

impl fmt::Debug for LogDrain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogDrain")
            .field("queue", &self.queue())
            .finish_non_exhaustive()
    }
}

impl<S: Subscriber> Layer<S> for LogDrain {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = LogLevel::from(event.metadata().level());
        if (level as u8) < self.inner.at_least.load(Ordering::Relaxed) {
            return;
        }
        let Some(queue) = self.queue() else { return };
        let mut text = Text::default();
        event.record(&mut text);
        queue.push(
            None,
            LogRecord {
                time: SystemTime::now(),
                level,
                target: event.metadata().target(),
                message: text.message + &text.fields,
            },
        );
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn records_wait_with_their_fields_and_the_level_is_respected() {
        let drain = LogDrain::new(LogLevel::Info, || {});
        let subscriber = tracing_subscriber::registry().with(drain.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("not wanted");
            tracing::warn!(server = "a:1", attempt = 3, "no answer");
        });
        let records = drain.drain(10);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].level, LogLevel::Warn);
        assert_eq!(records[0].message, "no answer server=\"a:1\" attempt=3");
        assert!(records[0].target.contains("logs"));
        assert!(drain.drain(10).is_empty());
        drain.set_level(LogLevel::Error);
        let subscriber = tracing_subscriber::registry().with(drain.clone());
        tracing::subscriber::with_default(subscriber, || tracing::warn!("no longer wanted"));
        assert!(drain.drain(10).is_empty());
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let drain = LogDrain::new(LogLevel::Trace, || {});
        let subscriber = tracing_subscriber::registry().with(drain.clone());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..CAPACITY + 5 {
                tracing::info!(number, "flood");
            }
        });
        assert_eq!(drain.take_lost(), 5);
        assert_eq!(drain.drain(usize::MAX).len(), CAPACITY);
    }
}
