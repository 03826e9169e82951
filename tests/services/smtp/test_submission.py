"""Submission: logins, senders, completed headers."""

import base64
from typing import Any

import pytest

from appliance.model.errors import UnavailableError
from appliance.net.tls import server_end_point
from appliance.protocols.sasl.scram import ScramClient

PASSWORD = "correct horse"


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def plain(login: str = "ana", password: str = PASSWORD, authzid: str = "") -> str:
    return encode(f"{authzid}\0{login}\0{password}".encode())


async def test_login_is_required_and_needs_tls(make_house: Any) -> None:
    """Without a login no mail, without TLS no login."""
    house = make_house("submission")
    async with house.talk() as talk:
        assert "AUTH" not in await talk.start()
        assert (await talk.ask("MAIL FROM:<ana@example.com>")).startswith("530 5.7.0")
        assert (await talk.ask(f"AUTH PLAIN {plain()}")).startswith("538 ")
        assert "AUTH SCRAM-SHA-256 PLAIN LOGIN" in await talk.start_tls()
        assert (await talk.ask(f"AUTH PLAIN {plain()}")).startswith("235 2.7.0")
        assert (await talk.mail("x@elsewhere.example", sender="ana@example.com")).startswith("250 ")
        await talk.ask("QUIT")
    ((envelope, content),) = house.intake.accepted
    assert ("ana", "ESMTPSA") == (envelope.client.account, envelope.client.protocol)
    assert b"with ESMTPSA id Q1" in content.replace(b"\r\n\t", b" ")
    assert b"\r\nDate: " in content
    assert b"\r\nMessage-ID: <Q1.1700000000@mail.example.com>\r\n" in content
    (queued,) = house.logged("message_queued")
    assert "<Q1.1700000000@mail.example.com>" == queued["message_id"]
    (login,) = house.logged("auth_finished")
    assert ("ana", "PLAIN", "ok") == (login["user"], login["mechanism"], login["status"])
    (finished,) = house.logged("session_finished")
    assert ("submission", "ana") == (finished["service"], finished["user"])


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "unix"])
async def test_this_machine_may_log_in_without_tls(make_house: Any, peer: str) -> None:
    """Nobody listens on the loopback."""
    house = make_house("submission")
    async with house.talk(peer) as talk:
        assert "AUTH" in await talk.start()
        assert (await talk.ask(f"AUTH PLAIN {plain()}")).startswith("235 ")


async def test_plain_after_a_challenge_and_login(make_house: Any) -> None:
    """The other ways in: PLAIN without initial response, and LOGIN."""
    house = make_house("submission")
    for lines in (("AUTH PLAIN", plain()), ("AUTH LOGIN", encode(b"ana"), encode(PASSWORD.encode()))):
        async with house.talk("127.0.0.1") as talk:
            await talk.start()
            replies = [await talk.ask(line) for line in lines]
            assert ["334"] * (len(lines) - 1) + ["235"] == [reply[:3] for reply in replies]


@pytest.mark.parametrize(
    ("line", "reply", "reason"),
    [
        (f"AUTH PLAIN {plain(password='wrong')}", "535 5.7.8", "wrong name or password"),
        (f"AUTH PLAIN {plain(authzid='bob')}", "535 5.7.8", "wants to act as somebody else"),
        (f"AUTH PLAIN {encode(b'ana')}", "501 5.5.2", "not three parts"),
        ("AUTH PLAIN %%%", "501 5.5.2", None),
        ("AUTH CRAM-MD5", "504 5.5.4", None),
    ],
)
async def test_failed_logins(make_house: Any, line: str, reply: str, reason: str | None) -> None:
    """Each failure is told apart in the log and leaves the client logged out."""
    house = make_house("submission")
    async with house.talk("127.0.0.1") as talk:
        await talk.start()
        assert (await talk.ask(line)).startswith(reply)
        assert (await talk.ask("MAIL FROM:<ana@example.com>")).startswith("530 ")
    assert [reason] * (reason is not None) == [login["reason"] for login in house.logged("auth_finished")]


async def test_a_cancelled_login(make_house: Any) -> None:
    """A client may give up; the session goes on."""
    house = make_house("submission")
    async with house.talk("127.0.0.1") as talk:
        await talk.start()
        await talk.ask("AUTH LOGIN")
        assert (await talk.ask("*")).startswith("501 ")
        assert (await talk.ask("NOOP")).startswith("250 ")
    assert ["cancelled"] == [login["reason"] for login in house.logged("auth_finished")]


async def test_logins_that_cannot_be_checked(make_house: Any) -> None:
    """A failure of ours is no wrong password."""
    house = make_house("submission")
    house.authenticator.error = UnavailableError("database locked")
    async with house.talk("127.0.0.1") as talk:
        await talk.start()
        assert (await talk.ask(f"AUTH PLAIN {plain()}")).startswith("454 4.7.0")


async def scram(talk: Any, client: ScramClient) -> str:
    """Run a SCRAM exchange from the client's side; return the last reply."""
    reply: str = await talk.ask(f"AUTH {client.name} {encode(client.initial_response() or b'')}")
    while reply.startswith("334 "):
        answer = client.respond(base64.b64decode(reply[4:]))
        reply = await talk.ask("*" if answer is None else encode(answer))
    return reply


async def test_scram(make_house: Any) -> None:
    """The password never crosses, and the server proves itself."""
    house = make_house("submission")
    async with house.talk() as talk:
        await talk.start()
        await talk.start_tls()
        client = ScramClient("ana", PASSWORD, "client-nonce-client-nonce")
        assert (await scram(talk, client)).startswith("235 ")
        assert client.is_complete
    async with house.talk("127.0.0.1") as talk:
        await talk.start()
        assert (await scram(talk, ScramClient("ana", "wrong", "client-nonce-client-nonce"))).startswith("535 ")
    assert ["ok", "failed"] == [login["status"] for login in house.logged("auth_finished")]


async def test_scram_plus(make_house: Any) -> None:
    """Bound to the certificate, a login cannot be passed on by a server in the middle."""
    house = make_house("submission")
    known = server_end_point(house.certificate)
    for right in (True, False):
        house.channel_binding = (lambda: known) if right else (lambda: b"of another certificate")
        async with house.talk() as talk:
            await talk.start()
            assert "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256" in await talk.start_tls()
            binding = server_end_point(talk.connection.tls_peer_certificate())
            client = ScramClient(
                "ana", PASSWORD, "client-nonce-client-nonce", channel_binding=("tls-server-end-point", binding), server_offers_plus=True
            )
            assert ("235 " if right else "501 ") == (await scram(talk, client))[:4]


@pytest.mark.parametrize(
    ("sender", "reply"),
    [
        ("ana@example.com", "250 "),
        ("Ana+list@example.org", "250 "),
        ("", "250 "),
        ("ana", "250 "),
        ("bob@example.com", "553 5.7.1"),
        ("x@far.example", "553 "),
    ],
)
async def test_senders(make_house: Any, sender: str, reply: str) -> None:
    """A login sends as its own addresses and as nobody."""
    house = make_house("submission")
    async with house.talk("127.0.0.1") as talk:
        await talk.start()
        await talk.ask(f"AUTH PLAIN {plain()}")
        assert (await talk.ask(f"MAIL FROM:<{sender}>")).startswith(reply)
    assert (reply[0] == "5") == bool(house.logged("message_refused"))


async def test_no_logins_on_port_25(make_house: Any) -> None:
    """Where other servers come in passwords are not even tried."""
    house = make_house("mx")
    async with house.talk() as talk:
        await talk.start()
        assert "AUTH" not in await talk.start_tls()
        assert (await talk.ask(f"AUTH PLAIN {plain()}")).startswith("502 ")


async def test_starttls_forgets_the_login(make_house: Any) -> None:
    """What was learnt in the clear does not count under TLS (RFC 3207 section 4.2)."""
    house = make_house("submission")
    async with house.talk("127.0.0.1") as talk:
        await talk.start()
        await talk.ask(f"AUTH PLAIN {plain()}")
        await talk.start_tls()
        assert (await talk.ask("MAIL FROM:<ana@example.com>")).startswith("530 ")


async def test_the_catcher_takes_everything(make_house: Any) -> None:
    """Any client, any recipient, with and without login, without TLS, and without waiting for replies."""
    house = make_house("catcher")
    async with house.talk() as talk:
        await talk.send(
            "EHLO script", "MAIL FROM:<x>", "RCPT TO:<anybody@anywhere.example>", "RCPT TO:<ana@example.com>", "DATA", b"hi\r\n.\r\n"
        )
        replies = [await talk.reply() for _ in range(7)]
        assert ["220", "250", "250", "250", "250", "354", "250"] == [reply[:3] for reply in replies]
        assert "AUTH PLAIN LOGIN" in replies[1]
        assert (await talk.ask(f"AUTH PLAIN {plain()}")).startswith("235 ")
    ((envelope, _),) = house.intake.accepted
    assert ["anybody@anywhere.example", "ana@example.com"] == [recipient.address for recipient in envelope.recipients]


async def test_lmtp(make_house: Any) -> None:
    """One reply per recipient after the content, only for what is ours."""
    house = make_house("lmtp")
    async with house.talk("unix") as talk:
        assert (await talk.reply()).startswith("220 mail.example.com LMTP")
        assert (await talk.ask("EHLO mta.example")).startswith("500 ")
        assert (await talk.ask("LHLO mta.example")).startswith("250-")
        await talk.send(
            "MAIL FROM:<a@far.example>",
            *(f"RCPT TO:<{name}>" for name in ("ana@example.com", "nobody@example.com", "x@far.example", "team@example.com")),
            "DATA",
        )
        assert ["250", "250", "550", "550", "250", "354"] == [(await talk.reply())[:3] for _ in range(6)]
        await talk.send(b"hi\r\n.\r\n")
        assert ["250 2.0.0 Ok: queued as Q1"] * 2 == [await talk.reply() for _ in range(2)]
        assert (await talk.ask("NOOP")).startswith("250 ")
    ((envelope, content),) = house.intake.accepted
    assert "LMTP" == envelope.client.protocol
    assert content.startswith(b"Received: from mta.example ([127.0.0.1])")
    assert b"Message-ID" not in content


async def test_lmtp_that_fails(make_house: Any) -> None:
    """The whole message failed, so every recipient hears so."""
    house = make_house("lmtp")
    house.intake.accept_error = UnavailableError()
    async with house.talk("unix") as talk:
        await talk.reply()
        await talk.ask("LHLO mta.example")
        for command in ("MAIL FROM:<a@far.example>", "RCPT TO:<ana@example.com>", "RCPT TO:<bob@example.com>", "DATA"):
            await talk.ask(command)
        await talk.send(b"hi\r\n.\r\n")
        assert ["451 4.3.0"] * 2 == [(await talk.reply())[:9] for _ in range(2)]


async def test_mail_may_be_sent_later(make_house: Any) -> None:
    """The offer says how far ahead; the moment is the envelope's; farther is refused, what has passed is at once (RFC 4865)."""
    house = make_house("submission")
    async with house.talk("127.0.0.1") as talk:
        assert "FUTURERELEASE 2592000 2023-12-14T00:00:00Z" in await talk.start()
        await talk.ask(f"AUTH PLAIN {plain()}")
        assert (await talk.ask("MAIL FROM:<ana@example.com> HOLDUNTIL=2024-11-14T00:00:00Z")).startswith("501 5.5.4")
        for wish in ("HOLDFOR=600", "HOLDUNTIL=2023-11-15T00:00:00Z", "HOLDUNTIL=2023-11-01T00:00:00Z", "HOLDFOR=0"):
            assert (await talk.ask(f"MAIL FROM:<ana@example.com> {wish}")).startswith("250 ")
            assert (await talk.ask("RCPT TO:<x@elsewhere.example>")).startswith("250 ")
            assert (await talk.ask("DATA")).startswith("354 ")
            assert (await talk.ask("Subject: x\r\n\r\n.")).startswith("250 ")
    assert [1_700_000_600.0, 1_700_006_400.0, 0.0, 0.0] == [envelope.release_at_s for envelope, _content in house.intake.accepted]


async def test_other_servers_send_nothing_later(make_house: Any) -> None:
    """Only our own people may have the queue keep their mail."""
    async with make_house("mx").talk() as talk:
        assert "FUTURERELEASE" not in await talk.start()
        assert (await talk.ask("MAIL FROM:<a@b.example> HOLDFOR=600")).startswith("555 ")
