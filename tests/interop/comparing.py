"""Makes what two IMAP servers answered comparable: leaves out what each is free to choose.

Texts, \\Recent, moments just now, UIDVALIDITY and other identifiers are left out; rows are kept in their order.
"""

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.interop.imapwire import read_items

__all__ = ["Answer", "comparable"]


@dataclass
class Answer:
    """What one command brought: untagged responses with their literals, and the tagged one without its tag."""

    untagged: list[bytes] = field(default_factory=list)
    tagged: bytes = b""

    @property
    def condition(self) -> bytes:
        return self.tagged.partition(b" ")[0]


_UNCOMPARED_CODES = {b"UIDVALIDITY", b"PERMANENTFLAGS", b"HIGHESTMODSEQ", b"NOMODSEQ", b"MAILBOXID", b"CAPABILITY", b"ALERT", b"CLOSED"}
_UNCOMPARED_ITEMS = {b"UIDVALIDITY", b"HIGHESTMODSEQ", b"RECENT", b"MAILBOXID"}
_LIST_ATTRIBUTES = {b"\\noselect", b"\\nonexistent", b"\\haschildren", b"\\hasnochildren", b"\\subscribed"}


def comparable(answer: Answer) -> dict[str, Any]:
    """Return an answer as values that two correct servers share."""
    found: dict[str, Any] = {"condition": answer.condition.decode()}
    code = re.match(rb"[A-Z]+ \[([^]]*)\]", answer.tagged)
    words = code[1].split() if code else []
    if words and words[0] in {b"COPYUID", b"APPENDUID"}:
        found["code"] = (words[0], *words[2:])
    elif words and words[0] not in _UNCOMPARED_CODES:
        found["code"] = words[0]
    rows: dict[str, Any] = {"fetch": [], "list": set(), "expunge": [], "codes": set()}
    for response in answer.untagged:
        _take(response, rows)
    found.update({kind: value for kind, value in rows.items() if value})
    return found


def _take(response: bytes, rows: dict[str, Any]) -> None:
    code = re.match(rb"\* OK \[([A-Z-]+) ?([^]]*)\]", response)
    if code:
        if code[1] not in _UNCOMPARED_CODES:
            rows["codes"].add((code[1], code[2] if code[1] in {b"UIDNEXT", b"UNSEEN"} else b""))
        return
    words: list[Any] = read_items(response)
    kind = words[2] if len(words) > 2 and words[1].isdigit() else words[1]
    if kind in _TAKE:
        _TAKE[kind](words, rows)


def _take_fetch(words: list[Any], rows: dict[str, Any]) -> None:
    rows["fetch"].append((int(words[1]), _fetch(words[3])))


def _take_exists(words: list[Any], rows: dict[str, Any]) -> None:
    rows["exists"] = int(words[1])


def _take_expunge(words: list[Any], rows: dict[str, Any]) -> None:
    rows["expunge"].append(int(words[1]))


def _take_numbers(words: list[Any], rows: dict[str, Any]) -> None:
    numbers = [int(word) for word in words[2:] if isinstance(word, bytes) and word.isdigit()]
    rows["found"] = sorted(numbers) if words[1] == b"SEARCH" else numbers


def _take_found(words: list[Any], rows: dict[str, Any]) -> None:
    rows["found"] = [word for word in words[2:] if words[1] == b"THREAD" or not isinstance(word, list)]


def _take_list(words: list[Any], rows: dict[str, Any]) -> None:
    attributes = frozenset(word.lower() for word in words[2]) & _LIST_ATTRIBUTES
    rows["list"].add((words[1], attributes, words[4]))


def _take_status(words: list[Any], rows: dict[str, Any]) -> None:
    pairs = dict(zip(words[3][::2], words[3][1::2], strict=True))
    left = {name: value for name, value in pairs.items() if name not in _UNCOMPARED_ITEMS}
    rows.setdefault("status", []).append((words[2], left))


_TAKE: dict[bytes, Callable[[list[Any], dict[str, Any]], None]] = {
    b"FETCH": _take_fetch,
    b"EXISTS": _take_exists,
    b"EXPUNGE": _take_expunge,
    b"SEARCH": _take_numbers,
    b"SORT": _take_numbers,
    b"ESEARCH": _take_found,
    b"THREAD": _take_found,
    b"LIST": _take_list,
    b"LSUB": _take_list,
    b"STATUS": _take_status,
}


def _fetch(items: list[Any]) -> dict[bytes, Any]:
    found: dict[bytes, Any] = {}
    for name, value in zip(items[::2], items[1::2], strict=True):
        if name == b"FLAGS":
            found[name] = frozenset(flag.lower() for flag in value) - {b"\\recent"}
        elif name == b"INTERNALDATE":
            moment = datetime.datetime.strptime(value.decode().strip(), "%d-%b-%Y %H:%M:%S %z")
            age = datetime.datetime.now(datetime.UTC) - moment
            found[name] = "just now" if age < datetime.timedelta(hours=1) else moment.timestamp()
        elif name not in {b"MODSEQ", b"SAVEDATE", b"EMAILID", b"THREADID"}:
            found[name.upper()] = value
    return found
