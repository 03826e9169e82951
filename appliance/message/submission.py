"""What a server does to the header section of a message while it arrives.

Owns ``HeaderFilter``, which holds back the header section of a streamed message,
looks at it once, and lets everything behind it through without a copy. On
submission it adds the Date and Message-ID that the author's program left out
and removes Bcc; for mail from other servers it changes nothing and only looks.

Fails: a header section over the limit sets ``fault`` and swallows the rest; the
caller answers and forgets the message.
Does not: add or judge From; that is the submission service's policy.

Sources: RFC 6409 section 8 (Date, Message-ID), RFC 5322 section 3.6.3 (Bcc),
RFC 5321 section 6.3 (counting Received), Postfix's cleanup(8) for a line that is no header field.
"""

import enum
import re

from appliance.message.address import addresses
from appliance.message.header import HeaderSection, body_offset, unfold

__all__ = ["HeaderFault", "HeaderFilter", "HeaderReport"]

_BLIND = frozenset({b"bcc", b"resent-bcc"})
_NEEDED = (b"date", b"message-id")
_MAX_VALUE = 998  # RFC 5322 section 2.1.1, a line
_VALUE = re.compile(rb"[^\n]{0,2000}(?:\n[ \t][^\n]{0,2000}){0,4}")
_SPACE_BEFORE_COLON = re.compile(rb"\n[!-9;-~]++[ \t]").search
_WELL_FORMED = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*)+\r?\n").fullmatch


class HeaderFault(enum.Enum):
    TOO_LARGE = "header section is too large"


class HeaderReport:
    """What stood in the header section as it came. Addresses in wire form; ``message_id`` with its brackets or ``""``.

    Each answer is found when it is asked for: of a message from elsewhere only the log and the count of hops ask.
    """

    __slots__ = ("_header", "_is_odd", "_lowered", "_section")

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._lowered = b"\n" + header.lower()
        # RFC 5322 section 4.5 (obs-optional) has space before the colon; such a header is looked at field by field.
        self._is_odd = _SPACE_BEFORE_COLON(self._lowered) is not None
        self._section: HeaderSection | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeaderReport) and self._header == other._header

    def __hash__(self) -> int:
        return hash(self._header)

    @property
    def section(self) -> HeaderSection:
        """The fields one by one, made at the first question that needs them."""
        if self._section is None:
            self._section = HeaderSection(self._header)
        return self._section

    @property
    def header_bytes(self) -> int:
        return len(self._header)

    @property
    def received_count(self) -> int:
        return self.count(b"received")

    @property
    def message_id(self) -> str:
        return self._first(b"message-id")

    @property
    def subject(self) -> str:
        """Return the subject as it came, encoded words and all."""
        return self._first(b"subject")

    def _first(self, name: bytes) -> str:
        """Return the first field's value, unfolded and of a bearable length."""
        if self._is_odd:
            value = self.section.get(name) or b""
        else:
            at = self._lowered.find(b"\n" + name + b":")
            if at < 0:
                return ""
            header, start = self._header, at + len(name) + 1
            end = header.find(b"\r\n", start, start + _MAX_VALUE)
            if end >= 0 and header[end + 2 : end + 3] not in {b" ", b"\t"} and (value := header[start:end]).isascii():
                return value.strip(b" \t").decode("ascii")  # one line, as nearly all are
            found = _VALUE.match(header, start)
            value = unfold(found[0]) if found else b""
        return value[:_MAX_VALUE].decode("utf-8", "replace")

    @property
    def from_addresses(self) -> tuple[str, ...]:
        return tuple([author.path for value in self.section.get_all(b"from") for author in addresses(value)])

    @property
    def from_count(self) -> int:
        return self.count(b"from")

    @property
    def sender(self) -> str:
        senders = [address for value in self.section.get_all(b"sender") for address in addresses(value)]
        return senders[0].path if senders else ""

    @property
    def has_date(self) -> bool:
        return self.count(b"date") > 0

    @property
    def has_8bit(self) -> bool:
        return not self._header.isascii()

    @property
    def delivered_to(self) -> tuple[str, ...]:
        return tuple([value.decode("utf-8", "replace") for value in self.section.get_all(b"delivered-to")])

    @property
    def is_complete(self) -> bool:
        """True when nothing need be added or taken away: whole fields, a Date, a Message-ID, no Bcc, and the empty line."""
        return (
            _WELL_FORMED(self._header) is not None
            and all(self.count(name) for name in _NEEDED)
            and not any(self.count(name) for name in _BLIND)
        )

    def count(self, name: bytes) -> int:
        """Return how many fields have that name, which is given in lower case."""
        if self._is_odd:
            return self.section.count(name)
        return self._lowered.count(b"\n" + name + b":")


class HeaderFilter:
    """Feed chunks with CRLF line ends, send on what ``feed`` returns, end with ``finish``.

    ``report`` is None until the header section was seen. ``date`` and
    ``message_id`` are the values to add where there is none (the latter with its
    brackets); with ``rewrite`` off nothing is changed.
    """

    def __init__(self, *, rewrite: bool = False, date: bytes = b"", message_id: bytes = b"", max_header_bytes: int = 1_048_576) -> None:
        self._rewrite = rewrite
        self._date = date
        self._message_id = message_id
        self._max_header_bytes = max_header_bytes
        self._held: list[bytes] = []
        self._held_size = 0
        self._last = b"\r\n"  # the end of what is held; a message that starts with an empty line has no header
        self.report: HeaderReport | None = None
        self.fault: HeaderFault | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Return what may go on: nothing while the header section is incomplete, then it, then each chunk itself."""
        if self.report is not None:
            return chunk
        if self.fault is not None:
            return b""
        if not self._held and 0 <= (offset := body_offset(chunk)) <= self._max_header_bytes:
            header = chunk[:offset]
            passed = self._pass(header)
            return chunk if passed is header else passed + chunk[offset:]
        seam = self._last + chunk
        self._held.append(chunk)
        self._held_size += len(chunk)
        self._last = seam[-3:]
        if seam.find(b"\n\r\n") >= 0 or seam.find(b"\n\n") >= 0:
            data = b"".join(self._held)
            offset = body_offset(data)
            if offset > self._max_header_bytes:
                return self._refuse()
            return self._pass(data[:offset]) + data[offset:]
        if self._held_size > self._max_header_bytes:
            return self._refuse()
        return b""

    def finish(self) -> bytes:
        """Return what is still held: the message ended without an empty line."""
        if self.report is not None or self.fault is not None:
            return b""
        return self._pass(b"".join(self._held))

    def _refuse(self) -> bytes:
        self.fault = HeaderFault.TOO_LARGE
        self._held = []
        return b""

    def _pass(self, header: bytes) -> bytes:
        self._held = []
        report = self.report = HeaderReport(header)
        return self._rewritten(report.section) if self._rewrite and not report.is_complete else header

    def _rewritten(self, section: HeaderSection) -> bytes:
        fields = list(section.fields)
        if fields and not fields[0].name and fields[0].raw.startswith((b"From ", b">From ")):
            del fields[0]  # a From_ line of some mbox file
        stray = next((index for index, field in enumerate(fields) if not field.name), len(fields))
        body = b"".join([field.raw for field in fields[stray:]])
        end = section.to_bytes()[sum(len(field.raw) for field in section.fields) :]
        kept = [field.raw for field in fields[:stray] if field.name.lower() not in _BLIND]
        if kept and not kept[-1].endswith(b"\n"):
            kept.append(b"\r\n")
        names = {field.name.lower() for field in fields[:stray]}
        if b"date" not in names and self._date:
            kept.append(b"Date: " + self._date + b"\r\n")
        if b"message-id" not in names and self._message_id:
            kept.append(b"Message-ID: " + self._message_id + b"\r\n")
        # A line that is no field starts the body; without an empty line before it, what we add would end up inside.
        return b"".join(kept) + (b"\r\n" + body if body else b"") + (end if end or body else b"\r\n")
