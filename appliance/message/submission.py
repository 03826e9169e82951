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
from dataclasses import dataclass

from appliance.message.address import addresses
from appliance.message.header import Field, HeaderSection, body_offset

__all__ = ["HeaderFault", "HeaderFilter", "HeaderReport"]

_BLIND = frozenset({b"bcc", b"resent-bcc"})
_MAX_MESSAGE_ID = 998  # RFC 5322 section 2.1.1, a line


class HeaderFault(enum.Enum):
    TOO_LARGE = "header section is too large"


@dataclass(frozen=True, slots=True)
class HeaderReport:
    """What stood in the header section as it came. Addresses in wire form; ``message_id`` with its brackets or ``""``."""

    header_bytes: int
    received_count: int
    message_id: str
    from_addresses: tuple[str, ...]
    from_count: int
    sender: str
    has_date: bool
    has_8bit: bool
    delivered_to: tuple[str, ...]


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
        section = HeaderSection(header)
        self.report = _report(header, section)
        return self._rewritten(section) if self._rewrite else header

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


def _report(header: bytes, section: HeaderSection) -> HeaderReport:
    wanted: dict[bytes, list[Field]] = {}
    for field in section.fields:
        wanted.setdefault(field.name.lower(), []).append(field)
    message_ids = wanted.get(b"message-id", [])
    senders = [address for field in wanted.get(b"sender", []) for address in addresses(field.value)]
    authors = [address for field in wanted.get(b"from", []) for address in addresses(field.value)]
    return HeaderReport(
        header_bytes=len(header),
        received_count=len(wanted.get(b"received", [])),
        message_id=message_ids[0].value[:_MAX_MESSAGE_ID].decode("utf-8", "replace") if message_ids else "",
        from_addresses=tuple([author.path for author in authors]),
        from_count=len(wanted.get(b"from", [])),
        sender=senders[0].path if senders else "",
        has_date=b"date" in wanted,
        has_8bit=not header.isascii(),
        delivered_to=tuple([field.value.decode("utf-8", "replace") for field in wanted.get(b"delivered-to", [])]),
    )
