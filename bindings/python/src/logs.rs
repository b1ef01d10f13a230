//! The client's log records on their way to Python's `logging`.
//!
//! Our threads never call Python's logging, which would need the interpreter's lock and could
//! wait for us. They put records into a queue and ring a bell; a Python thread waits for the
//! bell with the interpreter detached, and takes the records.

use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use quorate_bridge::fork::{MAX_DEPTH, depth};
use quorate_bridge::{LogDrain, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

static DRAIN: OnceLock<LogDrain> = OnceLock::new();

/// One for each generation of forks: an inherited one may be locked for ever.
static BELLS: [Bell; MAX_DEPTH] = [const { Bell::new() }; MAX_DEPTH];

/// Records taken at a time.
const BATCH: usize = 256;

/// A record as (logging level, module, message, seconds since 1970).
type Record = (u8, &'static str, String, f64);

struct Bell {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rung: bool,
    stopped: bool,
}

impl Bell {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                rung: false,
                stopped: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until it is rung; `false` once it is stopped.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        self.changed
            .wait_while(&mut state, |state| !state.rung && !state.stopped);
        state.rung = false;
        !state.stopped
    }
}

fn ring() {
    if let Some(bell) = BELLS.get(depth()) {
        bell.change(|state| state.rung = true);
    }
}

/// Ends the thread that waits for records.
pub(crate) fn stop() {
    if let Some(bell) = BELLS.get(depth()) {
        bell.change(|state| state.stopped = true);
    }
}

fn drain() -> &'static LogDrain {
    DRAIN.get_or_init(|| {
        let drain = LogDrain::new(LogLevel::Warn, ring);
        let ours = Targets::new().with_target("quorate", LevelFilter::TRACE);
        let subscriber = tracing_subscriber::registry()
            .with(ours)
            .with(drain.clone());
        // This library's own copy of `tracing` has no other subscriber.
        let _ = tracing::subscriber::set_global_default(subscriber);
        drain
    })
}

/// Collects records of this level of `logging` and above from now on.
#[pyfunction]
pub(crate) fn set_log_level(level: i32) {
    drain().set_level(match level {
        ..10 => LogLevel::Trace,
        10..20 => LogLevel::Debug,
        20..30 => LogLevel::Info,
        30..40 => LogLevel::Warn,
        _ => LogLevel::Error,
    });
}

/// Blocks until there are records. Returns how many were dropped and those that were not; `None`
/// when the process exits.
#[pyfunction]
pub(crate) fn next_logs(py: Python<'_>) -> Option<(u64, Vec<Record>)> {
    let drain = drain();
    let bell = BELLS.get(depth())?;
    py.detach(|| {
        loop {
            let records = drain.drain(BATCH);
            if !records.is_empty() {
                let records = records.into_iter().map(|record| {
                    let since = record.time.duration_since(UNIX_EPOCH).unwrap_or_default();
                    let level = level_number(record.level);
                    (level, record.target, record.message, since.as_secs_f64())
                });
                return Some((drain.take_lost(), records.collect()));
            }
            if !bell.wait() {
                return None;
            }
        }
    })
}

fn level_number(level: LogLevel) -> u8 {
    match level {
        LogLevel::Trace => 5,
        LogLevel::Debug => 10,
        LogLevel::Info => 20,
        LogLevel::Warn => 30,
        LogLevel::Error => 40,
    }
}
