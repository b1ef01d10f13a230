"""The two faces are the same; values are values."""

import dataclasses
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import quorate
from quorate import _quorate, _values

PACKAGE = Path(quorate.__file__).parent

FACES = [
    (quorate.Client, quorate.AsyncClient),
    (quorate.Lock, quorate.AsyncLock),
    (quorate.LockGuard, quorate.AsyncLockGuard),
    (quorate.Election, quorate.AsyncElection),
    (quorate.Leadership, quorate.AsyncLeadership),
    (quorate.Lease, quorate.AsyncLease),
    (quorate.Registration, quorate.AsyncRegistration),
    (quorate.Stream, quorate.AsyncStream),
    (quorate.LostSignal, quorate.AsyncLostSignal),
]


def public(face: type) -> dict[str, object]:
    names = [name for name in dir(face) if not name.startswith("_")]
    return {name: inspect.getattr_static(face, name) for name in names}


@pytest.mark.parametrize("sync, async_", FACES)
def test_both_faces_have_the_same_members(sync: type, async_: type) -> None:
    blocking, awaiting = public(sync), public(async_)
    assert blocking.keys() == awaiting.keys()
    for name, member in blocking.items():
        other = awaiting[name]
        assert type(member) is type(other), name
        if not inspect.isfunction(member):
            continue
        assert inspect.isfunction(other)
        here = dict(inspect.signature(member).parameters)
        there = dict(inspect.signature(other).parameters)
        # Only a task can be cancelled.
        there.pop("cancel_on_loss", None)
        assert list(here.values()) == list(there.values()), f"{sync.__name__}.{name}"


def test_whatever_waits_is_awaited() -> None:
    never_wait = {"service", "pick", "may_retry", "metrics"}
    return_something_to_enter_or_iterate = {
        "lock",
        "try_lock",
        "election",
        "lease",
        "register",
        "watch",
        "watch_service",
    }
    for name, member in public(quorate.AsyncClient).items():
        plain = name in never_wait | return_something_to_enter_or_iterate
        assert inspect.iscoroutinefunction(member) != plain, name


def test_every_code_has_its_class() -> None:
    for number, code, retryable, step in _quorate.error_codes():
        error = quorate._errors.from_code(number, "what happened")
        kind = type(error)
        assert kind is not quorate.QuorateError, code
        assert kind.__name__ in quorate.__all__
        assert (error.number, error.code) == (number, code)
        assert (error.retryable, error.next_step) == (retryable, step)
        assert str(error) == "what happened"
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is kind and str(copy) == str(error)
    unknown = quorate._errors.from_code(999, "of a newer core")
    assert type(unknown) is quorate.QuorateError


def test_errors_are_also_the_builtin_ones() -> None:
    assert issubclass(quorate.QuorateTimeoutError, TimeoutError)
    assert issubclass(quorate.UnavailableError, ConnectionError)
    assert issubclass(quorate.InvalidArgumentError, ValueError)
    assert issubclass(quorate.NotFoundError, LookupError)


def test_everything_named_is_there() -> None:
    for name in quorate.__all__:
        assert hasattr(quorate, name)
    values = {name for name, value in vars(_values).items() if dataclasses.is_dataclass(value)}
    assert values <= set(quorate.__all__)


def test_adapters_are_loaded_only_when_they_are_asked_for() -> None:
    code = (
        "import sys, quorate\n"
        "print(*{'flask', 'httpx', 'requests', 'starlette', 'urllib3'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stdout) == (0, "\n"), ran.stderr


def samples() -> list[object]:
    instance = quorate.Instance("127.0.0.1:1", weight=3, metadata={"a": "b"})
    freshness = quorate.Freshness("live", 1, 2, 0.5, True)
    view = quorate.ServiceView("default", "shop", (instance,), freshness)
    kv = quorate.KeyValue(b"k", b"v", 1, 2, 1, 0)
    return [
        instance,
        freshness,
        view,
        quorate.Removed(instance, "operator"),
        quorate.ServiceEvent("changed", view, (instance,), (), ()),
        quorate.ServiceSummary("default", "shop", 1, 1, 0),
        kv,
        quorate.PutResult(2, kv),
        quorate.RangeResult((kv,), 1, False, 2),
        quorate.TxnResult(True, 2, (quorate.PutResult(2, None), 1)),
        quorate.KeyEvent("put", kv, None),
        quorate.WatchBatch(2, (quorate.KeyEvent("put", kv, None),)),
        quorate.Leader(b"anna", b"k", 2),
        quorate.LeaseInfo(1, 5.0, 4.0, (b"k",)),
        quorate.ServerStatus("127.0.0.1:1"),
    ]


def test_values_are_frozen_comparable_hashable_and_picklable() -> None:
    seen = set()
    for value, same in zip(samples(), samples()):
        assert value == same and hash(value) == hash(same)
        assert pickle.loads(pickle.dumps(value)) == value
        field = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)
        with pytest.raises((AttributeError, TypeError)):
            value.other = 1  # type: ignore[attr-defined]
        seen.add(type(value))
    defined = {value for value in vars(_values).values() if dataclasses.is_dataclass(value)}
    assert seen == defined
    assert quorate.Instance("a:1").id == "a:1"
    assert quorate.Instance("a:1") != quorate.Instance("a:1", metadata={"a": "b"})
    assert pickle.loads(pickle.dumps(quorate.Outcome.OK)) is quorate.Outcome.OK


def test_handles_are_not_pickled() -> None:
    with quorate.Client("127.0.0.1:1") as client:
        with pytest.raises(TypeError):
            pickle.dumps(client)


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
