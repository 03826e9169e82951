"""A long command of one session does not keep the others waiting for its end."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

House = Any
Make = Callable[..., House]

TURNS = 2
"""Commands that another session gets answered meanwhile; each needs several turns of the loop."""


@pytest.mark.parametrize(
    ("messages", "command"),
    [
        (20_000, b"FETCH 1:* (UID FLAGS)"),
        (5_000, b"FETCH 1:* (UID ENVELOPE)"),
        (1_000, b"FETCH 1:* (UID BODY.PEEK[])"),
        (5_000, b"SEARCH LARGER 5"),
        (60_000, b"SEARCH ALL"),
        (10_000, b"STORE 1:* +FLAGS.SILENT (\\Answered)"),
    ],
)
async def test_others_have_their_turn(make_house: Make, plain: bytes, messages: int, command: bytes) -> None:
    """While one session is at many messages another one has several commands answered."""
    house = make_house()
    for _ in range(messages):
        house.inbox.put(plain, flags=1)
    ended: list[bytes] = []

    async with house.session() as busy, house.session() as other:
        await busy.log_in(select=b"INBOX")
        await other.log_in()

        async def work() -> None:
            await busy.ask(command)
            ended.append(b"work")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await trio.lowlevel.checkpoint()
            for _ in range(TURNS):
                await other.ask(b"NOOP")
                ended.append(b"turn")
    assert [*[b"turn"] * TURNS, b"work"] == ended
