"""One hierarchy of exceptions, made from the stable error codes."""

from typing import ClassVar

from quorate import _quorate

#: By number: name, whether a retry helps, what to do next.
_CODES = {code[0]: code[1:] for code in _quorate.error_codes()}


class QuorateError(Exception):
    """Any failure of Quorate. ``str(error)`` says what and where, in one line."""

    #: The code's stable number.
    number: ClassVar[int] = 0
    #: The code's stable name.
    code: ClassVar[str] = ""
    #: Whether the same call may succeed later.
    retryable: ClassVar[bool] = False
    #: What the caller can do next.
    next_step: ClassVar[str] = ""

    def __init_subclass__(cls, *, number: int = 0) -> None:
        super().__init_subclass__()
        if number:
            cls.number = number
            cls.code, cls.retryable, cls.next_step = _CODES[number]
            _CLASSES[number] = cls


_CLASSES: dict[int, type[QuorateError]] = {}


class InvalidArgumentError(QuorateError, ValueError, number=1):
    """The arguments can never be right."""


class UnavailableError(QuorateError, ConnectionError, number=2):
    """No server answers, or the cluster has no leader."""


class QuorateTimeoutError(QuorateError, TimeoutError, number=3):
    """The deadline passed; the call may or may not have taken effect."""


class ConflictError(QuorateError, number=4):
    """Somebody else was first: a lock is held, a comparison failed."""


class NotFoundError(QuorateError, LookupError, number=5):
    """There is no such thing."""


class UnauthenticatedError(QuorateError, PermissionError, number=6):
    """It is not known who calls."""


class PermissionDeniedError(QuorateError, PermissionError, number=7):
    """It is known who calls, and it is not allowed."""


class LockLostError(QuorateError, number=8):
    """A lock or a leadership is no longer held."""


class SessionExpiredError(QuorateError, number=9):
    """The session or lease behind a handle has ended."""


class ClosedError(QuorateError, number=10):
    """The client was closed."""


class ForkedClientError(QuorateError, number=11):
    """The handle was inherited across a fork; only the parent may use it."""


class CancelledError(QuorateError, number=12):
    """The call was cancelled."""


class ResourceExhaustedError(QuorateError, number=13):
    """A limit was reached."""


class OutOfRangeError(QuorateError, number=14):
    """The revision asked for is compacted away or in the future."""


class NoEndpointsError(QuorateError, number=15):
    """There are no instances to choose from."""


class UnimplementedError(QuorateError, NotImplementedError, number=16):
    """The server does not have the operation."""


class FailedPreconditionError(QuorateError, number=17):
    """The state of the system does not allow it."""


class CorruptError(QuorateError, number=18):
    """Stored data is damaged."""


class LocalFileError(QuorateError, OSError, number=19):
    """Reading or writing local files failed."""


class InternalError(QuorateError, RuntimeError, number=20):
    """A defect in Quorate."""


def from_code(number: int, message: str) -> QuorateError:
    """The exception for a code; a code of a newer core is a plain ``QuorateError``."""
    return _CLASSES.get(number, QuorateError)(message)
