"""The POP3 server core: commands to events and replies."""

import pytest

from appliance.protocols.pop3 import events
from appliance.protocols.pop3.replies import greeting
from appliance.protocols.pop3.server import Pop3Server
from appliance.protocols.pop3.state import State

NEED_DATA = events.NeedData.NEED_DATA


def said(core: Pop3Server, *lines: bytes) -> list[events.Event]:
    """Feed lines and return the events until the core wants more, without NEED_DATA."""
    core.receive_data(b"".join(line + b"\r\n" for line in lines))
    found: list[events.Event] = []
    while (event := core.next_event()) is not NEED_DATA:
        found.append(event)
        if core.state in {State.AUTHENTICATING, State.NEGOTIATING, State.UPDATE}:
            break
    return found


def logged_in(**options: object) -> Pop3Server:
    core = Pop3Server(**options)  # type: ignore[arg-type]
    assert [events.LoginAttempted("ana", "secret")] == said(core, b"USER ana", b"PASS secret")
    core.login_succeeded()
    core.data_to_send()
    return core


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"STAT", events.StatRequested()),
        (b"stat", events.StatRequested()),
        (b"LIST", events.ListingRequested(unique_ids=False, number=None)),
        (b"LIST  3 ", events.ListingRequested(unique_ids=False, number=3)),
        (b"UIDL", events.ListingRequested(unique_ids=True, number=None)),
        (b"UIDL 12", events.ListingRequested(unique_ids=True, number=12)),
        (b"RETR 1", events.MessageRequested(1, None)),
        (b"TOP 1 0", events.MessageRequested(1, 0)),
        (b"ToP 2 9999999999", events.MessageRequested(2, 9_999_999_999)),
        (b"DELE 007", events.DeleteRequested(7)),
        (b"RSET", events.ResetRequested()),
    ],
)
def test_command_becomes_event(line: bytes, event: events.Event) -> None:
    """Each command of TRANSACTION is told with its arguments and leaves no reply behind."""
    core = logged_in()
    assert [event] == said(core, line)
    assert b"" == core.data_to_send()


@pytest.mark.parametrize(
    "line",
    b"RETR,RETR 0,RETR x,RETR -1,RETR 1 2,RETR 99999999999,TOP 1,TOP 0 1,TOP 1 -1,DELE,LIST x,STAT 1,NOOP x,"
    b"QUIT now,RSET 1,XYZZY,,  STAT,USER ana,PASS x,STLS,AUTH PLAIN,UTF8".split(b","),
)
def test_bad_line_is_refused_and_changes_nothing(line: bytes) -> None:
    """A bad line gets -ERR, yields no event and the session goes on."""
    core = logged_in()
    assert [] == said(core, line)
    assert core.data_to_send().startswith(b"-ERR ")
    assert [events.StatRequested()] == said(core, b"STAT")


def test_password_keeps_its_blanks() -> None:
    """Everything after the first blank is the password (RFC 1939 section 7)."""
    core = Pop3Server()
    assert [events.LoginAttempted("ana", " a  b ")] == said(core, b"USER ana", b"PASS  a  b ")


def test_login_and_password_may_be_utf8_or_latin1() -> None:
    """UTF-8 is decoded as such; other bytes are Latin-1."""
    core = Pop3Server()
    assert [events.LoginAttempted("joão", "maçã")] == said(core, "USER joão".encode(), "PASS maçã".encode("latin-1"))


def test_password_is_not_in_the_repr() -> None:
    """A crash log must not show a password."""
    assert "secret" not in repr(events.LoginAttempted("ana", "secret"))


def test_pass_without_user_is_refused() -> None:
    """PASS is valid right after USER only, and a failed login asks for USER again."""
    core = Pop3Server()
    assert [] == said(core, b"PASS x")
    assert b"-ERR USER comes first\r\n" == core.data_to_send()
    said(core, b"USER ana", b"PASS x")
    core.login_failed("Wrong")
    core.data_to_send()
    assert [] == said(core, b"PASS x")
    assert b"-ERR USER comes first\r\n" == core.data_to_send()


def test_mail_commands_need_a_login() -> None:
    """TRANSACTION commands are refused before login."""
    core = Pop3Server()
    for line in (b"STAT", b"LIST", b"RETR 1", b"DELE 1", b"NOOP", b"RSET", b"TOP 1 1", b"UIDL"):
        assert [] == said(core, line)
        assert b"-ERR Log in first\r\n" == core.data_to_send()


def test_capabilities_before_and_after_tls_and_login() -> None:
    """USER and SASL are offered where a login is allowed, in both states; STLS only where it makes sense (RFC 2449 section 6)."""
    core = Pop3Server(mechanisms=("PLAIN", "SCRAM-SHA-256"), tls_available=True, login_allowed=False)
    said(core, b"CAPA")
    before = core.data_to_send().split(b"\r\n")
    assert b"STLS" in before
    assert b"USER" not in before
    assert not [line for line in before if line.startswith(b"SASL")]
    assert [events.TlsRequested()] == said(core, b"STLS")
    core.data_to_send()
    core.tls_started()
    said(core, b"CAPA")
    inside = core.data_to_send().split(b"\r\n")
    assert b"STLS" not in inside
    assert b"USER" in inside
    assert b"SASL PLAIN SCRAM-SHA-256" in inside
    said(core, b"USER ana", b"PASS x")
    core.login_succeeded()
    core.data_to_send()
    said(core, b"CAPA")
    after = core.data_to_send().split(b"\r\n")
    assert sorted(inside[1:]) == sorted(after[1:])
    assert [b".", b""] == after[-2:]
    for name in (b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"EXPIRE NEVER", b"UTF8 USER"):
        assert name in after


def test_login_in_the_clear_is_refused_with_the_way_out() -> None:
    """The refusal carries [AUTH] and says what to do, for USER and AUTH alike."""
    core = Pop3Server(mechanisms=("PLAIN",), tls_available=True, login_allowed=False, refusal="Use STLS first")
    for line in (b"USER ana", b"AUTH PLAIN", b"AUTH PLAIN AGEAYg=="):
        assert [] == said(core, line)
        assert b"-ERR [AUTH] Use STLS first\r\n" == core.data_to_send()


def test_commands_behind_stls_are_dropped() -> None:
    """What was sent in the clear behind STLS takes no effect inside TLS (RFC 2595 section 4)."""
    core = Pop3Server(tls_available=True)
    assert [events.TlsRequested()] == said(core, b"STLS", b"USER mallory", b"PASS x")
    core.data_to_send()
    core.tls_started()
    assert NEED_DATA is core.next_event()
    assert b"" == core.data_to_send()


def test_stls_twice_or_after_utf8_is_refused() -> None:
    """RFC 2595 section 4 and RFC 6856 section 2.1."""
    core = Pop3Server(tls_available=True, tls_active=True)
    assert [] == said(core, b"STLS")
    assert b"-ERR TLS is already active\r\n" == core.data_to_send()
    core = Pop3Server(tls_available=True)
    assert [] == said(core, b"UTF8", b"STLS")
    assert b"+OK UTF8 enabled\r\n-ERR STLS must come before UTF8\r\n" == core.data_to_send()
    assert core.utf8


def test_sasl_exchange() -> None:
    """AUTH, a challenge, a response, success (RFC 5034 section 4)."""
    core = Pop3Server(mechanisms=("LOGIN",))
    assert [events.SaslStarted("LOGIN", None)] == said(core, b"AUTH login")
    core.send_challenge(b"Username:")
    assert b"+ VXNlcm5hbWU6\r\n" == core.data_to_send()
    assert [events.SaslResponded(b"ana")] == said(core, b"YW5h")
    core.login_succeeded()
    assert State.TRANSACTION is core.state


def test_sasl_initial_response() -> None:
    """An initial response is decoded; ``=`` is an empty one."""
    assert [events.SaslStarted("PLAIN", b"\0a\0b")] == said(Pop3Server(mechanisms=("PLAIN",)), b"AUTH PLAIN AGEAYg==")
    assert [events.SaslStarted("PLAIN", b"")] == said(Pop3Server(mechanisms=("PLAIN",)), b"AUTH PLAIN =")


@pytest.mark.parametrize("response", [b"*", b"%%%", b"YQ", b"YQ==YQ==", b" YQ=="])
def test_sasl_cancelled_or_garbled(response: bytes) -> None:
    """``*`` and bad base64 end the exchange with -ERR, and a new one may start."""
    core = Pop3Server(mechanisms=("PLAIN",))
    said(core, b"AUTH PLAIN")
    core.send_challenge(b"")
    assert b"+ \r\n" == core.data_to_send()
    assert [] == said(core, response)
    assert core.data_to_send().startswith(b"-ERR ")
    assert [events.SaslStarted("PLAIN", None)] == said(core, b"AUTH PLAIN")


def test_auth_alone_lists_mechanisms_and_unknown_ones_are_refused() -> None:
    """Older clients ask by AUTH without argument."""
    core = Pop3Server(mechanisms=("PLAIN", "LOGIN"))
    assert [] == said(core, b"AUTH")
    assert b"+OK Mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n" == core.data_to_send()
    assert [] == said(core, b"AUTH CRAM-MD5")
    assert b"-ERR Unknown authentication mechanism\r\n" == core.data_to_send()


def test_quit_before_login_and_after() -> None:
    """Before login QUIT just ends; after it, UPDATE comes first and its reply is the service's."""
    core = Pop3Server()
    assert [events.SessionEnded("quit")] == said(core, b"QUIT", b"STAT")
    assert b"+OK Bye\r\n" == core.data_to_send()
    core = logged_in()
    assert [events.QuitRequested()] == said(core, b"QUIT")
    core.updated(b"+OK 2 deleted\r\n")
    assert events.SessionEnded("quit") == core.next_event()
    assert NEED_DATA is core.next_event()
    assert b"+OK 2 deleted\r\n" == core.data_to_send()


def test_end_of_input_without_quit_is_a_lost_connection() -> None:
    """Commands that arrived whole are still told, a piece of one is not."""
    core = logged_in()
    core.receive_data(b"DELE 1\r\nQUI")
    core.receive_data(b"")
    assert events.DeleteRequested(1) == core.next_event()
    assert events.ConnectionLost() == core.next_event()
    assert NEED_DATA is core.next_event()


def test_too_many_bad_commands_end_the_session() -> None:
    """The limit counts bad commands and failed logins together."""
    core = Pop3Server(max_bad_commands=3)
    said(core, b"USER a", b"PASS b")
    core.login_failed("Wrong")
    assert [events.SessionEnded("too many bad commands")] == said(core, b"X", b"Y", b"Z")
    assert core.data_to_send().endswith(b"-ERR Unknown command\r\n-ERR Too many bad commands\r\n")


def test_endless_line_ends_the_session() -> None:
    """A line over the limit is cut off before it is whole, and nothing of it is kept."""
    core = Pop3Server(max_line_bytes=100)
    core.receive_data(b"USER " + b"a" * 200)
    assert events.SessionEnded("line too long") == core.next_event()
    assert b"-ERR Line too long\r\n" == core.data_to_send()
    core.receive_data(b"a" * 1000)
    assert NEED_DATA is core.next_event()


def test_greeting_never_announces_apop() -> None:
    """A greeting with <...> would make clients try APOP (RFC 1939 section 7)."""
    assert b"+OK 1.2@x ready\r\n" == greeting("<1.2@x> ready")


def test_control_characters_in_a_login_are_refused() -> None:
    """Nothing that could break a log line or a look-up gets through."""
    core = Pop3Server()
    assert [] == said(core, b"USER a\x00b")
    assert core.data_to_send().startswith(b"-ERR ")
