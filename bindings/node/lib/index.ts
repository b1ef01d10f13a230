/**
 * Quorate: service discovery, load balancing, locks, elections and key-values.
 *
 * One `Client` serves a whole program. Times are in milliseconds. Revisions, tokens and versions are
 * numbers: they count up from 1 and stay exact to 2^53; ids of leases, members and clusters are 64
 * random bits and therefore `bigint`.
 */

export { Client, Election } from './client.js';
export type {
  ClientOptions,
  GetOptions,
  RegisterOptions,
  Timeout,
  Ttl,
  WatchOptions,
} from './client.js';
export {
  CancelledError,
  ClosedError,
  ConflictError,
  CorruptError,
  FailedPreconditionError,
  ForkedClientError,
  InternalError,
  InvalidArgumentError,
  LocalFileError,
  LockLostError,
  NoEndpointsError,
  NotFoundError,
  OutOfRangeError,
  PermissionDeniedError,
  QuorateError,
  ResourceExhaustedError,
  SessionExpiredError,
  TimeoutError,
  UnauthenticatedError,
  UnavailableError,
  UnimplementedError,
} from './errors.js';
export { Leadership, Lease, LockGuard } from './held.js';
export type { HeldEvents, WaitingLost } from './held.js';
export { setLogger } from './logs.js';
export type { Waiting } from './native.js';
export { Pick, Service } from './pick.js';
export type { PickOptions, ReportOptions } from './pick.js';
export { Registration } from './registration.js';
export type { RegistrationEvents, UpdateOptions } from './registration.js';
export { Stream } from './stream.js';
export type { StreamEvents } from './stream.js';
export { Compare, Op } from './txn.js';
export type { Bytes, ComparisonSymbol, LeaseLike, PutOptions, RangeOptions, Txn } from './txn.js';
export type {
  Algorithm,
  CacheState,
  Freshness,
  Instance,
  InstanceDescription,
  InstanceStatus,
  KeyEvent,
  KeyValue,
  Leader,
  LeaseInfo,
  LogLevel,
  LogRecord,
  Outcome,
  PutResult,
  RangeResult,
  RemovalReason,
  Removed,
  ServerInfo,
  ServerStatus,
  ServiceEvent,
  ServiceSummary,
  ServiceView,
  SortBy,
  TxnResult,
  WatchBatch,
  Why,
} from '../native/index.js';
