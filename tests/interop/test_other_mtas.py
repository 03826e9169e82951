"""Postfix, Exim and OpenSMTPD take our mail and send us theirs: encrypted, 8-bit, international, with reports of what became of it."""

import re
import smtplib
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from appliance.model.envelope import Body, Envelope, EnvelopeRecipient
from appliance.protocols.smtp.client import SmtpClient
from appliance.protocols.smtp.client_events import (
    ClientNeedsData,
    ContentWanted,
    HelloReplied,
    MessageEnded,
    MessageReplied,
    ServerGreeted,
    ServerLost,
)
from tests.interop.conftest import Postfix, free_ports
from tests.interop.mtas import Exim, OpenSmtpd, make_certificate, unpacked
from tests.interop.test_office import inbox, queued, submission
from tests.interop.waiting import PATIENCE_S

pytestmark = pytest.mark.interop

PEERS = ("postfix", "exim", "opensmtpd")
SMTPUTF8 = {"postfix", "exim"}

POSTFIX = """
transport_maps = inline:{{ office.example=smtp:[127.0.0.1]:{office_port} }}
relay_domains = office.example
virtual_mailbox_maps = inline:{{ {{friend@remote.example=friend/}} {{other@remote.example=other/}} {{jörg@remote.example=jörg/}} }}
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtp_tls_security_level = may
smtputf8_enable = yes
minimal_backoff_time = 1s
queue_run_delay = 1s
"""


@pytest.fixture
def make_peer(make_postfix: Any) -> Iterator[Any]:
    """Return a maker of running servers by name, which know the way to our port."""
    stack = ExitStack()

    def make(name: str, office_port: int) -> Any:
        # Their own users must reach the directory; pytest's are private.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carteiro-mta-")))
        directory.chmod(0o755)
        peer: Any
        if name == "postfix":
            certificate, key = make_certificate(directory)
            peer = make_postfix(POSTFIX.format(office_port=office_port, certificate=certificate, key=key))
            assert isinstance(peer, Postfix)
        else:
            kind, program = (Exim, "exim4") if name == "exim" else (OpenSmtpd, "smtpd")
            peer = kind(unpacked(program), directory, free_ports(1)[0], office_port)
        stack.callback(peer.stop)
        peer.start()
        return peer

    with stack:
        yield make


@pytest.fixture
def pair(make_office: Any, make_peer: Any, request: pytest.FixtureRequest) -> Any:
    """An office and a peer that is its smart host, each the other's way out."""
    office = make_office(start=False)
    peer = make_peer(request.param, office.ports["smtp"])
    settings = office.directory / "office.toml"
    # OpenSMTPD as Debian 12 has it fails every handshake as a server; as a client it is well.
    tls = "none" if request.param == "opensmtpd" else "encrypt"
    smarthost = f'[smarthost]\nhost = "[127.0.0.1]"\nport = {peer.port}\ntls = "{tls}"\n'
    settings.write_text(settings.read_text().replace("[smtp]", f"{smarthost}[smtp]", 1))
    office.start()
    return request.param, office, peer


def delivered(peer: Any, user: str) -> list[bytes]:
    return [one if isinstance(one, bytes) else one.encode() for one in peer.delivered(user)]


def told(report: str | bytes) -> str:
    """Return a report in one spelling: xtext decoded that a server passed on as it came, white space of folding gone."""
    text = report.decode() if isinstance(report, bytes) else report
    return " ".join(text.replace("+2B", "+").replace("Original-Envelope-ID", "Original-Envelope-Id").split())


def body_of(message: bytes) -> bytes:
    return message.replace(b"\r\n", b"\n").partition(b"\n\n")[2]


def never(name: str) -> list[str]:
    """Return the wish for no report, for a client that hands all recipients over at once.

    OpenSMTPD adds what it was told of one recipient to that of the next, and refuses the sum.
    """
    return [] if name == "opensmtpd" else ["NOTIFY=NEVER"]


BODY = "Olá, äöü 你好\n.\n..a line of dots\n" + "x" * 900 + "\n" + "many lines, so that it needs several segments\n" * 5_000


def letter(sender: str, to: str, subject: str) -> bytes:
    header = f"From: {sender}\nTo: {to}\nSubject: {subject}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
    return f"{header}Content-Transfer-Encoding: 8bit\n\n{BODY}".replace("\n", "\r\n").encode()


@pytest.mark.parametrize("pair", PEERS, indirect=True)
def test_our_mail_arrives_as_it_was_written(pair: Any, wait: Any) -> None:
    """8-bit text with dots and long lines arrives over TLS; who asked for a success report gets one, who is unknown there comes back."""
    name, office, peer = pair
    with submission(office) as client:
        options = ["RET=HDRS", "ENVID=one+2B1"]
        client.mail("ana@office.example", ["BODY=8BITMIME", *options])
        assert 250 == client.rcpt("friend@remote.example", ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;friend+2Bold@remote.example"])[0]
        assert 250 == client.rcpt("other@remote.example", ["NOTIFY=NEVER"])[0]
        assert 250 == client.rcpt("nobody@remote.example", ["NOTIFY=FAILURE"])[0]
        assert 250 == client.data(letter("ana@office.example", "friend@remote.example", "both ways"))[0]
    for user in ("friend", "other"):
        wait(lambda user=user: delivered(peer, user), lambda user=user: f"mail of {user}: {office.log[-3000:]}\n{peer.log[-4000:]}")
        (message,) = delivered(peer, user)
        assert BODY.encode() == body_of(message)
    wait(lambda: len(inbox(office, "ana")) == 2, lambda: f"two reports: {inbox(office, 'ana')}\n{office.log[-3000:]}")
    failure, success = sorted(map(told, inbox(office, "ana")), key=lambda report: "nobody@remote.example" not in report)
    assert ("Action: failed" in failure, "Final-Recipient: rfc822; nobody@remote.example" in failure) == (True, True)
    assert "many lines" not in failure
    if name != "opensmtpd":  # Its reports forget both.
        assert ("friend+old@remote.example" in success, "Original-Envelope-Id: one+1" in success) == (True, True)
    assert "rfc822; nobody@remote.example" not in success
    assert "Action: delivered" in success or "Action: relayed" in success
    assert bool(re.search(r"to=<friend@.* tls=TLS", office.log)) == (name != "opensmtpd")
    wait(lambda: queued(office) == [], "an empty queue")
    if name == "exim":
        line = next(line for line in peer.log.splitlines() if " <= ana@office.example" in line)
        assert "X=TLS1.3" in line


@pytest.mark.parametrize("pair", PEERS, indirect=True)
def test_their_mail_arrives_as_it_was_written(pair: Any, wait: Any) -> None:
    """What they hand us over TLS arrives whole; their people's wish for a report is met, the unknown recipient is refused to them."""
    name, office, peer = pair
    with smtplib.SMTP("127.0.0.1", peer.port, timeout=30) as client:
        client.ehlo("program.example")
        client.mail("friend@remote.example", ["BODY=8BITMIME", "RET=HDRS", "ENVID=two"])
        assert 250 == client.rcpt("bob@office.example", ["NOTIFY=SUCCESS"])[0]
        assert 250 == client.rcpt("ana@office.example", never(name))[0]
        assert 250 == client.rcpt("nobody@office.example", ["NOTIFY=FAILURE"])[0]
        assert 250 == client.data(letter("friend@remote.example", "bob@office.example", "from there"))[0]
    for user in ("ana", "bob"):
        wait(lambda user=user: inbox(office, user), lambda: f"mail: {office.log[-3000:]}\n{peer.log[-4000:]}")
        (message,) = inbox(office, user)
        assert BODY == body_of(message.encode()).decode()
        assert "with ESMTPS" in told(message)
    wait(lambda: len(delivered(peer, "friend")) == 2, lambda: f"two reports: {delivered(peer, 'friend')}\n{office.log[-3000:]}")
    failure, success = sorted(map(told, delivered(peer, "friend")), key=lambda report: "nobody@office.example" not in report)
    assert "nobody@office.example" in failure
    assert "5.1.1" in failure
    assert ("Action: delivered" in success, "Original-Envelope-Id: two" in success, "bob@office.example" in success) == (True,) * 3
    if name == "exim":
        line = next(line for line in peer.log.splitlines() if " => " in line and "bob@office.example" in line)
        assert ("X=TLS1.3" in line, " K " in line, " L" in line) == (True, True, True), line


@pytest.mark.parametrize("pair", sorted(SMTPUTF8), indirect=True)
def test_international_addresses_cross_both_ways(pair: Any, wait: Any) -> None:
    """With SMTPUTF8 an address beyond ASCII is a recipient there and a sender here."""
    _name, office, peer = pair
    with submission(office) as client:
        client.mail("ana@office.example", ["BODY=8BITMIME", "SMTPUTF8"])
        client.command_encoding = "utf-8"
        assert 250 == client.rcpt("jörg@remote.example", ["NOTIFY=SUCCESS", "ORCPT=utf-8;j\\x{F6}rg@remote.example"])[0]
        assert 250 == client.data(letter("ana@office.example", "jörg@remote.example", "Grüße"))[0]
    wait(lambda: delivered(peer, "jörg"), lambda: f"mail: {office.log[-3000:]}\n{peer.log[-4000:]}")
    wait(lambda: inbox(office, "ana"), lambda: f"a report: {office.log[-3000:]}")
    (report,) = inbox(office, "ana")
    assert "jörg@remote.example" in report or "j\\x{F6}rg@remote.example" in report
    with smtplib.SMTP("127.0.0.1", peer.port, timeout=30) as client:
        client.ehlo("program.example")
        client.command_encoding = "utf-8"
        client.mail("jörg@remote.example", ["BODY=8BITMIME", "SMTPUTF8"])
        assert 250 == client.rcpt("bob@office.example")[0]
        assert 250 == client.data(letter("jörg@remote.example", "bob@office.example", "Grüße zurück"))[0]
    wait(lambda: inbox(office, "bob"), lambda: f"mail: {office.log[-3000:]}\n{peer.log[-4000:]}")
    (message,) = inbox(office, "bob")
    assert ("with UTF8SMTPS" in told(message), "Return-Path: <jörg@remote.example>" in told(message)) == (True, True)


@pytest.mark.parametrize("pair", ["opensmtpd"], indirect=True)
def test_an_international_address_comes_back_where_nobody_can_take_it(pair: Any, wait: Any) -> None:
    """A server without SMTPUTF8 is not given such an address: its sender is told why."""
    _name, office, _peer = pair
    with submission(office) as client:
        client.command_encoding = "utf-8"
        client.mail("ana@office.example", ["SMTPUTF8"])
        assert 250 == client.rcpt("jörg@remote.example")[0]
        assert 250 == client.data(letter("ana@office.example", "jörg@remote.example", "Grüße"))[0]
    wait(lambda: inbox(office, "ana"), lambda: f"a report: {office.log[-3000:]}")
    (report,) = inbox(office, "ana")
    assert ("Status: 5.6.7" in report, "Final-Recipient: utf-8; jörg@remote.example" in report) == (True, True), report


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_they_take_our_chunks(make_peer: Any, wait: Any, name: str) -> None:
    """By BDAT, several pieces in one go, dots and all: what is not stuffed is not stripped; a second message follows in the session."""
    peer = make_peer(name, free_ports(1)[0])
    client, told = SmtpClient("program.example"), []
    pieces = [letter("a@office.example", "friend@remote.example", "chunks")[start : start + 65_536] for start in range(0, 400_000, 65_536)]
    envelopes = [
        Envelope("a@office.example", (EnvelopeRecipient(f"{user}@remote.example"),), body=Body.EIGHT_BIT_MIME)
        for user in ("friend", "other")
    ]
    with socket.create_connection(("127.0.0.1", peer.port), timeout=PATIENCE_S) as connection:
        while not isinstance(event := client.next_event(), ServerLost):
            if isinstance(event, ClientNeedsData):
                connection.sendall(client.data_to_send())
                client.receive_data(connection.recv(65_536))
            elif isinstance(event, ServerGreeted):
                client.send_hello()
            elif isinstance(event, ContentWanted):
                for piece in pieces:
                    client.send_data_chunk(piece)
                client.finish_data()
            elif isinstance(event, HelloReplied | MessageEnded):
                assert client.capabilities.offers("CHUNKING")
                if envelopes:
                    client.send_message(envelopes.pop(0), use_bdat=True)
                else:
                    client.send_quit()
            elif isinstance(event, MessageReplied):
                told.append(event.reply.code)
    assert [250, 250] == told
    for user in ("friend", "other"):
        wait(lambda user=user: delivered(peer, user), lambda: f"mail: {peer.log[-4000:]}")
        assert BODY.encode() == body_of(delivered(peer, user)[0])
