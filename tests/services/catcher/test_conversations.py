"""What was said in a session, as it is kept with its message."""

import json
from typing import Any

from appliance.model.ids import SessionId
from appliance.services.catcher.conversations import Conversations

SESSION = SessionId("s1")


async def test_words_have_times_and_content_is_counted(autojump_clock: Any) -> None:
    """Lines of both sides, and how much content came."""
    conversations = Conversations()
    tape = conversations.begin(SESSION)
    tape.sent(b"220 hello\r\n")
    tape.received(b"DATA\r\n")
    tape.sent(b"354 go on\r\n")
    tape.received(b"Subject: x\r\n")
    tape.received(b"\r\n.\r\n")
    told = json.loads(conversations.take(SESSION)())
    assert [["S", "220 hello"], ["C", "DATA"], ["S", "354 go on"], ["-", "17 octets of content"]] == [line[1:] for line in told]
    tape.sent(b"250 ok\r\n")
    assert [[0.0, "S", "250 ok"]] == json.loads(conversations.take(SESSION)())
    conversations.end(SESSION)
    assert "" == conversations.take(SESSION)()


async def test_passwords_are_hidden(autojump_clock: Any) -> None:
    """A login leaves no secret behind."""
    conversations = Conversations()
    tape = conversations.begin(SESSION)
    tape.received(b"AUTH PLAIN c2VjcmV0\r\n")
    tape.sent(b"334 VXNlcg==\r\n")
    tape.received(b"c2VjcmV0\r\n")
    tape.sent(b"235 ok\r\n")
    assert "c2VjcmV0" not in conversations.take(SESSION)()
