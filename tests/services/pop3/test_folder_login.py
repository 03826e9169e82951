"""Logins that say more than a name: another mailbox, and logins that come too fast."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
import trio

from appliance.config.schema import Pop3Config
from appliance.protocols.sasl.scram import ScramClient
from appliance.services.pop3.login import split_login

Make = Callable[..., Any]
MESSAGES = [b"Subject: one\r\n\r\nfirst\r\n"]
SENT = [b"Subject: mine\r\n\r\nsent\r\n", b"Subject: mine too\r\n\r\nsent\r\n"]


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("ana", ("ana", "")),
        ("ana@example.com", ("ana@example.com", "")),
        ("ana+Sent", ("ana", "Sent")),
        ("ana+Lists/a+b", ("ana", "Lists/a+b")),
        ("ana@example.com+Sent", ("ana@example.com", "Sent")),
        ("ana@example.com+me@work", ("ana@example.com", "me@work")),
        ("ana+Sent@example.com", ("ana@example.com", "Sent")),
        ("ana+", ("ana", "")),
        ("+Sent", ("", "Sent")),
    ],
)
def test_split_login(login: str, expected: tuple[str, str]) -> None:
    """The mailbox stands behind the first separator, before or after the domain."""
    assert expected == split_login(login, "+")
    assert (login, "") == split_login(login, "")


@pytest.fixture
def make(make_house: Make) -> Make:
    """Houses with a Sent mailbox, and two that differ by case only."""

    def make(**options: object) -> Any:
        house = make_house(MESSAGES, **options)
        house.stores.others = {name: type(house.mailbox)(dict(enumerate(SENT, 5))) for name in ("Sent", "twin", "Twin")}
        return house

    return make


@pytest.mark.parametrize("login", [b"ana+Sent", b"ana+sENT", b"ana+inbox", b"ana+twin", b"ana+Twin"])
async def test_another_mailbox(make: Make, login: bytes) -> None:
    """``ana+Sent`` is ana's Sent; case matters only where it has to."""
    house = make()
    async with house.session() as client:
        await client.log_in(login)
        count = 1 if b"inbox" in login else 2
        assert (await client.ask(b"STAT")).startswith(b"+OK %d " % count)
        await client.ask(b"DELE 1")
        assert b"+OK Bye, 1 deleted" == await client.ask(b"QUIT")
    others = [mailbox.expunged for mailbox in house.stores.others.values()]
    assert (1, 0) == (len(house.mailbox.expunged) + sum(map(len, others)), len(house.mailbox.expunged) if count == 2 else 0)
    assert "ana" == house.logged[-1][1]["user"]


@pytest.mark.parametrize("login", [b"ana+Nowhere", b"ana+Above", b"ana+TWIN"])
async def test_no_such_mailbox(make: Make, login: bytes) -> None:
    """A name that is none, no mailbox, or may be two is refused, and nothing stays locked."""
    house = make()
    async with house.session() as client:
        await client.line()
        await client.ask(b"USER " + login)
        assert b"-ERR [SYS/PERM] No such mailbox" == await client.ask(b"PASS secret")
        await client.ask(b"USER ana")
        assert (await client.ask(b"PASS secret")).startswith(b"+OK")


async def test_wrong_password_tells_no_mailbox(make: Make) -> None:
    """Whether a mailbox exists is told to its owner alone."""
    house = make()
    async with house.session() as client:
        await client.line()
        for login in (b"ana+Sent", b"ana+Nowhere", b"nobody+Sent"):
            await client.ask(b"USER " + login)
            assert b"-ERR [AUTH] Wrong user name or password" == await client.ask(b"PASS wrong")


async def test_each_mailbox_has_its_lock(make: Make) -> None:
    """INBOX and Sent may be open at once, either only once."""
    house = make()
    async with house.session() as first, house.session() as second, house.session() as third:
        await first.log_in(b"ana")
        await second.log_in(b"ana+Sent")
        await third.line()
        await third.ask(b"USER ana+SENT")
        assert (await third.ask(b"PASS secret")).startswith(b"-ERR [IN-USE] ")
        await second.ask(b"QUIT")
        await third.ask(b"USER ana+SENT")
        assert (await third.ask(b"PASS secret")).startswith(b"+OK")


async def test_scram_to_another_mailbox(make: Make) -> None:
    """SASL logins name mailboxes too."""
    house = make()
    async with house.session() as client:
        await client.line()
        scram = ScramClient("ana+Sent", "secret", "clientnonce12345678")
        reply = await client.ask(b"AUTH SCRAM-SHA-256 " + base64.b64encode(scram.initial_response() or b""))
        while reply.startswith(b"+ "):
            reply = await client.ask(base64.b64encode(scram.respond(base64.b64decode(reply[2:])) or b""))
        assert b"+OK Logged in, 2 messages" == reply


async def test_login_delay(make: Make, autojump_clock: trio.abc.Clock) -> None:
    """RFC 2449 section 6.5: told in CAPA, kept per user, counted from the last +OK."""
    house = make(settings=Pop3Config(login_delay_s=60))
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"CAPA")
        assert b"\r\nLOGIN-DELAY 60\r\n" in await client.body()
        await client.ask(b"QUIT")
    await trio.sleep(59)
    async with house.session() as client:
        await client.line()
        await client.ask(b"USER ana")
        assert b"-ERR [LOGIN-DELAY] Wait 60 seconds between two logins" == await client.ask(b"PASS secret")
        await client.ask(b"USER bob")
        assert (await client.ask(b"PASS secret")).startswith(b"+OK")
    await trio.sleep(1)
    async with house.session() as client:
        await client.log_in()
