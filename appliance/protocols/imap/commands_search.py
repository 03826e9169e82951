"""The commands that find messages, as frozen values: SEARCH, SORT, THREAD, ESEARCH and CANCELUPDATE.

Owns names and shapes only. Texts of keys stay octets in the command's charset,
which the session decodes; ``charset`` is empty when the client named none.

Sources:  RFC 3501 section 6.4.4, RFC 4731 section 3.1, RFC 5182, RFC 5256 section 3,
          RFC 5267 section 4 (contexts), RFC 6203 section 4 (RELEVANCY), RFC 7377
          section 2 (ESEARCH), RFC 9394 section 3.1 (PARTIAL).
"""

import enum
from dataclasses import dataclass, field
from typing import ClassVar

from appliance.model.finding import SortCriterion
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.mailbox_filter import MailboxFilter
from appliance.protocols.imap.partial_range import PartialRange
from appliance.protocols.imap.search_keys import FilterKey, SearchKey, SequenceKey, has_key

__all__ = ["CancelUpdate", "MultiSearch", "Returns", "Search", "SearchReturn", "Sort", "Thread", "ThreadAlgorithm"]


class SearchReturn(enum.Flag):
    """What is told of the result, and what becomes of it."""

    NONE = 0
    MIN = 1
    MAX = 2
    ALL = 4
    COUNT = 8
    SAVE = 16
    CONTEXT = 32
    UPDATE = 64
    RELEVANCY = 128


@dataclass(frozen=True, slots=True)
class Returns:
    """The options of RETURN."""

    options: SearchReturn = SearchReturn.NONE
    partial: PartialRange | None = None

    def __contains__(self, option: SearchReturn) -> bool:
        return option in self.options


@dataclass(frozen=True, slots=True)
class _Finding(Command):
    """What the commands have in common. ``returns`` None: the old form of answer was asked for."""

    key: SearchKey
    uid: bool = False
    returns: Returns | None = None
    charset: str = ""

    @property
    def allows_expunge(self) -> bool:
        """Not either while a UID command has message numbers among its keys (RFC 7162 section 3.2.10.2); a filter may (RFC 5466 section 3.1)."""
        return self.uid and not has_key(self.key, SequenceKey) and not has_key(self.key, FilterKey)


@dataclass(frozen=True, slots=True)
class Search(_Finding):
    verb: ClassVar[str] = "SEARCH"


@dataclass(frozen=True, slots=True)
class Sort(_Finding):
    verb: ClassVar[str] = "SORT"
    criteria: tuple[SortCriterion, ...] = ()


class ThreadAlgorithm(enum.Enum):
    """RFC 5256 section 3; REFS is Dovecot's and draft-ietf-morg-inthread's."""

    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"
    REFS = "REFS"


@dataclass(frozen=True, slots=True)
class Thread(_Finding):
    verb: ClassVar[str] = "THREAD"
    algorithm: ThreadAlgorithm = ThreadAlgorithm.REFERENCES


@dataclass(frozen=True, slots=True)
class MultiSearch(_Finding):
    """ESEARCH; no sources stand for the selected mailbox."""

    verb: ClassVar[str] = "ESEARCH"
    sources: tuple[MailboxFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelUpdate(Command):
    verb: ClassVar[str] = "CANCELUPDATE"
    tags: tuple[bytes, ...] = field(default=())
