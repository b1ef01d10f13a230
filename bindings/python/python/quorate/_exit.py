"""The end of the process: open clients are closed, within a bound."""

import atexit
import weakref

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


@atexit.register
def _end() -> None:
    cores = [core for core in _open if not core.is_forked()]
    _quorate.shut_down(cores, _AT_MOST)
    _logging.join(0.2)
