"""Whatever a client sends, in whatever pieces: no bug, no message lost or left behind, one line in the log."""

import base64
from typing import Any

import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LINES = st.sampled_from(
    [
        b"EHLO x.example", b"HELO x", b"LHLO x", b"MAIL FROM:<a@far.example>", b"MAIL FROM:<ana@example.com> BODY=BINARYMIME SIZE=10",
        b"MAIL FROM:<>", b"MAIL FROM:<root>", b"RCPT TO:<ana@example.com>", b"RCPT TO:<nobody@example.com>", b"RCPT TO:<team@example.com>",
        b"RCPT TO:<x@far.example> NOTIFY=NEVER", b"DATA", b"Subject: x", b"", b"body", b".", b"..", b"BDAT 3\r\nabc", b"BDAT 0 LAST",
        b"BDAT 4 LAST\r\n\0\r\nx", b"BDAT 99999999999", b"RSET", b"NOOP", b"VRFY ana", b"EXPN team", b"HELP", b"STARTTLS", b"QUIT",
        b"AUTH PLAIN " + base64.b64encode(b"\0ana\0correct horse"), b"AUTH PLAIN " + base64.b64encode(b"\0ana\0wrong"), b"AUTH LOGIN", b"AUTH SCRAM-SHA-256",
        b"*", b"=", b"YW5h", b"GET / HTTP/1.1", b"\x16\x03\x01", b"\xff\xfe", b"x" * 13_000, b"bare\ncr\rlf",
    ]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["mx", "submission", "lmtp", "catcher"]), st.lists(LINES, max_size=25), st.integers(1, 200))
async def test_any_input(make_house: Any, role: str, lines: list[bytes], piece: int) -> None:
    """A bug would fail the test; every message that was begun is accepted or discarded."""
    house = make_house(role, max_errors=1_000)
    async with house.talk("127.0.0.1") as talk:
        sent = b"".join(line + b"\r\n" for line in lines)
        for start in range(0, len(sent), piece if len(sent) < 5_000 else 5_000):
            if talk.server.bytes_out and house.logged("session_finished"):
                break
            await talk.send(sent[start : start + (piece if len(sent) < 5_000 else 5_000)])
            await trio.testing.wait_all_tasks_blocked()
    assert 1 == len(house.logged("session_finished"))
    assert house.intake.begun == len(house.intake.accepted) + len(set(house.intake.discarded))
    assert len(house.intake.accepted) == len(house.logged("message_queued"))
