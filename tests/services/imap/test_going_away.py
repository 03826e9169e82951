"""A client that goes away in the middle of a long command: the work stops soon, and nothing is left behind."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

House = Any
Make = Callable[..., House]
MESSAGES = 400
PADDING = b"x" * 4_096
READ_AHEAD = 200
"""Messages that may be read when the client has seen the first: what is read at once, twice."""


async def test_fetch_stops_with_its_client(make_house: Make, plain: bytes) -> None:
    """A few answers are read, then the connection is closed: by far most of the messages are never opened."""
    house = make_house([plain + PADDING] * MESSAGES)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        before = trio.lowlevel.current_statistics().tasks_living
        await client.send(b"x FETCH 1:* BODY.PEEK[]\r\n")
        assert (await client.line()).startswith(b"* 1 FETCH")
        await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living < before
    assert 0 < len(house.inbox.opened) < READ_AHEAD
    assert [] == house.feed.subscriptions
    assert "lost" == house.logged[-1][1]["reason"]


@pytest.mark.parametrize("command", [b"SEARCH TEXT hello", b"SORT (SUBJECT) UTF-8 ALL", b"THREAD REFERENCES UTF-8 ALL", b"COPY 1:* Sent"])
async def test_nothing_is_left_of_the_session(make_house: Make, plain: bytes, command: bytes) -> None:
    """A command that answers at its end finds nobody there then: tasks and watches are gone, and the end is told."""
    house = make_house([plain] * MESSAGES)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        before = trio.lowlevel.current_statistics().tasks_living
        await client.send(b"x " + command + b"\r\n")
        await trio.lowlevel.checkpoint()
        await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living < before
    assert [] == house.feed.subscriptions
    assert "lost" == house.logged[-1][1]["reason"]
