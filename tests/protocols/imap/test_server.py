"""The server core as a transcript: bytes in, events and bytes out."""

import pytest

from appliance.model.ids import MailboxName
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import FlagList
from appliance.protocols.imap.events import (
    NEED_DATA,
    AppendAborted,
    AppendAnnounced,
    AppendDataReceived,
    AppendFinished,
    AppendMessageReceived,
    AuthenticateResponded,
    CommandReceived,
    CommandRejected,
    Event,
    IdleFinished,
    SessionEnded,
)
from appliance.protocols.imap.server import ImapServer, LocalProtocolError
from appliance.protocols.imap.state import Condition, State


def feed(core: ImapServer, data: bytes) -> Event:
    core.receive_data(data)
    return core.next_event()


def logged_in(**limits: int) -> ImapServer:
    core = ImapServer(**limits)
    feed(core, b"l LOGIN ana x\r\n")
    core.send_tagged(Condition.OK, "Logged in")
    core.data_to_send()
    return core


def test_a_command_is_answered_and_the_next_waits() -> None:
    """Pipelined commands come one by one, each after the answer to the last."""
    core = ImapServer()
    assert CommandReceived(b"a", commands.Noop()) == feed(core, b"a NOOP\r\nb CAPABILITY\r\n")
    assert NEED_DATA == core.next_event()
    core.send_tagged(Condition.OK, "Done", b"ALERT")
    assert CommandReceived(b"b", commands.Capability()) == core.next_event()
    assert b"a OK [ALERT] Done\r\n" == core.data_to_send()


def test_states_follow_the_answers() -> None:
    """LOGIN, SELECT, a failed SELECT, LOGOUT."""
    core = logged_in()
    feed(core, b"a SELECT INBOX\r\n")
    core.send_tagged(Condition.OK, "Selected")
    states = [core.state]
    feed(core, b"b SELECT nothing\r\n")
    core.send_tagged(Condition.NO, "No such mailbox")
    states.append(core.state)
    feed(core, b"c LOGOUT\r\n")
    core.send_logout()
    assert SessionEnded("quit") == core.next_event()
    assert [State.SELECTED, State.AUTHENTICATED, State.LOGOUT] == [*states, core.state]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"a\r\n", b"a BAD Command expected in column 2, where the command ends\r\n"),
        (b"\r\n", b"* BAD Tag expected in column 1, where the command ends\r\n"),
        (b"+ x\r\n", b"* BAD Tag expected in column 1, not + x\r\n"),
        (b"a FOO\r\n", b"a BAD Unknown command FOO\r\n"),
        (b"a UID FOO\r\n", b"a BAD Unknown command UID FOO\r\n"),
        (b"a SELECT x\r\n", b"a BAD SELECT is not possible now: log in first\r\n"),
        (b"a NOOP x\r\n", b"a BAD End of command expected in column 7, not  x\r\n"),
        (b"a APPEND x {5}\r\n", b"a BAD APPEND is not possible now: log in first\r\n"),
        (b"a LOGIN x {4097+}\r\n" + b"y" * 4_097 + b"\r\n", b"a BAD [TOOBIG] A literal of more than 4096 bytes waits for our answer\r\n"),
        (b"a LOGIN {99999}\r\n", b"a BAD [TOOBIG] Literal is too long\r\n"),
    ],
)
def test_bad_input_is_answered_in_words(line: bytes, answer: bytes) -> None:
    """The session goes on with the next command."""
    core = ImapServer()
    assert isinstance(feed(core, line), CommandRejected)
    assert answer == core.data_to_send()
    assert CommandReceived(b"b", commands.Noop()) == feed(core, b"b NOOP\r\n")


def test_too_many_errors_end_the_session() -> None:
    """The limit is a constructor argument."""
    core = ImapServer(max_bad_commands=2)
    feed(core, b"a FOO\r\nb FOO\r\nc NOOP\r\n")
    assert CommandRejected(b"b", "unknown command FOO") == core.next_event()
    assert SessionEnded("too many bad commands") == core.next_event()
    assert core.data_to_send().endswith(b"* BYE Too many bad commands\r\n")


def test_literals_become_part_of_the_command() -> None:
    """The client waits for each unless it wrote a plus sign."""
    core = ImapServer()
    assert NEED_DATA == feed(core, b"a LOGIN {3}\r\n")
    assert b"+ OK\r\n" == core.data_to_send()
    assert CommandReceived(b"a", commands.Login("a b", "x\r\ny")) == feed(core, b"a b {4+}\r\nx\r\ny\r\n")
    assert b"" == core.data_to_send()


def test_a_refused_literal_on_its_way_is_dropped() -> None:
    """Its content is never read as a command."""
    core = ImapServer(max_literal_bytes=10)
    assert isinstance(feed(core, b"a LOGIN x {13+}\r\nb LOGIN x y\r\n {2+}\r\n\r\n\r\nc NOOP\r\n"), CommandRejected)
    assert CommandReceived(b"c", commands.Noop()) == core.next_event()


def test_an_absurd_literal_ends_the_session() -> None:
    """Dropping it would take forever."""
    core = ImapServer(max_append_bytes=10)
    feed(core, b"a LOGIN x {99999999999+}\r\n")
    assert SessionEnded("too large") == core.next_event()


def test_a_line_too_long_is_dropped() -> None:
    """The tag is answered, the rest of the line ignored, before its end arrives."""
    core = ImapServer(max_command_bytes=50)
    assert CommandRejected(b"a", "command is too long") == feed(core, b"a LOGIN " + b"x" * 60)
    assert NEED_DATA == feed(core, b"yyy")
    assert CommandReceived(b"b", commands.Noop()) == feed(core, b"\r\nb NOOP\r\n")
    assert b"a BAD [TOOBIG] Command is too long\r\n" == core.data_to_send()


def test_append_streams_its_message() -> None:
    """Announcement, decision, chunks, end; the command holds none of it."""
    core = logged_in()
    expected = AppendAnnounced(b"a", MailboxName("Sent"), FlagList(1, ("kw",)), 0, 5, first=True)
    assert expected == feed(core, b'a APPEND Sent (\\Seen kw) " 1-Jan-1970 00:00:00 +0000" {5}\r\n')
    assert b"" == core.data_to_send()
    core.accept_append()
    assert b"+ OK\r\n" == core.data_to_send()
    assert AppendDataReceived(b"hel") == feed(core, b"hel")
    assert NEED_DATA == core.next_event()
    assert AppendDataReceived(b"lo") == feed(core, b"lo\r\n")
    assert AppendMessageReceived() == core.next_event()
    assert AppendFinished(b"a") == core.next_event()
    core.send_tagged(Condition.OK, "Append completed")


def test_append_of_several_messages() -> None:
    """RFC 3502: each message with its own flags; a mailbox name may be a literal, too."""
    core = logged_in()
    assert AppendAnnounced(b"a", MailboxName("x"), FlagList(), None, 1, first=True) == feed(
        core, b"a APPEND {1+}\r\nx {1+}\r\ny (\\Draft) {2+}\r\nzz\r\n"
    )
    core.accept_append()
    assert [AppendDataReceived(b"y"), AppendMessageReceived()] == [core.next_event(), core.next_event()]
    assert AppendAnnounced(b"a", MailboxName("x"), FlagList(16), None, 2, first=False) == core.next_event()
    core.accept_append()
    assert [AppendDataReceived(b"zz"), AppendMessageReceived(), AppendFinished(b"a")] == [core.next_event() for _ in range(3)]


def test_append_refused_before_a_byte_is_read() -> None:
    """A waiting client sends nothing; one that did not wait is read to the end."""
    core = logged_in()
    feed(core, b"a APPEND x {5000}\r\n")
    core.refuse_append(Condition.NO, "Message is too large", b"TOOBIG")
    assert CommandReceived(b"b", commands.Noop()) == feed(core, b"b NOOP\r\n")
    core.send_tagged(Condition.OK, "Done")
    feed(core, b"c APPEND x {8+}\r\n")
    core.refuse_append(Condition.NO, "Message is too large", b"TOOBIG")
    assert CommandReceived(b"d", commands.Noop()) == feed(core, b"c NOOP\r\n\r\nd NOOP\r\n")
    assert b"a NO [TOOBIG] Message is too large\r\nb OK Done\r\nc NO [TOOBIG] Message is too large\r\n" == core.data_to_send()


def test_append_broken_off_behind_its_message() -> None:
    """What follows the message must be a line end or another message."""
    core = logged_in()
    feed(core, b"a APPEND x {1+}\r\ny rubbish\r\nb NOOP\r\n")
    core.accept_append()
    assert [AppendDataReceived(b"y"), AppendMessageReceived()] == [core.next_event(), core.next_event()]
    assert isinstance(core.next_event(), AppendAborted)
    assert CommandReceived(b"b", commands.Noop()) == core.next_event()
    assert core.data_to_send().startswith(b"a BAD ")


def test_append_without_a_message() -> None:
    """The mistake is named."""
    core = logged_in()
    assert CommandRejected(b"a", "message literal expected in column 12, not hello") == feed(core, b"a APPEND x hello\r\n")


@pytest.mark.parametrize(
    ("tail", "answer"), [(b" (\\Seen) \r\n", b"a BAD Message literal"), (b" " + b"x" * 99 + b"\r\n", b"a BAD [TOOBIG]")]
)
def test_append_with_a_broken_tail(tail: bytes, answer: bytes) -> None:
    """Flags without a message, and a line without end."""
    core = logged_in(max_command_bytes=60)
    feed(core, b"a APPEND x {1+}\r\ny" + tail + b"b NOOP\r\n")
    core.accept_append()
    assert [AppendDataReceived(b"y"), AppendMessageReceived()] == [core.next_event(), core.next_event()]
    assert isinstance(core.next_event(), AppendAborted)
    assert CommandReceived(b"b", commands.Noop()) == core.next_event()
    assert core.data_to_send().startswith(answer)


def test_the_last_error_may_come_behind_a_message() -> None:
    """Then the session is over."""
    core = logged_in(max_bad_commands=1)
    feed(core, b"a APPEND x {1+}\r\ny rubbish\r\nb NOOP\r\n")
    core.accept_append()
    assert [AppendDataReceived(b"y"), AppendMessageReceived()] == [core.next_event(), core.next_event()]
    assert isinstance(core.next_event(), AppendAborted)
    assert SessionEnded("too many bad commands") == core.next_event()
    core.receive_data(b"more")
    core.send_bye("again", "again")
    assert SessionEnded("too many bad commands") == core.next_event()


def test_an_absurd_message_ends_the_session() -> None:
    """It is on its way, and dropping it would take forever."""
    core = logged_in(max_append_bytes=10)
    feed(core, b"a APPEND x {99999999999+}\r\n")
    core.refuse_append(Condition.NO, "Too large")
    assert SessionEnded("too large") == core.next_event()


def test_long_lines_in_idle_and_sasl() -> None:
    """The command ends with BAD."""
    core = logged_in(max_command_bytes=50)
    feed(core, b"a IDLE\r\n")
    core.start_idle()
    assert CommandRejected(b"a", "command is too long") == feed(core, b"x" * 60)
    core = ImapServer()
    feed(core, b"a AUTHENTICATE PLAIN\r\n")
    core.send_challenge(b"")
    assert CommandRejected(b"a", "command is too long") == feed(core, b"x" * 20_000)


def test_a_long_line_behind_a_literal() -> None:
    """Its tag is known already."""
    core = ImapServer(max_command_bytes=50)
    assert CommandRejected(b"a", "command is too long") == feed(core, b"a LOGIN {1+}\r\nx " + b"y" * 60)


def test_append_into_nothing() -> None:
    """The mailbox name is missing."""
    assert CommandRejected(b"a", "mailbox name expected in column 10, where the command ends") == feed(logged_in(), b"a APPEND \r\n")


def test_authenticate_exchanges_lines() -> None:
    """Challenges go out in base64, responses come back decoded; a star cancels."""
    core = ImapServer()
    assert CommandReceived(b"a", commands.Authenticate("LOGIN")) == feed(core, b"a AUTHENTICATE LOGIN\r\n")
    core.send_challenge(b"User Name\0")
    assert b"+ VXNlciBOYW1lAA==\r\n" == core.data_to_send()
    assert AuthenticateResponded(b"ana") == feed(core, b"YW5h\r\n")
    core.send_challenge(b"")
    assert b"+ \r\n" == core.data_to_send()
    assert AuthenticateResponded(None) == feed(core, b"*\r\n")
    core.send_tagged(Condition.BAD, "Cancelled")
    feed(core, b"b AUTHENTICATE LOGIN\r\n")
    core.send_challenge(b"")
    assert CommandRejected(b"b", "base64 expected") == feed(core, b"???\r\n")
    assert State.NOT_AUTHENTICATED is core.state


def test_idle_lasts_until_done() -> None:
    """Anything else ends it, too."""
    core = logged_in()
    for line, properly in ((b"done\r\n", True), (b"b NOOP\r\n", False)):
        feed(core, b"a IDLE\r\n")
        core.start_idle()
        assert NEED_DATA == core.next_event()
        assert IdleFinished(properly) == feed(core, line)
        core.send_tagged(Condition.OK, "Idle completed")


def test_start_tls_forgets_what_was_buffered() -> None:
    """A command injected in plain text is never seen."""
    core = ImapServer()
    feed(core, b"a STARTTLS\r\nb LOGIN ana x\r\n")
    core.send_tagged(Condition.OK, "Begin TLS")
    core.start_tls()
    assert NEED_DATA == core.next_event()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"POST /x\r\n", b"CONNECT a:1 HTTP/1.0\r\n", b"\x16\x03\x01\x02\x00"])
def test_other_protocols_are_cut(data: bytes) -> None:
    """Neither a browser nor TLS gets a second line."""
    core = ImapServer()
    assert SessionEnded("not IMAP") == feed(core, data)
    assert core.data_to_send().startswith(b"* BYE ")


def test_a_tag_may_look_like_http() -> None:
    """GET is a fine tag."""
    assert CommandReceived(b"GET", commands.Noop()) == feed(ImapServer(), b"GET noop\r\n")


def test_the_end_of_the_stream() -> None:
    """Complete commands are served first."""
    core = ImapServer()
    core.receive_data(b"a NOOP\r\nb NO")
    core.receive_data(b"")
    assert CommandReceived(b"a", commands.Noop()) == core.next_event()
    core.send_tagged(Condition.OK, "Done")
    assert SessionEnded("lost") == core.next_event()


def test_wrong_use_is_told() -> None:
    """A session that answers twice, or idles without IDLE, has a bug."""
    core = ImapServer()
    with pytest.raises(LocalProtocolError):
        core.send_tagged(Condition.OK, "x")
    with pytest.raises(LocalProtocolError):
        core.start_idle()
    with pytest.raises(LocalProtocolError):
        core.accept_append()
    with pytest.raises(LocalProtocolError):
        core.send_challenge(b"")
    with pytest.raises(LocalProtocolError):
        _ = core.tag
    feed(core, b"a STARTTLS\r\n")
    with pytest.raises(LocalProtocolError):
        core.start_tls()
