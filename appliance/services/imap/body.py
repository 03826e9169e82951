"""Sections of messages, read in a worker thread for a batch of messages at once.

Owns where a section lies and what of it is read: up to 256 KiB as bytes, more as
an open stream with a place in it, which the session sends piece by piece. The
header is found without parsing the message; its structure is scanned only for
numbered parts, and that of the last large message is kept, because clients
fetch large parts in pieces.

Does not: send, or know of flags.
Sources:  RFC 3501 section 6.4.5 (BODY[<section>]<<partial>>), RFC 3516 section 4.2 (BINARY).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import BinaryIO

from appliance.message.header import body_offset, select_fields
from appliance.message.mime import scan_stream
from appliance.message.part import Part
from appliance.message.section import ByteRange, find_entity, find_part
from appliance.model.errors import ApplianceError, ExpungedError, LimitError
from appliance.model.ids import Uid
from appliance.model.mailbox import Summary
from appliance.model.ports import Mailbox
from appliance.protocols.imap.fetch_items import BinarySection, BodySection, SectionText
from appliance.services.imap.binary import decode_section

__all__ = ["BodyBatch", "BodyReader", "LargeSection", "MessageBody", "Section", "SectionValue", "read_piece"]

IN_MEMORY_BYTES = 262_144
BATCH_BYTES = 524_288
MESSAGE_BYTES = 4_194_304
"""All that is held of one message, however many sections are asked for at once."""
_FIRST_READ = 65_536
_CACHE_FROM_BYTES = IN_MEMORY_BYTES
"""Scanning a smaller message again costs less than keeping its tree."""


@dataclass(slots=True)
class LargeSection:
    """Octets of a stream that are sent without being held. ``is_decoded``: as literal8, which may hold NUL."""

    stream: BinaryIO
    offset: int
    length: int
    is_decoded: bool = False


SectionValue = bytes | LargeSection | int | None
"""An integer is the size that ``BINARY.SIZE`` asks for."""
Section = BodySection | BinarySection


@dataclass(slots=True)
class MessageBody:
    """The values of the sections asked for; ``stream`` is open while a large one among them is unsent."""

    uid: Uid
    values: list[SectionValue]
    summary: Summary | None = None
    stream: BinaryIO | None = None
    decoded: list[BinaryIO] = field(default_factory=list)
    """Temporary files with decoded parts."""

    def close(self) -> None:
        for file in self.decoded:
            file.close()
        self.decoded.clear()
        if self.stream is not None:
            self.stream.close()
            self.stream = None


@dataclass(slots=True)
class BodyBatch:
    """What one hop brought: ``taken`` of the uids were dealt with; those without a body are gone or could not be read."""

    taken: int
    bodies: dict[Uid, MessageBody]
    error: ApplianceError | None = None


def read_piece(section: LargeSection, offset: int, length: int) -> bytes:
    """Return part of a large section. Blocks: disk."""
    section.stream.seek(section.offset + offset)
    return section.stream.read(length)


def _is_whole(section: BodySection) -> bool:
    return not section.part and section.text is SectionText.WHOLE and not section.fields and section.partial is None


class BodyReader:
    """Reads the sections of one FETCH; used by one thread at a time."""

    def __init__(self, mailbox: Mailbox, sections: Sequence[Section], *, summaries: bool, spool: Callable[[], BinaryIO]) -> None:
        self._mailbox = mailbox
        self._spool = spool
        self._sections = sections
        self._summaries = summaries
        self._wants_whole = len(sections) == 1 and isinstance(sections[0], BodySection) and _is_whole(sections[0])
        self.structure: tuple[Uid, Part] | None = None

    def read_batch(self, uids: Sequence[Uid]) -> BodyBatch:
        """Read messages until the batch is full or a large section must be sent first. Blocks: disk."""
        summaries = {summary.uid: summary for summary in self._mailbox.summaries(uids)} if self._summaries else {}
        batch = BodyBatch(0, {})
        size = 0
        for uid in uids:
            batch.taken += 1
            if self._summaries and uid not in summaries:
                continue
            try:
                body = self._read(uid)
            except ExpungedError:
                continue
            except ApplianceError as error:
                batch.error = error
                continue
            body.summary = summaries.get(uid)
            batch.bodies[uid] = body
            size += sum(len(value) for value in body.values if isinstance(value, bytes))
            if body.stream is not None or size >= BATCH_BYTES:
                break
        return batch

    def _read(self, uid: Uid) -> MessageBody:
        stream = self._mailbox.open_message(uid)
        if self._wants_whole and isinstance(stream, BytesIO) and len(data := stream.getvalue()) <= IN_MEMORY_BYTES:
            return MessageBody(uid, [data])  # what nearly all of FETCH BODY[] is
        body = MessageBody(uid, [])
        try:
            known = self.structure[1] if self.structure is not None and self.structure[0] == uid else None
            message = _Message(stream, known, self._spool, body.decoded)
            body.values += [message.value(section) for section in self._sections]
            if message.tree is not None and message.size >= _CACHE_FROM_BYTES:
                self.structure = uid, message.tree
            if any(isinstance(value, LargeSection) for value in body.values):
                body.stream = stream
        except BaseException:
            body.close()
            raise
        finally:
            if body.stream is None:
                stream.close()
        return body


class _Message:
    """One open message; header and structure are found once."""

    def __init__(self, stream: BinaryIO, tree: Part | None, spool: Callable[[], BinaryIO], decoded: list[BinaryIO]) -> None:
        self._stream = stream
        self._spool = spool
        self._decoded = decoded
        self.size = stream.seek(0, 2)
        self.tree = tree
        self._header: ByteRange | None = None
        self._held = 0

    def value(self, section: Section) -> SectionValue:
        if isinstance(section, BinarySection) and section.part:
            return self._decode(section)
        if isinstance(section, BinarySection):
            whole = BodySection(section.label, partial=section.partial)
            value = self.size if section.size_only else self.value(whole)
            return replace(value, is_decoded=True) if isinstance(value, LargeSection) else value
        found = self._locate(section)
        if found is None:
            return None
        if section.fields:
            names = {name.lower() for name in section.fields}
            header = select_fields(self._bytes(found), names, exclude=section.text is SectionText.HEADER_FIELDS_NOT)
            self._held += len(header)
            if self._held > MESSAGE_BYTES:
                raise LimitError(f"{len(section.fields)} header fields asked for over and over")
            return header if section.partial is None else header[section.partial[0] : sum(section.partial)]
        if section.partial is not None:
            skip = min(section.partial[0], found.length)
            found = ByteRange(found.offset + skip, min(section.partial[1], found.length - skip))
        self._held += found.length
        if found.length > IN_MEMORY_BYTES or self._held > MESSAGE_BYTES:
            return LargeSection(self._stream, found.offset, found.length)
        return self._bytes(found)

    def _decode(self, section: BinarySection) -> SectionValue:
        part = find_entity(self._scan(), section.part)
        if part is None:
            return 0 if section.size_only else None
        decoded = decode_section(self._stream, part, section, self._spool)
        if section.size_only:
            return decoded.length
        if decoded.stream is None:
            self._held += decoded.length
            if self._held > MESSAGE_BYTES:
                raise LimitError(f"{section.label!r} asked for over and over")
            return decoded.data
        if decoded.is_own:
            self._decoded.append(decoded.stream)
        return LargeSection(decoded.stream, decoded.offset, decoded.length, is_decoded=True)

    def _scan(self) -> Part:
        if self.tree is None:
            self._stream.seek(0)
            self.tree = scan_stream(self._stream)
        return self.tree

    def _bytes(self, found: ByteRange) -> bytes:
        self._stream.seek(found.offset)
        return self._stream.read(found.length)

    def _locate(self, section: BodySection) -> ByteRange | None:
        if not section.part and section.text is SectionText.WHOLE:
            return ByteRange(0, self.size)
        word = SectionText.HEADER if section.fields else section.text
        if not section.part:
            header = self._find_header()
            if header is not None:
                return header if word is SectionText.HEADER else ByteRange(header.length, self.size - header.length)
        return find_part(self._scan(), ".".join([*map(str, section.part), *([word.value] if word.value else [])]))

    def _find_header(self) -> ByteRange | None:
        """Return the header section if it ends within the first 64 KiB; longer ones are left to the scanner and its limits."""
        if self._header is None:
            self._stream.seek(0)
            end = body_offset(self._stream.read(_FIRST_READ))
            if end < 0 and self.size <= _FIRST_READ:
                end = self.size
            self._header = ByteRange(0, end)
        return self._header if self._header.length >= 0 else None
