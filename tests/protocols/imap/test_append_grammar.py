"""APPEND and REPLACE from literal to literal."""

from typing import Any

import pytest

from appliance.model.ids import MailboxName
from appliance.protocols.imap.append_grammar import AppendReader, LiteralKind, MessageBegun, Milestone, UrlNamed
from appliance.protocols.imap.commands import FlagList
from appliance.protocols.imap.events import (
    AppendAnnounced,
    AppendDataReceived,
    AppendFinished,
    AppendMessageReceived,
    CatenateBegan,
    CatenateTextAnnounced,
    CatenateUrlNamed,
    CommandRejected,
    NeedData,
)
from appliance.protocols.imap.frames import Literal
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.server import ImapServer
from appliance.protocols.imap.state import Condition, State

PLAIN = Literal(5, synchronising=True, binary=False, length=5)
BINARY = PLAIN._replace(binary=True)
NONE = FlagList()


def read(*pieces: tuple[bytes, Literal | None], replaces: bool = False) -> list[Any]:
    reader = AppendReader(replaces=replaces, uid=False)
    return [reader.read(Reader(data), literal) for data, literal in pieces]


def test_one_message() -> None:
    """With flags and date, and the end of the line behind it."""
    first, last = read((rb' Sent (\Seen $x) "17-Jul-1996 02:44:25 -0700" ', PLAIN), (b"", None))
    assert [MessageBegun(FlagList(1, ("$x",)), 837596665), LiteralKind.MESSAGE] == first
    assert [Milestone.COMMAND_ENDED] == last


def test_several_messages_of_every_kind() -> None:
    """RFC 3502, RFC 3516, RFC 6855, RFC 4469."""
    steps = read(
        (b" Sent ", BINARY), (b" (x) UTF8 (", BINARY), (b") CATENATE (TEXT ", PLAIN), (b' URL "/a/;UID=1" URL /b/;UID=2 TEXT ', PLAIN), (b") ", None)
    )  # fmt: skip
    assert [
        [MessageBegun(NONE, None), LiteralKind.MESSAGE],
        [MessageBegun(FlagList(0, ("x",)), None), LiteralKind.UTF8],
        [Milestone.MESSAGE_ENDED, MessageBegun(NONE, None, is_catenated=True), LiteralKind.TEXT],
        [UrlNamed(b"/a/;UID=1"), UrlNamed(b"/b/;UID=2"), LiteralKind.TEXT],
        [Milestone.MESSAGE_ENDED, Milestone.COMMAND_ENDED],
    ] == steps


def test_strings_may_be_literals() -> None:
    """The mailbox and a URL: the piece is read again with them in place."""
    reader = AppendReader(replaces=False, uid=False)
    assert reader.read(Reader(b" "), PLAIN) is None
    assert reader.read(Reader(b" {1}\r\nx CATENATE (URL "), PLAIN) is None
    assert [
        MessageBegun(NONE, None, is_catenated=True),
        UrlNamed(b"/y/;U"),
        Milestone.MESSAGE_ENDED,
        Milestone.COMMAND_ENDED,
    ] == reader.read(Reader(b" {1}\r\nx CATENATE (URL {5}\r\n/y/;U)"), None)
    assert MailboxName("x") == reader.mailbox


@pytest.mark.parametrize(
    ("piece", "literal", "text"),
    [
        (b"", None, "space expected in column 1, where the command ends"),
        (b" ", None, "mailbox name expected in column 2, where the command ends"),
        (b" Sent", None, "space expected in column 6, where the command ends"),
        (b" Sent ", None, "message literal expected in column 7, where the command ends"),
        (b" Sent UTF8 (", PLAIN, "message literal such as ~{310} expected in column 13, where the command ends"),
        (b" Sent CATENATE (", None, "TEXT or URL expected in column 17, where the command ends"),
        (b" Sent CATENATE (TEXT ", None, "literal with the text expected in column 22, where the command ends"),
        (b" Sent CATENATE (TEXT ", BINARY, "literal with the text expected in column 22, where the command ends"),
        (b" Sent CATENATE ()", None, "TEXT or URL expected in column 17, not )"),
        (b" Sent CATENATE (URL x", None, "space expected in column 22, where the command ends"),
        (b" Sent CATENATE (URL x)x", None, "space expected in column 23, not x"),
        (b" Sent (\\Recent) ", PLAIN, "flag \\Recent cannot be set"),
    ],
)
def test_what_is_broken_is_told(piece: bytes, literal: Literal | None, text: str) -> None:
    """With what was expected, and where."""
    with pytest.raises(ParseError) as caught:
        read((piece, literal))
    assert text == str(caught.value)


@pytest.mark.parametrize(
    ("piece", "text"),
    [
        (b" 1:2 Sent ", "REPLACE takes one message"),
        (b" Sent ", "sequence set expected in column 2, not Sent "),
    ],
)
def test_replace_takes_one_message(piece: bytes, text: str) -> None:
    """RFC 8508 section 5: one number, one message."""
    with pytest.raises(ParseError) as caught:
        read((piece, PLAIN), replaces=True)
    assert text == str(caught.value)
    with pytest.raises(ParseError) as caught:
        read((b" 1 Sent ", PLAIN), (b" ", PLAIN), replaces=True)
    assert str(caught.value).startswith("end of REPLACE, which takes one message, expected")


def test_there_are_not_too_many_pieces() -> None:
    """Each may cost a look at a message."""
    with pytest.raises(ParseError):
        read((b" Sent CATENATE (" + b" ".join([b"URL /a/;UID=1"] * 1_001) + b")", None))


# Over the core


def logged_in() -> ImapServer:
    core = ImapServer()
    core.state = State.SELECTED
    return core


def drive(core: ImapServer, data: bytes, sizes: int) -> list[Any]:
    """Feed in pieces, accept everything; return the events, data joined."""
    events: list[Any] = []
    for at in range(0, len(data), sizes):
        core.receive_data(data[at : at + sizes])
        while not isinstance(event := core.next_event(), NeedData):
            if isinstance(event, AppendAnnounced | CatenateTextAnnounced):
                core.accept_append()
            if isinstance(event, AppendDataReceived) and events and isinstance(events[-1], AppendDataReceived):
                events[-1] = AppendDataReceived(events[-1].data + event.data)
                continue
            events.append(event)
            if isinstance(event, AppendFinished):
                core.send_tagged(Condition.OK, "done")
    return events


@pytest.mark.parametrize("sizes", [1, 3, 10_000])
def test_a_catenated_message_as_events(sizes: int) -> None:
    """Whatever the cuts; a literal URL is asked for with a plus sign."""
    core = logged_in()
    command = b'a APPEND Sent (\\Seen) CATENATE (TEXT {3+}\r\nabc URL {9}\r\n/i/;UID=1 TEXT {2+}\r\nyz URL "/i/;UID=2")\r\n'
    events = drive(core, command, sizes)
    assert [
        CatenateBegan(b"a", MailboxName("Sent"), FlagList(1), None, first=True),
        CatenateTextAnnounced(3),
        AppendDataReceived(b"abc"),
        CatenateUrlNamed(b"/i/;UID=1"),
        CatenateTextAnnounced(2),
        AppendDataReceived(b"yz"),
        CatenateUrlNamed(b"/i/;UID=2"),
        AppendMessageReceived(),
        AppendFinished(b"a"),
    ] == events
    assert b"+ OK\r\na OK done\r\n" == core.data_to_send()


def test_utf8_and_binary_messages_as_events() -> None:
    """The parenthesis behind a UTF8 literal ends its message."""
    core = logged_in()
    events = drive(core, b"a APPEND x UTF8 (~{1+}\r\na) ~{1+}\r\nb\r\n", 7)
    assert [True, False] == [event.first for event in events if isinstance(event, AppendAnnounced)]
    assert [False, True] == [event.binary for event in events if isinstance(event, AppendAnnounced)]
    assert 2 == sum(isinstance(event, AppendMessageReceived) for event in events)


def test_what_breaks_off_is_dropped() -> None:
    """The literal on its way is no command."""
    core = logged_in()
    events = drive(core, b"a APPEND x CATENATE (TEXT {1+}\r\na FILE {8+}\r\nb LOGOUT)\r\nc NOOP\r\n", 5)
    assert any(isinstance(event, CommandRejected) or "TEXT or URL" in repr(event) for event in events)
    assert b"a BAD TEXT or URL expected in column 2, not FILE \r\n" == core.data_to_send()
    assert "Noop" in repr(events[-1])
