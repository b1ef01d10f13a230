"""The end of the process: open clients are closed, within a bound."""

from __future__ import annotations

import atexit
import os
import signal
import weakref
from types import FrameType

from quorate import _logging, _quorate

#: Seconds for all clients together.
_AT_MOST = 1.0
_open: weakref.WeakSet[_quorate.Core] = weakref.WeakSet()


def close_at_exit(core: _quorate.Core) -> None:
    """Closes this client when the process ends, if it was not closed before."""
    _open.add(core)


def closed(core: _quorate.Core) -> None:
    """It was closed."""
    _open.discard(core)


def close_on_sigterm() -> None:
    """From now on SIGTERM first closes all open clients, within a second: instances are
    deregistered and locks released at once, not after their time to live. Then it does what it
    did before: ends the process, or calls the handler there was.

    For programs that do not handle SIGTERM themselves; call it in the main thread. A handler
    that is set later takes its place, as that of ``asyncio``'s ``add_signal_handler`` does.
    """
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        _close_open()
        if callable(before):
            before(number, frame)
        elif before is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, handle)


def _close_open() -> None:
    _quorate.close_all([core for core in _open if not core.is_forked()], _AT_MOST)


@atexit.register
def _end() -> None:
    _close_open()
    _quorate.shut_down()
    _logging.join(0.2)
