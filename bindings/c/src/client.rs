//! The client: its start, its end, what it says of itself.

use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;

use bumpalo::Bump;
use quorate::{Client, Error, ServerStatus};
use quorate_bridge::Inherited;

use crate::arguments::place;
use crate::cancel::{block, quorate_cancel_t};
use crate::error::{self, entry, plain, quorate_code_t, quorate_error_t};
use crate::handle::{borrow, give, opaque, take};
use crate::memory::{self, list, one, text};
use crate::options::{self, quorate_client_options_t};
use crate::runtime;

/// A connection to a Quorate cluster. One serves a whole program, all its threads. It is closed
/// when the process exits, if it was not before.
pub struct quorate_client_t {
    _opaque: [u8; 0],
}
opaque!(
    quorate_client_t,
    Inherited<Arc<Client>>,
    "client",
    b"QUclient"
);

/// The client behind a handle, in the process that made it.
///
/// # Safety
/// As [`borrow`].
pub(crate) unsafe fn client<'a>(client: *const quorate_client_t) -> Result<&'a Arc<Client>, Error> {
    // SAFETY: as the caller promises.
    unsafe { borrow(client) }?.get()
}

/// Makes a client. Does not connect: see quorate_client_connected(). `options` may be NULL. Free
/// it with quorate_client_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT names the option that is wrong.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_client_open(
    options: *const quorate_client_options_t,
    client: *mut *mut quorate_client_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(client, "client")?;
            let builder = options::builder(options)?;
            let runtime = runtime::start()?;
            let _inside = runtime.enter();
            let made = Arc::new(builder.build()?);
            runtime::close_at_exit(&made);
            place.put(give(Inherited::new(made)));
            Ok(())
        })
    }
}

/// Waits until a server answers, at most `timeout_ms` and at most the client's request timeout. No
/// other call needs it.
///
/// Errors: QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_client_connected(
    client: *const quorate_client_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let client = self::client(client)?;
            block(client.connected(), timeout_ms, cancel)
        })
    }
}

/// Ends everything this client does for the program, at most within `timeout_ms` and the request
/// timeout: instances are deregistered, locks and leaderships given up, leases revoked, watches
/// ended. Afterwards every call on it and on what was made with it answers QUORATE_CLOSED. The
/// handles still have to be freed, in any order. If the time is up or the call is cancelled the
/// client goes on closing in the background.
///
/// Errors: QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_client_close(
    client: *const quorate_client_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let client = Arc::clone(self::client(client)?);
            let close = async move {
                client.close().await;
                Ok(())
            };
            block(close, timeout_ms, cancel)
        })
    }
}

/// Frees a client and sets the program's pointer to NULL. What was made with it stays usable; when
/// the last of it is freed, what the client does ends in the background, without a wait: close it
/// first to be sure that the servers know. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_client_free(client: *mut *mut quorate_client_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(client) });
    });
}

/// What a client has counted since it was made. Set `struct_size` before the call; what an older
/// library does not count is 0.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct quorate_metrics_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// Calls repeated after a failed attempt.
    pub retries: u64,
    /// Servers put aside because they failed.
    pub server_failures: u64,
    /// Watch and lease streams opened again after they broke.
    pub stream_reconnects: u64,
    /// Leases lost: expired, revoked by somebody else, or not renewed in time.
    pub leases_lost: u64,
    /// Sessions with the registry on which a server answered.
    pub sessions_opened: u64,
    /// Of these, those that found all registrations as they were.
    pub sessions_resumed: u64,
    /// Sessions that broke or fell silent.
    pub sessions_broken: u64,
    /// Heartbeats sent; other messages are signs of life too.
    pub heartbeats: u64,
    /// Instances this client keeps registered.
    pub registrations: u64,
    /// Services followed of which nothing is known yet.
    pub services_unknown: u64,
    /// Services known from a server in contact.
    pub services_live: u64,
    /// Services known from memory, without contact.
    pub services_stale: u64,
    /// Services known from disk.
    pub services_snapshot: u64,
    /// Services known from the static instances.
    pub services_static: u64,
    /// Picks from services followed now.
    pub picks: u64,
    /// Services fetched whole because a message was missing or did not fit.
    pub resyncs: u64,
    /// Of these, because content and hash disagreed.
    pub hash_mismatches: u64,
    /// Messages that would have emptied a service without a reason.
    pub empties_refused: u64,
    /// Messages that would have removed most of a service, held until confirmed.
    pub shrinks_held: u64,
    /// Cached services on disk that could not be used.
    pub cache_files_bad: u64,
    /// Services written to disk.
    pub cache_files_written: u64,
    /// Services that could not be written.
    pub cache_files_failed: u64,
}

/// Reads what the client has counted, from memory.
///
/// Errors: QUORATE_INVALID_ARGUMENT if `struct_size` is not set; QUORATE_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_metrics(
    client: *const quorate_client_t,
    metrics: *mut quorate_metrics_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let counts = counts(&self::client(client)?.metrics());
            crate::arguments::fill(metrics, counts, "quorate_metrics_t")
        })
    }
}

fn counts(metrics: &quorate::Metrics) -> quorate_metrics_t {
    quorate_metrics_t {
        struct_size: 0,
        retries: metrics.retries,
        server_failures: metrics.server_failures,
        stream_reconnects: metrics.stream_reconnects,
        leases_lost: metrics.leases_lost,
        sessions_opened: metrics.sessions_opened,
        sessions_resumed: metrics.sessions_resumed,
        sessions_broken: metrics.sessions_broken,
        heartbeats: metrics.heartbeats,
        registrations: metrics.registrations,
        services_unknown: metrics.services.unknown,
        services_live: metrics.services.live,
        services_stale: metrics.services.stale,
        services_snapshot: metrics.services.snapshot,
        services_static: metrics.services.configured,
        picks: metrics.picks,
        resyncs: metrics.resyncs,
        hash_mismatches: metrics.hash_mismatches,
        empties_refused: metrics.empties_refused,
        shrinks_held: metrics.shrinks_held,
        cache_files_bad: metrics.cache_files_bad,
        cache_files_written: metrics.cache_files_written,
        cache_files_failed: metrics.cache_files_failed,
    }
}

/// One server's answer, or why there is none.
#[repr(C)]
pub struct quorate_server_t {
    /// The address, as the client was given it.
    pub address: *const c_char,
    /// Why there is no answer; NULL if there is one. If not NULL, the fields below are empty.
    pub error: *const quorate_error_t,
    /// The version of the protocol it speaks.
    pub version: *const c_char,
    /// Its id.
    pub member_id: u64,
    /// The id of its cluster.
    pub cluster_id: u64,
    /// The id of the leader it knows; 0 is none.
    pub leader: u64,
    /// The Raft term.
    pub term: u64,
    /// The newest log index.
    pub raft_index: u64,
    /// The newest log index that was applied.
    pub raft_applied_index: u64,
    /// The store's revision.
    pub revision: i64,
    /// The store's size in bytes.
    pub db_size: u64,
    /// What is wrong, in the server's own words.
    pub problems: *const *const c_char,
    /// How many of these there are.
    pub problem_count: usize,
}

/// How all servers are, in the order of the client's endpoints.
#[repr(C)]
pub struct quorate_server_list_t {
    /// The servers.
    pub servers: *const *const quorate_server_t,
    /// How many there are.
    pub server_count: usize,
}

/// Asks every server at once how it is; each has the request timeout to answer. Free the list with
/// quorate_server_list_free().
///
/// Errors: QUORATE_TIMEOUT, QUORATE_CANCELLED; that a server does not answer is in the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_server_status(
    client: *const quorate_client_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    servers: *mut *mut quorate_server_list_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(servers, "servers")?;
            let client = self::client(client)?;
            let ask = async { Ok(client.server_status().await) };
            let all = block(ask, timeout_ms, cancel)?;
            place.put(memory::own(|memory| quorate_server_list_t {
                servers: list(
                    memory,
                    all.iter().map(|status| one(memory, server(memory, status))),
                ),
                server_count: all.len(),
            }));
            Ok(())
        })
    }
}

fn server(memory: &Bump, status: &ServerStatus) -> quorate_server_t {
    let mut server = quorate_server_t {
        address: text(memory, &status.address),
        error: ptr::null(),
        version: text(memory, ""),
        member_id: 0,
        cluster_id: 0,
        leader: 0,
        term: 0,
        raft_index: 0,
        raft_applied_index: 0,
        revision: 0,
        db_size: 0,
        problems: list(memory, [].into_iter()),
        problem_count: 0,
    };
    match &status.result {
        Err(error) => server.error = one(memory, error::read(memory, error)),
        Ok(info) => {
            server.version = text(memory, &info.version);
            server.member_id = info.member_id;
            server.cluster_id = info.cluster_id;
            server.leader = info.leader;
            server.term = info.term;
            server.raft_index = info.raft_index;
            server.raft_applied_index = info.raft_applied_index;
            server.revision = info.revision;
            server.db_size = info.db_size;
            server.problems = list(
                memory,
                info.errors.iter().map(|problem| text(memory, problem)),
            );
            server.problem_count = info.errors.len();
        }
    }
    server
}

/// Frees a list of servers and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_server_list_free(servers: *mut *mut quorate_server_list_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(servers) });
}
