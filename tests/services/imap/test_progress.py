"""INPROGRESS while a command takes long."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.testing

from appliance.model.errors import OverQuotaError

House = Any
Make = Callable[..., House]


class SlowOffload:
    """Takes 25 seconds for each call of one name, or with it, in its own time."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        names = [getattr(one, "__name__", "") for one in (function, *args)]
        await trio.sleep(25 if self._name in names else 0)
        return function(*args)


@pytest.mark.parametrize(
    ("command", "slow", "goal"),
    [
        (b"COPY 1:* Sent", "copy_to", 40),
        (b"UID MOVE 1:* Sent", "move_to", 40),
        (b"SEARCH SUBJECT hello", "learn", 40),
        (b"EXPUNGE", "_expunge_batch", 30),
    ],
)
async def test_a_long_command_says_how_far_it_is(
    command: bytes, slow: str, goal: int, make_house: Make, plain: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """Every ten seconds, with the command's tag, never reaching the goal."""
    house = make_house([plain] * 40)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b"STORE 1:30 +FLAGS.SILENT (\\Deleted)")
        house.service._shared = replace(house.service._shared, offload=SlowOffload(slow))
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(command)
        assert [b'* OK [INPROGRESS ("t3" 0 %d)] Still at work' % goal] * 2 == lines[:2]
        assert lines[-1].startswith(b"OK ")
        assert not any(b"INPROGRESS" in line for line in lines[2:])


async def test_a_tag_that_cannot_be_told(make_house: Make, plain: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """A bracket in the tag would end the code (RFC 9585 section 4)."""
    house = make_house([plain] * 40)
    house.service._shared = replace(house.service._shared, offload=SlowOffload("copy_to"))
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        await client.send(b"a]b COPY 1:* Sent\r\n")
        assert b"* OK [INPROGRESS (NIL 0 40)] Still at work" == await client.line()


async def test_a_failure_is_answered_as_ever(make_house: Make, plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong beside the report is told like without it."""
    house = make_house([plain] * 40)

    def fail(*_: object) -> None:
        raise OverQuotaError("full")

    monkeypatch.setattr(house.inbox, "copy_to", fail)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"COPY 1:* Sent")
        assert lines[-1].startswith(b"NO [OVERQUOTA]")
