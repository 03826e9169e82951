"""What can be asked of a mailbox's messages without opening them: questions, orders, and the port that answers.

A question is about one property; services combine answers. Texts are keys of
the collation (``message.collation``), so that comparing is a matter of octets.

Sources: RFC 9051 section 6.4.4 (search keys), RFC 5256 section 3 (sort criteria), RFC 5957.
"""

import enum
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

__all__ = [
    "Answer",
    "Finder",
    "HeaderContains",
    "HeaderText",
    "Measure",
    "MeasureWithin",
    "Question",
    "SortCriterion",
    "SortKey",
    "TextContains",
    "TextKeeper",
    "ThreadRow",
]


class HeaderText(enum.Enum):
    """Header fields whose text is kept; the value is the field's name in lower case."""

    SUBJECT = "subject"
    FROM = "from"
    TO = "to"
    CC = "cc"
    BCC = "bcc"


class Measure(enum.Enum):
    """``ARRIVED_S``: seconds since the epoch. ``SENT_DAY``: ordinal of the day in the Date field, in the sender's zone."""

    ARRIVED_S = "arrived"
    SIZE_BYTES = "size"
    SENT_DAY = "sent_day"


@dataclass(frozen=True, slots=True)
class HeaderContains:
    """``key`` is in a field of that name."""

    field: HeaderText
    key: bytes


@dataclass(frozen=True, slots=True)
class MeasureWithin:
    """From ``least`` to ``most``, both included. What a message does not have is within nothing."""

    measure: Measure
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class TextContains:
    """``key`` is in the text of the body, or in that of header section or body."""

    key: bytes
    with_header: bool


Question = HeaderContains | MeasureWithin | TextContains


class Answer(NamedTuple):
    """``matching``: uids that match, ascending, of all that are known. ``unknown``: those asked for that are not; open them."""

    matching: "array[int]"
    unknown: Sequence[int]


class SortKey(enum.Enum):
    """RFC 5256 section 3 (SORT), RFC 5957 section 4 (DISPLAY...), RFC 6203 section 6 (RELEVANCY)."""

    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"
    FROM = "FROM"
    RELEVANCY = "RELEVANCY"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"


@dataclass(frozen=True, slots=True)
class SortCriterion:
    key: SortKey
    reverse: bool = False


class ThreadRow(NamedTuple):
    """What threading needs of a message; ``message_id`` and ``parents`` (nearest last) are hashes, 0 is none."""

    uid: int
    sent_s: int
    arrived_s: int
    subject: bytes
    is_reply: bool
    message_id: int
    parents: "array[int]"


class TextKeeper(Protocol):
    """Keeps the text of one mailbox's messages, for who fills the index. Safe from any thread. All of it blocks: disk."""

    def missing(self, uids: Sequence[int]) -> Sequence[int]:
        """Return those of ``uids`` whose header is not known yet; what is known of messages that are gone is forgotten."""

    def missing_texts(self, uids: Sequence[int]) -> Sequence[int]:
        """Return those of ``uids`` whose text is not kept yet."""

    def learn_texts(self, uids: Sequence[int]) -> None:
        """Read these messages and keep their text. Up to a millisecond each, much more for large ones."""

    def kept_bytes(self) -> int:
        """Return what the account's index takes on disk."""


class Finder(TextKeeper, Protocol):
    """Answers questions about one mailbox. Derived knowledge only; safe from any thread. All of it blocks: disk."""

    def learn(self, uids: Sequence[int]) -> None:
        """Read these messages' headers and remember what finding needs of them. Some 100 us each: call it with few."""

    def ask(self, question: Question, uids: Sequence[int]) -> Answer:
        """Answer for these messages (ascending), of which those that were never learned are unknown."""

    def sort(self, criteria: Sequence[SortCriterion], scores: Mapping[int, int], uids: Sequence[int]) -> "array[int]":
        """Return these uids, or all that are known when these are many, in order; ``scores`` by uid are what RELEVANCY sorts by, best first."""

    def thread_rows(self, uids: Sequence[int]) -> list[ThreadRow]:
        """Return the rows of the uids that are known, in their order."""

    def header_texts(self, field: HeaderText, uids: Sequence[int]) -> dict[int, bytes]:
        """Return the text of a field by uid, for those that have it; fields of one message are parted by NUL."""

    def body_texts(self, uids: Sequence[int]) -> dict[int, bytes]:
        """Return header and body text of those whose text is kept; NUL stands between the two."""
