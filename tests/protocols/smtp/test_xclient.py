"""The attributes of XCLIENT, one by one."""

import pytest

from appliance.protocols.smtp.events import XclientRequested
from appliance.protocols.smtp.grammar import GrammarError
from appliance.protocols.smtp.xclient import parse_xclient


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("ADDR=192.0.2.9", XclientRequested("192.0.2.9")),
        ("addr=::ffff:192.0.2.9 port=25", XclientRequested("192.0.2.9", 25)),
        ("ADDR=IPV6:2001:DB8::1 LOGIN=ana+40example.com", XclientRequested("2001:db8::1", login="ana@example.com")),
        ("HELO=[tempunavail] PROTO=smtp", XclientRequested(protocol="SMTP")),
        ("NAME=x.example REVERSE_NAME=x DESTADDR=192.0.2.1 DESTPORT=25", XclientRequested()),
        ("PORT=[UNAVAILABLE] LOGIN=[UNAVAILABLE]", XclientRequested()),
    ],
)
def test_what_is_told(argument: str, expected: XclientRequested) -> None:
    """Names in any case, values as xtext, addresses in one spelling."""
    assert expected == parse_xclient(argument)


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "ADDR",
        "ADDR=",
        "ADDR=mx.example",
        "ADDR=127.1",
        "PORT=x",
        "PORT=123456",
        "HELO=a+0Ab",
        "HELO=" + "x" * 256,
        " ".join(f"NAME={n}" for n in "ab"),
    ],
)
def test_what_is_refused(argument: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(GrammarError):
        parse_xclient(argument)
