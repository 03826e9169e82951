"""The fuzzer finds what it is there for: an exception, an input without end, time that grows; and it makes the same inputs again."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.fuzz import engine
from tests.fuzz.engine import Target, check_growth, run

Make = Callable[[engine.Check], Target]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a function that makes a target; an input may take a tenth of a second of our processor time."""
    monkeypatch.setattr(engine, "HANG_S", 0.1)
    yield lambda check: Target("made", check, [b"good", b"odd"], [b"bad", b"x"])
    signal.setitimer(signal.ITIMER_PROF, 0)


def test_what_escapes_is_kept_and_made_small(make: Make) -> None:
    """One failure for each place, cut down to what it needs."""

    def check(data: bytes, _rnd: random.Random) -> object:
        if b"bad" in data:
            raise ValueError
        return len(data) % 3

    report = run(make(check), inputs=2_000, seed=1, seconds=30)
    assert 2_000 == report.inputs
    assert [b"bad"] == [failure.data for failure in report.failures.values()]


def test_an_input_without_end(make: Make) -> None:
    """It is cut off, and the fuzzing goes on."""

    def check(data: bytes, _rnd: random.Random) -> object:
        while data == b"odd":
            pass
        return None

    report = run(make(check), inputs=50, seed=1, seconds=30, minimise_s=0)
    assert 50 == report.inputs
    assert [b"odd"] == [failure.data for failure in report.failures.values()]
    assert ["Hang"] == [kind.split()[0] for kind in report.failures]


def test_the_same_seed_makes_the_same_inputs(make: Make) -> None:
    """And gives the check the same choices."""
    seen: list[list[tuple[bytes, float]]] = []
    for _ in range(2):
        tried: list[tuple[bytes, float]] = []

        def check(data: bytes, rnd: random.Random, tried: list[tuple[bytes, float]] = tried) -> object:
            tried.append((data, rnd.random()))
            return len(data) % 5

        run(make(check), inputs=300, seed=7, seconds=30)
        seen.append(tried)
    assert seen[0] == seen[1]


def test_growth(make: Make) -> None:
    """Work that grows faster is found, work that is linear is not."""

    def cubic(data: bytes, _rnd: random.Random) -> object:
        return sum(1 for _ in range((len(data) // 256) ** 3))

    def linear(data: bytes, _rnd: random.Random) -> object:
        return sum(byte & 1 for byte in data)

    signal.signal(signal.SIGPROF, signal.SIG_IGN)
    assert [] == check_growth(make(linear), size=8_192, seed=1, most=1)
    assert 1 == len(check_growth(make(cubic), size=8_192, seed=1, most=1))


def test_the_alarm_does_not_outlive_the_run() -> None:
    """Disarmed before the interpreter takes its handlers down: an alarm after that kills the process."""
    code = """
import atexit, signal
from tests.fuzz.engine import Target, run
atexit.register(lambda: signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0) or signal.raise_signal(signal.SIGKILL))
run(Target("made", lambda data, rnd: None, [b"x"]), inputs=10, seed=1, seconds=30)
"""
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
