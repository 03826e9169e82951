"""What is told, and what is hidden from whom."""

from collections.abc import Callable
from typing import Any

from appliance.config.schema import ImapConfig
from appliance.services.imap.capabilities import list_capabilities

House = Any
Make = Callable[..., House]


def names(*hidden: str, logged_in: bool = True, login_allowed: bool = False) -> tuple[str, ...]:
    return list_capabilities(
        logged_in=logged_in, start_tls=True, login_allowed=login_allowed, append_limit=5, mechanisms=("PLAIN",), hidden=hidden
    )


def test_hidden_names() -> None:
    """A name hides itself, and what it names with a value; some cannot be hidden."""
    assert {"IDLE"} == {*names()} - {*names("IDLE")}
    assert {"APPENDLIMIT=5"} == {*names()} - {*names("APPENDLIMIT")}
    assert {"STATUS=SIZE"} == {*names()} - {*names("STATUS=SIZE")}
    assert set() == {*names()} - {*names("IMAP4REV1")}
    assert set() == {*names(logged_in=False)} - {*names("STARTTLS", "LOGINDISABLED", logged_in=False)}


async def test_hidden_from_one_account(make_house: Make) -> None:
    """Settings name what nobody is told, and what one account is not told."""
    house = make_house(settings=ImapConfig(hide_capabilities=("move",)), hidden={"ana": ("IDLE",)})
    async with house.session() as ana, house.session() as bob:
        await ana.log_in()
        await bob.log_in(b"bob")
        seen = [set((await client.ask(b"CAPABILITY"))[0].split()) for client in (ana, bob)]
    assert [False, False] == [b"MOVE" in names for names in seen]
    assert [False, True] == [b"IDLE" in names for names in seen]
