"""Commands: verbs, parameters of MAIL and RCPT, BDAT, AUTH, and the client's side of them."""

from typing import Any

import pytest

from appliance.model.envelope import Body, Notify, Ret
from appliance.protocols.smtp.commands import format_mail, format_rcpt, parse_auth, parse_bdat, parse_mail, parse_rcpt, split_command
from appliance.protocols.smtp.events import MailRequested, RecipientRequested
from appliance.protocols.smtp.grammar import GrammarError
from appliance.protocols.smtp.options import ServerOptions

OPTIONS = ServerOptions(hostname="mx.example.org", binarymime=True)
BARE = ServerOptions(hostname="mx.example.org", dsn=False, smtputf8=False, chunking=False, max_message_bytes=100)


def _code(function: Any, *arguments: Any, **settings: Any) -> int:
    with pytest.raises(GrammarError) as caught:
        function(*arguments, **settings)
    return int(caught.value.reply.code)


def test_split_command() -> None:
    """The verb is folded, the argument trimmed."""
    assert ("MAIL", "FROM:<a@b>") == split_command(b"mail  FROM:<a@b>  ")
    assert ("QUIT", "") == split_command(b"QUIT ")
    assert ("EHLO", "é") == split_command("EHLO é".encode())


@pytest.mark.parametrize("line", [b"", b" NOOP", b"NOOP\n", b"NO\x00OP", b"NOOP \x00", b"NOOP \r", b"NOOP \xff", b"1", b"\n"])
def test_bad_lines(line: bytes) -> None:
    """Control characters, bare LF and what has no verb get 500."""
    assert 500 == _code(split_command, line)


@pytest.mark.parametrize(
    "mail",
    [
        MailRequested(""),
        MailRequested("ana@example.org", size=100),
        MailRequested("josé@example.org", smtputf8=True, body=Body.EIGHT_BIT_MIME),
        MailRequested("ana@example.org", body=Body.BINARY_MIME, ret=Ret.HEADERS, envid="a b+c", auth="<>"),
        MailRequested("ana@example.org", ret=Ret.FULL, auth="ana=x@example.org"),
    ],
)
def test_mail_round_trip(mail: MailRequested) -> None:
    """What the client formats the server parses."""
    name, argument = split_command(format_mail(mail).removesuffix(b"\r\n"))
    assert ("MAIL", mail) == (name, parse_mail(argument, OPTIONS, b""))


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("TO:<a@b>", 501), ("FROM:<é@b>", 553), ("FROM:<é@b> SIZE=1", 553), ("FROM:<a@b> SMTPUTF8", 555), ("FROM:<a@b> SIZE=101", 552),
        ("FROM:<a@b> SIZE", 501), ("FROM:<a@b> SIZE=" + "1" * 21, 501), ("FROM:<a@b> BODY=9BIT", 501), ("FROM:<a@b> BODY=BINARYMIME", 555),
        ("FROM:<a@b> RET=FULL", 555), ("FROM:<a@b> ENVID=x", 555), ("FROM:<a@b> AUTH", 501), ("FROM:<a@b> AUTH=+", 501), ("FROM:<a@b> FOO", 555),
    ],
)  # fmt: skip
def test_bad_mail(argument: str, code: int) -> None:
    """Each fault has its code; parameters of extensions not offered are refused."""
    assert code == _code(parse_mail, argument, BARE, b"")


@pytest.mark.parametrize("argument", ["FROM:<a@b> RET=ALL", "FROM:<a@b> ENVID=" + "x" * 101, "FROM:<a@b> ENVID", "FROM:<a@b> SMTPUTF8=1"])
def test_bad_mail_values(argument: str) -> None:
    """Values out of range get 501."""
    assert 501 == _code(parse_mail, argument, OPTIONS, b"")


@pytest.mark.parametrize(
    "recipient",
    [
        RecipientRequested("ana@example.org"),
        RecipientRequested("ana@example.org", Notify.NEVER),
        RecipientRequested("ana@example.org", Notify.SUCCESS | Notify.FAILURE | Notify.DELAY, "rfc822;a+b@c"),
        RecipientRequested("josé@example.org", Notify.DELAY, "utf-8;josé@example.org"),
    ],
)
def test_rcpt_round_trip(recipient: RecipientRequested) -> None:
    """What the client formats the server parses."""
    _, argument = split_command(format_rcpt(recipient).removesuffix(b"\r\n"))
    assert recipient == parse_rcpt(argument, OPTIONS, b"", smtputf8=True)


def test_orcpt_in_utf8() -> None:
    """utf-8-addr-unitext is taken where MAIL said SMTPUTF8 (RFC 6533 section 3)."""
    argument = "TO:<a@b> ORCPT=utf-8;josé@b"
    assert "utf-8;josé@b" == parse_rcpt(argument, OPTIONS, b"", smtputf8=True).orcpt
    assert 501 == _code(parse_rcpt, argument, OPTIONS, b"", smtputf8=False)


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("FROM:<a@b>", 501), ("TO:<é@b>", 553), ("TO:<a@b> SIZE=1", 555), ("TO:<a@b> NOTIFY", 501), ("TO:<a@b> NOTIFY=NEVER,DELAY", 501),
        ("TO:<a@b> ORCPT=x", 501), ("TO:<a@b> ORCPT=;x", 501), ("TO:<a@b> ORCPT=rfc822;" + "x" * 501, 501), ("TO:<a@b> ORCPT=" + "x" * 499 + ";x", 501),
    ],
)  # fmt: skip
def test_bad_rcpt(argument: str, code: int) -> None:
    """Each fault has its code."""
    assert code == _code(parse_rcpt, argument, OPTIONS, b"", smtputf8=False)


def test_bdat() -> None:
    """Size and LAST, nothing else."""
    assert (5, False) == parse_bdat("5")
    assert (0, True) == parse_bdat("0 last")
    for argument in ("", "x", "-1", "1 LAST 2", "1LAST", "1" * 21):
        assert 501 == _code(parse_bdat, argument)


def test_auth() -> None:
    """Mechanism and initial response."""
    assert ("PLAIN", None) == parse_auth("plain")
    assert ("PLAIN", b"") == parse_auth("PLAIN =")
    assert ("PLAIN", b"\0a\0b") == parse_auth("PLAIN AGEAYg==")
    for argument in ("", "PLAIN a b", "PLAIN a*", "PLAIN YQ"):
        assert 501 == _code(parse_auth, argument)


LATER = ServerOptions(hostname="mx.example.org", future_release_s=3_600)


@pytest.mark.parametrize(
    ("argument", "hold_for_s", "hold_until_s"),
    [
        ("FROM:<a@b.example> HOLDFOR=3600", 3_600, 0.0),
        ("FROM:<a@b.example> HOLDUNTIL=2023-11-14T22:13:20Z", 0, 1_700_000_000.0),
        ("FROM:<a@b.example> HOLDUNTIL=2023-11-14t23:13:20+01:00", 0, 1_700_000_000.0),
        ("FROM:<a@b.example> HOLDUNTIL=1950-01-01T00:00:00Z", 0, 0.0),
    ],
)
def test_a_time_to_be_sent_at(argument: str, hold_for_s: int, hold_until_s: float) -> None:
    """Seconds from now, or a moment with its zone (RFC 4865 section 4); the client's form is read back."""
    mail = parse_mail(argument, LATER, b"")
    assert (hold_for_s, hold_until_s) == (mail.hold_for_s, mail.hold_until_s)
    assert mail == parse_mail(format_mail(mail).decode()[5:-2], LATER, b"")


@pytest.mark.parametrize(
    "value",
    [
        "HOLDFOR", "HOLDFOR=-1", "HOLDFOR=3601", "HOLDFOR=1234567890", "HOLDFOR=1 HOLDUNTIL=2023-11-14T22:13:20Z", "HOLDUNTIL",
        "HOLDUNTIL=2023-11-14", "HOLDUNTIL=2023-11-14T22:13:20", "HOLDUNTIL=2023-13-14T22:13:20Z", "HOLDUNTIL=0000-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_no_time_to_be_sent_at(value: str) -> None:
    """What is malformed or farther ahead than was offered is refused; without the offer the parameter is unknown."""
    assert 501 == _code(parse_mail, f"FROM:<a@b.example> {value}", LATER, b"")
    assert 555 == _code(parse_mail, f"FROM:<a@b.example> {value}", OPTIONS, b"")
