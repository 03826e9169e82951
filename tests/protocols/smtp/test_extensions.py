"""Extensions that are switched off."""

import pytest

from appliance.protocols.smtp.capabilities import greeting_reply, parse_capabilities
from appliance.protocols.smtp.events import AuthRequested
from appliance.protocols.smtp.extensions import SWITCHES, extension_names, plain_replies, switch_off
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import AUTHENTICATED
from appliance.protocols.smtp.server import SmtpServer

OPTIONS = ServerOptions(
    hostname="a.test", starttls=True, auth_mechanisms=("PLAIN", "CRAM-MD5"), auth_needs_tls=False, binarymime=True, max_message_bytes=1_000
)


def offered(options: ServerOptions, *, tls: bool = False) -> set[str]:
    return set(parse_capabilities(greeting_reply(options, tls_active=tls, authenticated=False).lines[1:]).keywords)


@pytest.mark.parametrize("name", sorted(set(SWITCHES) - {"EHLO"}))
def test_each_is_offered_until_it_is_switched_off(name: str) -> None:
    """And nothing else goes with it, but binary content with its chunks."""
    tls = name == "REQUIRETLS"
    before, after = offered(OPTIONS, tls=tls), offered(switch_off(OPTIONS, {name}), tls=tls)
    assert ({name, "BINARYMIME"} if name == "CHUNKING" else {name}) == before - after
    assert set() == after - before


def answers(options: ServerOptions, *lines: str) -> list[str]:
    """Return the replies' codes to commands whose requests are all granted."""
    core = SmtpServer(options)
    core.send_greeting()
    core.data_to_send()
    codes = []
    for line in lines:
        core.receive_data(line.encode() + b"\r\n")
        event = core.next_event()
        if isinstance(event, AuthRequested):
            core.send_reply(AUTHENTICATED)
        elif type(event).__name__.endswith(("Requested", "Greeted")):
            core.accept()
        codes.append(core.data_to_send()[:3].decode())
    return codes


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("EHLO", ["EHLO x", "HELO x", "MAIL FROM:<a@b.test>"], ["502", "250", "250"]),
        ("SIZE", ["EHLO x", "MAIL FROM:<a@b.test> SIZE=10"], ["250", "555"]),
        ("8BITMIME", ["EHLO x", "MAIL FROM:<a@b.test> BODY=8BITMIME"], ["250", "555"]),
        ("BINARYMIME", ["EHLO x", "MAIL FROM:<a@b.test> BODY=BINARYMIME", "MAIL FROM:<a@b.test> BODY=8BITMIME"], ["250", "555", "250"]),
        ("SMTPUTF8", ["EHLO x", "MAIL FROM:<a@b.test> SMTPUTF8"], ["250", "555"]),
        ("DSN", ["EHLO x", "MAIL FROM:<a@b.test> RET=HDRS", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test> NOTIFY=NEVER"], ["250", "555", "250", "555"]),
        ("CHUNKING", ["EHLO x", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "BDAT 0 LAST"], ["250", "250", "250", "502"]),
        ("STARTTLS", ["EHLO x", "STARTTLS"], ["250", "502"]),
        ("AUTH", ["EHLO x", "AUTH PLAIN"], ["250", "502"]),
        ("AUTH=CRAM-MD5", ["EHLO x", "AUTH CRAM-MD5"], ["250", "504"]),
        ("HELP", ["EHLO x", "HELP"], ["250", "502"]),
    ],
)  # fmt: skip
def test_what_is_switched_off_is_not_taken(name: str, lines: list[str], expected: list[str]) -> None:
    """Parameters are refused with 555, commands with 502; both worked before."""
    assert expected == answers(switch_off(OPTIONS, extension_names([name.lower()])), *lines)
    assert not {"502", "504", "555"} & {code for code, line in zip(answers(OPTIONS, *lines), lines, strict=True) if line != "HELO x"}


def test_names_are_ours() -> None:
    """In any case; a name that is no extension is told, with those that are."""
    assert {"8BITMIME", "AUTH=LOGIN"} == extension_names(["8bitMime", " auth=login ", ""])
    with pytest.raises(ValueError, match=r"NONSENSE is none of EHLO, SIZE, "):
        extension_names(["nonsense"])


def test_replies_without_status_codes() -> None:
    """Line by line; what only looks like one stays."""
    assert b"250-a.test\r\n250 2.0 x\r\n550 No\r\n354 Go\r\n" == plain_replies(b"250-a.test\r\n250 2.0 x\r\n550 5.1.1 No\r\n354 Go\r\n")
