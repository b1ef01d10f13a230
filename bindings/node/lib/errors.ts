/** One hierarchy of errors, made from the stable error codes. */

import { errorCodes } from '../native/index.js';

/** Any failure of Quorate. The message says what and where, in one line. */
export class QuorateError extends Error {
  /** The code's stable name. */
  declare readonly code: string;
  /** The code's stable number. */
  declare readonly number: number;
  /** Whether the same call may succeed later. */
  declare readonly retryable: boolean;
  /** What the caller can do next. */
  declare readonly nextStep: string;
}

/** The arguments can never be right. */
export class InvalidArgumentError extends QuorateError {}
/** No server answers, or the cluster has no leader. */
export class UnavailableError extends QuorateError {}
/** The deadline passed; the call may or may not have taken effect. */
export class TimeoutError extends QuorateError {}
/** Somebody else was first: a lock is held, a comparison failed. */
export class ConflictError extends QuorateError {}
/** There is no such thing. */
export class NotFoundError extends QuorateError {}
/** It is not known who calls. */
export class UnauthenticatedError extends QuorateError {}
/** It is known who calls, and it is not allowed. */
export class PermissionDeniedError extends QuorateError {}
/** A lock or a leadership is no longer held. */
export class LockLostError extends QuorateError {}
/** The session or lease behind a handle has ended. */
export class SessionExpiredError extends QuorateError {}
/** The client was closed. */
export class ClosedError extends QuorateError {}
/** The handle was inherited across a fork; Node never forks, so nobody meets it here. */
export class ForkedClientError extends QuorateError {}
/** The call was cancelled; `cause` is the reason of its signal. Its `name` is `AbortError`, as that
 * of other calls in Node which a signal ended. */
export class CancelledError extends QuorateError {}
/** A limit was reached. */
export class ResourceExhaustedError extends QuorateError {}
/** The revision asked for is compacted away or in the future. */
export class OutOfRangeError extends QuorateError {}
/** There are no instances to choose from. */
export class NoEndpointsError extends QuorateError {}
/** The server does not have the operation. */
export class UnimplementedError extends QuorateError {}
/** The state of the system does not allow it. */
export class FailedPreconditionError extends QuorateError {}
/** Stored data is damaged. */
export class CorruptError extends QuorateError {}
/** Reading or writing local files failed. */
export class LocalFileError extends QuorateError {}
/** A defect in Quorate. */
export class InternalError extends QuorateError {}

const CLASSES: Record<string, typeof QuorateError> = {
  invalid_argument: InvalidArgumentError,
  unavailable: UnavailableError,
  timeout: TimeoutError,
  conflict: ConflictError,
  not_found: NotFoundError,
  unauthenticated: UnauthenticatedError,
  permission_denied: PermissionDeniedError,
  lock_lost: LockLostError,
  session_expired: SessionExpiredError,
  closed: ClosedError,
  forked: ForkedClientError,
  cancelled: CancelledError,
  resource_exhausted: ResourceExhaustedError,
  out_of_range: OutOfRangeError,
  no_endpoints: NoEndpointsError,
  unimplemented: UnimplementedError,
  failed_precondition: FailedPreconditionError,
  corrupt: CorruptError,
  io: LocalFileError,
  internal: InternalError,
};

for (const info of errorCodes()) {
  const errorClass = CLASSES[info.code];
  // A code of a newer core, for which `fromNative` throws what came.
  if (errorClass === undefined) continue;
  const name = errorClass === CancelledError ? 'AbortError' : errorClass.name;
  for (const [key, value] of Object.entries({ ...info, name })) {
    // The same for all errors of the class, so it stands once, on the prototype.
    Object.defineProperty(errorClass.prototype, key, { value, configurable: true });
  }
}

/** The error of our classes for one that the native addon threw. */
export function fromNative(error: unknown, signal?: AbortSignal): unknown {
  if (!(error instanceof Error) || error instanceof QuorateError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'cancelled') return new CancelledError(error.message, { cause: signal?.reason });
  if (code !== undefined) {
    const errorClass = CLASSES[code];
    if (errorClass !== undefined) return new errorClass(error.message);
    // What napi says of an argument of another type.
    if (code === 'InvalidArg' || code.endsWith('Expected')) {
      return new InvalidArgumentError(error.message);
    }
  }
  return error;
}
