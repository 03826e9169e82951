"""BINARYMIME over a session."""

import email
import email.policy
from typing import Any

BLOB = bytes(range(256)) * 3 + b"\r\n--b\n\r\r\n\0"


async def test_binarymime_session(make_house: Any) -> None:
    """BINARYMIME is offered, taken by BDAT, stored as lines and passed on as 8BITMIME."""
    house = make_house()
    content = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n" + BLOB
    async with house.talk() as talk:
        assert "BINARYMIME" in await talk.start()
        await talk.ask("MAIL FROM:<a@far.example> BODY=BINARYMIME")
        await talk.ask("RCPT TO:<ana@example.com>")
        assert (await talk.ask("BDAT 50", content[:50])).startswith("250 ")
        assert (await talk.ask(f"BDAT {len(content) - 50} LAST", content[50:])).startswith("250 ")
    ((envelope, kept),) = house.intake.accepted
    assert "8BITMIME" == envelope.body.value
    assert b"\0" not in kept
    assert BLOB == email.message_from_bytes(kept, policy=email.policy.default).get_payload(decode=True)
