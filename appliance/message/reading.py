"""A message as a developer looks at it: its texts, its HTML, its parts with their numbers, and a summary for lists.

Owns which part is the text, which the HTML, what is an attachment and what is
shown inside; part numbers as Mailpit's clients know them (the message itself is
``0``, the parts of a multipart ``1``, ``2`` ..., theirs ``1.1`` ...). A nested message
is an attachment. Everything is capped; what cannot be decoded is taken as it is.

Fails: never, for any bytes.

Sources: RFC 2045, RFC 2046, RFC 2183 (disposition), RFC 2392 (content ids), RFC 2369 (List-Unsubscribe).
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from appliance.message.address import addresses
from appliance.message.date import parse_date
from appliance.message.decode import decoded_body, html_text
from appliance.message.header import HeaderSection, split_message
from appliance.message.mime import scan
from appliance.message.parameter import parse_disposition
from appliance.message.part import Part
from appliance.message.text import decode_bytes, decode_header, decode_parameter_text
from appliance.model.caught import CaughtEnvelope, Indexed, Person

__all__ = ["Body", "Leaf", "Reading", "clean_tag", "index_message", "people", "read_message"]

MAX_LEAVES = 1_000
MAX_TEXT = 4_194_304
_INDEXED_TEXT = 262_144
_INDEXED_FIELD = 65_536
_SNIPPET = 200
_MAX_FIELDS = 10_000
_MOST_TAGS = 50
_ENDINGS = {
    "text/plain": ".txt",
    "text/html": ".html",
    "text/calendar": ".ics",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "application/pdf": ".pdf",
    "message/rfc822": ".eml",
}
_NO_TAG = re.compile(r"[^a-zA-Z0-9\-_.@ ]+")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One part without parts. ``part_id`` as described above; ``is_attached``: for the list of attachments, otherwise shown inside."""

    part_id: str
    part: Part
    name: str
    content_type: str
    content_id: str
    is_attached: bool


@dataclass(frozen=True, slots=True)
class Body:
    """A part that is the message's text or HTML."""

    part_id: str
    part: Part


@dataclass(slots=True)
class Reading:
    """A message taken apart; ``data`` is the whole of it."""

    data: bytes
    header: HeaderSection
    root: Part
    texts: list[Body] = field(default_factory=list)
    htmls: list[Body] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)

    @property
    def attachments(self) -> list[Leaf]:
        return [leaf for leaf in self.leaves if leaf.is_attached]

    @property
    def inlines(self) -> list[Leaf]:
        return [leaf for leaf in self.leaves if not leaf.is_attached]

    def content(self, part: Part, limit: int = 0) -> bytes:
        """Return a part's octets with the transfer encoding undone; at most about ``limit`` of them, 0 for all."""
        pieces: list[bytes] = []
        size = 0
        for piece in decoded_body(io.BytesIO(self.data), part):
            pieces.append(piece)
            size += len(piece)
            if limit and size >= limit:
                break
        return b"".join(pieces)

    def string(self, part: Part, limit: int = MAX_TEXT) -> str:
        """Return a text part as text."""
        charset = (part.parameter(b"charset") or b"").decode("ascii", "replace")
        return decode_bytes(self.content(part, limit)[:limit], charset)

    def text(self, limit: int = MAX_TEXT) -> str:
        """Return the plain text, made from the HTML when there is none; lines end as they do in the message."""
        if self.texts:
            return "\n--\n".join([self.string(body.part, limit) for body in self.texts])[:limit]
        return html_text(self.html(limit)) if self.htmls else ""

    def html(self, limit: int = MAX_TEXT) -> str:
        return "".join([self.string(body.part, limit) for body in self.htmls])[:limit]

    def value(self, name: bytes) -> str:
        """Return a field's text, decoded; ``""`` when it is missing."""
        found = self.header.get(name)
        return decode_header(found) if found is not None else ""

    def people(self, name: bytes) -> list[Person]:
        return people(self.header.get_all(name))

    def leaf(self, part_id: str) -> Leaf | None:
        return next((leaf for leaf in self.leaves if leaf.part_id == part_id), None)


def people(values: Iterable[bytes]) -> list[Person]:
    """Return who is named in address fields."""
    found = [address for value in values for address in addresses(value)]
    return [Person(decode_header(address.name), address.path) for address in found]


def read_message(data: bytes) -> Reading:
    """Take a message apart."""
    header, _ = split_message(data)
    reading = Reading(data, HeaderSection(header, max_fields=_MAX_FIELDS), scan(data))
    for part_id, part, within in islice(_numbered(reading.root), MAX_LEAVES):
        _sort(reading, part_id, part, within)
    return reading


def _numbered(root: Part) -> Iterator[tuple[str, Part, bytes]]:
    """Yield each leaf with its number and the kind of multipart that it stands in."""
    if not root.is_multipart:
        yield "0", root, b""
        return
    waiting = [(str(number), child, root.subtype) for number, child in enumerate(root.children, 1)][::-1]
    while waiting:
        number, part, within = waiting.pop()
        if part.is_multipart:
            waiting += [(f"{number}.{below}", child, part.subtype) for below, child in enumerate(part.children, 1)][::-1]
        else:
            yield number, part, within


def _sort(reading: Reading, part_id: str, part: Part, within: bytes) -> None:
    disposition = parse_disposition(part.disposition) if part.disposition else None
    kind = disposition[0] if disposition else b""
    name = (decode_parameter_text(disposition[1], b"filename") if disposition else None) or decode_parameter_text(part.parameters, b"name")
    is_text = part.type == b"text" and part.subtype in {b"plain", b"html"}
    if is_text and kind != b"attachment" and not name:
        (reading.htmls if part.subtype == b"html" else reading.texts).append(Body(part_id, part))
        return
    content_id = (part.content_id or b"").decode("utf-8", "replace").strip().strip("<>")
    media = f"{part.type.decode('latin-1')}/{part.subtype.decode('latin-1')}"
    is_inside = kind == b"inline" or (kind != b"attachment" and within == b"related")
    shown = name or content_id or f"part-{part_id}{_ENDINGS.get(media, '.bin')}"
    reading.leaves.append(Leaf(part_id, part, shown, media, content_id, not is_inside))


# The summary


def index_message(data: bytes, envelope: CaughtEnvelope, *, body_limit: int = _INDEXED_TEXT) -> Indexed:
    """Return what lists show and searches look at. ``data`` may be the beginning of a large message."""
    reading = read_message(data)
    sender = reading.people(b"from")
    unread = reading.value(b"from")
    to, cc, bcc = reading.people(b"to"), reading.people(b"cc"), reading.people(b"bcc")
    hidden = hidden_recipients(envelope, [*to, *cc, *bcc])
    bcc += hidden
    reply_to = reading.people(b"reply-to")
    subject = reading.value(b"subject")
    message_id = reading.value(b"message-id").strip().strip("<>")
    html = html_text(reading.html(body_limit)) if reading.htmls else ""
    text = reading.text(body_limit) if reading.texts else html
    date = parse_date(reading.header.get(b"date") or b"")
    names = [leaf.name for leaf in reading.leaves]
    fields = {
        "sender": _joined(sender) or unread,
        "recipient": _joined(to),
        "cc": _joined(cc),
        "bcc": _joined(bcc),
        "reply_to": _joined(reply_to),
        "subject": subject,
        "message_id": message_id,
    }
    body = " ".join([*fields.values(), *names, text, html if reading.texts else ""])
    texts = {key: value[:_INDEXED_FIELD].lower() for key, value in fields.items()}
    texts["body"] = text[:body_limit].lower()
    texts["text"] = " ".join(body[: body_limit * 2].split()).lower()
    return Indexed(
        message_id=message_id,
        sender=sender[0] if sender else Person(unread, "") if unread else None,
        to=to,
        cc=cc,
        bcc=bcc,
        hidden=[person.address for person in hidden],
        reply_to=reply_to,
        subject=subject,
        snippet=_snippet(html or text),
        attachments=len(reading.attachments),
        inlines=len(reading.inlines),
        date_s=date.timestamp() if date is not None else None,
        tags=_tags(reading, [*to, *cc, *bcc]),
        texts=texts,
    )


def hidden_recipients(envelope: CaughtEnvelope, named: Sequence[Person]) -> list[Person]:
    """Return who is in the envelope and in no address field: blind copies."""
    known = {person.address.lower() for person in named}
    return [Person("", address) for address in envelope.recipients if address.lower() not in known]


def _joined(named: Sequence[Person]) -> str:
    return " ".join([f"{person.name} {person.address}".strip() for person in named])


def _snippet(text: str) -> str:
    words = " ".join(text[: _SNIPPET * 8].split())
    if len(words.encode()) <= _SNIPPET:
        return words
    cut = words.encode()[:_SNIPPET].decode("utf-8", "ignore")
    return (cut.rpartition(" ")[0] or cut) + "..."


def clean_tag(text: str) -> str:
    """Return a tag as it is kept: letters, digits, ``-_.@`` and single spaces."""
    return " ".join(_NO_TAG.sub("", text).split())[:100]


def _tags(reading: Reading, recipients: Sequence[Person]) -> list[str]:
    given = reading.value(b"x-tags").split(",")
    details = [person.address.rpartition("@")[0].partition("+")[2] for person in recipients]
    found = [clean_tag(tag) for tag in given + [tag for detail in details for tag in detail.split("+")]]
    return sorted({tag.lower(): tag for tag in found if tag}.values(), key=str.lower)[:_MOST_TAGS]
