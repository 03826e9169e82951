"""Questions to the DNS and their answers, as values: how decisions that need records stay pure.

A check is a generator that yields ``DnsQuestion`` and is sent ``DnsAnswer``;
``Asking[T]`` is its type and ``T`` its result. Who runs it (``net.lookups``, a
table in a test, a file of records) decides where answers come from.

Sources: RFC 1035 section 3.2.2 (types), RFC 2308 (no such name, no such record).
"""

import enum
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

__all__ = ["Asking", "DnsAnswer", "DnsQuestion", "DnsStatus", "answer_with", "reverse_name"]

T = TypeVar("T")


class DnsStatus(enum.Enum):
    FOUND = "found"
    EMPTY = "empty"
    """The name is there and has no record of this kind."""
    MISSING = "missing"
    """There is no such name, nor anything below it."""
    FAILED = "failed"
    """Nobody can tell now."""


class DnsQuestion(NamedTuple):
    """``name`` without the root's dot; ``kind``: A, AAAA, MX, PTR or TXT."""

    name: str
    kind: str


class DnsAnswer(NamedTuple):
    """``records``: addresses; host names of MX (best first) and PTR; TXT with its strings joined, one character for each octet."""

    status: DnsStatus
    records: tuple[str, ...] = ()


Asking = Generator[DnsQuestion, DnsAnswer, T]


def answer_with(look_up: Callable[[DnsQuestion], DnsAnswer], asking: Asking[T]) -> T:
    """Run a check to its end with answers that are at hand."""
    try:
        question = next(asking)
        while True:
            question = asking.send(look_up(question))
    except StopIteration as stop:
        result: T = stop.value
        return result


def reverse_name(address: str, zone: str = "") -> str:
    """Return the name under which an IP address is asked for; below ``zone`` instead of the reverse tree (RFC 5782 section 2.1)."""
    if ":" in address:
        digits = _expanded(address)
        return ".".join(reversed(digits)) + "." + (zone or "ip6.arpa")
    return ".".join(reversed(address.split("."))) + "." + (zone or "in-addr.arpa")


def _expanded(address: str) -> str:
    """Return the 32 hexadecimal digits of an IPv6 address in plain or compressed form."""
    head, gap, tail = address.partition("::")
    left = head.split(":") if head else []
    right = tail.split(":") if tail else []
    middle = ["0"] * (8 - len(left) - len(right)) if gap else []
    return "".join(group.zfill(4) for group in (*left, *middle, *right))
