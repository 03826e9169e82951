"""The life of every message as it happens: mail log events to lines of the trace journal, and back.

Owns which events are kept and the form of a line: the moment, the queue id, a
letter for the kind, and that kind's fields, tabs between. The listener only
gathers; lines are made of many events at once, where it costs nobody's time.

Fails: a line that makes no sense is no event.
Does not: touch files (``storage.trace_files``), or find words for people (``observe.tracetext``).

Sources: Postfix's collate.pl (what people want to know of a message), RFC 3464 section 2.3 (what there is to say).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.message.text import decode_header

__all__ = ["ATTEMPTS", "TraceEvent", "TraceGatherer", "parse_line"]

MAX_GATHERED: Final = 100_000
"""Events that wait to be written; a disk that hangs must not fill the memory."""
MAX_FIELD: Final = 500

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "A": ("from", "client", "user", "nrcpt", "size", "message_id", "subject", "verdicts"),
    "D": ("to", "orig_to", "relay", "tls", "enhanced", "diagnostic", "reason"),
    "S": ("to", "orig_to", "relay", "tls", "enhanced", "diagnostic", "reason"),
    "W": ("to", "orig_to", "relay", "tls", "enhanced", "diagnostic", "reason"),
    "B": ("to", "orig_to", "relay", "tls", "enhanced", "diagnostic", "reason"),
    "E": ("to", "orig_to", "relay", "tls", "enhanced", "diagnostic", "reason"),
    "X": ("from", "to", "client", "stage", "reply"),
    "N": ("about", "to", "kind"),
    "H": ("state", "reason"),
    "C": ("change",),
    "G": ("user", "mailbox", "service", "client"),
    "V": ("user", "mailbox"),
}
"""Accepted; delivered, sent, waiting, bounced, expanded; refused at the door; a notification; put aside; changed by an administrator; expunged;
vanished by another program's hand."""

_SUBJECT: Final = _COLUMNS["A"].index("subject")
_VERDICTS: Final = _COLUMNS["A"].index("verdicts")
_CHECKS: Final = ("spf", "dkim", "dmarc", "arc")

ATTEMPTS: Final = frozenset("DSWBE")

_KINDS: Final[Mapping[str, str]] = {
    "message_queued": "A",
    "message_refused": "X",
    "notice_queued": "N",
    "message_put_aside": "H",
    "queue_entry_changed": "C",
    "messages_expunged": "G",
    "messages_vanished": "V",
}
_ATTEMPT_KINDS: Final = {"delivered": "D", "sent": "S", "deferred": "W", "bounced": "B", "expanded": "E"}
_GATHERED: Final = frozenset({*_KINDS, "recipient_attempted"})
_CLEANED: Final = str.maketrans(dict.fromkeys((*range(32), 127, 133, 8232, 8233), " "))


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One line. ``kind``: a letter of those above. Units: wall clock seconds since the epoch."""

    at_s: float
    queue_id: str
    kind: str
    fields: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")


class TraceGatherer:
    """A MailLog listener; ``take_lines`` empties it."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._gathered: list[tuple[float, str, Mapping[str, Any]]] = []
        self.lost = 0
        """Events that found no room."""

    def __call__(self, event: str, level: int, fields: Mapping[str, Any]) -> None:
        """Keep an event of a message's life. In memory; the fields are not copied."""
        if event in _GATHERED:
            if len(self._gathered) < MAX_GATHERED:
                self._gathered.append((self._now_s(), event, fields))
            else:
                self.lost += 1

    @property
    def count(self) -> int:
        return len(self._gathered)

    def take(self) -> Sequence[tuple[float, str, Mapping[str, Any]]]:
        """Return what was gathered, and begin anew."""
        taken, self._gathered = self._gathered, []
        return taken

    @staticmethod
    def lines(taken: Iterable[tuple[float, str, Mapping[str, Any]]]) -> bytes:
        """Return the lines of events. Blocks: the processor, some microseconds each."""
        return "".join([_line(*one) for one in _single(taken)]).encode("utf-8", "replace")


def _single(taken: Iterable[tuple[float, str, Mapping[str, Any]]]) -> Iterator[tuple[float, str, Mapping[str, Any]]]:
    """Yield an event for each message: those that were expunged are told together."""
    for at_s, event, fields in taken:
        if event in {"messages_expunged", "messages_vanished"}:
            for queue_id in fields["queue_ids"].split():
                yield at_s, event, {**fields, "queue_id": queue_id}
        else:
            yield at_s, event, fields


def _readable(subject: str) -> str:
    return decode_header(subject.encode("utf-8", "surrogateescape")) if "=?" in subject else subject


def _line(at_s: float, event: str, fields: Mapping[str, Any]) -> str:
    kind = _KINDS.get(event) or _ATTEMPT_KINDS[fields["status"]]
    get = fields.get
    values = [str(get(name) or "") for name in _COLUMNS[kind]]
    if kind == "A":
        values[_SUBJECT] = _readable(values[_SUBJECT])
        values[_VERDICTS] = " ".join([f"{name}={fields[name]}" for name in _CHECKS if name in fields])
    text = "".join(values)
    if len(text) > MAX_FIELD or not text.isprintable():
        # A peer's words may hold anything; most lines do not come here.
        values = [value[:MAX_FIELD].translate(_CLEANED) for value in values]
    return "\t".join((f"{at_s:.3f}", get("queue_id") or "-", kind, *values)) + "\n"


def parse_line(line: str) -> TraceEvent | None:
    """Return the event of a line, None when it is none."""
    at, _tab, rest = line.rstrip("\n").partition("\t")
    queue_id, _tab, rest = rest.partition("\t")
    kind, _tab, rest = rest.partition("\t")
    columns = _COLUMNS.get(kind)
    try:
        at_s = float(at)
    except ValueError:
        return None
    if columns is None or not queue_id or not 0 <= at_s < 1e11:
        return None
    return TraceEvent(at_s, queue_id, kind, {name: value for name, value in zip(columns, rest.split("\t"), strict=False) if value})
