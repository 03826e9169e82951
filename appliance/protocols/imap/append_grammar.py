"""APPEND and REPLACE: what stands around the messages, which never become part of the command.

Owns the way from literal to literal: mailbox, flags, date, a message as literal,
literal8, UTF8 literal or CATENATE of texts and URLs, and several messages one
after the other. ``AppendReader`` gets the command piece by piece, each piece up
to a literal or the end of the line, and says what follows it.

Fails:    ``ParseError``; nothing of the piece counts then.
Sources:  RFC 3501 section 6.3.11, RFC 3502 section 6.3.11, RFC 3516 section 4.4 (literal8), RFC 4466 section 2.7,
          RFC 4469 section 5 (CATENATE), RFC 6855 section 4 (UTF8), RFC 8508 section 5 (REPLACE).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from appliance.model.ids import MailboxName
from appliance.protocols.imap.commands import FlagList
from appliance.protocols.imap.flag_grammar import read_flag_list
from appliance.protocols.imap.frames import Literal
from appliance.protocols.imap.grammar import MAX_LIST_ITEMS, ParseError, Reader
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.state import LOGGED_IN, SELECTED, Verb

__all__ = ["VERBS", "AppendReader", "AppendStep", "LiteralKind", "MessageBegun", "Milestone", "Replaced", "UrlNamed"]

VERBS: Final[Mapping[str, Verb]] = MappingProxyType({"APPEND": Verb(LOGGED_IN, None), "REPLACE": Verb(SELECTED, None, takes_uid=True)})


class LiteralKind(enum.Enum):
    """What the literal is that the client sends next."""

    MESSAGE = "a message"
    UTF8 = "a message with UTF-8 headers, closed by a parenthesis"
    TEXT = "a piece of a message"


class Milestone(enum.Enum):
    MESSAGE_ENDED = "the parenthesis behind UTF8 or CATENATE"
    COMMAND_ENDED = "the end of the line"


@dataclass(frozen=True, slots=True)
class Replaced:
    """The message that REPLACE removes."""

    message: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class MessageBegun:
    """What stands before one message. ``is_catenated``: pieces follow, not one literal."""

    flags: FlagList
    internal_date_s: int | None
    is_catenated: bool = False


@dataclass(frozen=True, slots=True)
class UrlNamed:
    url: bytes


AppendStep = MessageBegun | UrlNamed | LiteralKind | Milestone


class _Place(enum.Enum):
    """Where in the grammar the next piece goes on."""

    HEAD = "behind the verb"
    MESSAGE = "before a message or the end"
    PARTS = "between the pieces of a message"
    CLOSE = "before the parenthesis of UTF8"


class _StringFollowsError(Exception):
    """The literal at the end of the piece is a string of the command."""


class AppendReader:
    """One command. ``mailbox`` and ``replaced`` are set once the first piece was read."""

    def __init__(self, *, replaces: bool, uid: bool) -> None:
        self.mailbox = MailboxName("")
        self.replaced: Replaced | None = None
        self._replaces = replaces
        self._uid = uid
        self._place = _Place.HEAD
        self._messages = 0
        self._parts = 0

    def read(self, reader: Reader, literal: Literal | None) -> list[AppendStep] | None:
        """Read one piece; ``literal`` is announced at its end and cut off.

        Returns None when that literal is a mailbox name or URL: put it in its place and read the whole piece again.
        """
        before = self._place, self._messages, self._parts
        steps: list[AppendStep] = []
        try:
            while not steps or (not isinstance(steps[-1], LiteralKind) and steps[-1] is not Milestone.COMMAND_ENDED):
                self._step(reader, literal, steps)
        except _StringFollowsError:
            self._place, self._messages, self._parts = before
            return None
        return steps

    def _step(self, reader: Reader, literal: Literal | None, steps: list[AppendStep]) -> None:
        if self._place is _Place.HEAD:
            self._read_head(reader, literal)
        if self._place is _Place.MESSAGE:
            self._read_message(reader, literal, steps)
        elif self._place is _Place.PARTS:
            self._read_part(reader, literal, steps)
        else:
            if not reader.take(b")"):
                reader.fail("closing parenthesis")
            steps.append(Milestone.MESSAGE_ENDED)
            self._place = _Place.MESSAGE

    def _read_head(self, reader: Reader, literal: Literal | None) -> None:
        reader.read_space()
        if self._replaces:
            self.replaced = Replaced(reader.read_sequence_set(), self._uid)
            if len({number for pair in self.replaced.message.ranges for number in pair}) != 1:
                raise ParseError("REPLACE takes one message")
            reader.read_space()
        _expect_string(reader, literal)
        self.mailbox = reader.read_mailbox()
        self._place = _Place.MESSAGE

    def _read_message(self, reader: Reader, literal: Literal | None, steps: list[AppendStep]) -> None:
        if self._messages and literal is None and not reader.data[reader.pos :].strip(b" "):
            steps.append(Milestone.COMMAND_ENDED)
            return
        if self._messages and self._replaces:
            reader.fail("end of REPLACE, which takes one message,")
        reader.read_space()
        flags = FlagList()
        if reader.take(b"("):
            flags = read_flag_list(reader)
            reader.read_space()
        date = reader.take_date_time()
        if date is not None:
            reader.read_space()
        self._messages += 1
        if reader.take(b"CATENATE ("):
            steps.append(MessageBegun(flags, date, is_catenated=True))
            self._place, self._parts = _Place.PARTS, 0
            return
        kind = LiteralKind.UTF8 if reader.take(b"UTF8 (") else LiteralKind.MESSAGE
        if not reader.at_end or literal is None or (kind is LiteralKind.UTF8 and not literal.binary):
            reader.fail("message literal such as ~{310}" if kind is LiteralKind.UTF8 else "message literal")
        steps += [MessageBegun(flags, date), kind]
        self._place = _Place.CLOSE if kind is LiteralKind.UTF8 else _Place.MESSAGE

    def _read_part(self, reader: Reader, literal: Literal | None, steps: list[AppendStep]) -> None:
        if self._parts:
            if reader.take(b")"):
                steps.append(Milestone.MESSAGE_ENDED)
                self._place = _Place.MESSAGE
                return
            reader.read_space()
        self._parts += 1
        if self._parts > MAX_LIST_ITEMS:
            raise ParseError("too many pieces for one message")
        if reader.take(b"URL "):
            _expect_string(reader, literal)
            steps.append(UrlNamed(reader.read_astring("URL of a message")))
        elif reader.take(b"TEXT "):
            if not reader.at_end or literal is None or literal.binary:  # RFC 4469 section 5 knows no literal8 here
                reader.fail("literal with the text")
            steps.append(LiteralKind.TEXT)
        else:
            reader.fail("TEXT or URL")


def _expect_string(reader: Reader, literal: Literal | None) -> None:
    if reader.at_end and literal is not None and not literal.binary:
        raise _StringFollowsError
