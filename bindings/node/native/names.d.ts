/* The native addon, generated from bindings/node/src by `npm run build`. The package's own face is
   in lib/. */

/** How instances are picked. */
export type Algorithm = 'p2c' | 'weighted_random' | 'weighted_round_robin' | 'maglev';
/** Whether an instance wants calls. */
export type InstanceStatus = 'up' | 'starting' | 'draining' | 'down';
/** Where the knowledge of a service comes from. */
export type CacheState = 'live' | 'stale' | 'snapshot' | 'static';
/** Why an instance went. */
export type RemovalReason = 'deregistered' | 'lease_expired' | 'session_lost' | 'operator' | 'moved';
/** What records are sorted by. */
export type SortBy = 'key' | 'version' | 'create_revision' | 'mod_revision' | 'value';
/** How a call to a picked instance went. */
export type Outcome = 'ok' | 'fail' | 'timeout' | 'connect_fail' | 'overloaded' | 'cancelled';
/** How a pick came to be this one. */
export type Why = 'normal' | 'slow_start' | 'excluded_fallback' | 'panic' | 'probe';
/** How serious a log record is. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

