"""What the dialogues cannot show: events in full, wrong use by the session, limits on silence."""

from typing import Any

import pytest

from appliance.model.envelope import Body, Notify, Ret
from appliance.protocols.smtp import replies
from appliance.protocols.smtp.errors import LocalProtocolError
from appliance.protocols.smtp.events import (
    CLOSED,
    NEED_DATA,
    AuthRequested,
    AuthResponse,
    BdatChunkFinished,
    BdatStarted,
    CommandRejected,
    ConnectionLost,
    DataChunk,
    DataFinished,
    DataRequested,
    EarlyTalked,
    Greeted,
    MailRequested,
    RecipientRequested,
    ResetRequested,
    TlsRequested,
    Violation,
)
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply
from appliance.protocols.smtp.server import SmtpServer
from appliance.protocols.smtp.state import State


def _server(**settings: Any) -> SmtpServer:
    server = SmtpServer(ServerOptions(hostname="mx.example.org", **settings))
    server.send_greeting()
    server.receive_data(b"LHLO c.example\r\n" if settings.get("lmtp") else b"EHLO c.example\r\n")
    assert Greeted("c.example", True) == server.next_event()
    server.accept()
    server.data_to_send()
    return server


def _ask(server: SmtpServer, line: bytes) -> Any:
    server.receive_data(line)
    return server.next_event()


def test_transaction_events() -> None:
    """Requests carry what was said, decoded; content comes as chunks."""
    server = _server()
    mail = _ask(server, b"MAIL FROM:<a@b.example> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+20y\r\n")
    assert MailRequested("a@b.example", 9, Body.EIGHT_BIT_MIME, True, Ret.HEADERS, "x y") == mail
    assert mail.raw.startswith(b"MAIL FROM:")
    server.accept()
    assert RecipientRequested("c@d", Notify.NEVER, "rfc822;c+@d") == _ask(server, b"RCPT TO:<c@d> NOTIFY=NEVER ORCPT=rfc822;c+2B@d\r\n")
    server.accept()
    assert 1 == server.recipient_count
    assert DataRequested() == _ask(server, b"DATA\r\n")
    server.accept()
    assert State.DATA is server.state
    assert DataChunk(b".\xe9") == _ask(server, b"..\xe9\r\n")
    assert DataChunk(b"\r\n") == _ask(server, b".\r\nRSET\r\n")
    assert DataFinished(4, eight_bit=True) == server.next_event()
    server.send_reply(replies.queued("Q1"))
    assert ResetRequested() == server.next_event()
    assert server.data_to_send().endswith(b"354 " + replies.SEND_CONTENT.text.encode() + b"\r\n250 2.0.0 Queued as Q1\r\n250 2.0.0 OK\r\n")
    assert NEED_DATA is server.next_event()


def test_bdat_events() -> None:
    """Chunks are told one by one; a refused one ends the transaction."""
    server = _server()
    for line in (b"MAIL FROM:<>\r\n", b"RCPT TO:<c@d>\r\n"):
        _ask(server, line)
        server.accept()
    assert BdatStarted(3, False) == _ask(server, b"BDAT 3\r\nab")
    assert DataChunk(b"ab") == server.next_event()
    assert DataChunk(b"c") == _ask(server, b"cBDAT 0 LAST\r\n")
    assert BdatChunkFinished(3, False) == server.next_event()
    server.send_reply(replies.OUT_OF_SPACE)
    assert CommandRejected("BDAT", replies.MAIL_FIRST) == server.next_event()
    assert State.READY is server.state


def test_unanswered_and_unasked() -> None:
    """A request must be answered before anything else, and nothing else can be."""
    server = _server()
    with pytest.raises(LocalProtocolError):
        server.accept()
    with pytest.raises(LocalProtocolError):
        server.send_reply(replies.OK)
    with pytest.raises(LocalProtocolError):
        server.send_challenge(b"")
    with pytest.raises(LocalProtocolError):
        server.send_replies([replies.OK])
    with pytest.raises(LocalProtocolError):
        server.tls_established()
    with pytest.raises(LocalProtocolError):
        server.send_greeting()
    _ask(server, b"MAIL FROM:<>\r\n")
    with pytest.raises(LocalProtocolError):
        server.next_event()


def test_lmtp_fates() -> None:
    """LMTP wants as many replies as recipients were accepted."""
    server = _server(lmtp=True)
    for line in (b"MAIL FROM:<>\r\n", b"RCPT TO:<c@d>\r\n", b"RCPT TO:<e@f>\r\n", b"DATA\r\n"):
        _ask(server, line)
        server.accept()
    assert DataFinished(0) == _ask(server, b".\r\n")
    with pytest.raises(LocalProtocolError):
        server.send_replies([replies.QUEUED])
    server.data_to_send()
    server.send_replies([replies.QUEUED, replies.TRY_LATER])
    assert replies.QUEUED.to_bytes() + replies.TRY_LATER.to_bytes() == server.data_to_send()


def test_421_closes_at_any_time() -> None:
    """Shutting down may be said although nothing was asked, or instead of an answer."""
    for line in (b"", b"MAIL FROM:<>\r\n"):
        server = _server()
        if line:
            _ask(server, line)
        server.send_reply(replies.SHUTTING_DOWN)
        assert (CLOSED, replies.SHUTTING_DOWN.to_bytes()) == (server.next_event(), server.data_to_send())
        assert server.is_closed
        server.receive_data(b"NOOP\r\n")
        assert CLOSED is server.next_event()


def test_refused_greeting() -> None:
    """A client that talked early can be refused; what it said is never run."""
    server = SmtpServer(ServerOptions(hostname="mx.example.org"))
    assert NEED_DATA is server.next_event()
    server.receive_data(b"MAIL FROM:<>\r\n")
    assert EarlyTalked() == server.next_event()
    assert NEED_DATA is server.next_event()
    server.send_greeting(Reply(554, "", "No"))
    assert CLOSED is server.next_event()
    assert b"554 No\r\n" == server.data_to_send()


def test_refused_requests_change_nothing() -> None:
    """A refused EHLO, MAIL, STARTTLS or AUTH leaves the state where it was."""
    server = _server(starttls=True, auth_mechanisms=("PLAIN",), auth_needs_tls=False)
    for line in (b"EHLO x\r\n", b"MAIL FROM:<>\r\n", b"STARTTLS\r\n"):
        _ask(server, line)
        server.send_reply(replies.TRY_LATER)
        assert State.READY is server.state
    assert AuthRequested("PLAIN", None) == _ask(server, b"AUTH PLAIN\r\n")
    server.send_challenge(b"")
    assert AuthResponse(b"x") == _ask(server, b"eA==\r\n")
    server.send_reply(replies.AUTH_FAILED)
    assert (State.READY, False, 1) == (server.state, server.authenticated, server.error_count)
    assert "secret" not in repr(AuthResponse(b"secret")) + repr(AuthRequested("PLAIN", b"secret"))


def test_tls_forgets_and_drops() -> None:
    """What came in plain text after 220 is dropped, and the login before TLS is forgotten."""
    server = _server(starttls=True, auth_mechanisms=("PLAIN",), auth_needs_tls=False)
    _ask(server, b"AUTH PLAIN AGEAYg==\r\n")
    server.send_reply(replies.AUTHENTICATED)
    assert server.authenticated
    assert TlsRequested() == _ask(server, b"STARTTLS\r\n")
    server.receive_data(b"MAIL FROM:<evil@b>\r\n")
    server.accept()
    server.receive_data(b"MAIL FROM:<evil@b>\r\n")
    assert NEED_DATA is server.next_event()
    server.tls_established()
    assert (NEED_DATA, True, False, State.START) == (server.next_event(), server.tls_active, server.authenticated, server.state)


def test_connection_lost() -> None:
    """The end of input is told once, with whether a message was under way."""
    server = _server()
    assert ConnectionLost(False) == _ask(server, b"")
    assert CLOSED is server.next_event()
    server = _server()
    _ask(server, b"MAIL FROM:<>\r\n")
    server.accept()
    assert ConnectionLost(True) == _ask(server, b"")


def test_passwords_do_not_reach_the_log() -> None:
    """An unknown verb is not repeated: it may be a password sent after AUTH failed."""
    server = _server()
    assert CommandRejected("", replies.UNKNOWN_COMMAND) == _ask(server, b"c2VjcmV0\r\n")
    assert "c2VjcmV0" not in repr(_ask(server, b"c2VjcmV0\x01\r\n"))


def test_too_many_commands() -> None:
    """Commands without mail are counted, and a message starts the count anew."""
    server = _server(max_commands_without_mail=3)
    server.receive_data(b"NOOP\r\nNOOP\r\nNOOP\r\n")
    assert Violation(replies.TOO_MANY_COMMANDS, "too many commands without a message") == server.next_event()


def test_refusals_count_and_mail_clears_them() -> None:
    """550 after 550 ends a session (address harvesting); a delivered message clears the count."""
    server = _server(max_errors=2)
    for line in (b"MAIL FROM:<>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n"):
        _ask(server, line)
        server.accept()
    server.error_count = 1
    _ask(server, b".\r\n")
    server.accept()
    assert 0 == server.error_count
    _ask(server, b"MAIL FROM:<>\r\n")
    server.accept()
    for _ in range(2):
        _ask(server, b"RCPT TO:<c@d>\r\n")
        server.send_reply(replies.NO_SUCH_ACCOUNT)
    assert isinstance(server.next_event(), Violation)


def test_endless_line() -> None:
    """A line without end ends the session, and memory holds none of it."""
    server = _server()
    for _ in range(20):
        server.receive_data(b"x" * 65_536)
        event = server.next_event()
        if isinstance(event, Violation):
            break
    assert Violation(replies.LINE_TOO_LONG, "endless command line") == event


def test_long_auth_response() -> None:
    """A response over the limit cancels the exchange."""
    server = _server(auth_mechanisms=("PLAIN",), auth_needs_tls=False, max_command_line=20)
    _ask(server, b"AUTH PLAIN\r\n")
    server.send_challenge(b"")
    assert replies.LINE_TOO_LONG == _ask(server, b"A" * 30 + b"\r\n").reply
    assert State.READY is server.state


def test_disabled_chunking_and_huge_chunks() -> None:
    """BDAT that was not offered is read past; a chunk over the limit ends the session."""
    server = _server(chunking=False)
    assert CommandRejected("BDAT", replies.NOT_IMPLEMENTED) == _ask(server, b"BDAT 6\r\nQUIT\r\n")
    assert NEED_DATA is server.next_event()
    assert Violation(replies.MESSAGE_TOO_BIG, "BDAT chunk larger than the limit") == _ask(_server(), b"BDAT 99999999999\r\n")


def test_little_refusals() -> None:
    """What was not offered, or lacks its argument, is refused, and the session goes on."""
    server = _server(max_message_bytes=0, pipelining=False, help=False, chunking=False)
    _ask(server, b"EHLO c\r\n")
    server.accept()
    assert b"250-SIZE\r\n" in server.data_to_send()
    for line, reply in (
        (b"EHLO\r\n", replies.GREETING_NEEDS_NAME),
        (b"STARTTLS\r\n", replies.NO_STARTTLS),
        (b"AUTH PLAIN\r\n", replies.AUTH_NOT_OFFERED),
        (b"EXPN\r\n", replies.NEEDS_ARGUMENT),
    ):
        event = _ask(server, line)
        assert isinstance(event, CommandRejected)
        assert reply == event.reply
    assert "mx.example.org" == server.options.hostname


def test_pipelined_auth() -> None:
    """A client that sends its answers before the challenges does not speak the protocol."""
    server = _server(auth_mechanisms=("LOGIN",), auth_needs_tls=False)
    assert isinstance(_ask(server, b"AUTH LOGIN\r\nYW5h\r\n"), Violation)
