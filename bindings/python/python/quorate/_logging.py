"""Log records of the client's threads, handed to ``logging`` under the name ``quorate``."""

import logging
import threading

from quorate import _quorate

logger = logging.getLogger("quorate")
logger.addHandler(logging.NullHandler())
_thread: threading.Thread | None = None


def start() -> None:
    """Hands records on from now on, at the level the logger has now or takes on later."""
    global _thread
    _quorate.set_log_level(logger.getEffectiveLevel())
    # A thread does not survive a fork: the child starts its own with its first client.
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_hand_on, name="quorate-logs", daemon=True)
        _thread.start()


def join(timeout: float) -> None:
    """Waits until the thread has ended, once it was told to."""
    if _thread is not None and _thread.is_alive():
        _thread.join(timeout)


def _hand_on() -> None:
    while (batch := _quorate.next_logs()) is not None:
        lost, records = batch
        for level, module, message, created in records:
            of_module = logging.getLogger(module.replace("::", "."))
            if not of_module.isEnabledFor(level):
                continue
            record = of_module.makeRecord(of_module.name, level, module, 0, message, (), None)
            record.created = created
            record.msecs = created % 1 * 1000
            of_module.handle(record)
        if lost:
            logger.warning("%d log records were dropped: too many at once", lost)
        _quorate.set_log_level(logger.getEffectiveLevel())
