"""Mutation fuzzing in plain Python: makes inputs from seeds and words, runs a target over them, judges time.

A target's ``check(data, rnd)`` raises for whatever must not be: an exception of
the code under test, or an AssertionError of an invariant. What it returns is a
signature of what happened; an input with a new one joins the corpus, which
stands in for the coverage feedback that Python has no cheap way to.

Time is judged twice: an input that takes far longer than its size allows, and
shapes repeated n and 4n times whose cost per byte grows.

Sources: AFL's havoc stage, h11's fuzz directory.
"""

import atexit
import itertools
import random
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

__all__ = ["Check", "Failure", "Hang", "Mutator", "Report", "Target", "check_growth", "cut", "run"]

LARGEST = 65_536
HANG_S = 20.0
SLOW_S = 0.05
"""An input may take this long ..."""
SLOW_PER_BYTE_S = 100e-6
"""... and this much more for each of its bytes."""
GROWTH = 3.0
ROUNDS = 6
"""Times that a growth must show; once is easily the machine's."""
MEASURABLE_S = 0.004
MAX_CORPUS = 3_000

T = TypeVar("T")

Check = Callable[[bytes, random.Random], object]


class Hang(BaseException):
    """An input that does not end; not an Exception, so that no code under test swallows it."""


@dataclass(frozen=True)
class Target:
    """What is fuzzed. ``tokens``: words of its language; ``shapes``: prefix, unit, suffix for the judgement of time."""

    name: str
    check: Check
    seeds: Sequence[bytes]
    tokens: Sequence[bytes] = ()
    shapes: Sequence[tuple[bytes, bytes, bytes]] = ()
    largest: int = LARGEST
    judges_growth: bool = True


@dataclass
class Failure:
    target: str
    kind: str
    data: bytes
    text: str


@dataclass
class Report:
    inputs: int = 0
    total_bytes: int = 0
    seconds: float = 0.0
    corpus: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)


def cut(data: bytes, rnd: random.Random) -> list[bytes]:
    """Cut into chunks: none, a fixed size down to one octet, or a few places; never an empty chunk."""
    mode = rnd.random()
    if mode < 0.4 or len(data) < 2:
        return [data] if data else []
    if mode < 0.7:
        size = rnd.choice((1, 2, 3, 7, 64, 1_000))
        return [data[at : at + size] for at in range(0, len(data), size)]
    edges = sorted({0, len(data), *(rnd.randrange(len(data)) for _ in range(rnd.randrange(1, 6)))})
    return [data[low:high] for low, high in itertools.pairwise(edges)]


class Mutator:
    """Makes one input after the other."""

    def __init__(self, target: Target, rnd: random.Random) -> None:
        self._rnd = rnd
        self._largest = target.largest
        self.corpus = [seed[: target.largest] for seed in target.seeds] or [b""]
        self._tokens = list(target.tokens) or [b"\r\n", b" ", b"\0", b"\xff"]
        self._edits: tuple[Callable[[bytes], bytes], ...] = (
            self._flip, self._insert_token, self._insert_token, self._insert_token, self._replace_token, self._splice, self._splice,
            self._delete, self._duplicate, self._truncate, self._number, self._noise,
        )  # fmt: skip

    def make(self) -> bytes:
        rnd = self._rnd
        draw = rnd.random()
        if draw < 0.1:
            data = b"".join(rnd.choices(self._tokens, k=rnd.randrange(1, 25)))
        elif draw < 0.12:
            data = rnd.randbytes(rnd.randrange(200))
        else:
            data = self._one(self.corpus)
            for _ in range(1 + int(rnd.expovariate(0.6))):
                data = self._one(self._edits)(data)
        if draw > 0.9995:
            data = self._repeat(data)
        return data[: self._largest]

    def _below(self, limit: int) -> int:
        """As ``randrange``, in a third of its time."""
        return int(self._rnd.random() * limit)

    def _one(self, of: Sequence[T]) -> T:
        return of[int(self._rnd.random() * len(of))]

    def _at(self, data: bytes) -> int:
        return int(self._rnd.random() * (len(data) + 1))

    def _span(self, data: bytes) -> tuple[int, int]:
        start = self._at(data)
        return start, min(len(data), start + 1 + int(self._rnd.expovariate(0.08)))

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return b"\0"
        at = self._below(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self._below(8)]) + data[at + 1 :]

    def _insert_token(self, data: bytes) -> bytes:
        at = self._at(data)
        return data[:at] + self._one(self._tokens) + data[at:]

    def _replace_token(self, data: bytes) -> bytes:
        low, high = self._span(data)
        return data[:low] + self._one(self._tokens) + data[high:]

    def _splice(self, data: bytes) -> bytes:
        other = self._one(self.corpus)
        return data[: self._at(data)] + other[self._at(other) :]

    def _delete(self, data: bytes) -> bytes:
        low, high = self._span(data)
        return data[:low] + data[high:]

    def _duplicate(self, data: bytes) -> bytes:
        low, high = self._span(data)
        return data[:high] + data[low:high] * (1 + self._below(5)) + data[high:]

    def _truncate(self, data: bytes) -> bytes:
        return data[: self._at(data)]

    def _number(self, data: bytes) -> bytes:
        """Put a number that is awkward to somebody."""
        number = self._one((b"0", b"-1", b"00", b"255", b"65536", b"2147483648", b"4294967295", b"4294967296", b"9" * 20, b"9" * 5_000))
        at = self._at(data)
        return data[:at] + number + data[at:]

    def _noise(self, data: bytes) -> bytes:
        low, high = self._span(data)
        return data[:low] + self._rnd.randbytes(1 + self._below(7)) + data[high:]

    def _repeat(self, data: bytes) -> bytes:
        """Repeat a piece until the input is up to 64 KiB."""
        low, high = self._span(data)
        piece = self._one((data[low:high], self._one(self._tokens))) or b"x"
        wanted = self._rnd.randrange(1_000, self._largest)
        return data[:low] + piece * (wanted // len(piece)) + data[high:]


class _Watch:
    """Ends an input that does not end: rings now and then in our processor time, and counts the inputs between two rings.

    Our own time, not the clock's: on a busy machine everything hangs now and then. An alarm for
    each input would cost more than many a parser.
    """

    def __init__(self) -> None:
        self.tried = 0
        self._rung_at = -1
        self._is_trying = False

    def start(self) -> None:
        # Rung while the interpreter ends, when nobody handles it any more, it would kill.
        atexit.register(signal.setitimer, signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, self._ring)
        signal.setitimer(signal.ITIMER_PROF, HANG_S, HANG_S)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_trying and self._rung_at == self.tried:
            raise Hang
        self._rung_at = self.tried

    def try_input(self, target: Target, data: bytes, seed: int, clock: Callable[[], float]) -> tuple[object, float, BaseException | None]:
        """Return the signature or what was raised, and how long it took by ``clock``."""
        _CHOICES.seed(seed)
        self.tried += 1
        self._is_trying = True
        start = clock()
        try:
            signature = target.check(data, _CHOICES)
            return signature, clock() - start, None
        except (Exception, Hang) as error:  # noqa: BLE001 - whatever escapes is the finding
            return None, clock() - start, error
        finally:
            self._is_trying = False


_CHOICES = random.Random()
"""Made once: that costs as much as a short input."""
_WATCH = _Watch()


def _where(error: BaseException) -> str:
    """Return what tells two failures apart: the kind and the line it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/appliance/" in frame.filename] or list(frames)
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    check = f" (checked at line {frames[-1].lineno})" if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} at {place}{check}"


def _smaller(target: Target, data: bytes, seed: int, kind: str, seconds: float) -> bytes:
    """Cut away what the failure does not need."""
    end = time.perf_counter() + seconds
    size = max(len(data) // 2, 1)
    while size and time.perf_counter() < end:
        at = 0
        while at < len(data) and time.perf_counter() < end:
            shorter = data[:at] + data[at + size :]
            error = _WATCH.try_input(target, shorter, seed, time.perf_counter)[2]
            if error is not None and _where(error) == kind:
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _allowed(data: bytes) -> float:
    return SLOW_S + SLOW_PER_BYTE_S * len(data)


def run(target: Target, *, inputs: int, seed: int, seconds: float, minimise_s: float = 5) -> Report:
    """Run the seeds as they are, then ``inputs`` mutated ones or for ``seconds``, whichever ends first."""
    rnd = random.Random(f"{seed} {target.name}")
    mutator = Mutator(target, rnd)
    report = Report()
    known: set[object] = set()
    fresh = list(mutator.corpus)
    _WATCH.start()
    begin = time.perf_counter()
    while report.inputs < inputs and (report.inputs & 255 or time.perf_counter() - begin < seconds):
        data = fresh.pop() if fresh else mutator.make()
        choice = rnd.getrandbits(32)
        # The clock is read in no time; what it finds slow is looked at again in processor time.
        signature, took, error = _WATCH.try_input(target, data, choice, time.perf_counter)
        report.inputs += 1
        report.total_bytes += len(data)
        if error is not None:
            kind = _where(error)
            if kind not in report.failures:
                data = _smaller(target, data, choice, kind, minimise_s)
                text = "".join(traceback.format_exception(error)[-4:])
                report.failures[kind] = Failure(target.name, kind, data, text)
        elif took > _allowed(data) and _cost(target, data, choice, ROUNDS) > _allowed(data):
            report.failures.setdefault("slow", Failure(target.name, f"slow: {took:.2f} s for {len(data)} bytes", data, ""))
        elif signature is not None and signature not in known:
            known.add(signature)
            if len(mutator.corpus) < MAX_CORPUS and len(data) < 4_096:
                mutator.corpus.append(data)
    report.seconds = time.perf_counter() - begin
    report.corpus = len(mutator.corpus)
    return report


def _cost(target: Target, data: bytes, seed: int, rounds: int) -> float:
    return min(_WATCH.try_input(target, data, seed, time.thread_time)[1] for _ in range(rounds))


def check_growth(target: Target, *, size: int, seed: int, most: int) -> list[Failure]:
    """Compare cost per byte of shapes repeated to ``size`` and four times that; a growth must show each time."""
    rnd = random.Random(f"{seed} {target.name} growth")
    found = []
    size = min(size, target.largest // 4)
    for prefix, unit, suffix in _shapes(target, rnd)[:most] if target.judges_growth else []:
        small, large = (prefix + unit * (count // len(unit)) + suffix for count in (size, 4 * size))
        choice = rnd.getrandbits(32)
        if not small or _cost(target, large, choice, 1) < MEASURABLE_S:
            continue
        ratios = []
        for _ in range(ROUNDS):
            ratios.append(_cost(target, large, choice, 2) / len(large) / (_cost(target, small, choice, 3) / len(small)))
            if ratios[-1] < GROWTH:
                break
        else:
            kind = f"growth {min(ratios):.1f} for {prefix[-40:]!r} + {unit[:40]!r} * n + {suffix[:40]!r}"
            found.append(Failure(target.name, kind, large, ""))
    return found


def _shapes(target: Target, rnd: random.Random) -> list[tuple[bytes, bytes, bytes]]:
    """Return the target's own shapes, each token and each pair repeated alone, and some behind the beginning of a seed."""
    tokens = [token for token in target.tokens if token]
    shapes = list(target.shapes)
    shapes += [(b"", token, b"") for token in tokens]
    extra = []
    for prefix, _, suffix in list(target.shapes)[:6]:
        extra += [(prefix, token, suffix) for token in tokens]
    extra += [(b"", first + second, b"") for first in tokens for second in tokens if first != second]
    for seed in target.seeds:
        at = rnd.randrange(len(seed) + 1)
        extra += [(seed[:at], rnd.choice(tokens), seed[at:]) for _ in range(4) if tokens]
    rnd.shuffle(extra)
    return shapes + extra
