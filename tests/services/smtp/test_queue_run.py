"""ETRN: who may ask for what waits, and what is answered."""

from typing import Any

import pytest

from appliance.model.errors import UnavailableError
from tests.services.smtp.test_submission import plain


def offer(house: Any, count: int = 0, error: Exception | None = None) -> list[str]:
    """Make a house keep mail for others; return the domains that are asked for."""
    asked: list[str] = []

    async def run(domain: str) -> int:
        asked.append(domain)
        if error is not None:
            raise error
        return count

    house.run_queue = run
    return asked


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("ETRN Partner.example", "253 2.0.0 OK, 3 pending messages for node partner.example started"),
        ("ETRN example.com", "459 4.7.1 Node example.com not allowed"),
        ("ETRN elsewhere.example", "459 4.7.1 Node elsewhere.example not allowed"),
        ("ETRN @partner.example", "501 5.5.4"),
        ("ETRN #queue", "501 5.5.4"),
        ("ETRN", "501 "),
    ],
)
async def test_who_has_logged_in_may_ask(make_house: Any, command: str, reply: str) -> None:
    """For domains that we relay for, in any case (RFC 1985 section 5.2)."""
    house = make_house("submission")
    asked = offer(house, 3)
    async with house.talk("127.0.0.1") as talk:
        assert "ETRN" in await talk.start()
        assert (await talk.ask("ETRN partner.example")).startswith("459 4.7.1")
        await talk.ask(f"AUTH PLAIN {plain()}")
        assert (await talk.ask(command)).startswith(reply)
    assert (["partner.example"] if reply.startswith("253") else []) == asked


async def test_nothing_waits_or_nobody_knows(make_house: Any) -> None:
    """251 when the queue has nothing for it, 458 when it cannot be read."""
    for count, error, reply in ((0, None, "251 2.0.0"), (0, UnavailableError("disk"), "458 4.3.0")):
        house = make_house("submission")
        offer(house, count, error)
        async with house.talk("127.0.0.1") as talk:
            await talk.start()
            await talk.ask(f"AUTH PLAIN {plain()}")
            assert (await talk.ask("ETRN partner.example")).startswith(reply)


async def test_where_nothing_is_kept_it_is_not_offered(make_house: Any) -> None:
    """502, and no word of it in the EHLO reply."""
    async with make_house().talk() as talk:
        assert "ETRN" not in await talk.start()
        assert (await talk.ask("ETRN partner.example")).startswith("502 5.5.1")


async def test_not_within_a_transaction(make_house: Any) -> None:
    """Between MAIL and the end of the message it is out of order (RFC 1985 section 5)."""
    house = make_house("submission")
    offer(house)
    async with house.talk("127.0.0.1") as talk:
        await talk.start()
        await talk.ask(f"AUTH PLAIN {plain()}")
        await talk.ask("MAIL FROM:<ana@example.com>")
        assert (await talk.ask("ETRN partner.example")).startswith("503 5.5.1")
