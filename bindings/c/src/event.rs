//! Events, as they wait and as C reads them.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::time::UNIX_EPOCH;

use bumpalo::Bump;
use quorate::election::Leader;
use quorate::watch::{EventKind, WatchBatch};
use quorate::{Error, RemovalReason, ServiceEvent, ServiceView};
use quorate_bridge::{LogLevel, LogRecord};

use crate::election::{self, quorate_leader_t};
use crate::error::{self, plain, quorate_error_t};
use crate::kv::{key_value, quorate_key_value_t};
use crate::memory::{self, list, one, optional};
use crate::view::{self, quorate_reason_t, quorate_service_event_t};

/// Something that happened.
pub(crate) enum Event {
    Service(ServiceEvent, ServiceView),
    Keys(WatchBatch),
    Leader(Leader),
    Lost,
    Evicted(RemovalReason),
    /// A record, and how many were dropped before it.
    Log(LogRecord, u64),
    /// Nothing more comes from this source, and why, unless it or its client was closed.
    End(Option<Error>),
}

/// What an event is about.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum quorate_event_kind_t {
    /// A service that is watched: see `service`.
    QUORATE_EVENT_SERVICE = 1,
    /// Keys that are watched: see `keys`.
    QUORATE_EVENT_KEYS = 2,
    /// An election that is observed: see `leader`.
    QUORATE_EVENT_LEADER = 3,
    /// A lock, leadership or lease is lost.
    QUORATE_EVENT_LOST = 4,
    /// Somebody else removed a registered instance for good: see `reason`.
    QUORATE_EVENT_EVICTED = 5,
    /// The client has something to say: see `log`.
    QUORATE_EVENT_LOG = 6,
    /// Nothing more comes from this watch: see `error`. NULL if its client was closed.
    QUORATE_EVENT_END = 7,
}

/// What happened to a key.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum quorate_key_change_t {
    /// It was written.
    QUORATE_KEY_PUT = 1,
    /// It was deleted, or its lease ended.
    QUORATE_KEY_DELETE = 2,
}

/// One change of one key. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_key_event_t {
    /// What happened.
    pub change: quorate_key_change_t,
    /// The key as it is now; after a deletion only `key` and `mod_revision` are set.
    pub kv: *const quorate_key_value_t,
    /// The key as it was, if asked for and still kept; NULL otherwise.
    pub previous: *const quorate_key_value_t,
}

/// Changes of keys in the order of their revisions; all changes of a revision are together. More
/// fields may follow in a newer library.
#[repr(C)]
pub struct quorate_key_events_t {
    /// The revision of the last change: to go on later, watch from this + 1.
    pub revision: i64,
    /// The changes, at least one. NULL follows.
    pub events: *const *const quorate_key_event_t,
    /// How many there are.
    pub event_count: usize,
}

/// How serious a log record is.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum quorate_log_level_t {
    /// Nothing at all.
    QUORATE_LOG_OFF = 0,
    /// The finest detail.
    QUORATE_LOG_TRACE = 1,
    /// For whoever looks for a defect.
    QUORATE_LOG_DEBUG = 2,
    /// Normal events worth knowing.
    QUORATE_LOG_INFO = 3,
    /// Something is not as it should be, and is being dealt with.
    QUORATE_LOG_WARN = 4,
    /// Something failed.
    QUORATE_LOG_ERROR = 5,
}

impl From<LogLevel> for quorate_log_level_t {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Trace => Self::QUORATE_LOG_TRACE,
            LogLevel::Debug => Self::QUORATE_LOG_DEBUG,
            LogLevel::Info => Self::QUORATE_LOG_INFO,
            LogLevel::Warn => Self::QUORATE_LOG_WARN,
            LogLevel::Error => Self::QUORATE_LOG_ERROR,
        }
    }
}

/// A log record. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_log_record_t {
    /// How serious it is.
    pub level: quorate_log_level_t,
    /// How many records were dropped before this one, because nobody took them.
    pub lost: u64,
    /// When it was written, in microseconds since 1970.
    pub time_us: i64,
    /// The module that wrote it.
    pub target: *const c_char,
    /// The message, and behind it the fields as `name=value`.
    pub message: *const c_char,
}

/// An event. Of the pointers, those are not NULL that belong to its kind. More fields may follow in
/// a newer library.
#[repr(C)]
pub struct quorate_event_t {
    /// What it is about; a newer library may have more kinds.
    pub kind: quorate_event_kind_t,
    /// Why an instance was removed, in QUORATE_EVENT_EVICTED.
    pub reason: quorate_reason_t,
    /// As it was given when the watch was made; NULL in QUORATE_EVENT_LOG.
    pub user_data: *mut c_void,
    /// Of QUORATE_EVENT_SERVICE.
    pub service: *const quorate_service_event_t,
    /// Of QUORATE_EVENT_KEYS.
    pub keys: *const quorate_key_events_t,
    /// Of QUORATE_EVENT_LEADER.
    pub leader: *const quorate_leader_t,
    /// Of QUORATE_EVENT_LOG.
    pub log: *const quorate_log_record_t,
    /// Of QUORATE_EVENT_END: why it ended; NULL if its client was closed.
    pub error: *const quorate_error_t,
}

impl Event {
    /// The event as C reads it; to be freed by [`quorate_event_free`].
    pub(crate) fn read(&self, user_data: *mut c_void) -> *mut quorate_event_t {
        memory::own(|memory| self.fill(memory, user_data))
    }

    fn fill(&self, memory: &Bump, user_data: *mut c_void) -> quorate_event_t {
        use quorate_event_kind_t as Kind;
        let mut event = quorate_event_t {
            kind: Kind::QUORATE_EVENT_LOST,
            reason: quorate_reason_t::QUORATE_REASON_NONE,
            user_data,
            service: ptr::null(),
            keys: ptr::null(),
            leader: ptr::null(),
            log: ptr::null(),
            error: ptr::null(),
        };
        event.kind = match self {
            Self::Service(change, after) => {
                event.service = one(memory, view::service_event(memory, change, after));
                Kind::QUORATE_EVENT_SERVICE
            }
            Self::Keys(batch) => {
                event.keys = one(memory, key_events(memory, batch));
                Kind::QUORATE_EVENT_KEYS
            }
            Self::Leader(leader) => {
                event.leader = one(memory, election::leader(memory, leader));
                Kind::QUORATE_EVENT_LEADER
            }
            Self::Lost => Kind::QUORATE_EVENT_LOST,
            Self::Evicted(reason) => {
                event.reason = (*reason).into();
                Kind::QUORATE_EVENT_EVICTED
            }
            Self::Log(record, lost) => {
                event.log = one(memory, log_record(memory, record, *lost));
                Kind::QUORATE_EVENT_LOG
            }
            Self::End(why) => {
                event.error = optional(memory, why.as_ref().map(|why| error::read(memory, why)));
                Kind::QUORATE_EVENT_END
            }
        };
        event
    }
}

fn key_events(memory: &Bump, batch: &WatchBatch) -> quorate_key_events_t {
    let events = batch.events.iter().map(|event| {
        let previous = event.previous.as_ref();
        let event = quorate_key_event_t {
            change: match event.kind {
                EventKind::Put => quorate_key_change_t::QUORATE_KEY_PUT,
                EventKind::Delete => quorate_key_change_t::QUORATE_KEY_DELETE,
            },
            kv: one(memory, key_value(memory, &event.kv)),
            previous: optional(memory, previous.map(|kv| key_value(memory, kv))),
        };
        one(memory, event)
    });
    quorate_key_events_t {
        revision: batch.revision,
        events: list(memory, events),
        event_count: batch.events.len(),
    }
}

fn log_record(memory: &Bump, record: &LogRecord, lost: u64) -> quorate_log_record_t {
    let since = record.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    quorate_log_record_t {
        level: record.level.into(),
        lost,
        time_us: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        target: memory::text(memory, record.target),
        message: memory::text(memory, &record.message),
    }
}

/// Frees an event and sets the program's pointer to NULL. Does nothing with NULL. Not for events
/// that a callback was given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_event_free(event: *mut *mut quorate_event_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(event) });
}
