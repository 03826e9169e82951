"""Looking for text in messages that no index knows: opened one by one, decoded, compared.

Owns the bounds on what is read of one message. Everything here blocks and is
called in a worker thread with few messages at a time.

Fails: never; messages that are gone do not match.
Sources: RFC 3501 section 6.4.4 (HEADER, BODY, TEXT), RFC 5255 section 4.6.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, Final

from appliance.message.collation import casemap
from appliance.message.decode import header_text, searchable_text
from appliance.message.fuzzy import FuzzyQuery
from appliance.message.header import iterate_fields, read_header
from appliance.message.mime import scan_stream
from appliance.message.text import decode_header
from appliance.model.errors import ExpungedError
from appliance.model.finding import HeaderText
from appliance.model.ids import Uid
from appliance.model.ports import Mailbox

__all__ = ["HeaderScan", "TextScan", "find_in_messages", "score_messages"]

MAX_TEXT_BYTES: Final = 4_194_304
"""Of the text of one message that is searched."""
_BODY_WEIGHT: Final = 80
"""What a fuzzy match in the body counts, in percent of one in the header."""


@dataclass(frozen=True, slots=True)
class HeaderScan:
    """``key`` in a field of that name (lower case); an empty key: the field is there."""

    batch: ClassVar[int] = 64
    name: str
    key: bytes

    def matches(self, stream: BinaryIO) -> bool:
        name = self.name.encode("utf-8", "replace")
        fields = iterate_fields(read_header(stream))
        return any(field.name.lower() == name and self.key in casemap(decode_header(field.value)) for field in fields)


@dataclass(frozen=True, slots=True)
class TextScan:
    """``key`` in the text of the body, or of header section or body."""

    batch: ClassVar[int] = 16
    key: bytes
    with_header: bool

    def matches(self, stream: BinaryIO) -> bool:
        return (self.with_header and self.key in _head(stream)) or self.key in _body(stream)


def _head(stream: BinaryIO) -> bytes:
    return casemap(header_text(read_header(stream)))


def _body(stream: BinaryIO) -> bytes:
    stream.seek(0)
    return casemap(searchable_text(stream, scan_stream(stream), MAX_TEXT_BYTES))


def find_in_messages(mailbox: Mailbox, messages: Sequence[tuple[int, int]], scan: HeaderScan | TextScan) -> list[int]:
    """Return the positions of the messages (position and uid) that match."""
    found = []
    for at, uid in messages:
        with suppress(ExpungedError), mailbox.open_message(Uid(uid)) as stream:
            if scan.matches(stream):
                found.append(at)
    return found


def score_messages(mailbox: Mailbox, uids: Sequence[int], query: FuzzyQuery, source: HeaderText | TextScan) -> dict[int, int]:
    """Return how well messages fit, by uid."""
    if isinstance(source, HeaderText):
        return {uid: query.score(text) for uid, text in mailbox.finder.header_texts(source, uids).items()}
    scores: dict[int, int] = {}
    kept = mailbox.finder.body_texts(uids)
    for uid in uids:
        if uid in kept:
            head, _, body = kept[uid].partition(b"\0")
        else:
            head = body = b""
            with suppress(ExpungedError), mailbox.open_message(Uid(uid)) as stream:
                head, body = _head(stream), _body(stream)
        scores[uid] = max(query.score(head) if source.with_header else 0, query.score(body) * _BODY_WEIGHT // 100)
    return scores
