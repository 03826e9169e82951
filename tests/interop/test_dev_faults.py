"""Everything that goes wrong on purpose, seen from the other end of a real socket."""

import json
import smtplib
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

pytestmark = pytest.mark.interop

BODY = "Subject: x\r\n\r\nhello\r\n"
CALM = {
    "chaos": {name: {"code": 451, "percent": 0} for name in ("sender", "recipient", "authentication")}, "greylist": False, "per_minute": 0,
    "delay_s": 0, "max_connections": 0, "bytes_per_s": 0, "tls_percent": 0, "tls_breaks": False, "without": [],
}  # fmt: skip


def ask(dev: Any, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{dev.ports['http']}{path}", None if body is None else json.dumps(body).encode(), method=method
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        data = answer.read()
    return json.loads(data) if data else None


@pytest.fixture
def faults(shared_dev: Any) -> Iterator[Callable[..., Any]]:
    """Returns what sets faults; they are gone with the test."""
    yield lambda **given: ask(shared_dev, "PUT", "/api/carteiro/v1/faults", given)
    ask(shared_dev, "PUT", "/api/carteiro/v1/faults", CALM)


def connect(dev: Any) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", dev.ports["smtp"], local_hostname="test", timeout=20)


def send(dev: Any, sender: str = "a@b.test", recipient: str = "c@d.test", body: str = BODY) -> int:
    """Return the code that a message ends with."""
    try:
        with connect(dev) as client:
            client.sendmail(sender, [recipient], body)
    except smtplib.SMTPRecipientsRefused as error:
        return next(iter(error.recipients.values()))[0]
    except smtplib.SMTPServerDisconnected:
        return 0
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    return 250


def test_chances_and_rates(shared_dev: Any, faults: Callable[..., Any]) -> None:
    """By code, by greylist, by 421 after so many a minute."""
    faults(chaos={"sender": {"code": 452, "percent": 100}})
    assert 452 == send(shared_dev)
    faults(chaos={"sender": {"percent": 0}, "recipient": {"code": 550, "percent": 100}})
    assert 550 == send(shared_dev)
    faults(chaos={"recipient": {"percent": 0}}, greylist=True)
    assert [450, 250] == [send(shared_dev, recipient="grey@d.test") for _ in range(2)]
    faults(greylist=False, per_minute=2)
    assert [250, 250, 421] == [send(shared_dev) for _ in range(3)]


def test_so_many_connections(shared_dev: Any, faults: Callable[..., Any]) -> None:
    """The second is turned away by 421 until the first has gone."""
    faults(max_connections=1)
    with connect(shared_dev), socket.create_connection(("127.0.0.1", shared_dev.ports["smtp"]), timeout=20) as second:
        assert second.recv(100).startswith(b"421 ")
        assert b"" == second.recv(100)
    for _ in range(50):
        if send(shared_dev) == 250:
            return
    pytest.fail("nobody is let in any more")


def test_a_slow_link(shared_dev: Any, faults: Callable[..., Any]) -> None:
    """8,000 octets at 16,000 a second take half a second at least; at full speed afterwards."""
    body = "Subject: x\r\n\r\n" + "y" * 998 + "\r\n"
    faults(bytes_per_s=16_000)
    begun = time.monotonic()
    assert 250 == send(shared_dev, body=body * 8)
    assert time.monotonic() - begun >= 0.5
    assert ask(shared_dev, "GET", "/api/carteiro/v1/messages/latest")["size"] >= 8_000


def test_tls_fails(shared_dev: Any, faults: Callable[..., Any]) -> None:
    """By 454, and the session goes on; or in the handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    faults(tls_percent=100)
    with connect(shared_dev) as client:
        client.ehlo()
        assert 454 == client.docmd("STARTTLS")[0]
        assert 250 == client.noop()[0]
    faults(tls_breaks=True)
    with closing(connect(shared_dev)) as client, pytest.raises(ssl.SSLError):
        client.starttls(context=context)
    faults(tls_percent=0)
    with connect(shared_dev) as client:
        assert 220 == client.starttls(context=context)[0]


def test_extensions_are_switched_off(shared_dev: Any, faults: Callable[..., Any]) -> None:
    """Neither offered nor taken; without EHLO a client falls back to HELO."""
    faults(without=["8BITMIME", "CHUNKING", "AUTH=CRAM-MD5"])
    with connect(shared_dev) as client:
        client.ehlo()
        assert not client.has_extn("8bitmime")
        assert not client.has_extn("chunking")
        assert "CRAM-MD5" not in client.esmtp_features["auth"]
        assert 555 == client.docmd("MAIL", "FROM:<a@b.test> BODY=8BITMIME")[0]
    faults(without=["EHLO"])
    with connect(shared_dev) as client:
        client.sendmail("a@b.test", ["c@d.test"], BODY)
        assert {} == client.esmtp_features
    assert "SMTP" == ask(shared_dev, "GET", "/api/carteiro/v1/messages/latest")["envelope"]["protocol"]


def test_the_monkey_turns_everybody_away(shared_dev: Any) -> None:
    """MailHog's AcceptChance and LinkSpeedAffect."""
    ask(shared_dev, "POST", "/api/v2/jim", {"AcceptChance": 0})
    try:
        with socket.create_connection(("127.0.0.1", shared_dev.ports["smtp"]), timeout=20) as refused:
            assert b"" == refused.recv(100)
        ask(shared_dev, "PUT", "/api/v2/jim", {"AcceptChance": 1, "LinkSpeedAffect": 1, "LinkSpeedMin": 2_000, "LinkSpeedMax": 2_000})
        begun = time.monotonic()
        assert 250 == send(shared_dev, body="Subject: x\r\n\r\n" + "y" * 900 + "\r\n")
        assert time.monotonic() - begun >= 0.5
    finally:
        ask(shared_dev, "DELETE", "/api/v2/jim")
    assert 250 == send(shared_dev)
