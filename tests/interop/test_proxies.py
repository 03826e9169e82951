"""Real programs in front of carteiro: HAProxy with both versions of its PROXY protocol, swaks with XCLIENT."""

import imaplib
import poplib
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import OFFICE, Carteiro, MakeOffice, answers, free_ports
from tests.interop.waiting import PATIENCE_S, wait_until

FRONTS = ("smtp", "submissions", "imap", "imaps", "pop3")


@pytest.fixture
def office(make_office: MakeOffice) -> Carteiro:
    """A server whose load balancer, which is this machine at 127.0.0.2, names the clients."""
    settings = OFFICE.replace("trusted_networks = []", 'trusted_networks = []\nproxies = ["127.0.0.2/32"]', 1)
    settings = settings.replace("[smtp]", '[smtp]\nxclient_from = ["127.0.0.1/32"]', 1)
    return make_office(settings=settings)


@pytest.fixture(params=["send-proxy", "send-proxy-v2"])
def fronts(request: pytest.FixtureRequest, office: Carteiro, tmp_path: Path, need_program: Any) -> Iterator[dict[str, int]]:
    """HAProxy before five listeners; return its ports."""
    need_program("haproxy")
    ports = dict(zip(FRONTS, free_ports(len(FRONTS)), strict=True))
    lines = ["global", "  maxconn 100", "defaults", "  mode tcp", "  timeout connect 5s", "  timeout client 30s", "  timeout server 30s"]
    for name, port in ports.items():
        lines += [
            f"listen {name}",
            f"  bind 127.0.0.1:{port}",
            "  source 127.0.0.2",
            f"  server one 127.0.0.1:{office.ports[name]} {request.param}",
        ]
    settings = tmp_path / "haproxy.cfg"
    settings.write_text("\n".join(lines) + "\n")
    with subprocess.Popen(["haproxy", "-db", "-f", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for port in ports.values():
                wait_until(partial(answers, port), lambda: "a port of HAProxy")
            yield ports
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_haproxy(fronts: dict[str, int], office: Carteiro) -> None:
    """SMTP, submission and IMAP inside TLS, IMAP and POP3: each session is that of the client behind HAProxy."""
    with smtplib.SMTP("127.0.0.1", fronts["smtp"], local_hostname="client.example", source_address=("127.0.0.5", 0)) as smtp:
        smtp.sendmail("friend@remote.example", ["ana@office.example"], "Subject: through HAProxy\r\n\r\nx\r\n")
    with smtplib.SMTP_SSL("127.0.0.1", fronts["submissions"], context=trusting(), source_address=("127.0.0.6", 0)) as smtp:
        smtp.login("ana", "ana-secret")
        smtp.sendmail("ana@office.example", ["eva@office.example"], "Subject: from ana\r\n\r\nx\r\n")
    for secure in (False, True):
        name = "imaps" if secure else "imap"
        imap = imaplib.IMAP4_SSL("127.0.0.1", fronts[name], ssl_context=trusting()) if secure else imaplib.IMAP4("127.0.0.1", fronts[name])
        assert "OK" == imap.login("ana", "ana-secret")[0]
        imap.logout()
    pop3 = poplib.POP3("127.0.0.1", fronts["pop3"])
    pop3.user("eva")
    assert pop3.pass_("eva-secret").startswith(b"+OK")
    pop3.quit()
    office.wait_for_mail("ana", 1)
    office.wait_for_mail("eva", 1)
    [message] = (office.data / "mail" / "ana" / "new").iterdir()
    assert b"([127.0.0.5])" in message.read_bytes()
    for client in ("client=127.0.0.5:", "client=127.0.0.6:"):
        office.wait_for_log(client)
    assert "client=127.0.0.2:" not in office.log


def test_a_program_beside_the_balancer(office: Carteiro) -> None:
    """Who connects from the balancer's address and does not say so is cut; others need no header."""
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        smtplib.SMTP("127.0.0.1", office.ports["smtp"], source_address=("127.0.0.2", 0), timeout=PATIENCE_S)
    office.wait_for_log("proxy_header_missing")
    with smtplib.SMTP("127.0.0.1", office.ports["smtp"], source_address=("127.0.0.3", 0), timeout=PATIENCE_S) as smtp:
        assert 250 == smtp.noop()[0]


def test_swaks_xclient(office: Carteiro, need_program: Any) -> None:
    """swaks says for whom it talks, and that is who has sent."""
    need_program("swaks")
    subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{office.ports['smtp']}", "--from", "friend@remote.example", "--to", "ana@office.example",
         "--xclient-addr", "203.0.113.7", "--xclient-helo", "client.example", "--xclient-proto", "ESMTP", "--ehlo", "proxy.example"],
        check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    office.wait_for_mail("ana", 1)
    [message] = (office.data / "mail" / "ana" / "new").iterdir()
    assert b"from client.example ([203.0.113.7])" in message.read_bytes().replace(b"\r\n\t", b" ").replace(b"\n\t", b" ")
    office.wait_for_log("client=203.0.113.7")
