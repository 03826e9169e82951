"""POP3 sessions over memory streams: maildrop, locks, logins, endings."""

import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from appliance.config.schema import Pop3Config
from appliance.model.errors import OutOfSpaceError, UnavailableError
from appliance.protocols.sasl.scram import ScramClient
from appliance.services.pop3 import service

Make = Callable[..., Any]
MESSAGES = [b"Subject: one\r\n\r\nfirst\r\n.dot\r\n", b"Subject: two\r\n\r\nsecond\r\n", b"Subject: three\r\n\r\n1\r\n2\r\n3\r\n"]


async def test_whole_session(make_house: Make) -> None:
    """Log in, look, fetch, delete, quit: deletions happen at QUIT in one call."""
    house = make_house(MESSAGES)
    async with house.session() as client:
        assert b"+OK mail.example Carteiro POP3 ready" == await client.line()
        assert b"+OK Password?" == await client.ask(b"USER ana")
        assert b"+OK Logged in, 3 messages" == await client.ask(b"PASS secret")
        assert b"+OK 3 %d" % sum(map(len, MESSAGES)) == await client.ask(b"STAT")
        assert b"+OK" == await client.ask(b"LIST")
        assert b"1 29\r\n2 24\r\n3 27\r\n" == await client.body()
        assert b"+OK 2 24" == await client.ask(b"LIST 2")
        assert b"+OK 3 000000650000000c" == await client.ask(b"UIDL 3")
        assert b"+OK 29 octets" == await client.ask(b"RETR 1")
        assert MESSAGES[0] == await client.body()
        assert (await client.ask(b"TOP 3 1")).startswith(b"+OK")
        assert b"Subject: three\r\n\r\n1\r\n" == await client.body()
        assert b"+OK Marked to be deleted" == await client.ask(b"DELE 2")
        assert b"-ERR No such message" == await client.ask(b"RETR 2")
        assert b"-ERR No such message" == await client.ask(b"DELE 2")
        assert b"+OK 2 56" == await client.ask(b"STAT")
        assert [] == house.mailbox.expunged
        assert b"+OK Bye, 1 deleted" == await client.ask(b"QUIT")
        assert b"" == await client.line()
    assert [11] == house.mailbox.expunged
    (told,) = [fields for event, fields in house.logged if event == "messages_expunged"]
    assert ("ana", "pop3", "INBOX", 1, "Q11") == tuple(told[name] for name in ("user", "service", "mailbox", "messages", "queue_ids"))
    event, fields = house.logged[-1]
    assert ("session_finished", "pop3", "ana", "quit", 1) == (
        event,
        fields["service"],
        fields["user"],
        fields["reason"],
        fields["messages"],
    )


async def test_lost_connection_deletes_nothing(make_house: Make) -> None:
    """Without QUIT there is no UPDATE (RFC 1939 section 6), and the lock is given back."""
    house = make_house(MESSAGES)
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"DELE 1")
    assert [] == house.mailbox.expunged
    assert "lost" == house.logged[-1][1]["reason"]
    async with house.session() as client:
        await client.log_in()


async def test_rset_takes_deletions_back(make_house: Make) -> None:
    """RSET unmarks; QUIT then deletes nothing."""
    house = make_house(MESSAGES)
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"DELE 1")
        assert b"+OK" == await client.ask(b"RSET")
        assert b"+OK Bye" == await client.ask(b"QUIT")
    assert [] == house.mailbox.expunged


async def test_one_session_per_maildrop(make_house: Make) -> None:
    """A second login gets [IN-USE], another account does not, and after QUIT the next one may."""
    house = make_house(MESSAGES)
    async with house.session() as first, house.session() as second, house.session() as other:
        await first.log_in()
        await other.log_in(b"bob")
        await second.line()
        await second.ask(b"USER ana")
        assert (await second.ask(b"PASS secret")).startswith(b"-ERR [IN-USE] ")
        await first.ask(b"QUIT")
        await second.ask(b"USER ana")
        assert (await second.ask(b"PASS secret")).startswith(b"+OK")


async def test_view_is_frozen_at_login(make_house: Make) -> None:
    """What arrives later is not seen, what goes is answered -ERR; numbers never move."""
    house = make_house(MESSAGES)
    async with house.session() as client:
        await client.log_in()
        house.mailbox.messages[99] = b"new\r\n"
        del house.mailbox.messages[10]
        assert (await client.ask(b"STAT")).startswith(b"+OK 3 ")
        assert (await client.ask(b"RETR 1")).startswith(b"-ERR Message 1 is gone")
        assert (await client.ask(b"RETR 2")).startswith(b"+OK")
        assert MESSAGES[1] == await client.body()


async def test_pipelined_session_is_answered_in_order(make_house: Make) -> None:
    """A whole session in one segment (RFC 2449 section 6.8)."""
    house = make_house(MESSAGES)
    async with house.session() as client:
        await client.send(b"USER ana", b"PASS secret", b"STAT", b"RETR 2", b"UIDL 2", b"NOOP", b"DELE 1", b"QUIT")
        for expected in (b"+OK mail", b"+OK Pass", b"+OK Logged", b"+OK 3", b"+OK 24"):
            assert (await client.line()).startswith(expected)
        assert MESSAGES[1] == await client.body()
        for expected in (b"+OK 2 0", b"+OK", b"+OK Marked", b"+OK Bye"):
            assert (await client.line()).startswith(expected)
    assert [10] == house.mailbox.expunged


async def test_messages_are_read_ahead_in_order(make_house: Make) -> None:
    """In-order RETR opens each message once; going back opens only the one asked for."""
    house = make_house([b"A: %d\r\n\r\nx\r\n" % number for number in range(100)])
    async with house.session() as client:
        await client.log_in()
        for number in range(1, 101):
            await client.ask(b"RETR %d" % number)
            assert b"A: %d\r\n\r\nx\r\n" % (number - 1) == await client.body()
        assert list(range(10, 110)) == house.mailbox.opened
        house.mailbox.opened.clear()
        await client.ask(b"RETR 5")
        await client.body()
        assert [14] == house.mailbox.opened


@pytest.mark.parametrize("size", [131_071, 131_072, 131_073, 700_000])
async def test_large_messages_are_sent_in_pieces(make_house: Make, size: int) -> None:
    """Whatever the chunk borders, the message arrives as it is, and TOP of it is cut right."""
    message = (b"Subject: big\r\n\r\n" + b".line\r\n..\r\n" * (size // 11 + 1))[:size]
    house = make_house([message, MESSAGES[1]])
    ended = message if message.endswith(b"\r\n") else message.rstrip(b"\r") + b"\r\n"
    async with house.session() as client:
        await client.log_in()
        assert (await client.ask(b"RETR 1")).startswith(b"+OK")
        body = await client.body()
        assert ended == body or body == message + b"\r\n"
        await client.ask(b"TOP 1 10000")
        assert message[: message.index(b".line") + 11 * 5000].startswith(await client.body()) or size < 60_000
        assert (await client.ask(b"RETR 2")).startswith(b"+OK 24")
        assert MESSAGES[1] == await client.body()


async def test_passwords_are_refused_in_the_clear(make_house: Make) -> None:
    """From elsewhere, without TLS, no login is taken, and the reply says what to do."""
    house = make_house(MESSAGES)
    async with house.session("192.0.2.7") as client:
        await client.line()
        for line in (b"USER ana", b"AUTH PLAIN AGFuYQBzZWNyZXQ=", b"AUTH SCRAM-SHA-256"):
            assert b"-ERR [AUTH] Passwords are taken over TLS only" in await client.ask(line)


async def test_stls(make_house: Make) -> None:
    """TLS half-way, then a login; the log tells the version, CAPA offers -PLUS now."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mail.example").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    house = make_house(MESSAGES, tls=server_context, binding=b"hash")
    async with house.session("192.0.2.7") as client:
        await client.line()
        await client.ask(b"CAPA")
        assert b"STLS" in await client.body()
        assert b"+OK Begin TLS negotiation" == await client.ask(b"STLS")
        client.stream = trio.SSLStream(client.stream, client_context, server_hostname="mail.example")
        await client.ask(b"CAPA")
        assert b"SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in await client.body()
        await client.ask(b"USER ana")
        assert (await client.ask(b"PASS secret")).startswith(b"+OK")
        await client.ask(b"QUIT")
    assert str(house.logged[-1][1]["tls"]).startswith("TLSv1.")


async def test_sasl_plain_and_login(make_house: Make) -> None:
    """Initial response, challenge and response, and a refused authzid."""
    house = make_house(MESSAGES)
    async with house.session() as client:
        await client.line()
        assert b"+ " == await client.ask(b"AUTH PLAIN")
        assert (await client.ask(b"YWRtaW4AYW5hAHNlY3JldA==")).startswith(b"-ERR [AUTH] ")
        assert (await client.ask(b"AUTH PLAIN AGFuYQBzZWNyZXQ=")).startswith(b"+OK Logged in")
        await client.ask(b"QUIT")
    assert ["failed", "ok"] == [fields["status"] for event, fields in house.logged if event == "auth_finished"]
    async with house.session() as client:
        await client.line()
        assert b"+ VXNlcm5hbWU6" == await client.ask(b"AUTH LOGIN")
        assert b"+ UGFzc3dvcmQ6" == await client.ask(b"YW5h")
        assert (await client.ask(b"c2VjcmV0")).startswith(b"+OK Logged in")


@pytest.mark.parametrize("password", ["secret", "wrong"])
async def test_sasl_scram(make_house: Make, password: str) -> None:
    """The password never crosses; the server proves itself before +OK (RFC 5802)."""
    import base64

    house = make_house(MESSAGES)
    scram = ScramClient("ana", password, "clientnonce12345678")
    async with house.session() as client:
        await client.line()
        first = scram.initial_response()
        assert first is not None
        reply = await client.ask(b"AUTH SCRAM-SHA-256 " + base64.b64encode(first))
        while reply.startswith(b"+ "):
            response = scram.respond(base64.b64decode(reply[2:]))
            assert response is not None
            reply = await client.ask(base64.b64encode(response))
        assert reply.startswith(b"+OK" if password == "secret" else b"-ERR [AUTH]")
        assert (password == "secret") == scram.is_complete


async def test_store_troubles_are_told_in_words(make_house: Make) -> None:
    """Temporary ones say [SYS/TEMP]; the lock is free again after a failed open."""
    house = make_house(MESSAGES)
    house.stores.broken = UnavailableError("disk asleep")
    async with house.session() as client:
        await client.line()
        await client.ask(b"USER ana")
        assert b"-ERR [SYS/TEMP] Temporarily unavailable, try again later" == await client.ask(b"PASS secret")
        house.stores.broken = None
        await client.ask(b"USER ana")
        assert (await client.ask(b"PASS secret")).startswith(b"+OK")
        house.mailbox.broken = OutOfSpaceError("no inode")
        assert (await client.ask(b"STAT")).startswith(b"-ERR [SYS/TEMP] ")
        await client.ask(b"DELE 1")
        assert b"-ERR [SYS/TEMP] Some deleted messages were not removed" == await client.ask(b"QUIT")
    assert {"maildrop_unavailable", "expunge_failed"} <= {event for event, _ in house.logged}


async def test_autologout_is_silent_and_never_sooner_than_ten_minutes(make_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """RFC 1939 section 3: at least 10 minutes, no reply, nothing deleted."""
    house = make_house(MESSAGES, settings=Pop3Config(idle_timeout_s=5))
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"DELE 1")
        await trio.sleep(500)
        await client.ask(b"NOOP")
        start = trio.current_time()
        assert b"" == await client.line()
        assert 600 <= trio.current_time() - start <= 601
    assert [] == house.mailbox.expunged
    assert "timeout" == house.logged[-1][1]["reason"]


async def test_login_takes_no_longer_than_allowed(make_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """Commands before login do not stretch the login time."""
    house = make_house(MESSAGES)
    async with house.session() as client:
        await client.line()
        for _ in range(5):
            await trio.sleep(10)
            await client.ask(b"CAPA")
            await client.body()
        assert b"" == await client.line()
        assert 60 == trio.current_time()


async def test_shutdown_tells_idle_sessions(make_house: Make) -> None:
    """A drained session hears why, deletes nothing, and ends."""
    house = make_house(MESSAGES)
    async with house.session() as client:
        await client.log_in()
        await trio.testing.wait_all_tasks_blocked()
        client.connection.drain()
        assert (await client.line()).startswith(b"-ERR [SYS/TEMP] Server is shutting down")
        assert b"" == await client.line()
    assert "shutdown" == house.logged[-1][1]["reason"]


async def test_too_many_bad_commands(make_house: Make) -> None:
    """The session is ended with a word."""
    house = make_house(MESSAGES, settings=Pop3Config(max_bad_commands=2))
    async with house.session() as client:
        await client.line()
        await client.ask(b"X")
        assert b"-ERR Too many bad commands" == await client.ask(b"X")
        assert b"" == await client.line()
    assert "too many bad commands" == house.logged[-1][1]["reason"]


async def test_utf8_decides_what_is_sent(make_house: Make) -> None:
    """As it is after UTF8, with an ASCII header without."""
    house = make_house(["Subject: olá\r\n\r\nolá\r\n".encode()])
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"RETR 1")
        assert b"Subject: =?utf-8?q?ol=C3=A1?=\r\n\r\nol\xc3\xa1\r\n" == await client.body()
    async with house.session() as client:
        await client.line()
        await client.ask(b"UTF8")
        await client.ask(b"USER ana")
        await client.ask(b"PASS secret")
        await client.ask(b"RETR 1")
        assert "Subject: olá\r\n\r\nolá\r\n".encode() == await client.body()


async def test_large_maildrop_lists_whole(make_house: Make) -> None:
    """LIST and UIDL of 10,000 messages come whole, in order."""
    house = make_house([b"x\r\n"] * 10_000)
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"LIST")
        assert b"".join(b"%d 3\r\n" % number for number in range(1, 10_001)) == await client.body()
        await client.ask(b"UIDL")
        assert 10_000 == (await client.body()).count(b"\r\n")


async def test_a_session_is_loaded_at_the_first_words(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only reads the greeting costs nothing, and hears of the shutdown as others do."""
    loaded: list[str] = []
    load = service._load_session

    def watch() -> Any:
        loaded.append("session")
        return load()

    monkeypatch.setattr(service, "_load_session", watch)
    house = make_house(MESSAGES)
    async with house.session() as client:
        assert b"+OK mail.example Carteiro POP3 ready" == await client.line()
        await trio.testing.wait_all_tasks_blocked()
        client.connection.drain()
        assert (await client.line()).startswith(b"-ERR [SYS/TEMP] Server is shutting down")
    assert ("shutdown", 0, []) == (house.logged[-1][1]["reason"], house.logged[-1][1]["commands"], loaded)
    for _ in range(2):
        async with house.session() as client:
            await client.log_in()
    assert ["session"] == loaded
