"""The caught mail of ``carteiro dev`` as pages show it: a list, and one message as header fields and text.

Owns the limits of what is read for a page. Everything here runs in a worker
thread or inline by ``Offload``; nothing is ever sent as HTML.
Does not: render HTML mail or attachments; the raw message can be downloaded.

Fails: with the store's ``ApplianceError``.
Sources: RFC 5322 section 3.6, RFC 2045 section 5.2 (text/plain is the default).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from appliance.message.decode import decoded_body, html_text, leaf_parts
from appliance.message.header import first_values, iterate_fields, split_message
from appliance.message.mime import scan_stream
from appliance.message.parameter import parse_disposition
from appliance.message.part import Part
from appliance.message.text import decode_bytes, decode_header, decode_parameter_text
from appliance.model.ids import INBOX, AccountName, Uid
from appliance.model.mailbox import Summary
from appliance.model.ports import Mailbox, MailStores

__all__ = ["CaughtList", "CaughtMail", "CaughtMessage", "CaughtSummary", "parse_message_key"]

_LISTED = 50
_HEADER_BYTES = 65_536
_TEXT_BYTES = 262_144
_FIELDS_SHOWN = 200
_PARTS_SHOWN = 100
_WANTED = frozenset({b"from", b"to", b"cc", b"subject", b"date"})


@dataclass(frozen=True, slots=True)
class CaughtSummary:
    key: str
    sender: str
    recipients: str
    subject: str
    received_at_s: float
    size: int


@dataclass(frozen=True, slots=True)
class CaughtList:
    """The latest messages first, and how many there are."""

    messages: Sequence[CaughtSummary]
    total: int


@dataclass(frozen=True, slots=True)
class CaughtMessage:
    """``text``: of the first text part, or of HTML when there is no other (``from_html``). ``cut``: there is more."""

    summary: CaughtSummary
    cc: str
    date: str
    fields: Sequence[tuple[str, str]]
    text: str
    from_html: bool
    cut: bool
    attachments: Sequence[tuple[str, str, int]]


def parse_message_key(text: str) -> tuple[int, int] | None:
    """Parse ``UIDVALIDITY-UID`` from a path; None when it is neither."""
    validity, dash, uid = text.partition("-")
    if not (dash and validity.isdecimal() and uid.isdecimal() and validity.isascii() and uid.isascii() and len(text) <= 24):
        return None
    return int(validity), int(uid)


class CaughtMail:
    """The INBOX of the account that gets everything."""

    def __init__(self, stores: MailStores, account: AccountName) -> None:
        self._stores = stores
        self._account = account

    def latest(self) -> CaughtList:
        """Return the last messages. Blocks: disk."""
        inbox = self._inbox()
        view = inbox.snapshot()
        uids = [Uid(uid) for uid in view.uids[-_LISTED:]]
        found = [self._summary(inbox, view.uid_validity, summary) for summary in inbox.summaries(uids)]
        return CaughtList(found[::-1], len(view.uids))

    def message(self, validity: int, uid: int) -> CaughtMessage | None:
        """Return one message, None when it is not there (any more). Blocks: disk."""
        inbox = self._inbox()
        known = inbox.summaries([Uid(uid)]) if inbox.snapshot().uid_validity == validity else ()
        if not known:
            return None
        summary = self._summary(inbox, validity, known[0])
        text, cut = "", False
        with inbox.open_message(Uid(uid)) as stream:
            header, _ = split_message(stream.read(_HEADER_BYTES))
            stream.seek(0)
            parts = list(islice(leaf_parts(scan_stream(stream)), _PARTS_SHOWN))
            shown = _best_text(parts)
            if shown is not None:
                text, cut = _read_text(stream, shown)
        from_html = shown is not None and shown.subtype == b"html"
        values = first_values(header, _WANTED)
        return CaughtMessage(
            summary=summary,
            cc=decode_header(values.get(b"cc", b"")),
            date=decode_header(values.get(b"date", b"")),
            fields=_fields(header),
            text=html_text(text).strip() if from_html else text,
            from_html=from_html,
            cut=cut,
            attachments=[_attachment(part) for part in parts if part is not shown],
        )

    def has(self, validity: int, uid: int) -> bool:
        """Return True if the message is there. Blocks: disk."""
        inbox = self._inbox()
        return inbox.snapshot().uid_validity == validity and bool(inbox.summaries([Uid(uid)]))

    def open_raw(self, validity: int, uid: int) -> BinaryIO | None:
        """Open the message as it is; None when it is not there. The caller closes it. Blocks: disk."""
        return self._inbox().open_message(Uid(uid)) if self.has(validity, uid) else None

    def _inbox(self) -> Mailbox:
        return self._stores.account(self._account).open_mailbox(INBOX)

    def _summary(self, inbox: Mailbox, validity: int, known: Summary) -> CaughtSummary:
        with inbox.open_message(known.uid) as stream:
            header, _ = split_message(stream.read(_HEADER_BYTES))
        values = {name: decode_header(value) for name, value in first_values(header, _WANTED).items()}
        return CaughtSummary(
            key=f"{validity}-{known.uid}",
            sender=values.get(b"from", ""),
            recipients=values.get(b"to", "") or values.get(b"cc", ""),
            subject=values.get(b"subject", ""),
            received_at_s=known.internal_date_s,
            size=known.size_bytes,
        )


def _best_text(parts: Sequence[Part]) -> Part | None:
    """Return the first plain text that is no attachment, or else the first HTML."""
    for subtype in (b"plain", b"html"):
        for part in parts:
            if (part.type, part.subtype) == (b"text", subtype) and not _is_attachment(part):
                return part
    return None


def _is_attachment(part: Part) -> bool:
    found = parse_disposition(part.disposition or b"")
    return found is not None and found[0] == b"attachment"


def _read_text(stream: BinaryIO, part: Part) -> tuple[str, bool]:
    """Return the beginning of a part's text, and whether there is more."""
    pieces: list[bytes] = []
    size = 0
    for piece in decoded_body(stream, part):
        pieces.append(piece)
        size += len(piece)
        if size > _TEXT_BYTES:
            break
    charset = (part.parameter(b"charset") or b"").decode("ascii", "replace")
    return decode_bytes(b"".join(pieces)[:_TEXT_BYTES], charset), size > _TEXT_BYTES


def _fields(header: bytes) -> list[tuple[str, str]]:
    return [(field.name.decode("latin-1") or "?", decode_header(field.value)) for field in islice(iterate_fields(header), _FIELDS_SHOWN)]


def _attachment(part: Part) -> tuple[str, str, int]:
    """Return name, media type and size (as it is encoded) of a part."""
    disposition = parse_disposition(part.disposition or b"")
    name = decode_parameter_text(disposition[1], b"filename") if disposition else None
    if not name:
        name = decode_parameter_text(part.parameters, b"name")
    return name or "", f"{part.type.decode('latin-1')}/{part.subtype.decode('latin-1')}", part.size
