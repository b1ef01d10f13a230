/*
 * Quorate for C: service discovery, client-side load balancing, locks, elections and key-values.
 * The work is done in-process by the Rust client core, on two threads of its own.
 *
 * Conventions, which hold unless a function says otherwise:
 *
 * - Errors. Functions that can fail return a quorate_code_t, and last take a quorate_error_t **:
 *   NULL, or a place that is set to NULL on success and to an error object otherwise, which you free
 *   with quorate_error_free(). Whatever was there before the call is not freed. If a function fails
 *   its results are NULL.
 * - Ownership. What you pass stays yours and is copied if needed. What you receive through a T ** is
 *   yours: free it with the quorate_..._free() of its type, which takes the address of your pointer
 *   and sets it to NULL, so that a second call does nothing. A copy of the pointer does not know: to
 *   use it then is undefined, although often found. Everything inside a result lives as long as it.
 * - Threads. All functions may be called from any thread, and all handles used by several at once;
 *   only whoever frees a handle must be the last to use it. Results do not change.
 * - Waiting. Functions that wait take timeout_ms: below 0 (QUORATE_NO_LIMIT) there is no limit but
 *   the client's request timeout, which bounds every call to the servers, though not the time in line
 *   for a lock; 0 gives up at once if it would wait. And a quorate_cancel_t *, or NULL, with which
 *   another thread or a signal handler withdraws the call. A signal alone does not end a wait.
 * - Arguments. NULL where something is needed, text that is not UTF-8, a number that is none of its
 *   enum and a handle of another kind are QUORATE_INVALID_ARGUMENT. Text ends with a NUL; bytes have
 *   a size instead, and if that is 0 the pointer may be NULL.
 * - Options. A struct of options starts with its size. Have its defaults written first:
 *   quorate_x_options_t options; quorate_x_options_init(&options, sizeof options);
 *   NULL stands for all defaults. So programs and libraries of different ages fit: what an older
 *   program does not know has its default, and what an older library does not know is refused
 *   unless it is 0. Structs that you receive may grow at their end; do not copy or allocate them.
 * - Fork. In a child process everything made before the fork answers QUORATE_FORKED and may be
 *   freed, which does nothing to the parent's; open a new client there.
 * - Exit. exit(), and return from main, closes the clients that are still open, within about one
 *   second, so that instances and locks go at once. _exit(), abort() and signals that are not handled
 *   do not: then they go by their time to live. The library stays loaded after dlclose().
 */

#ifndef QUORATE_H
#define QUORATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of this header; that of the library is quorate_version(). */
#define QUORATE_VERSION "0.1.0"
#define QUORATE_VERSION_MAJOR 0
#define QUORATE_VERSION_MINOR 1
#define QUORATE_VERSION_PATCH 0


/**
 * As a `timeout_ms`: no limit but the request timeout, and none for standing in line.
 */
#define QUORATE_NO_LIMIT -1

/**
 * "As it is", for a weight in an update.
 */
#define QUORATE_UNCHANGED INT32_MIN

/**
 * What a function answers: QUORATE_OK, or why it failed. The numbers never change their meaning;
 * there may be more of them in a newer library.
 */
enum quorate_code_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It succeeded.
   */
  QUORATE_OK = 0,
  /**
   * The arguments can never be right.
   */
  QUORATE_INVALID_ARGUMENT = 1,
  /**
   * No server answers, or the cluster has no leader.
   */
  QUORATE_UNAVAILABLE = 2,
  /**
   * The time was up; the call may or may not have taken effect.
   */
  QUORATE_TIMEOUT = 3,
  /**
   * Somebody else was first: a lock is held, a compare failed, an id is taken.
   */
  QUORATE_CONFLICT = 4,
  /**
   * There is no such thing.
   */
  QUORATE_NOT_FOUND = 5,
  /**
   * Not known who calls.
   */
  QUORATE_UNAUTHENTICATED = 6,
  /**
   * Known who calls, and it is not allowed.
   */
  QUORATE_PERMISSION_DENIED = 7,
  /**
   * A lock or leadership is no longer held.
   */
  QUORATE_LOCK_LOST = 8,
  /**
   * The session or lease behind a handle has ended.
   */
  QUORATE_SESSION_EXPIRED = 9,
  /**
   * The client or the queue was closed, or the process is exiting.
   */
  QUORATE_CLOSED = 10,
  /**
   * The handle was made before this process was forked; only the parent may use it.
   */
  QUORATE_FORKED = 11,
  /**
   * It was cancelled.
   */
  QUORATE_CANCELLED = 12,
  /**
   * A limit was reached: size, rate, quota, queue.
   */
  QUORATE_RESOURCE_EXHAUSTED = 13,
  /**
   * The revision asked for is compacted away or in the future.
   */
  QUORATE_OUT_OF_RANGE = 14,
  /**
   * There are no instances to choose from.
   */
  QUORATE_NO_ENDPOINTS = 15,
  /**
   * This server does not have the operation.
   */
  QUORATE_UNIMPLEMENTED = 16,
  /**
   * The state of the system does not allow it.
   */
  QUORATE_FAILED_PRECONDITION = 17,
  /**
   * Stored data is damaged.
   */
  QUORATE_CORRUPT = 18,
  /**
   * Reading or writing local files failed.
   */
  QUORATE_IO = 19,
  /**
   * A defect in Quorate.
   */
  QUORATE_INTERNAL = 20,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_code_t quorate_code_t;
#else
typedef int32_t quorate_code_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether an instance wants calls. Only those that are up receive new ones.
 */
enum quorate_status_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Ready.
   */
  QUORATE_STATUS_UP = 1,
  /**
   * Registered, not ready yet.
   */
  QUORATE_STATUS_STARTING = 2,
  /**
   * Finishing what it has.
   */
  QUORATE_STATUS_DRAINING = 3,
  /**
   * Reports itself unhealthy.
   */
  QUORATE_STATUS_DOWN = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_status_t quorate_status_t;
#else
typedef int32_t quorate_status_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Where knowledge of a service comes from, best first.
 */
enum quorate_state_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * From a server this client is in contact with.
   */
  QUORATE_STATE_LIVE = 1,
  /**
   * From a server, kept in memory; no contact right now.
   */
  QUORATE_STATE_STALE = 2,
  /**
   * From the disk, written by an earlier run; no server has answered yet.
   */
  QUORATE_STATE_SNAPSHOT = 3,
  /**
   * From the static instances; nothing better is known.
   */
  QUORATE_STATE_STATIC = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_state_t quorate_state_t;
#else
typedef int32_t quorate_state_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What an event is about.
 */
enum quorate_event_kind_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * A service that is watched: see `service`.
   */
  QUORATE_EVENT_SERVICE = 1,
  /**
   * Keys that are watched: see `keys`.
   */
  QUORATE_EVENT_KEYS = 2,
  /**
   * An election that is observed: see `leader`.
   */
  QUORATE_EVENT_LEADER = 3,
  /**
   * A lock, leadership or lease is lost.
   */
  QUORATE_EVENT_LOST = 4,
  /**
   * Somebody else removed a registered instance for good: see `reason`.
   */
  QUORATE_EVENT_EVICTED = 5,
  /**
   * The client has something to say: see `log`.
   */
  QUORATE_EVENT_LOG = 6,
  /**
   * Nothing more comes from this watch: see `error`. NULL if its client was closed.
   */
  QUORATE_EVENT_END = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_event_kind_t quorate_event_kind_t;
#else
typedef int32_t quorate_event_kind_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why an instance went.
 */
enum quorate_reason_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It is there, or nobody said why it went.
   */
  QUORATE_REASON_NONE = 0,
  /**
   * Its program asked for it, or closed its client.
   */
  QUORATE_REASON_DEREGISTERED = 1,
  /**
   * No sign of life for its time to live.
   */
  QUORATE_REASON_LEASE_EXPIRED = 2,
  /**
   * Its session broke and did not come back within its time to live.
   */
  QUORATE_REASON_SESSION_LOST = 3,
  /**
   * A person took it out.
   */
  QUORATE_REASON_OPERATOR = 4,
  /**
   * Another node is responsible now.
   */
  QUORATE_REASON_MOVED = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_reason_t quorate_reason_t;
#else
typedef int32_t quorate_reason_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What happened to a service.
 */
enum quorate_service_change_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The first event: everything known.
   */
  QUORATE_SERVICE_SNAPSHOT = 1,
  /**
   * Instances came, changed or went.
   */
  QUORATE_SERVICE_CHANGED = 2,
  /**
   * The thread of changes was lost and the service fetched whole: read the view anew.
   */
  QUORATE_SERVICE_RESYNC = 3,
  /**
   * Only the freshness changed: contact was lost or found, or the view became complete.
   */
  QUORATE_SERVICE_STATE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_service_change_t quorate_service_change_t;
#else
typedef int32_t quorate_service_change_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What happened to a key.
 */
enum quorate_key_change_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It was written.
   */
  QUORATE_KEY_PUT = 1,
  /**
   * It was deleted, or its lease ended.
   */
  QUORATE_KEY_DELETE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_key_change_t quorate_key_change_t;
#else
typedef int32_t quorate_key_change_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How serious a log record is.
 */
enum quorate_log_level_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Nothing at all.
   */
  QUORATE_LOG_OFF = 0,
  /**
   * The finest detail.
   */
  QUORATE_LOG_TRACE = 1,
  /**
   * For whoever looks for a defect.
   */
  QUORATE_LOG_DEBUG = 2,
  /**
   * Normal events worth knowing.
   */
  QUORATE_LOG_INFO = 3,
  /**
   * Something is not as it should be, and is being dealt with.
   */
  QUORATE_LOG_WARN = 4,
  /**
   * Something failed.
   */
  QUORATE_LOG_ERROR = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_log_level_t quorate_log_level_t;
#else
typedef int32_t quorate_log_level_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What an operation of a transaction was.
 */
enum quorate_op_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * A write: see `put`.
   */
  QUORATE_OP_PUT = 1,
  /**
   * A read: see `range`.
   */
  QUORATE_OP_RANGE = 2,
  /**
   * A deletion: see `deleted`.
   */
  QUORATE_OP_DELETE = 3,
  /**
   * A transaction: see `txn`.
   */
  QUORATE_OP_TXN = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_op_t quorate_op_t;
#else
typedef int32_t quorate_op_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How instances are drawn. All give each instance its weight's share.
 */
enum quorate_algorithm_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The better of two weighted draws, by latency and calls under way.
   */
  QUORATE_P2C = 0,
  /**
   * One weighted draw.
   */
  QUORATE_WEIGHTED_RANDOM = 1,
  /**
   * Evenly spaced, no chance involved.
   */
  QUORATE_WEIGHTED_ROUND_ROBIN = 2,
  /**
   * The same sticky key gives the same instance, on every client.
   */
  QUORATE_MAGLEV = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_algorithm_t quorate_algorithm_t;
#else
typedef int32_t quorate_algorithm_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * When an operation of a transaction is done.
 */
enum quorate_branch_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * If all conditions hold.
   */
  QUORATE_THEN = 0,
  /**
   * If one does not.
   */
  QUORATE_OTHERWISE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_branch_t quorate_branch_t;
#else
typedef int32_t quorate_branch_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How two values are compared.
 */
enum quorate_comparison_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The same.
   */
  QUORATE_EQUAL = 0,
  /**
   * Not the same.
   */
  QUORATE_NOT_EQUAL = 1,
  /**
   * The stored one is greater.
   */
  QUORATE_GREATER = 2,
  /**
   * The stored one is less.
   */
  QUORATE_LESS = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_comparison_t quorate_comparison_t;
#else
typedef int32_t quorate_comparison_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a call went.
 */
enum quorate_outcome_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The instance did its work; also when its answer is an error of the caller's making.
   */
  QUORATE_OUTCOME_OK = 0,
  /**
   * The instance answered that it failed, or broke off.
   */
  QUORATE_OUTCOME_FAIL = 1,
  /**
   * It did not answer in time.
   */
  QUORATE_OUTCOME_TIMEOUT = 2,
  /**
   * It could not be reached.
   */
  QUORATE_OUTCOME_CONNECT_FAIL = 3,
  /**
   * It asked to be left alone: HTTP 429 or 503 with Retry-After.
   */
  QUORATE_OUTCOME_OVERLOADED = 4,
  /**
   * The caller gave up for reasons of its own. Says nothing about the instance.
   */
  QUORATE_OUTCOME_CANCELLED = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_outcome_t quorate_outcome_t;
#else
typedef int32_t quorate_outcome_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What records are ordered by.
 */
enum quorate_sort_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The key.
   */
  QUORATE_SORT_KEY = 0,
  /**
   * The number of changes.
   */
  QUORATE_SORT_VERSION = 1,
  /**
   * The revision of creation.
   */
  QUORATE_SORT_CREATE_REVISION = 2,
  /**
   * The revision of the last change.
   */
  QUORATE_SORT_MOD_REVISION = 3,
  /**
   * The value.
   */
  QUORATE_SORT_VALUE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_sort_t quorate_sort_t;
#else
typedef int32_t quorate_sort_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A number of a key to compare.
 */
enum quorate_target_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * How many changes since the creation.
   */
  QUORATE_TARGET_VERSION = 0,
  /**
   * The revision at which the key was created; 0 of a key that is not there.
   */
  QUORATE_TARGET_CREATE_REVISION = 1,
  /**
   * The revision of the key's last change.
   */
  QUORATE_TARGET_MOD_REVISION = 2,
  /**
   * The lease the key is attached to.
   */
  QUORATE_TARGET_LEASE = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_target_t quorate_target_t;
#else
typedef int32_t quorate_target_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How an instance came to be picked. If several are true, the one named last here.
 */
enum quorate_why_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It was its turn.
   */
  QUORATE_WHY_NORMAL = 0,
  /**
   * It was its turn, and it is warming up.
   */
  QUORATE_WHY_SLOW_START = 1,
  /**
   * Only excluded instances are healthy, so the exclusion was ignored.
   */
  QUORATE_WHY_EXCLUDED_FALLBACK = 2,
  /**
   * Too few instances are healthy, so health was ignored.
   */
  QUORATE_WHY_PANIC = 3,
  /**
   * Its breaker is on probation, and this is the one call that decides.
   */
  QUORATE_WHY_PROBE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_why_t quorate_why_t;
#else
typedef int32_t quorate_why_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Withdraws calls: each call that waits can be given one, and ends with QUORATE_CANCELLED when it
 * is fired. One may serve any number of calls, one after the other and at the same time.
 */
typedef struct quorate_cancel_t quorate_cancel_t;

/**
 * A connection to a Quorate cluster. One serves a whole program, all its threads. It is closed
 * when the process exits, if it was not before.
 */
typedef struct quorate_client_t quorate_client_t;

/**
 * Leadership that is held, renewed in the background until it is resigned or freed.
 */
typedef struct quorate_leadership_t quorate_leadership_t;

/**
 * A lease, renewed in the background until it is revoked or freed; then the keys put with it go.
 */
typedef struct quorate_lease_t quorate_lease_t;

/**
 * A held lock, renewed in the background until it is unlocked or freed.
 */
typedef struct quorate_lock_t quorate_lock_t;

/**
 * An instance chosen for one call. Say how the call went with quorate_pick_report(), then free it;
 * freed without a report, the call counts as cancelled.
 */
typedef struct quorate_pick_t quorate_pick_t;

/**
 * A queue of events. One is enough for a program; there may be several.
 */
typedef struct quorate_queue_t quorate_queue_t;

/**
 * A registered instance. It stays registered, through broken connections and restarted servers,
 * until it is deregistered or freed.
 */
typedef struct quorate_registration_t quorate_registration_t;

/**
 * A followed service, for those who pick often: without the look-up by name.
 */
typedef struct quorate_service_t quorate_service_t;

/**
 * A transaction under construction: add conditions and operations, then quorate_txn_commit() it.
 * Belongs to no client, and may be committed several times.
 */
typedef struct quorate_txn_t quorate_txn_t;

/**
 * Something that puts events into a queue until it is freed.
 */
typedef struct quorate_watch_t quorate_watch_t;

/**
 * An error, made by the library and freed with quorate_error_free(). More fields may follow in a
 * newer library.
 */
typedef struct quorate_error_t {
  /**
   * What kind of error it is; the same as the function returned.
   */
  quorate_code_t code;
  /**
   * Whether the same call may succeed later.
   */
  bool retryable;
  /**
   * One line for a person: what, and where.
   */
  const char *message;
  /**
   * The code's stable name, such as `invalid_argument`.
   */
  const char *name;
  /**
   * What the caller can do next, as one clause for a person.
   */
  const char *next_step;
} quorate_error_t;

/**
 * A name and a text of an instance's metadata.
 */
typedef struct quorate_label_t {
  /**
   * The name; never NULL.
   */
  const char *key;
  /**
   * The text; never NULL.
   */
  const char *value;
} quorate_label_t;

/**
 * What an instance is, apart from its service and address. Initialise it with
 * quorate_instance_options_init().
 */
typedef struct quorate_instance_options_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * Unique in the service; NULL, the default, is the address.
   */
  const char *id;
  /**
   * Where it runs; NULL is nowhere in particular.
   */
  const char *zone;
  /**
   * The program's version; NULL is none.
   */
  const char *version;
  /**
   * Labels, so many.
   */
  const struct quorate_label_t *metadata;
  /**
   * How many labels there are.
   */
  size_t metadata_count;
  /**
   * How long it stays when this program vanishes: 1 s to 1 h. Default: 10 s.
   */
  int64_t ttl_ms;
  /**
   * The share of calls relative to others, 0 to 65535; 0 receives none. Default: 100.
   */
  int32_t weight;
  /**
   * A quorate_status_t. Default: up.
   */
  int32_t status;
} quorate_instance_options_t;

/**
 * An instance that is known beforehand.
 */
typedef struct quorate_static_instance_t {
  /**
   * The service's name.
   */
  const char *service;
  /**
   * `host:port`.
   */
  const char *address;
  /**
   * The rest; NULL is all defaults.
   */
  const struct quorate_instance_options_t *options;
} quorate_static_instance_t;

/**
 * One setting of the balancer: breakers, slow start, ejection, retry budget.
 */
typedef struct quorate_setting_t {
  /**
   * Its name, such as `panic_threshold`; a wrong one is answered with a list of all.
   */
  const char *name;
  /**
   * Its value; times are in milliseconds, switches 0 or 1.
   */
  double value;
} quorate_setting_t;

/**
 * The options of a client. Initialise them with quorate_client_options_init().
 */
typedef struct quorate_client_options_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * The servers, as `host:port` or `http://host:port`, all of one cluster, in any order.
   */
  const char *const *endpoints;
  /**
   * How many servers there are. Without any: 127.0.0.1:2379.
   */
  size_t endpoint_count;
  /**
   * The namespace of services. NULL, the default, is `default`.
   */
  const char *default_namespace;
  /**
   * A directory in which discovered services survive a restart of this program. NULL, the
   * default: they are kept in memory only.
   */
  const char *cache_dir;
  /**
   * What this program calls itself, for people who read the servers' logs. NULL is a default.
   */
  const char *client_name;
  /**
   * How long a call to the servers may take, failover included. Default: 5000; at most an hour.
   */
  int64_t request_timeout_ms;
  /**
   * How long one attempt to connect may take. Default: 2000; at most an hour.
   */
  int64_t connect_timeout_ms;
  /**
   * What a service falls back on while neither a server nor the cache knows it.
   */
  const struct quorate_static_instance_t *static_instances;
  /**
   * How many of these there are.
   */
  size_t static_instance_count;
  /**
   * Settings of the balancer; those that are not named have their defaults.
   */
  const struct quorate_setting_t *balancer;
  /**
   * How many settings there are.
   */
  size_t balancer_count;
  /**
   * A quorate_algorithm_t. Default: QUORATE_P2C.
   */
  int32_t algorithm;
} quorate_client_options_t;

/**
 * What a client has counted since it was made. Set `struct_size` before the call; what an older
 * library does not count is 0.
 */
typedef struct quorate_metrics_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * Calls repeated after a failed attempt.
   */
  uint64_t retries;
  /**
   * Servers put aside because they failed.
   */
  uint64_t server_failures;
  /**
   * Watch and lease streams opened again after they broke.
   */
  uint64_t stream_reconnects;
  /**
   * Leases lost: expired, revoked by somebody else, or not renewed in time.
   */
  uint64_t leases_lost;
  /**
   * Sessions with the registry on which a server answered.
   */
  uint64_t sessions_opened;
  /**
   * Of these, those that found all registrations as they were.
   */
  uint64_t sessions_resumed;
  /**
   * Sessions that broke or fell silent.
   */
  uint64_t sessions_broken;
  /**
   * Heartbeats sent; other messages are signs of life too.
   */
  uint64_t heartbeats;
  /**
   * Instances this client keeps registered.
   */
  uint64_t registrations;
  /**
   * Services followed of which nothing is known yet.
   */
  uint64_t services_unknown;
  /**
   * Services known from a server in contact.
   */
  uint64_t services_live;
  /**
   * Services known from memory, without contact.
   */
  uint64_t services_stale;
  /**
   * Services known from disk.
   */
  uint64_t services_snapshot;
  /**
   * Services known from the static instances.
   */
  uint64_t services_static;
  /**
   * Picks from services followed now.
   */
  uint64_t picks;
  /**
   * Services fetched whole because a message was missing or did not fit.
   */
  uint64_t resyncs;
  /**
   * Of these, because content and hash disagreed.
   */
  uint64_t hash_mismatches;
  /**
   * Messages that would have emptied a service without a reason.
   */
  uint64_t empties_refused;
  /**
   * Messages that would have removed most of a service, held until confirmed.
   */
  uint64_t shrinks_held;
  /**
   * Cached services on disk that could not be used.
   */
  uint64_t cache_files_bad;
  /**
   * Services written to disk.
   */
  uint64_t cache_files_written;
  /**
   * Services that could not be written.
   */
  uint64_t cache_files_failed;
} quorate_metrics_t;

/**
 * One server's answer, or why there is none.
 */
typedef struct quorate_server_t {
  /**
   * The address, as the client was given it.
   */
  const char *address;
  /**
   * Why there is no answer; NULL if there is one. If not NULL, the fields below are empty.
   */
  const struct quorate_error_t *error;
  /**
   * The version of the protocol it speaks.
   */
  const char *version;
  /**
   * Its id.
   */
  uint64_t member_id;
  /**
   * The id of its cluster.
   */
  uint64_t cluster_id;
  /**
   * The id of the leader it knows; 0 is none.
   */
  uint64_t leader;
  /**
   * The Raft term.
   */
  uint64_t term;
  /**
   * The newest log index.
   */
  uint64_t raft_index;
  /**
   * The newest log index that was applied.
   */
  uint64_t raft_applied_index;
  /**
   * The store's revision.
   */
  int64_t revision;
  /**
   * The store's size in bytes.
   */
  uint64_t db_size;
  /**
   * What is wrong, in the server's own words.
   */
  const char *const *problems;
  /**
   * How many of these there are.
   */
  size_t problem_count;
} quorate_server_t;

/**
 * How all servers are, in the order of the client's endpoints.
 */
typedef struct quorate_server_list_t {
  /**
   * The servers.
   */
  const struct quorate_server_t *const *servers;
  /**
   * How many there are.
   */
  size_t server_count;
} quorate_server_list_t;

/**
 * One address that serves a service. More fields may follow in a newer library.
 */
typedef struct quorate_instance_t {
  /**
   * Unique in its service.
   */
  const char *id;
  /**
   * `host:port`; IPv6 hosts in brackets.
   */
  const char *address;
  /**
   * Where it runs; may be empty.
   */
  const char *zone;
  /**
   * The program's version; may be empty.
   */
  const char *version;
  /**
   * Labels, by key. A value with a NUL in it seems to end there.
   */
  const struct quorate_label_t *metadata;
  /**
   * How many labels there are.
   */
  size_t metadata_count;
  /**
   * How long it stays without a sign of life.
   */
  int64_t ttl_ms;
  /**
   * Grows with every change of this record.
   */
  uint64_t revision;
  /**
   * The share of calls relative to others; 0 receives none.
   */
  int32_t weight;
  /**
   * Whether it wants calls.
   */
  quorate_status_t status;
} quorate_instance_t;

/**
 * The instances of a service at one moment. More fields may follow in a newer library.
 */
typedef struct quorate_view_t {
  /**
   * The service's namespace.
   */
  const char *service_namespace;
  /**
   * The service's name.
   */
  const char *service;
  /**
   * All instances, by id, also those that are not up or have weight 0. NULL follows.
   */
  const struct quorate_instance_t *const *instances;
  /**
   * How many there are.
   */
  size_t instance_count;
  /**
   * The epoch the revision counts in; 0 if no server vouches for exactly this content.
   */
  uint64_t epoch;
  /**
   * Grows with each change within an epoch.
   */
  uint64_t revision;
  /**
   * Since when nobody confirmed it.
   */
  int64_t age_ms;
  /**
   * Where it comes from.
   */
  quorate_state_t state;
  /**
   * Whether a server vouched that nothing is missing.
   */
  bool complete;
} quorate_view_t;

/**
 * A service, in short. More fields may follow in a newer library.
 */
typedef struct quorate_summary_t {
  /**
   * Its namespace.
   */
  const char *service_namespace;
  /**
   * Its name.
   */
  const char *service;
  /**
   * How many instances it has.
   */
  uint32_t instances;
  /**
   * How many of these are up.
   */
  uint32_t up;
  /**
   * How many clients follow it.
   */
  uint32_t subscribers;
  /**
   * The slot it belongs to.
   */
  uint32_t slot;
} quorate_summary_t;

/**
 * Services, by name.
 */
typedef struct quorate_summary_list_t {
  /**
   * The services. NULL follows.
   */
  const struct quorate_summary_t *const *services;
  /**
   * How many there are.
   */
  size_t service_count;
} quorate_summary_list_t;

/**
 * How to hold a lock or leadership. Initialise it with quorate_hold_options_init().
 */
typedef struct quorate_hold_options_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * How long it outlives a program that vanishes; rounded up to whole seconds, and the server
   * may raise it. Default: 10000.
   */
  int64_t ttl_ms;
} quorate_hold_options_t;

/**
 * Who leads. More fields may follow in a newer library.
 */
typedef struct quorate_leader_t {
  /**
   * What the leader says of itself. A NUL follows, which does not count.
   */
  const char *value;
  /**
   * How many bytes that is.
   */
  size_t value_size;
  /**
   * The key that stands for the leader. A NUL follows, which does not count.
   */
  const char *key;
  /**
   * How many bytes that is.
   */
  size_t key_size;
  /**
   * Greater than that of every earlier leader; the same while one leads.
   */
  int64_t token;
} quorate_leader_t;

/**
 * An instance that is no longer there. More fields may follow in a newer library.
 */
typedef struct quorate_removed_t {
  /**
   * As it was last seen.
   */
  const struct quorate_instance_t *instance;
  /**
   * Why it went.
   */
  quorate_reason_t reason;
} quorate_removed_t;

/**
 * A change of a service. More fields may follow in a newer library.
 */
typedef struct quorate_service_event_t {
  /**
   * What happened.
   */
  quorate_service_change_t change;
  /**
   * The view after it; never NULL.
   */
  const struct quorate_view_t *view;
  /**
   * New instances. NULL follows.
   */
  const struct quorate_instance_t *const *added;
  /**
   * How many there are.
   */
  size_t added_count;
  /**
   * Changed instances, as they are now. NULL follows.
   */
  const struct quorate_instance_t *const *updated;
  /**
   * How many there are.
   */
  size_t updated_count;
  /**
   * Instances that went. NULL follows.
   */
  const struct quorate_removed_t *const *removed;
  /**
   * How many there are.
   */
  size_t removed_count;
} quorate_service_event_t;

/**
 * One version of one key. More fields may follow in a newer library.
 */
typedef struct quorate_key_value_t {
  /**
   * The key. A NUL follows, which does not count.
   */
  const char *key;
  /**
   * How many bytes the key has.
   */
  size_t key_size;
  /**
   * The value; empty also if only keys were asked for. A NUL follows, which does not count.
   */
  const char *value;
  /**
   * How many bytes the value has.
   */
  size_t value_size;
  /**
   * The revision at which the key was last created; 0 in a deletion.
   */
  int64_t create_revision;
  /**
   * The revision of the last change.
   */
  int64_t mod_revision;
  /**
   * How many changes since the creation, itself included; 0 in a deletion.
   */
  int64_t version;
  /**
   * The lease the key lives and dies with; 0 is none.
   */
  int64_t lease;
} quorate_key_value_t;

/**
 * One change of one key. More fields may follow in a newer library.
 */
typedef struct quorate_key_event_t {
  /**
   * What happened.
   */
  quorate_key_change_t change;
  /**
   * The key as it is now; after a deletion only `key` and `mod_revision` are set.
   */
  const struct quorate_key_value_t *kv;
  /**
   * The key as it was, if asked for and still kept; NULL otherwise.
   */
  const struct quorate_key_value_t *previous;
} quorate_key_event_t;

/**
 * Changes of keys in the order of their revisions; all changes of a revision are together. More
 * fields may follow in a newer library.
 */
typedef struct quorate_key_events_t {
  /**
   * The revision of the last change: to go on later, watch from this + 1.
   */
  int64_t revision;
  /**
   * The changes, at least one. NULL follows.
   */
  const struct quorate_key_event_t *const *events;
  /**
   * How many there are.
   */
  size_t event_count;
} quorate_key_events_t;

/**
 * A log record. More fields may follow in a newer library.
 */
typedef struct quorate_log_record_t {
  /**
   * How serious it is.
   */
  quorate_log_level_t level;
  /**
   * How many records were dropped before this one, because nobody took them.
   */
  uint64_t lost;
  /**
   * When it was written, in microseconds since 1970.
   */
  int64_t time_us;
  /**
   * The module that wrote it.
   */
  const char *target;
  /**
   * The message, and behind it the fields as `name=value`.
   */
  const char *message;
} quorate_log_record_t;

/**
 * An event. Of the pointers, those are not NULL that belong to its kind. More fields may follow in
 * a newer library.
 */
typedef struct quorate_event_t {
  /**
   * What it is about; a newer library may have more kinds.
   */
  quorate_event_kind_t kind;
  /**
   * Why an instance was removed, in QUORATE_EVENT_EVICTED.
   */
  quorate_reason_t reason;
  /**
   * As it was given when the watch was made; NULL in QUORATE_EVENT_LOG.
   */
  void *user_data;
  /**
   * Of QUORATE_EVENT_SERVICE.
   */
  const struct quorate_service_event_t *service;
  /**
   * Of QUORATE_EVENT_KEYS.
   */
  const struct quorate_key_events_t *keys;
  /**
   * Of QUORATE_EVENT_LEADER.
   */
  const struct quorate_leader_t *leader;
  /**
   * Of QUORATE_EVENT_LOG.
   */
  const struct quorate_log_record_t *log;
  /**
   * Of QUORATE_EVENT_END: why it ended; NULL if its client was closed.
   */
  const struct quorate_error_t *error;
} quorate_event_t;

/**
 * How to write a key. Initialise it with quorate_put_options_init().
 */
typedef struct quorate_put_options_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * The id of the lease with which the key is deleted; 0, the default, is none: the key stays.
   */
  int64_t lease;
  /**
   * Not 0 to be told what the key was before.
   */
  int32_t previous;
} quorate_put_options_t;

/**
 * What a write did. More fields may follow in a newer library.
 */
typedef struct quorate_put_result_t {
  /**
   * The store's revision right after it.
   */
  int64_t revision;
  /**
   * What the key was before, if asked for and if it was; NULL otherwise.
   */
  const struct quorate_key_value_t *previous;
} quorate_put_result_t;

/**
 * Which keys to read, and how: all that begin with `prefix`, or those from `start`, included, to
 * `end`, excluded. Initialise it with quorate_range_options_init().
 */
typedef struct quorate_range_options_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * What the keys begin with; not NULL and empty is all keys. NULL, the default: see `start`.
   */
  const void *prefix;
  /**
   * How many bytes the prefix has.
   */
  size_t prefix_size;
  /**
   * The first key; NULL, the default, is the smallest there is.
   */
  const void *start;
  /**
   * How many bytes it has.
   */
  size_t start_size;
  /**
   * The key behind the last one; NULL, the default, is none: to the end.
   */
  const void *end;
  /**
   * How many bytes it has.
   */
  size_t end_size;
  /**
   * As it was at this revision; 0, the default, is now.
   */
  int64_t revision;
  /**
   * Only records created at this revision or before; 0, the default, is no bound.
   */
  int64_t max_create_revision;
  /**
   * At most so many records; 0, the default, is all of them.
   */
  uint32_t limit;
  /**
   * A quorate_sort_t. Default: by key.
   */
  int32_t sort;
  /**
   * Not 0 for the greatest first.
   */
  int32_t descending;
  /**
   * Not 0 to leave the values out.
   */
  int32_t keys_only;
  /**
   * Not 0 to be told only how many there are.
   */
  int32_t count_only;
  /**
   * Not 0 for whatever the asked server has, which may be stale.
   */
  int32_t serializable;
} quorate_range_options_t;

/**
 * The records read. More fields may follow in a newer library.
 */
typedef struct quorate_range_result_t {
  /**
   * The records, in the order asked for. NULL follows.
   */
  const struct quorate_key_value_t *const *kvs;
  /**
   * How many there are here.
   */
  size_t kv_count;
  /**
   * How many there are in the range, whatever the limit.
   */
  uint64_t count;
  /**
   * The store's revision at the read.
   */
  int64_t revision;
  /**
   * Whether the limit cut some off.
   */
  bool more;
} quorate_range_result_t;

/**
 * Bytes. A NUL follows, which does not count.
 */
typedef struct quorate_bytes_t {
  /**
   * The bytes; never NULL.
   */
  const char *data;
  /**
   * How many there are.
   */
  size_t size;
} quorate_bytes_t;

/**
 * What a server knows of a lease. More fields may follow in a newer library.
 */
typedef struct quorate_lease_info_t {
  /**
   * Its id.
   */
  int64_t id;
  /**
   * The time to live it was granted.
   */
  int64_t granted_ms;
  /**
   * What is left of it, in whole seconds.
   */
  int64_t remaining_ms;
  /**
   * The keys that go with it.
   */
  const struct quorate_bytes_t *keys;
  /**
   * How many there are.
   */
  size_t key_count;
} quorate_lease_info_t;

/**
 * What a call wants of its instance. Initialise it with quorate_pick_options_init().
 */
typedef struct quorate_pick_options_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * What must stick to one instance: the same bytes give the same one with QUORATE_MAGLEV. NULL,
   * the default, is nothing.
   */
  const void *sticky;
  /**
   * How many bytes that is.
   */
  size_t sticky_size;
  /**
   * Ids of instances to avoid, because this call was there already.
   */
  const char *const *exclude;
  /**
   * How many ids there are.
   */
  size_t exclude_count;
  /**
   * The sticky key as a hash, if `has_hash` is not 0: instead of `sticky`.
   */
  uint64_t hash;
  /**
   * Not 0 if `hash` is meant.
   */
  int32_t has_hash;
} quorate_pick_options_t;

/**
 * What is called for each event, on the queue's own thread. The event is freed when it returns. It
 * may call every function of this library; it must not throw or jump out.
 */
typedef void (*quorate_callback_t)(const struct quorate_event_t *event, void *user_data);

/**
 * What to change of a registration. Initialise it with quorate_update_init().
 */
typedef struct quorate_update_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * All labels, if `set_metadata` is not 0.
   */
  const struct quorate_label_t *metadata;
  /**
   * How many labels there are.
   */
  size_t metadata_count;
  /**
   * Not 0 to replace all metadata.
   */
  int32_t set_metadata;
  /**
   * The new weight, 0 to 65535. Default: QUORATE_UNCHANGED.
   */
  int32_t weight;
  /**
   * A quorate_status_t. Default: 0, unchanged.
   */
  int32_t status;
} quorate_update_t;

/**
 * What one operation of a transaction did. More fields may follow in a newer library.
 */
typedef struct quorate_op_result_t {
  /**
   * What it was.
   */
  quorate_op_t op;
  /**
   * How many keys are gone.
   */
  uint64_t deleted;
  /**
   * Of a write; NULL otherwise.
   */
  const struct quorate_put_result_t *put;
  /**
   * Of a read; NULL otherwise.
   */
  const struct quorate_range_result_t *range;
  /**
   * Of a transaction; NULL otherwise.
   */
  const struct quorate_txn_result_t *txn;
} quorate_op_result_t;

/**
 * What a transaction did. More fields may follow in a newer library.
 */
typedef struct quorate_txn_result_t {
  /**
   * The store's revision right after it.
   */
  int64_t revision;
  /**
   * One for each operation done, in their order. NULL follows.
   */
  const struct quorate_op_result_t *const *results;
  /**
   * How many there are.
   */
  size_t result_count;
  /**
   * Whether all conditions held, so that QUORATE_THEN was done and not QUORATE_OTHERWISE.
   */
  bool succeeded;
} quorate_txn_result_t;

/**
 * Which changes of keys to watch. Initialise it with quorate_watch_options_init().
 */
typedef struct quorate_watch_options_t {
  /**
   * The size of this struct, as the program knows it.
   */
  size_t struct_size;
  /**
   * From this revision on, included; 0, the default, is from now on.
   */
  int64_t start_revision;
  /**
   * Not 0 for all keys that begin with the key; an empty one is all keys.
   */
  int32_t prefix;
  /**
   * Not 0 to be told what each key was before, as far as it is kept.
   */
  int32_t previous;
} quorate_watch_options_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as "0.1.0"; that of the header is QUORATE_VERSION.
 */
const char *quorate_version(void);

/**
 * Makes a cancel handle. Free it with quorate_cancel_free().
 */
quorate_code_t quorate_cancel_open(struct quorate_cancel_t **cancel,
                                   struct quorate_error_t **error);

/**
 * Withdraws all calls that wait with this handle, and those that will, until it is reset. May be
 * called from any thread and from a signal handler. Does nothing with NULL, and in a forked child
 * with a handle of its parent.
 */
void quorate_cancel_fire(struct quorate_cancel_t *cancel);

/**
 * Whether it was fired and not reset since; false for NULL.
 */
bool quorate_cancel_is_fired(const struct quorate_cancel_t *cancel);

/**
 * Makes it ready to be used again, once no call waits with it. Not for signal handlers.
 */
void quorate_cancel_reset(struct quorate_cancel_t *cancel);

/**
 * Frees it and sets the program's pointer to NULL. No call may be waiting with it. Does nothing
 * with NULL.
 */
void quorate_cancel_free(struct quorate_cancel_t **cancel);

/**
 * Makes a client. Does not connect: see quorate_client_connected(). `options` may be NULL. Free
 * it with quorate_client_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT names the option that is wrong.
 */
quorate_code_t quorate_client_open(const struct quorate_client_options_t *options,
                                   struct quorate_client_t **client,
                                   struct quorate_error_t **error);

/**
 * Waits until a server answers, at most `timeout_ms` and at most the client's request timeout. No
 * other call needs it.
 *
 * Errors: QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
 */
quorate_code_t quorate_client_connected(const struct quorate_client_t *client,
                                        int64_t timeout_ms,
                                        struct quorate_cancel_t *cancel,
                                        struct quorate_error_t **error);

/**
 * Ends everything this client does for the program, at most within `timeout_ms` and the request
 * timeout: instances are deregistered, locks and leaderships given up, leases revoked, watches
 * ended. Afterwards every call on it and on what was made with it answers QUORATE_CLOSED. The
 * handles still have to be freed, in any order. If the time is up or the call is cancelled the
 * client goes on closing in the background.
 *
 * Errors: QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_FORKED.
 */
quorate_code_t quorate_client_close(const struct quorate_client_t *client,
                                    int64_t timeout_ms,
                                    struct quorate_cancel_t *cancel,
                                    struct quorate_error_t **error);

/**
 * Frees a client and sets the program's pointer to NULL. What was made with it stays usable; when
 * the last of it is freed, what the client does ends in the background, without a wait: close it
 * first to be sure that the servers know. Does nothing with NULL.
 */
void quorate_client_free(struct quorate_client_t **client);

/**
 * Reads what the client has counted, from memory.
 *
 * Errors: QUORATE_INVALID_ARGUMENT if `struct_size` is not set; QUORATE_FORKED.
 */
quorate_code_t quorate_metrics(const struct quorate_client_t *client,
                               struct quorate_metrics_t *metrics,
                               struct quorate_error_t **error);

/**
 * Asks every server at once how it is; each has the request timeout to answer. Free the list with
 * quorate_server_list_free().
 *
 * Errors: QUORATE_TIMEOUT, QUORATE_CANCELLED; that a server does not answer is in the list.
 */
quorate_code_t quorate_server_status(const struct quorate_client_t *client,
                                     int64_t timeout_ms,
                                     struct quorate_cancel_t *cancel,
                                     struct quorate_server_list_t **servers,
                                     struct quorate_error_t **error);

/**
 * Frees a list of servers and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_server_list_free(struct quorate_server_list_t **servers);

/**
 * The instances of a service, from memory if it is followed already. The first call waits for a
 * server, at most `timeout_ms` and the request timeout; while none can be reached it answers from
 * disk or with the static instances: see the view's state. A service nobody registered is an
 * empty view. Free the view with quorate_view_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
 * QUORATE_CLOSED.
 */
quorate_code_t quorate_discover(const struct quorate_client_t *client,
                                const char *service,
                                int64_t timeout_ms,
                                struct quorate_cancel_t *cancel,
                                struct quorate_view_t **view,
                                struct quorate_error_t **error);

/**
 * Frees a view and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_view_free(struct quorate_view_t **view);

/**
 * Follows a service from now on. Does not wait. Free the handle with quorate_service_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_service_open(const struct quorate_client_t *client,
                                    const char *name,
                                    struct quorate_service_t **service,
                                    struct quorate_error_t **error);

/**
 * Frees a service and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_service_free(struct quorate_service_t **service);

/**
 * The view of this moment, from memory, without waiting; NULL while nothing is known. Free it
 * with quorate_view_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_FORKED.
 */
quorate_code_t quorate_service_view(const struct quorate_service_t *service,
                                    struct quorate_view_t **view,
                                    struct quorate_error_t **error);

/**
 * Asks a server for the services of a namespace: NULL is the client's own, `*` is all. Free the
 * list with quorate_summary_list_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
 * QUORATE_RESOURCE_EXHAUSTED with more than 100,000 services, QUORATE_CLOSED.
 */
quorate_code_t quorate_list_services(const struct quorate_client_t *client,
                                     const char *of_namespace,
                                     int64_t timeout_ms,
                                     struct quorate_cancel_t *cancel,
                                     struct quorate_summary_list_t **services,
                                     struct quorate_error_t **error);

/**
 * Frees a list of services and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_summary_list_free(struct quorate_summary_list_t **services);

/**
 * Waits to become the leader, in the order of arrival, as long as `timeout_ms` allows; others then
 * see `value`. `options` may be NULL. Whoever stops waiting leaves the line. Free the leadership
 * with quorate_leadership_free().
 *
 * Errors: as quorate_lock().
 */
quorate_code_t quorate_campaign(const struct quorate_client_t *client,
                                const char *election,
                                const void *value,
                                size_t value_size,
                                const struct quorate_hold_options_t *options,
                                int64_t timeout_ms,
                                struct quorate_cancel_t *cancel,
                                struct quorate_leadership_t **leadership,
                                struct quorate_error_t **error);

/**
 * The election's name. The text lives as long as the handle. NULL for no leadership.
 */
const char *quorate_leadership_name(const struct quorate_leadership_t *leadership);

/**
 * The key that stands for this leader, with a NUL behind it; its size goes to `size`, unless that
 * is NULL. It lives as long as the handle. NULL for no leadership.
 */
const char *quorate_leadership_key(const struct quorate_leadership_t *leadership, size_t *size);

/**
 * The fencing token: greater than that of every earlier leader. 0 for no leadership.
 */
int64_t quorate_leadership_token(const struct quorate_leadership_t *leadership);

/**
 * Whether leadership is lost. `false` is a snapshot, not a promise: see quorate_leadership_token().
 * `true` for no leadership and in a forked child.
 */
bool quorate_leadership_is_lost(const struct quorate_leadership_t *leadership);

/**
 * Waits until leadership is lost, and writes `true`; `false` when the time is up or it was
 * resigned.
 *
 * Errors: QUORATE_CANCELLED, QUORATE_FORKED, QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_leadership_wait_lost(const struct quorate_leadership_t *leadership,
                                            int64_t timeout_ms,
                                            struct quorate_cancel_t *cancel,
                                            bool *lost,
                                            struct quorate_error_t **error);

/**
 * Puts a QUORATE_EVENT_LOST with `user_data` into the queue when leadership is lost. Free the watch
 * with quorate_watch_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_leadership_notify(const struct quorate_leadership_t *leadership,
                                         struct quorate_queue_t *queue,
                                         void *user_data,
                                         struct quorate_watch_t **watch,
                                         struct quorate_error_t **error);

/**
 * Changes what others see of the leader.
 *
 * Errors: QUORATE_LOCK_LOST if this is not the leader any more; QUORATE_UNAVAILABLE,
 * QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
 */
quorate_code_t quorate_leadership_proclaim(struct quorate_leadership_t *leadership,
                                           const void *value,
                                           size_t value_size,
                                           int64_t timeout_ms,
                                           struct quorate_cancel_t *cancel,
                                           struct quorate_error_t **error);

/**
 * Gives leadership up; the next in line leads when this returns. Does nothing the second time. The
 * handle still has to be freed.
 *
 * Errors: as quorate_lock_unlock().
 */
quorate_code_t quorate_leadership_resign(struct quorate_leadership_t *leadership,
                                         int64_t timeout_ms,
                                         struct quorate_cancel_t *cancel,
                                         struct quorate_error_t **error);

/**
 * Frees leadership and sets the program's pointer to NULL. If it was not resigned, it is in the
 * background. Does nothing with NULL.
 */
void quorate_leadership_free(struct quorate_leadership_t **leadership);

/**
 * Who leads now; NULL if nobody does. Free it with quorate_leader_free().
 *
 * Errors: QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_INVALID_ARGUMENT,
 * QUORATE_CLOSED.
 */
quorate_code_t quorate_leader(const struct quorate_client_t *client,
                              const char *election,
                              int64_t timeout_ms,
                              struct quorate_cancel_t *cancel,
                              struct quorate_leader_t **leader,
                              struct quorate_error_t **error);

/**
 * Frees a leader and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_leader_free(struct quorate_leader_t **leader);

/**
 * Frees an error and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_error_free(struct quorate_error_t **error);

/**
 * The stable name of a code, such as `invalid_argument`; `ok` for 0, `unknown` for a number this
 * library does not know. The text lives as long as the library.
 */
const char *quorate_code_name(int32_t code);

/**
 * Frees an event and sets the program's pointer to NULL. Does nothing with NULL. Not for events
 * that a callback was given.
 */
void quorate_event_free(struct quorate_event_t **event);

/**
 * Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
 */
void quorate_put_options_init(struct quorate_put_options_t *options, size_t struct_size);

/**
 * Writes a key. `options` may be NULL, and so may `result`, if it does not matter. Free the result
 * with quorate_put_result_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT for an empty key; QUORATE_NOT_FOUND if the lease is not there;
 * QUORATE_RESOURCE_EXHAUSTED if it is too large or the store is full; QUORATE_UNAVAILABLE,
 * QUORATE_TIMEOUT and QUORATE_CANCELLED, after which the write may still have taken effect;
 * QUORATE_CLOSED.
 */
quorate_code_t quorate_put(const struct quorate_client_t *client,
                           const void *key,
                           size_t key_size,
                           const void *value,
                           size_t value_size,
                           const struct quorate_put_options_t *options,
                           int64_t timeout_ms,
                           struct quorate_cancel_t *cancel,
                           struct quorate_put_result_t **result,
                           struct quorate_error_t **error);

/**
 * Frees a write's result and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_put_result_free(struct quorate_put_result_t **result);

/**
 * Reads a key, as it is now or, if `revision` is not 0, was then; NULL if it is not there.
 * `serializable`: whatever the asked server has, which may be stale. Free it with
 * quorate_key_value_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT for an empty key, QUORATE_OUT_OF_RANGE for a revision that is
 * compacted away or in the future, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
 * QUORATE_CLOSED.
 */
quorate_code_t quorate_get(const struct quorate_client_t *client,
                           const void *key,
                           size_t key_size,
                           int64_t revision,
                           bool serializable,
                           int64_t timeout_ms,
                           struct quorate_cancel_t *cancel,
                           struct quorate_key_value_t **found,
                           struct quorate_error_t **error);

/**
 * Frees a key-value and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_key_value_free(struct quorate_key_value_t **found);

/**
 * Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
 */
void quorate_range_options_init(struct quorate_range_options_t *options, size_t struct_size);

/**
 * Reads a range of keys. Free the result with quorate_range_result_free().
 *
 * Errors: as quorate_get(); QUORATE_INVALID_ARGUMENT also without prefix, start and end, and for
 * an empty range.
 */
quorate_code_t quorate_range(const struct quorate_client_t *client,
                             const struct quorate_range_options_t *options,
                             int64_t timeout_ms,
                             struct quorate_cancel_t *cancel,
                             struct quorate_range_result_t **result,
                             struct quorate_error_t **error);

/**
 * Frees a range's result and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_range_result_free(struct quorate_range_result_t **result);

/**
 * Deletes a key or, with `prefix`, all keys that begin with it; an empty prefix is refused. How
 * many are gone goes to `deleted`, unless that is NULL.
 *
 * Errors: as quorate_put().
 */
quorate_code_t quorate_delete(const struct quorate_client_t *client,
                              const void *key,
                              size_t key_size,
                              bool prefix,
                              int64_t timeout_ms,
                              struct quorate_cancel_t *cancel,
                              uint64_t *deleted,
                              struct quorate_error_t **error);

/**
 * Forgets all versions older than `revision`.
 *
 * Errors: QUORATE_OUT_OF_RANGE if that is done already or the revision is in the future,
 * QUORATE_INVALID_ARGUMENT, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
 * QUORATE_CLOSED.
 */
quorate_code_t quorate_compact(const struct quorate_client_t *client,
                               int64_t revision,
                               int64_t timeout_ms,
                               struct quorate_cancel_t *cancel,
                               struct quorate_error_t **error);

/**
 * Takes a lease and renews it. `ttl_ms` is rounded up to whole seconds; the server may raise it.
 * Free the lease with quorate_lease_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT for a time to live that cannot be, QUORATE_UNAVAILABLE,
 * QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
 */
quorate_code_t quorate_lease(const struct quorate_client_t *client,
                             int64_t ttl_ms,
                             int64_t timeout_ms,
                             struct quorate_cancel_t *cancel,
                             struct quorate_lease_t **lease,
                             struct quorate_error_t **error);

/**
 * The id, by which keys are attached. 0 for no lease.
 */
int64_t quorate_lease_id(const struct quorate_lease_t *lease);

/**
 * The time to live the server granted. 0 for no lease.
 */
int64_t quorate_lease_ttl_ms(const struct quorate_lease_t *lease);

/**
 * Whether it ended although it was not revoked here. `true` for no lease and in a forked child.
 */
bool quorate_lease_is_lost(const struct quorate_lease_t *lease);

/**
 * Waits until the lease is lost, and writes `true`; `false` when the time is up or it was revoked.
 *
 * Errors: QUORATE_CANCELLED, QUORATE_FORKED, QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_lease_wait_lost(const struct quorate_lease_t *lease,
                                       int64_t timeout_ms,
                                       struct quorate_cancel_t *cancel,
                                       bool *lost,
                                       struct quorate_error_t **error);

/**
 * Puts a QUORATE_EVENT_LOST with `user_data` into the queue when the lease is lost. Free the watch
 * with quorate_watch_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_lease_notify(const struct quorate_lease_t *lease,
                                    struct quorate_queue_t *queue,
                                    void *user_data,
                                    struct quorate_watch_t **watch,
                                    struct quorate_error_t **error);

/**
 * Ends the lease now; its keys are deleted. Does nothing the second time. The handle still has to
 * be freed.
 *
 * Errors: QUORATE_SESSION_EXPIRED if it had ended before; QUORATE_UNAVAILABLE, QUORATE_TIMEOUT or
 * QUORATE_CANCELLED if no server answers in time: it then ends by its time to live at the latest;
 * QUORATE_CLOSED.
 */
quorate_code_t quorate_lease_revoke(struct quorate_lease_t *lease,
                                    int64_t timeout_ms,
                                    struct quorate_cancel_t *cancel,
                                    struct quorate_error_t **error);

/**
 * Frees a lease and sets the program's pointer to NULL. If it was not revoked, it is in the
 * background. Does nothing with NULL.
 */
void quorate_lease_free(struct quorate_lease_t **lease);

/**
 * What is left of a lease, and which keys it has; NULL if there is no such lease. Free it with
 * quorate_lease_info_free().
 *
 * Errors: QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
 */
quorate_code_t quorate_lease_time_to_live(const struct quorate_client_t *client,
                                          int64_t id,
                                          int64_t timeout_ms,
                                          struct quorate_cancel_t *cancel,
                                          struct quorate_lease_info_t **info,
                                          struct quorate_error_t **error);

/**
 * Frees a lease's info and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_lease_info_free(struct quorate_lease_info_t **info);

/**
 * Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
 */
void quorate_hold_options_init(struct quorate_hold_options_t *options, size_t struct_size);

/**
 * Waits for a lock, first come, first served, as long as `timeout_ms` allows. `options` may be
 * NULL. Whoever stops waiting leaves the line. Free the lock with quorate_lock_free().
 *
 * Errors: QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_UNAVAILABLE if no server answers when it
 * enters the line, QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_lock(const struct quorate_client_t *client,
                            const char *name,
                            const struct quorate_hold_options_t *options,
                            int64_t timeout_ms,
                            struct quorate_cancel_t *cancel,
                            struct quorate_lock_t **lock,
                            struct quorate_error_t **error);

/**
 * Takes a lock if nobody holds it and nobody waits for it. `options` may be NULL. Free the lock
 * with quorate_lock_free().
 *
 * Errors: QUORATE_CONFLICT if somebody does; otherwise as quorate_lock().
 */
quorate_code_t quorate_try_lock(const struct quorate_client_t *client,
                                const char *name,
                                const struct quorate_hold_options_t *options,
                                int64_t timeout_ms,
                                struct quorate_cancel_t *cancel,
                                struct quorate_lock_t **lock,
                                struct quorate_error_t **error);

/**
 * The lock's name. The text lives as long as the handle. NULL for no lock.
 */
const char *quorate_lock_name(const struct quorate_lock_t *lock);

/**
 * The key that stands for this holder, with a NUL behind it; its size goes to `size`, unless that
 * is NULL. It lives as long as the handle. NULL for no lock.
 */
const char *quorate_lock_key(const struct quorate_lock_t *lock, size_t *size);

/**
 * The fencing token: greater than that of every earlier holder. Resources that take part refuse
 * tokens older than ones they saw. 0 for no lock.
 */
int64_t quorate_lock_token(const struct quorate_lock_t *lock);

/**
 * Whether the lock is lost: it could not be renewed in time, or somebody else ended it. `false` is
 * a snapshot, not a promise: see quorate_lock_token(). `true` for no lock and in a forked child.
 */
bool quorate_lock_is_lost(const struct quorate_lock_t *lock);

/**
 * Waits until the lock is lost, and writes `true`; `false` when the time is up or it was unlocked.
 *
 * Errors: QUORATE_CANCELLED, QUORATE_FORKED, QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_lock_wait_lost(const struct quorate_lock_t *lock,
                                      int64_t timeout_ms,
                                      struct quorate_cancel_t *cancel,
                                      bool *lost,
                                      struct quorate_error_t **error);

/**
 * Puts a QUORATE_EVENT_LOST with `user_data` into the queue when the lock is lost. Free the watch
 * with quorate_watch_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_lock_notify(const struct quorate_lock_t *lock,
                                   struct quorate_queue_t *queue,
                                   void *user_data,
                                   struct quorate_watch_t **watch,
                                   struct quorate_error_t **error);

/**
 * Releases the lock; the next in line has it when this returns. Does nothing the second time. The
 * handle still has to be freed.
 *
 * Errors: QUORATE_LOCK_LOST if it was lost before; QUORATE_UNAVAILABLE, QUORATE_TIMEOUT or
 * QUORATE_CANCELLED if no server answers in time: it is then released in the background, by its
 * time to live at the latest; QUORATE_CLOSED.
 */
quorate_code_t quorate_lock_unlock(struct quorate_lock_t *lock,
                                   int64_t timeout_ms,
                                   struct quorate_cancel_t *cancel,
                                   struct quorate_error_t **error);

/**
 * Frees a lock and sets the program's pointer to NULL. If it was not unlocked, it is released in
 * the background. Does nothing with NULL.
 */
void quorate_lock_free(struct quorate_lock_t **lock);

/**
 * Puts what the client has to say into the queue, as QUORATE_EVENT_LOG: records of this
 * quorate_log_level_t and above, of all clients of this process. At most 1024 records wait; how
 * many were dropped is in the next one. Without a queue, or with QUORATE_LOG_OFF, nothing more
 * comes, as at the start. Records go to one queue at a time.
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED, QUORATE_FORKED.
 */
quorate_code_t quorate_log(struct quorate_queue_t *queue,
                           int32_t level,
                           struct quorate_error_t **error);

/**
 * Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
 */
void quorate_instance_options_init(struct quorate_instance_options_t *options, size_t struct_size);

/**
 * Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
 */
void quorate_client_options_init(struct quorate_client_options_t *options, size_t struct_size);

/**
 * Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
 */
void quorate_pick_options_init(struct quorate_pick_options_t *options, size_t struct_size);

/**
 * Chooses an instance of a service for one call, from memory: no network, no waiting. A service
 * that was not followed is from now on, and has no endpoints until something is known: to wait for
 * that, quorate_discover() it first. `options` may be NULL. Free the pick with
 * quorate_pick_free().
 *
 * Errors: QUORATE_NO_ENDPOINTS, QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_pick(const struct quorate_client_t *client,
                            const char *service,
                            const struct quorate_pick_options_t *options,
                            struct quorate_pick_t **pick,
                            struct quorate_error_t **error);

/**
 * Chooses an instance of this service for one call: as quorate_pick(), a little faster.
 *
 * Errors: QUORATE_NO_ENDPOINTS, QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_service_pick(const struct quorate_service_t *service,
                                    const struct quorate_pick_options_t *options,
                                    struct quorate_pick_t **pick,
                                    struct quorate_error_t **error);

/**
 * Where to call: `host:port`. The text lives as long as the pick. NULL for no pick.
 */
const char *quorate_pick_address(const struct quorate_pick_t *pick);

/**
 * The instance's id. The text lives as long as the pick. NULL for no pick.
 */
const char *quorate_pick_id(const struct quorate_pick_t *pick);

/**
 * Where the knowledge of it comes from: a quorate_state_t; 0 for no pick.
 */
int32_t quorate_pick_state(const struct quorate_pick_t *pick);

/**
 * How it came to be this one: a quorate_why_t; -1 for no pick.
 */
int32_t quorate_pick_why(const struct quorate_pick_t *pick);

/**
 * Everything known of the instance. Free it with quorate_instance_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_pick_instance(const struct quorate_pick_t *pick,
                                     struct quorate_instance_t **instance,
                                     struct quorate_error_t **error);

/**
 * Frees an instance and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_instance_free(struct quorate_instance_t **instance);

/**
 * Says how the call went: a quorate_outcome_t. Only the first report counts. `latency_us` is how
 * long the call took, in microseconds; below 0: the time since the pick. `retry_after_ms` is for
 * how long an overloaded instance wants to be left alone; below 0: it did not say. Both only
 * matter where they say something.
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_FORKED.
 */
quorate_code_t quorate_pick_report(struct quorate_pick_t *pick,
                                   int32_t outcome,
                                   int64_t latency_us,
                                   int64_t retry_after_ms,
                                   struct quorate_error_t **error);

/**
 * Frees a pick and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_pick_free(struct quorate_pick_t **pick);

/**
 * Whether the service can afford one more retry; takes it out of the budget if so. A service that
 * is not followed cannot, nor can anything with wrong arguments.
 */
bool quorate_may_retry(const struct quorate_client_t *client, const char *service);

/**
 * Whether this service can afford one more retry: as quorate_may_retry().
 */
bool quorate_service_may_retry(const struct quorate_service_t *service);

/**
 * Makes a queue. Free it with quorate_queue_free().
 *
 * Errors: QUORATE_RESOURCE_EXHAUSTED without free descriptors.
 */
quorate_code_t quorate_queue_open(struct quorate_queue_t **queue, struct quorate_error_t **error);

/**
 * A descriptor that is readable while events wait, for poll(2) and event loops: when it is, call
 * quorate_queue_next() with a `timeout_ms` of 0 until it answers QUORATE_TIMEOUT. That may be at
 * once. Neither read nor close the descriptor; it lives as long as the queue. -1 for no queue and
 * in a forked child.
 */
int32_t quorate_queue_fd(const struct quorate_queue_t *queue);

/**
 * Takes the next event, waiting for one as long as `timeout_ms` allows: 0 does not wait. Signals
 * do not end the wait. Several threads may wait: each event goes to one of them. Free the event
 * with quorate_event_free().
 *
 * Errors: QUORATE_TIMEOUT without an event, QUORATE_CANCELLED, QUORATE_CLOSED once the queue is
 * closed, QUORATE_FAILED_PRECONDITION if a callback takes the events, QUORATE_FORKED.
 */
quorate_code_t quorate_queue_next(struct quorate_queue_t *queue,
                                  int64_t timeout_ms,
                                  struct quorate_cancel_t *cancel,
                                  struct quorate_event_t **event,
                                  struct quorate_error_t **error);

/**
 * From now on calls `callback` with `user_data` for each event, one after the other on a thread of
 * the queue's own, until the queue is closed. Instead of quorate_queue_next(), and only once.
 *
 * Errors: QUORATE_FAILED_PRECONDITION the second time, QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED,
 * QUORATE_RESOURCE_EXHAUSTED if there is no thread.
 */
quorate_code_t quorate_queue_dispatch(struct quorate_queue_t *queue,
                                      quorate_callback_t callback,
                                      void *user_data,
                                      struct quorate_error_t **error);

/**
 * Closes a queue: whoever waits for its next event gets QUORATE_CLOSED, and no callback is called
 * any more. Waits for a callback that runs, unless that is what calls. What put events into it
 * still has to be freed.
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_FORKED.
 */
quorate_code_t quorate_queue_close(struct quorate_queue_t *queue, struct quorate_error_t **error);

/**
 * Closes a queue, frees it and sets the program's pointer to NULL. No thread may be waiting for
 * its next event. Does nothing with NULL.
 */
void quorate_queue_free(struct quorate_queue_t **queue);

/**
 * Registers an instance; returns when a server has it, at most after `timeout_ms` and the request
 * timeout. `options` may be NULL. Registering the same id of a service again replaces the earlier
 * registration. Nothing stays registered if it fails, times out or is cancelled. Free the
 * registration with quorate_registration_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
 * QUORATE_CLOSED.
 */
quorate_code_t quorate_register(const struct quorate_client_t *client,
                                const char *service,
                                const char *address,
                                const struct quorate_instance_options_t *options,
                                int64_t timeout_ms,
                                struct quorate_cancel_t *cancel,
                                struct quorate_registration_t **registration,
                                struct quorate_error_t **error);

/**
 * The instance's id. The text lives as long as the registration. NULL for no registration.
 */
const char *quorate_registration_id(const struct quorate_registration_t *registration);

/**
 * The service's namespace. The text lives as long as the registration. NULL for no registration.
 */
const char *quorate_registration_namespace(const struct quorate_registration_t *registration);

/**
 * The service's name. The text lives as long as the registration. NULL for no registration.
 */
const char *quorate_registration_service(const struct quorate_registration_t *registration);

/**
 * The instance's address. The text lives as long as the registration. NULL for no registration.
 */
const char *quorate_registration_address(const struct quorate_registration_t *registration);

/**
 * The record's revision, as the server last said; 0 once it was deregistered.
 */
uint64_t quorate_registration_revision(const struct quorate_registration_t *registration);

/**
 * Why somebody else removed it for good, if so: a quorate_reason_t, 0 if not. Such a one is not
 * put back; register again if that is wanted. quorate_registration_notify() tells when it happens.
 */
int32_t quorate_registration_evicted(const struct quorate_registration_t *registration);

/**
 * Writes the defaults into an update of `struct_size` bytes: pass `sizeof update`.
 */
void quorate_update_init(struct quorate_update_t *update, size_t struct_size);

/**
 * Changes status, weight or metadata; returns when a server has it. If no server answers in time
 * the change is remembered, and told to the next server that does.
 *
 * Errors: QUORATE_INVALID_ARGUMENT; QUORATE_NOT_FOUND if it was deregistered, removed by somebody
 * else or replaced by a later registration; QUORATE_UNAVAILABLE, QUORATE_TIMEOUT,
 * QUORATE_CANCELLED, QUORATE_CLOSED.
 */
quorate_code_t quorate_registration_update(struct quorate_registration_t *registration,
                                           const struct quorate_update_t *update,
                                           int64_t timeout_ms,
                                           struct quorate_cancel_t *cancel,
                                           struct quorate_error_t **error);

/**
 * Removes the instance; returns when a server knows. If none answers in time, it is told when one
 * does. Does nothing the second time. The handle still has to be freed.
 *
 * Errors: QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED, QUORATE_CLOSED.
 */
quorate_code_t quorate_registration_deregister(struct quorate_registration_t *registration,
                                               int64_t timeout_ms,
                                               struct quorate_cancel_t *cancel,
                                               struct quorate_error_t **error);

/**
 * Puts a QUORATE_EVENT_EVICTED with `user_data` into the queue when somebody else removes the
 * instance for good. Free the watch with quorate_watch_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_registration_notify(const struct quorate_registration_t *registration,
                                           struct quorate_queue_t *queue,
                                           void *user_data,
                                           struct quorate_watch_t **watch,
                                           struct quorate_error_t **error);

/**
 * Frees a registration and sets the program's pointer to NULL. If it was not deregistered, it is
 * in the background. Does nothing with NULL.
 */
void quorate_registration_free(struct quorate_registration_t **registration);

/**
 * Makes a transaction without conditions, which always does what is under QUORATE_THEN. Free it
 * with quorate_txn_free().
 */
quorate_code_t quorate_txn_open(struct quorate_txn_t **txn, struct quorate_error_t **error);

/**
 * Frees a transaction and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_txn_free(struct quorate_txn_t **txn);

/**
 * Adds a condition: the key is there or, with `missing`, is not.
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_txn_when_exists(struct quorate_txn_t *txn,
                                       const void *key,
                                       size_t key_size,
                                       bool missing,
                                       struct quorate_error_t **error);

/**
 * Adds a condition on the value of a key or, with `prefix`, of every key that begins with it. A
 * key that is not there has no value: the condition does not hold.
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_txn_when_value(struct quorate_txn_t *txn,
                                      const void *key,
                                      size_t key_size,
                                      bool prefix,
                                      int32_t comparison,
                                      const void *value,
                                      size_t value_size,
                                      struct quorate_error_t **error);

/**
 * Adds a condition on a number, a quorate_target_t, of a key or, with `prefix`, of every key that
 * begins with it.
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_txn_when_number(struct quorate_txn_t *txn,
                                       const void *key,
                                       size_t key_size,
                                       bool prefix,
                                       int32_t target,
                                       int32_t comparison,
                                       int64_t number,
                                       struct quorate_error_t **error);

/**
 * Adds a write to a branch, a quorate_branch_t. `options` may be NULL.
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_txn_put(struct quorate_txn_t *txn,
                               int32_t branch,
                               const void *key,
                               size_t key_size,
                               const void *value,
                               size_t value_size,
                               const struct quorate_put_options_t *options,
                               struct quorate_error_t **error);

/**
 * Adds a read of one key to a branch, a quorate_branch_t.
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_txn_get(struct quorate_txn_t *txn,
                               int32_t branch,
                               const void *key,
                               size_t key_size,
                               struct quorate_error_t **error);

/**
 * Adds a read of a range to a branch, a quorate_branch_t.
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_txn_range(struct quorate_txn_t *txn,
                                 int32_t branch,
                                 const struct quorate_range_options_t *options,
                                 struct quorate_error_t **error);

/**
 * Adds a deletion of a key or, with `prefix`, of all keys that begin with it, to a branch, a
 * quorate_branch_t.
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_txn_delete(struct quorate_txn_t *txn,
                                  int32_t branch,
                                  const void *key,
                                  size_t key_size,
                                  bool prefix,
                                  struct quorate_error_t **error);

/**
 * Adds a copy of another transaction to a branch, a quorate_branch_t.
 *
 * Errors: QUORATE_INVALID_ARGUMENT.
 */
quorate_code_t quorate_txn_nested(struct quorate_txn_t *txn,
                                  int32_t branch,
                                  const struct quorate_txn_t *nested,
                                  struct quorate_error_t **error);

/**
 * Does a transaction, as one revision. Free the result with quorate_txn_result_free().
 *
 * Errors: as quorate_put().
 */
quorate_code_t quorate_txn_commit(const struct quorate_client_t *client,
                                  const struct quorate_txn_t *txn,
                                  int64_t timeout_ms,
                                  struct quorate_cancel_t *cancel,
                                  struct quorate_txn_result_t **result,
                                  struct quorate_error_t **error);

/**
 * Frees a transaction's result and sets the program's pointer to NULL. Does nothing with NULL.
 */
void quorate_txn_result_free(struct quorate_txn_result_t **result);

/**
 * Follows a service: puts QUORATE_EVENT_SERVICE with `user_data` into the queue, a snapshot first,
 * then what changes. One who takes them slowly is told of several changes as one. When the client
 * is closed, QUORATE_EVENT_END. Free the watch with quorate_watch_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_watch_service(const struct quorate_client_t *client,
                                     const char *service,
                                     struct quorate_queue_t *queue,
                                     void *user_data,
                                     struct quorate_watch_t **watch,
                                     struct quorate_error_t **error);

/**
 * Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
 */
void quorate_watch_options_init(struct quorate_watch_options_t *options, size_t struct_size);

/**
 * Watches keys: puts QUORATE_EVENT_KEYS with `user_data` into the queue, every change in order and
 * without gaps, over broken connections. One who takes them slowly holds up nobody. In the end
 * QUORATE_EVENT_END, with QUORATE_OUT_OF_RANGE if the history it needs was compacted away.
 * `options` may be NULL. Free the watch with quorate_watch_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_watch(const struct quorate_client_t *client,
                             const void *key,
                             size_t key_size,
                             const struct quorate_watch_options_t *options,
                             struct quorate_queue_t *queue,
                             void *user_data,
                             struct quorate_watch_t **watch,
                             struct quorate_error_t **error);

/**
 * Observes an election: puts QUORATE_EVENT_LEADER with `user_data` into the queue for the leader
 * there is, then for every new leader and every new value. Free the watch with
 * quorate_watch_free().
 *
 * Errors: QUORATE_INVALID_ARGUMENT, QUORATE_CLOSED.
 */
quorate_code_t quorate_observe(const struct quorate_client_t *client,
                               const char *election,
                               struct quorate_queue_t *queue,
                               void *user_data,
                               struct quorate_watch_t **watch,
                               struct quorate_error_t **error);

/**
 * Ends a watch, frees it and sets the program's pointer to NULL. Its events that still wait are
 * dropped, so that its user data is not handed out any more; a callback that runs at this moment
 * on the dispatcher's thread may still have it. Does nothing with NULL.
 */
void quorate_watch_free(struct quorate_watch_t **watch);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* QUORATE_H */
