"""The table of commands is whole, and it is not loaded before anybody speaks."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from appliance.config.schema import ImapConfig
from appliance.services import imap
from appliance.services.imap import service
from appliance.services.imap.families import HANDLERS

House = Any
Make = Callable[..., House]


def test_every_family_is_in_the_table() -> None:
    """A module that has commands is loaded with the others, and no two have the same one."""
    families = {}
    for found in pkgutil.iter_modules(imap.__path__, f"{imap.__name__}."):
        module = importlib.import_module(found.name)
        if module.__name__ != "appliance.services.imap.families" and hasattr(module, "HANDLERS"):
            families[found.name] = module.HANDLERS
    assert sum(map(len, families.values())) == len(HANDLERS)
    assert {kind: handler for family in families.values() for kind, handler in family.items()} == dict(HANDLERS)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was loaded, in order."""
    order: list[str] = []
    load = service._load_session

    def watch() -> Any:
        order.append("session")
        return load()

    monkeypatch.setattr(service, "_load_session", watch)
    return order


async def test_a_session_is_loaded_at_the_first_words(make_house: Make, loaded: list[str]) -> None:
    """Who only reads the greeting costs nothing; the second client finds what the first had loaded."""
    house = make_house()
    async with house.session() as client:
        assert (await client.line()).startswith(b"* OK [CAPABILITY ")
    assert [] == loaded
    for _ in range(2):
        async with house.session() as client:
            await client.log_in(select=b"INBOX")
    assert ["session"] == loaded
    assert [("", "lost", 0), ("ana", "lost", 2), ("ana", "lost", 2)] == [
        (fields["user"], fields["reason"], fields["commands"]) for event, fields in house.logged if event == "session_finished"
    ]


async def test_a_silent_client_is_told_why_it_is_cut(make_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """At the end of its time, and at the end of ours."""
    house = make_house(settings=ImapConfig(login_timeout_s=60))
    async with house.session() as client:
        await client.line()
        assert b"* BYE Nothing heard for too long" == await client.line()
    async with house.session() as client:
        await client.line()
        await trio.testing.wait_all_tasks_blocked()
        client.connection.drain()
        assert b"* BYE [UNAVAILABLE] Server is shutting down, try again soon" == await client.line()
    assert ["timeout", "shutdown"] == [fields["reason"] for event, fields in house.logged if event == "session_finished"]


async def test_the_first_words_do_not_stretch_the_login_time(make_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """A stranger has a minute from the greeting, whenever it first speaks."""
    house = make_house(settings=ImapConfig(login_timeout_s=60))
    async with house.session() as client:
        await client.line()
        await trio.sleep(50)
        await client.ask(b"NOOP")
        assert b"* BYE Nothing heard for too long" == await client.line()
        assert 60 == round(trio.current_time())


async def test_a_session_that_cannot_be_loaded(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told, the log has the traceback, and the next client may have more luck."""
    house = make_house()

    def fail() -> None:
        raise ImportError("no such file")

    with monkeypatch.context() as broken:
        broken.setattr(service, "_load_session", fail)
        async with house.session() as client:
            await client.line()
            await client.send(b"a NOOP\r\n")
            assert b"* BYE [SERVERBUG] Internal error, try again later" == await client.line()
    assert ["imap_session_failed", "session_finished"] == [event for event, _ in house.logged]
    async with house.session() as client:
        await client.line()
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")
