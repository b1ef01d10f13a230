//! The client's log records on their way to a function of JavaScript.
//!
//! They belong to the process, so one function gets them: that of the environment which asked last.

use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

use napi::Env;
use napi::bindgen_prelude::{Function, FunctionRef};
use napi_derive::napi;
use parking_lot::Mutex;
use quorate_bridge::{LogDrain, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

use crate::arguments::Text;
use crate::delivery::{Bell, Deliveries};
use crate::errors::{Result, invalid, of_node};

/// Takes records.
pub(crate) type Logger = FunctionRef<Vec<LogRecord>, ()>;

/// Records handed over at a time.
const BATCH: usize = 256;

static DRAIN: OnceLock<LogDrain> = OnceLock::new();
/// Who is woken for records: an environment and its bell.
static LISTENER: Mutex<Option<(u64, Arc<Bell>)>> = Mutex::new(None);

/// One record.
#[napi(object, object_from_js = false)]
pub struct LogRecord {
    /// Milliseconds since 1970.
    pub time: f64,
    /// How serious it is.
    #[napi(ts_type = "LogLevel")]
    pub level: &'static str,
    /// The module that wrote it.
    pub target: &'static str,
    /// What happened, and behind it fields as `name=value`.
    pub message: String,
}

fn ring() {
    let listener = LISTENER.lock().as_ref().map(|(_, bell)| Arc::clone(bell));
    if let Some(bell) = listener {
        bell.ring();
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

/// Hands records of this level and above to a function from now on, in batches; it must not throw.
#[napi]
pub fn set_logger(
    env: &Env,
    #[napi(ts_arg_type = "(records: LogRecord[]) => void")] logger: Function<
        '_,
        Vec<LogRecord>,
        (),
    >,
    #[napi(ts_arg_type = "LogLevel")] level: Text,
) -> Result<()> {
    let level = LEVELS
        .into_iter()
        .find(|known| name(*known) == level.0)
        .ok_or_else(|| {
            invalid(format!(
                "unknown level {:?}: use trace, debug, info, warn or error",
                level.0
            ))
        })?;
    let deliveries = Deliveries::of(env)?;
    let logger = logger.create_ref().map_err(of_node)?;
    *deliveries.logger.borrow_mut() = Some(logger);
    *LISTENER.lock() = Some((deliveries.environment(), deliveries.bell()));
    drain().set_level(level);
    // What was written before nobody is woken for.
    deliveries.bell().ring();
    Ok(())
}

/// Hands records to nobody any more, if they went here.
#[napi]
pub fn remove_logger(env: &Env) -> Result<()> {
    forget(&*Deliveries::of(env)?);
    Ok(())
}

/// Hands over what waits, if it is this environment's to have.
pub(crate) fn deliver(env: &Env, deliveries: &Deliveries) {
    let (Some(drain), true) = (DRAIN.get(), listens(deliveries)) else {
        return;
    };
    let function = deliveries.logger.borrow();
    let Some(function) = function.as_ref().and_then(|f| f.borrow_back(env).ok()) else {
        return;
    };
    let lost = drain.take_lost();
    let mut records: Vec<_> = drain
        .drain(BATCH)
        .into_iter()
        .map(LogRecord::from)
        .collect();
    if records.len() == BATCH {
        // More may wait, and nobody wakes us for them.
        deliveries.bell().ring();
    }
    if lost > 0 {
        let message = format!("{lost} log records were dropped: too many at once");
        records.push(quorate_lost(message));
    }
    if !records.is_empty() {
        // It does not throw; if it could not be called, the environment ends.
        let _ = function.call(records);
    }
}

/// An environment ends, or listens no longer.
pub(crate) fn forget(deliveries: &Deliveries) {
    deliveries.logger.borrow_mut().take();
    if listens(deliveries) {
        *LISTENER.lock() = None;
        if let Some(drain) = DRAIN.get() {
            drain.set_level(LogLevel::Error);
        }
    }
}

fn listens(deliveries: &Deliveries) -> bool {
    let listener = LISTENER.lock();
    listener
        .as_ref()
        .is_some_and(|(listening, _)| *listening == deliveries.environment())
}

fn quorate_lost(message: String) -> LogRecord {
    LogRecord {
        time: milliseconds_since_1970(std::time::SystemTime::now()),
        level: name(LogLevel::Warn),
        target: "quorate",
        message,
    }
}

impl From<quorate_bridge::LogRecord> for LogRecord {
    fn from(record: quorate_bridge::LogRecord) -> Self {
        Self {
            time: milliseconds_since_1970(record.time),
            level: name(record.level),
            target: record.target,
            message: record.message,
        }
    }
}

fn milliseconds_since_1970(time: std::time::SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_micros() as f64) / 1000.0
}

const LEVELS: [LogLevel; 5] = [
    LogLevel::Trace,
    LogLevel::Debug,
    LogLevel::Info,
    LogLevel::Warn,
    LogLevel::Error,
];

fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
