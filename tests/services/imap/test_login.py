"""Logins that lead somewhere else, and the way out again."""

import base64
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
import trio.testing
import trustme

from appliance.config.schema import ImapConfig
from appliance.model.ids import AccountName
from appliance.net.tls import server_context
from appliance.protocols.sasl.scram import ScramClient

House = Any
Make = Callable[..., House]


async def test_channel_binding(make_house: Make) -> None:
    """SCRAM-SHA-256-PLUS inside TLS only, with the certificate's fingerprint."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("mail.example").configure_cert(server)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with make_house(tls=server).session() as client:
        assert b"-PLUS" not in await client.line()
        assert [b"NO [CANNOT] This mechanism is not offered"] == await client.ask(b"AUTHENTICATE SCRAM-SHA-256-PLUS")
        await client.ask(b"STARTTLS")
        client.stream = trio.SSLStream(client.stream, context, server_hostname="mail.example")
        await client.stream.do_handshake()
        for binding, answer in ((b"another", b"NO [AUTHENTICATIONFAILED]"), (b"end point", b"OK ")):
            mechanism = ScramClient("ana", "secret", "nonce", channel_binding=("tls-server-end-point", binding), server_offers_plus=True)
            assert "SCRAM-SHA-256-PLUS" == mechanism.name
            first = mechanism.initial_response()
            assert first is not None
            await client.send(b"a AUTHENTICATE SCRAM-SHA-256-PLUS " + base64.b64encode(first) + b"\r\n")
            while (line := await client.line()).startswith(b"+ "):
                proof = mechanism.respond(base64.b64decode(line[2:]))
                assert proof is not None
                await client.send(base64.b64encode(proof) + b"\r\n")
            assert line.startswith(b"a " + answer), line


async def test_unauthenticate(make_house: Make, plain: bytes) -> None:
    """Mailbox, account and what was enabled are gone; nothing is expunged, and another may log in, pipelined."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b"STORE 1 +FLAGS.SILENT (\\Deleted)")
        await client.send(b"a UNAUTHENTICATE\r\nb AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=\r\nc FETCH 1 UID\r\n")
        assert b"a OK Logged out, you may log in again" == await client.line()
        assert (await client.line()).startswith(b"b OK [CAPABILITY")
        assert b"c BAD FETCH is not possible now: no mailbox is selected" == await client.line()
        await client.ask(b"UNAUTHENTICATE")
        assert [b"BAD UNAUTHENTICATE is not possible now: log in first"] == await client.ask(b"UNAUTHENTICATE")
    assert 1 == len(house.inbox.records)
    assert [] == house.feed.subscriptions


async def test_the_login_clock_runs_again(make_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """Who logs out without logging in is a stranger."""
    async with make_house(settings=ImapConfig(login_timeout_s=60)).session() as client:
        await client.log_in()
        await client.ask(b"UNAUTHENTICATE")
        start_s = trio.current_time()
        assert b"* BYE Nothing heard for too long" == await client.line()
        assert 60 == round(trio.current_time() - start_s)


async def test_sessions_of_one_user_are_limited(make_house: Make) -> None:
    """The limit is told; it counts users, not connections, and what ends counts no more."""
    house = make_house(settings=ImapConfig(max_connections_per_user=2))
    async with house.session() as one, house.session() as two:
        await one.log_in()
        async with house.session() as three:
            await three.log_in()
            await two.line()
            assert [b"NO [LIMIT] This user has 2 connections already: close one"] == await two.ask(b"LOGIN ana secret")
            assert (await two.ask(b"LOGIN bob secret"))[-1].startswith(b"OK ")
            await two.ask(b"UNAUTHENTICATE")
        await trio.testing.wait_all_tasks_blocked()
        assert (await two.ask(b"LOGIN ana secret"))[-1].startswith(b"OK ")


async def test_the_program_is_logged_once(make_house: Make) -> None:
    """Name and version of the mail program, bounded; nothing about its user."""
    house = make_house()
    async with house.session() as client:
        await client.line()
        command = b'ID ("name" "Mutt\xc3\xa9" "VERSION" "%b" "support-url" "ana@example.org" "os" NIL)' % (b"9" * 100)
        for _ in range(2):
            assert [b'* ID ("name" "Carteiro")', b"OK ID completed"] == await client.ask(command)
    told = [fields for event, fields in house.logged if event == "imap_client"]
    assert [("Mutt?", "9" * 40 + "...")] == [(fields["client_name"], fields["client_version"]) for fields in told]
    assert "ana@example.org" not in str(told)


async def test_access_tokens(make_house: Make) -> None:
    """Good ones open the account of their user; a failure is told in two steps."""

    async def check(token: str, wanted: str, client: str) -> tuple[AccountName | None, str]:
        await trio.lowlevel.checkpoint()
        return (AccountName("ana"), "") if (token, wanted) in {("good", ""), ("good", "ana@example.org")} else (None, "token: expired")

    def message(token: str, wanted: str = "") -> bytes:
        return base64.b64encode(f"n,{wanted},\x01host=x\x01auth=Bearer {token}\x01\x01".encode())

    house = make_house(check_token=check)
    async with house.session() as client:
        assert b"AUTH=OAUTHBEARER" in await client.line()
        for data, code in ((message("bad"), b"EXPIRED"), (b"eA==", b"AUTHENTICATIONFAILED")):
            await client.send(b"a AUTHENTICATE OAUTHBEARER " + data + b"\r\n")
            assert b"+ " + base64.b64encode(b'{"status":"invalid_token"}') == await client.line()
            await client.send(b"AQ==\r\n")
            assert (await client.line()).startswith(b"a NO [" + code + b"] ")
        await client.send(b"b AUTHENTICATE OAUTHBEARER\r\n")
        assert b"+ " == await client.line()
        await client.send(message("good", "a=ana@example.org") + b"\r\n")
        assert (await client.line()).startswith(b"b OK [CAPABILITY")
    assert ["token: expired", "malformed OAUTHBEARER message", ""] == [f["reason"] for e, f in house.logged if e == "auth_finished"]
    async with make_house().session() as client:
        assert b"OAUTHBEARER" not in await client.line()
        assert [b"NO [CANNOT] This mechanism is not offered"] == await client.ask(b"AUTHENTICATE OAUTHBEARER " + message("good"))


async def test_client_certificates(make_house: Make, tmp_path: Path) -> None:
    """EXTERNAL inside TLS, for whom the certificate names; one of another authority ends the handshake."""
    authority, stranger = trustme.CA(), trustme.CA()
    server = authority.issue_cert("mail.example")
    for number, blob in enumerate((server.cert_chain_pems[0], server.private_key_pem, authority.cert_pem)):
        blob.write_to_path(tmp_path / str(number))
    settings = server_context(str(tmp_path / "0"), str(tmp_path / "1"), str(tmp_path / "2"))

    def account(names: Sequence[str], wanted: str) -> AccountName | None:
        return AccountName("ana") if names[0] == "ana@example.org" and wanted in {"", "ana"} else None

    async def converse(issuer: trustme.CA | None, house: House, ask: Callable[[Any], Awaitable[None]]) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if issuer is not None:
            issuer.issue_cert("ana@example.org", common_name="Ana").configure_cert(context)
        async with house.session() as client:
            assert b"EXTERNAL" not in await client.line()
            await client.ask(b"STARTTLS")
            client.stream = trio.SSLStream(client.stream, context, server_hostname="mail.example")
            await client.stream.do_handshake()
            await ask(client)

    async def with_certificate(client: Any) -> None:
        assert (await client.ask(b"CAPABILITY"))[0].split()[2:].count(b"AUTH=EXTERNAL") == 1
        assert (await client.ask(b"AUTHENTICATE EXTERNAL Ym9i"))[0].startswith(b"NO [AUTHENTICATIONFAILED]")
        assert (await client.ask(b"AUTHENTICATE EXTERNAL /w=="))[0].startswith(b"NO [AUTHENTICATIONFAILED]")
        assert (await client.ask(b"AUTHENTICATE EXTERNAL ="))[0].startswith(b"OK [CAPABILITY")
        await client.ask(b"UNAUTHENTICATE")
        await client.send(b"a AUTHENTICATE EXTERNAL\r\n")
        assert b"+ " == await client.line()
        await client.send(b"YW5h\r\n")
        assert (await client.line()).startswith(b"a OK [CAPABILITY")

    async def without(client: Any) -> None:
        assert [b"NO [CANNOT] This mechanism is not offered"] == await client.ask(b"AUTHENTICATE EXTERNAL =")

    async def unseen(client: Any) -> None:
        # TLS 1.3 tells a client only with the first answer that its certificate was refused.
        with suppress(trio.BrokenResourceError):
            assert b"" == await client.line()

    house = make_house(tls=settings, account_of_names=account)
    await converse(authority, house, with_certificate)
    await converse(None, house, without)
    await converse(stranger, house, unseen)
    reasons = [fields["reason"] for event, fields in house.logged if event == "auth_finished"]
    assert ["the certificate of ana@example.org Ana", "malformed EXTERNAL message", "", ""] == reasons
