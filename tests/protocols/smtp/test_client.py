"""The client core: against the server core, and against servers of every kind, replayed."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from appliance.model.envelope import Body, Envelope, EnvelopeRecipient, Notify, Ret
from appliance.protocols.sasl.mechanisms import choose_client_mechanism
from appliance.protocols.sasl.plain import LoginClient, PlainClient
from appliance.protocols.sasl.scram import ScramClient
from appliance.protocols.smtp.client import SmtpClient
from appliance.protocols.smtp.client_events import (
    CLIENT_CLOSED,
    CLIENT_NEEDS_DATA,
    AuthReplied,
    ClientEvent,
    CommandReplied,
    ContentWanted,
    HelloReplied,
    MessageEnded,
    MessageImpossible,
    MessageReplied,
    RecipientReplied,
    SenderReplied,
    ServerGreeted,
    ServerLost,
    ServerViolation,
    TlsReplied,
)
from appliance.protocols.smtp.errors import LocalProtocolError

FULL = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250 HELP\r\n"
PLAIN_HELLO = b"250 mx\r\n"
TWO = Envelope("a@b", (EnvelopeRecipient("c@d"), EnvelopeRecipient("e@f")))


def _events(client: SmtpClient, data: bytes = b"") -> list[ClientEvent]:
    if data:
        client.receive_data(data)
    found: list[ClientEvent] = []
    while (event := client.next_event()) is not CLIENT_NEEDS_DATA and event is not CLIENT_CLOSED:
        found.append(event)
    return found


def _codes(events: Sequence[ClientEvent]) -> list[Any]:
    """Name each event shortly: its first letters, index and code."""
    short: dict[type[Any], str] = {SenderReplied: "M", RecipientReplied: "R", MessageReplied: "F"}
    found: list[Any] = []
    for event in events:
        if isinstance(event, SenderReplied | RecipientReplied | MessageReplied):
            found.append((short[type(event)], getattr(event, "index", None), event.reply.code))
        else:
            found.append(type(event).__name__)
    return found


def _client(hello: bytes = FULL, **settings: Any) -> SmtpClient:
    client = SmtpClient("me.example", **settings)
    assert "ServerGreeted" in _codes(_events(client, b"220 mx ESMTP\r\n"))
    client.send_hello()
    client.data_to_send()
    assert ["HelloReplied"] == _codes(_events(client, hello))
    return client


def test_hello_falls_back() -> None:
    """A server without EHLO gets HELO, and offers nothing."""
    client = SmtpClient("me.example")
    client.receive_data(b"220 old\r\n")
    assert isinstance(client.next_event(), ServerGreeted)
    client.send_hello()
    assert [] == _events(client, b"502 what\r\n")
    assert b"EHLO me.example\r\nHELO me.example\r\n" == client.data_to_send()
    (event,) = _events(client, b"250 hello\r\n")
    assert isinstance(event, HelloReplied)
    assert not event.capabilities.offers("PIPELINING")


def test_capabilities() -> None:
    """What is offered is read leniently."""
    hello = b"250-mx\r\n250-size x\r\n250-AUTH=LOGIN\r\n250-auth plain LOGIN\r\n250-LIMITS RCPTMAX=7 MAILMAX=1\r\n250-\r\n250 STARTTLS\r\n"
    offered = _client(hello).capabilities
    assert (0, ("LOGIN", "PLAIN"), 7) == (offered.size, offered.auth_mechanisms, offered.recipients_max)
    assert offered.offers("STARTTLS")


def test_pipelined_message() -> None:
    """MAIL, RCPT and DATA leave together; each recipient has its reply; the content is stuffed."""
    client = _client()
    envelope = Envelope(
        "a@b",
        (EnvelopeRecipient("c@d", Notify.NEVER, "rfc822;c@d"), EnvelopeRecipient("e@f")),
        Body.EIGHT_BIT_MIME,
        ret=Ret.HEADERS,
        envid="x y",
    )
    client.send_message(envelope, size=10)
    expected = b"MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=x+20y\r\nRCPT TO:<c@d> NOTIFY=NEVER ORCPT=rfc822;c@d\r\nRCPT TO:<e@f>\r\nDATA\r\n"
    assert expected == client.data_to_send()
    events = _events(client, b"250 2.1.0 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n")
    assert [("M", None, 250), ("R", 0, 550), ("R", 1, 250), "ContentWanted"] == _codes(events)
    assert ContentWanted((1,)) == events[-1]
    client.send_data_chunk(b".a\r\n")
    client.finish_data()
    assert b"..a\r\n.\r\n" == client.data_to_send()
    assert [("F", None, 250), "MessageEnded"] == _codes(_events(client, b"250 2.0.0 queued\r\n"))
    assert client.is_idle


def test_one_by_one() -> None:
    """Without PIPELINING each command waits, and parameters that were not offered are left out."""
    client = _client(PLAIN_HELLO)
    client.send_message(Envelope("a@b", TWO.recipients, Body.EIGHT_BIT_MIME, ret=Ret.FULL), size=5000)
    for said, reply in (
        (b"MAIL FROM:<a@b>\r\n", b"250 ok\r\n"),
        (b"RCPT TO:<c@d>\r\n", b"450 later\r\n"),
        (b"RCPT TO:<e@f>\r\n", b"250 ok\r\n"),
    ):
        assert said == client.data_to_send()
        _events(client, reply)
    assert b"DATA\r\n" == client.data_to_send()
    assert ["ContentWanted"] == _codes(_events(client, b"354 go\r\n"))


@pytest.mark.parametrize("hello", [FULL, PLAIN_HELLO])
def test_refused_sender(hello: bytes) -> None:
    """After a refused MAIL nothing more is told than that."""
    client = _client(hello)
    client.send_message(TWO)
    events = _events(client, b"550 no\r\n" + (b"503 no\r\n" * 3 if hello is FULL else b""))
    assert [("M", None, 550), "MessageEnded"] == _codes(events)
    client.data_to_send()
    client.send_message(TWO)
    assert b"MAIL" in client.data_to_send()


def test_all_recipients_refused_and_data_taken() -> None:
    """A pipelined DATA that is taken for nobody gets a lone dot (RFC 2920 section 3.1)."""
    client = _client()
    client.send_message(TWO)
    client.data_to_send()
    assert [("M", None, 250), ("R", 0, 550), ("R", 1, 451)] == _codes(_events(client, b"250 ok\r\n550 no\r\n451 no\r\n354 go\r\n"))
    assert b".\r\n" == client.data_to_send()
    assert [MessageEnded()] == _events(client, b"554 nobody\r\n")


@pytest.mark.parametrize("hello", [FULL, PLAIN_HELLO])
def test_all_recipients_refused(hello: bytes) -> None:
    """Then there is no DATA to wait for, and the next message begins with RSET."""
    client = _client(hello)
    client.send_message(Envelope("a@b", TWO.recipients[:1]))
    events = _events(client, b"250 ok\r\n")
    events += _events(client, b"550 no\r\n" + (b"503 no\r\n" if hello is FULL else b""))
    assert [("M", None, 250), ("R", 0, 550), "MessageEnded"] == _codes(events)
    client.data_to_send()
    client.send_message(TWO)
    assert client.data_to_send().startswith(b"RSET\r\n")
    assert [] == _events(client, b"250 reset\r\n")


def test_refused_data() -> None:
    """A refused DATA is the fate of those who were accepted."""
    client = _client()
    client.send_message(TWO)
    events = _events(client, b"250 ok\r\n250 ok\r\n550 no\r\n451 not now\r\n")
    assert [("M", None, 250), ("R", 0, 250), ("R", 1, 550), ("F", None, 451), "MessageEnded"] == _codes(events)


def test_lmtp() -> None:
    """LMTP says LHLO and gets a fate for each accepted recipient."""
    client = _client(lmtp=True)
    client.send_message(TWO)
    _events(client, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    client.finish_data()
    assert [("F", 0, 250), ("F", 1, 452), "MessageEnded"] == _codes(_events(client, b"250 ok\r\n452 full\r\n"))


def test_bdat() -> None:
    """Binary content goes by BDAT; a refused chunk is the message's fate, told once."""
    client = _client()
    client.send_message(Envelope("a@b", TWO.recipients, Body.BINARY_MIME))
    assert b"DATA" not in client.data_to_send()
    assert "ContentWanted" in _codes(_events(client, b"250 ok\r\n250 ok\r\n250 ok\r\n"))
    client.send_data_chunk(b"a\n.")
    client.finish_data()
    assert b"BDAT 3\r\na\n.BDAT 0 LAST\r\n" == client.data_to_send()
    assert [("F", None, 552), "MessageEnded"] == _codes(_events(client, b"552 big\r\n503 no\r\n"))


def test_bdat_refused_before_the_end() -> None:
    """A driver may notice early and stop."""
    client = _client()
    client.send_message(TWO, use_bdat=True)
    _events(client, b"250 ok\r\n250 ok\r\n250 ok\r\n")
    client.send_data_chunk(b"x\r\n")
    client.send_data_chunk(b"y\r\n")
    client.data_to_send()
    assert [] == _events(client, b"452 full\r\n")
    assert client.content_refused
    client.send_data_chunk(b"z\r\n")
    client.finish_data()
    assert b"" == client.data_to_send()
    assert [("F", None, 452), "MessageEnded"] == _codes(_events(client, b"503 no\r\n"))


@pytest.mark.parametrize(
    ("envelope", "status"),
    [
        (Envelope("é@b", TWO.recipients), "5.6.7"),
        (Envelope("a@b", (EnvelopeRecipient("é@b"),)), "5.6.7"),
        (Envelope("a@b", TWO.recipients, smtputf8=True), "5.6.7"),
        (Envelope("a@b", TWO.recipients, Body.BINARY_MIME), "5.6.3"),
        (TWO, "5.3.4"),
    ],
)
def test_impossible(envelope: Envelope, status: str) -> None:
    """What the server cannot take is told without a word to it."""
    client = _client(b"250-mx\r\n250 SIZE 10\r\n")
    client.data_to_send()
    client.send_message(envelope, size=11)
    event, end = _events(client)
    assert isinstance(event, MessageImpossible)
    assert (status, MessageEnded(), b"") == (event.reply.enhanced, end, client.data_to_send())
    assert client.is_idle


def test_servers_that_misbehave() -> None:
    """Nonsense, endless replies and replies nobody asked for end the session."""
    for data in (b"HTTP/1.1 400\r\n", b"2x0 hi\r\n", b"x" * 5000, b"220-a\r\n" * 200, b"199 x\r\n"):
        client = SmtpClient("me.example")
        (event,) = _events(client, data)
        assert isinstance(event, ServerViolation)
    client = _client()
    (event,) = _events(client, b"421 4.3.2 closing\r\n")
    assert isinstance(event, ServerViolation)
    assert event.reply is not None
    assert 421 == event.reply.code


def test_lost() -> None:
    """The end of input says whether the message may have been taken."""
    client = _client()
    client.send_message(TWO)
    _events(client, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    client.finish_data()
    client.receive_data(b"")
    assert [ServerLost(expected=False, content_sent=True)] == _events(client)
    client = _client()
    client.send_quit()
    assert "CommandReplied" in _codes(_events(client, b"221 bye\r\n"))
    client.receive_data(b"")
    assert [ServerLost(expected=True, content_sent=False)] == _events(client)
    assert CLIENT_CLOSED is client.next_event()


def test_wrong_moment() -> None:
    """Two things at once, content unasked, and two lines in one are the caller's bugs."""
    client = _client()
    for call in (client.finish_data, lambda: client.send_data_chunk(b"x"), lambda: client.send_command("NOOP\r\nRSET")):
        with pytest.raises(LocalProtocolError):
            call()
    client.send_command("NOOP")
    for call in (client.send_quit, lambda: client.send_message(TWO), client.tls_established):
        with pytest.raises(LocalProtocolError):
            call()
    assert ["CommandReplied"] == _codes(_events(client, b"250 ok\r\n"))


def test_starttls_drops_injected_replies() -> None:
    """What came in plain text behind the 220 is no reply of the protected server."""
    client = _client()
    client.send_starttls()
    client.receive_data(b"220 go\r\n250-evil\r\n")
    assert isinstance(client.next_event(), TlsReplied)
    client.tls_established()
    client.send_hello()
    (event,) = _events(client, b"250 mx\r\n")
    assert isinstance(event, HelloReplied)
    assert ("mx",) == event.reply.lines


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_login(mechanism: str, password: str, little_service: Callable[..., Any]) -> None:
    """Each mechanism of the client is taken by the server, and a wrong password is not."""
    service = little_service(auth_mechanisms=(mechanism,), auth_needs_tls=False)
    client = SmtpClient("me.example")
    client.receive_data(b"220 mx\r\n")
    client.next_event()
    client.send_hello()
    _exchange(client, service)
    chosen = choose_client_mechanism(client.capabilities.auth_mechanisms, "ana", password, nonce="clientnonce", plaintext_allowed=True)
    assert isinstance(chosen, PlainClient | LoginClient | ScramClient)
    client.send_auth(chosen)
    events = _exchange(client, service)
    assert [235 if password == "secret" else 535] == [event.reply.code for event in events if isinstance(event, AuthReplied)]


def _exchange(client: SmtpClient, service: Any) -> list[ClientEvent]:
    found: list[ClientEvent] = []
    while data := client.data_to_send():
        service.feed(data)
        found += _events(client, service.server.data_to_send())
    return found


def test_scram_server_without_proof() -> None:
    """A server that says yes before it proved itself is not believed."""
    client = _client(b"250-mx\r\n250 AUTH SCRAM-SHA-256\r\n")
    client.send_auth(ScramClient("ana", "secret", "nonce"))
    (event,) = _events(client, b"235 welcome\r\n")
    assert isinstance(event, ServerViolation)


def test_bad_challenges() -> None:
    """A challenge that is not base64, or one too many, is answered with a star."""
    client = _client(b"250 mx\r\n")
    client.send_auth(PlainClient("ana", "secret"))
    client.data_to_send()
    _events(client, b"334 !\r\n")
    assert b"*\r\n" == client.data_to_send()
    assert [AuthReplied] == [type(event) for event in _events(client, b"501 cancelled\r\n")]
    assert [CommandReplied] == [type(event) for event in (client.send_command("RSET"), *_events(client, b"250 ok\r\n")) if event]  # type: ignore[func-returns-value]


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("use_bdat", [False, True])
def test_against_our_server(lmtp: bool, use_bdat: bool, little_service: Callable[..., Any]) -> None:
    """What the client sends, our server receives, octet by octet."""
    service = little_service(lmtp=lmtp)
    client = SmtpClient("me.example", lmtp=lmtp)
    client.receive_data(b"220 mx\r\n")
    client.next_event()
    client.send_hello()
    _exchange(client, service)
    envelope = Envelope("a@b", (*TWO.recipients, EnvelopeRecipient("nobody@d")))
    for content in (b"", b".\r\n..\r\nx\r\n", b"Subject: refuse\r\n"):
        client.send_message(envelope, size=len(content), use_bdat=use_bdat)
        assert ContentWanted((0, 1)) == _exchange(client, service)[-1]
        client.send_data_chunk(content)
        client.finish_data()
        fate = 554 if content.startswith(b"Subject") else 250
        fates = [("F", index, fate) for index in (0, 1)] if lmtp else [("F", None, fate)]
        assert [*fates, "MessageEnded"] == _codes(_exchange(client, service))
    assert [b"", b".\r\n..\r\nx\r\n"] == service.messages
