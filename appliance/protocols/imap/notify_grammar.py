"""NOTIFY: which events of which mailboxes a client wants to hear of, as values and as grammar.

Fails:    ``ParseError``, also for combinations that RFC 5465 section 5 calls BAD. Events that nobody has are no
          fault of the grammar: they are told to the session, which answers NO [BADEVENT].
Sources:  RFC 5465 section 8 (formal syntax), section 5 and section 6 (what goes together).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from appliance.model.ids import MailboxName
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.fetch_grammar import read_fetch_items
from appliance.protocols.imap.fetch_items import FetchItem
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.mailbox_filter import MailboxScope, read_mailbox_filter
from appliance.protocols.imap.state import LOGGED_IN, Verb

__all__ = ["MESSAGE_EVENTS", "VERBS", "EventGroup", "Notify"]

MAX_GROUPS: Final = 100


_SELECTED = frozenset({MailboxScope.SELECTED, MailboxScope.SELECTED_DELAYED})
MESSAGE_EVENTS: Final = frozenset({"MESSAGENEW", "MESSAGEEXPUNGE", "FLAGCHANGE", "ANNOTATIONCHANGE"})


@dataclass(frozen=True, slots=True)
class EventGroup:
    """``events`` in capitals, none for NONE; ``items``: told of each new message of the selected mailbox."""

    filter: MailboxScope
    names: tuple[MailboxName, ...] = ()
    events: frozenset[str] = frozenset()
    items: tuple[FetchItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify(Command):
    """``groups`` None: NOTIFY NONE. ``status``: tell how all mailboxes stand before the answer."""

    verb: ClassVar[str] = "NOTIFY"
    groups: tuple[EventGroup, ...] | None
    status: bool = False


def _read_notify(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    word = reader.read_word("SET or NONE")
    if word == "NONE":
        return Notify(None)
    if word != "SET":
        reader.fail("SET or NONE")
    reader.read_space()
    status = reader.take(b"STATUS ")
    groups = [_read_group(reader)]
    while reader.take(b" ") and not reader.at_end:
        groups.append(_read_group(reader))
        if len(groups) > MAX_GROUPS:
            raise ParseError("too many groups of events")
    if sum(group.filter in _SELECTED for group in groups) > 1:
        raise ParseError("SELECTED or SELECTED-DELAYED once")
    return Notify(tuple(groups), status)


def _read_group(reader: Reader) -> EventGroup:
    if not reader.take(b"("):
        reader.fail("group of events")
    meant = read_mailbox_filter(reader)
    if meant.scope is MailboxScope.SUBTREE_ONE:
        raise ParseError("no such mailbox filter: SUBTREE-ONE")
    reader.read_space()
    events, items = _read_events(reader)
    if not reader.take(b")"):
        reader.fail("end of the group")
    _check(meant.scope, events, items)
    return EventGroup(meant.scope, tuple(dict.fromkeys(meant.names)), events, items)


def _read_events(reader: Reader) -> tuple[frozenset[str], tuple[FetchItem, ...]]:
    if reader.take(b"NONE"):
        return frozenset(), ()
    # The examples of RFC 5465 section 3.1 leave the inner parentheses out; its grammar has them.
    closed = reader.take(b"(")
    events: set[str] = set()
    items: tuple[FetchItem, ...] = ()
    while True:
        event = reader.read_word("event")
        events.add(event)
        if event == "MESSAGENEW" and reader.data[reader.pos : reader.pos + 2] == b" (":
            reader.read_space()
            items = read_fetch_items(reader)
        if reader.take(b")") if closed else reader.data[reader.pos : reader.pos + 1] == b")":
            return frozenset(events), items
        reader.read_space()
        if len(events) > MAX_GROUPS:
            raise ParseError("too many events")


def _check(chosen: MailboxScope, events: frozenset[str], items: tuple[FetchItem, ...]) -> None:
    """Raise ParseError for what does not go together (RFC 5465 section 5, section 6.1)."""
    pair = {"MESSAGENEW", "MESSAGEEXPUNGE"}
    if events & MESSAGE_EVENTS and not pair <= events:
        raise ParseError("MessageNew and MessageExpunge go together, and with every other message event")
    if chosen in _SELECTED and events - MESSAGE_EVENTS:
        raise ParseError("the selected mailbox has message events only")
    if items and chosen not in _SELECTED:
        raise ParseError("FETCH items are for the selected mailbox only")


VERBS: Final[Mapping[str, Verb]] = MappingProxyType({"NOTIFY": Verb(LOGGED_IN, _read_notify)})
