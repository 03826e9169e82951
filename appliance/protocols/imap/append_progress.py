"""One APPEND or REPLACE under way: what has been read of it and not been told yet.

Owns the order of its events and what the connection does after each. The bytes
of messages are not seen here.

Sources:  RFC 3501 section 6.3.11, RFC 3502 section 6.3.11 (several messages), RFC 4469 section 5 (CATENATE), RFC 8508 section 3 (REPLACE).
"""

from collections import deque

from appliance.protocols.imap.append_grammar import AppendReader, AppendStep, LiteralKind, MessageBegun, Milestone, UrlNamed
from appliance.protocols.imap.events import (
    AppendAnnounced,
    AppendFinished,
    AppendMessageReceived,
    CatenateBegan,
    CatenateTextAnnounced,
    CatenateUrlNamed,
    Event,
)
from appliance.protocols.imap.frames import Literal
from appliance.protocols.imap.grammar import Reader
from appliance.protocols.imap.phase import Phase

__all__ = ["AppendProgress"]


class AppendProgress:
    """See the module."""

    def __init__(self, *, replaces: bool, uid: bool) -> None:
        self._reader = AppendReader(replaces=replaces, uid=uid)
        self._steps: deque[AppendStep] = deque()
        self._message: MessageBegun | None = None
        self._kind = LiteralKind.MESSAGE
        self._is_binary = False

    @property
    def has_begun(self) -> bool:
        """True behind the head of the first message."""
        return self._message is not None

    @property
    def is_whole_message(self) -> bool:
        """True when the literal under way is a message and no piece of one."""
        return self._kind is LiteralKind.MESSAGE

    def read(self, reader: Reader, literal: Literal | None) -> bool:
        """Read up to a literal or the end of the line; False when the literal is a string of the command. Raises ParseError."""
        steps = self._reader.read(reader, literal)
        if steps is None:
            return False
        self._is_binary = literal is not None and literal.binary
        self._steps.extend(steps)
        return True

    def next_step(self, tag: bytes, size: int) -> tuple[Event, Phase]:
        """Return what to tell and what to do then. ``size``: of the literal that follows."""
        step = self._steps.popleft()
        match step:
            case MessageBegun():
                return self._begin(step, tag, size)
            case UrlNamed():
                event: Event = CatenateUrlNamed(step.url)
            case Milestone.MESSAGE_ENDED:
                event = AppendMessageReceived()
            case Milestone.COMMAND_ENDED:
                return AppendFinished(tag), Phase.ANSWER
            case LiteralKind():
                self._kind = step
                return CatenateTextAnnounced(size), Phase.APPEND_DECISION
        return event, self._further

    @property
    def _further(self) -> Phase:
        return Phase.APPEND_STEP if self._steps else Phase.APPEND_TAIL

    def _begin(self, message: MessageBegun, tag: bytes, size: int) -> tuple[Event, Phase]:
        first, self._message = self._message is None, message
        mailbox, replaced = self._reader.mailbox, self._reader.replaced
        if message.is_catenated:
            return CatenateBegan(tag, mailbox, message.flags, message.internal_date_s, first, replaced), Phase.APPEND_STEP
        kind = self._steps.popleft()
        assert isinstance(kind, LiteralKind)
        self._kind = kind
        binary = self._is_binary and kind is LiteralKind.MESSAGE
        event = AppendAnnounced(tag, mailbox, message.flags, message.internal_date_s, size, first, binary, replaced)
        return event, Phase.APPEND_DECISION
