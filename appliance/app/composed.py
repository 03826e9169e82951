"""A message from standard input, made fit to be sent: spooled, its header completed, its recipients read.

Owns where the message ends, which fields it lacks, and that Bcc never leaves. The
header section is in memory and bounded; the body goes to a temporary file as
soon as it is more than a little.

Fails: ``MessageError`` with a sentence; OSError when the temporary file cannot be written.
Sources: RFC 5322 section 3.6, RFC 6409 section 8, Postfix sendmail(1) and cleanup(8)
(-t, Resent- fields, From from the password file, undisclosed-recipients).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Final

from appliance.message.address import Address, Group, addresses, format_address, format_address_list, parse_address_list
from appliance.message.header import Field, HeaderSection, body_offset

__all__ = ["ComposedMessage", "LoneDot", "MessageError", "Originator", "header_recipients", "read_message"]

CHUNK_BYTES: Final = 65_536
MAX_HEADER_BYTES: Final = 1_048_576

_LONE_DOT = re.compile(rb"\n\.\r?\n")
_MAYBE_DOT = re.compile(rb"\n(?:\.\r?)?\Z")
_BLIND = frozenset({b"bcc", b"resent-bcc"})
_ADDRESS_FIELDS = frozenset(
    {b"from", b"sender", b"reply-to", b"to", b"cc", b"resent-from", b"resent-sender", b"resent-to", b"resent-cc", b"resent-reply-to"}
)
_IS_LOGIN = re.compile(rb"[A-Za-z0-9_.+-]+").fullmatch


class MessageError(Exception):
    """The message cannot be sent as it is; the text says why."""


@dataclass(frozen=True, slots=True)
class Originator:
    """Who sends: for the fields that the author's program left out. ``date`` and ``message_id`` are their values."""

    address: str
    full_name: str
    origin: str
    date: bytes
    message_id: bytes


@dataclass(slots=True)
class ComposedMessage:
    """``spool`` holds the message without its header section, which is in ``fields`` and ``separator``, line ends as they came."""

    spool: IO[bytes]
    fields: list[Field] = field(default_factory=list)
    separator: bytes = b"\r\n"
    size: int = 0
    """Octets of ``spool`` with CRLF line ends."""
    is_8bit: bool = False
    header: bytes = b""
    """The completed header section, made by ``complete``."""

    def complete(self, who: Originator) -> None:
        """Make ``header``: what is missing is added, bare addresses get a domain, Bcc goes."""
        names = {found.name.lower() for found in self.fields}
        prefix = b"Resent-" if any(name.startswith(b"resent-") for name in names) else b""
        kept = [_qualified(found, who.origin) for found in self.fields if found.name.lower() not in _BLIND]
        if kept and not kept[-1].endswith(b"\n"):
            kept.append(b"\n")
        wanted = [
            (b"From", format_address(who.full_name, who.address)),
            (b"Date", who.date),
            (b"Message-ID", who.message_id),
        ]
        kept += [prefix + name + b": " + value + b"\r\n" for name, value in wanted if (prefix + name).lower() not in names]
        if not prefix and not names & {b"to", b"cc"}:
            kept.append(b"To: undisclosed-recipients:;\r\n")
        self.header = b"".join(kept) + self.separator

    @property
    def wire_size(self) -> int:
        """Octets on the wire, about: a message's SIZE is an estimate (RFC 1870 section 6.1)."""
        return len(self.header) + self.header.count(b"\n") - self.header.count(b"\r\n") + self.size


class LoneDot:
    """Finds the line that holds nothing but a dot, in whole chunks."""

    def __init__(self) -> None:
        # The first octet was handed out already (or never was there): a line begins behind it.
        self._seam = b"\n"

    def feed(self, chunk: bytes) -> tuple[bytes, bool]:
        """Return what belongs to the message for sure, and whether it has ended."""
        seam = self._seam + chunk
        found = _LONE_DOT.search(seam)
        if found is not None:
            return seam[1 : found.start() + 1], True
        undecided = _MAYBE_DOT.search(seam, max(0, len(seam) - 3))
        keep = undecided.start() if undecided is not None else len(seam) - 1
        self._seam = seam[keep:]
        return seam[1 : keep + 1], False


def read_message(read: Callable[[int], bytes], spool: IO[bytes], *, ignore_dots: bool) -> ComposedMessage:
    """Read up to the end of input, or the lone dot; the body goes into ``spool``.

    Blocks:   as ``read`` does; disk.
    Raises:   MessageError, OSError.
    """
    message = ComposedMessage(spool)
    dots = None if ignore_dots else LoneDot()
    held: list[bytes] = []
    held_size = 0
    in_header, ended = True, False
    while not ended and (chunk := read(CHUNK_BYTES)):
        if dots is not None:
            chunk, ended = dots.feed(chunk)
        if not in_header:
            _keep(message, chunk)
            continue
        held.append(chunk)
        held_size += len(chunk)
        if _has_empty_line(held) or held_size > MAX_HEADER_BYTES:
            in_header = False
            _take_header(message, b"".join(held))
    if in_header:
        _take_header(message, b"".join(held))
    return message


def _has_empty_line(held: list[bytes]) -> bool:
    """Look in the last chunk and at its seam; a message that starts with an empty line has no header."""
    seam = (b"\n" + b"".join(held[-4:-1]))[-3:] + held[-1]
    return b"\n\r\n" in seam or b"\n\n" in seam


def _take_header(message: ComposedMessage, data: bytes) -> None:
    """Split off the header section; the first line that is no field begins the body."""
    offset = body_offset(data)
    section = HeaderSection(data if offset < 0 else data[:offset])
    fields = list(section.fields)
    if fields and not fields[0].name and fields[0].raw.startswith((b"From ", b">From ")):
        del fields[0]  # a From_ line of some mbox file
    stray = next((index for index, found in enumerate(fields) if not found.name), None)
    if stray is None:
        if offset < 0 and len(data) > MAX_HEADER_BYTES:
            raise MessageError("the header section is larger than 1 MiB")
        message.fields = fields
        length = sum(len(found.raw) for found in section.fields)
        separator, body = (data[length:offset], data[offset:]) if offset >= 0 else (b"\r\n", b"")
        message.separator = separator or b"\r\n"
    else:
        message.fields = fields[:stray]
        lost = sum(len(found.raw) for found in section.fields) - sum(len(found.raw) for found in fields[stray:])
        body = data[lost:]
    message.is_8bit = not all(found.raw.isascii() for found in message.fields)
    _keep(message, body)


def _keep(message: ComposedMessage, data: bytes) -> None:
    message.spool.write(data)
    message.size += len(data) + data.count(b"\n") - data.count(b"\r\n")
    message.is_8bit = message.is_8bit or not data.isascii()


def _qualified(found: Field, origin: str) -> bytes:
    """Return the field, its bare local parts with the domain that they are short for; cron writes ``From: root (Cron Daemon)``."""
    if found.name.lower() not in _ADDRESS_FIELDS or not origin:
        return found.raw
    entries = parse_address_list(found.value)
    if not any(_is_bare(address) for address in addresses(found.value)):
        return found.raw
    return found.name + b": " + format_address_list([_with_domain(entry, origin) for entry in entries]) + b"\r\n"


def _is_bare(address: Address) -> bool:
    return not address.domain and bool(_IS_LOGIN(address.local_part))


def _with_domain(entry: Address | Group, origin: str) -> Address | Group:
    if isinstance(entry, Group):
        return Group(entry.name, tuple(_one_with_domain(member, origin) for member in entry.members))
    return _one_with_domain(entry, origin)


def _one_with_domain(address: Address, origin: str) -> Address:
    return address._replace(domain=origin.encode()) if _is_bare(address) else address


def header_recipients(message: ComposedMessage) -> list[str]:
    """Return who is named in To, Cc and Bcc; in the Resent- ones alone when there are any (RFC 5322 section 3.6.6)."""
    resent = any(found.name.lower().startswith(b"resent-") for found in message.fields)
    wanted = {prefix + name for prefix in ((b"resent-",) if resent else (b"",)) for name in (b"to", b"cc", b"bcc")}
    return [address.path for found in message.fields if found.name.lower() in wanted for address in addresses(found.value)]
