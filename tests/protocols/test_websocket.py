"""The server's side of WebSocket."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocols.websocket import NEED_DATA, Closed, TextReceived, WebSocketServer, accept_key


def frame(payload: bytes, opcode: int = 1, *, final: bool = True, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + struct.pack(">H", length)
    masked = bytes(octet ^ mask[index % 4] for index, octet in enumerate(payload))
    return bytes(((0x80 if final else 0) | opcode,)) + size + mask + masked


def events(*frames: bytes) -> list[object]:
    core = WebSocketServer(max_message=1_000)
    core.receive_data(b"".join(frames))
    found: list[object] = []
    while (event := core.next_event()) is not NEED_DATA:
        found.append(event)
        if isinstance(event, Closed):
            break
    return found


def test_the_key_of_the_standard() -> None:
    """RFC 6455 section 1.3 has this example; anything else is no key."""
    assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" == accept_key("dGhlIHNhbXBsZSBub25jZQ==")
    assert [None, None, None] == [accept_key(key) for key in ("", "short", "é")]


def test_messages_whole_and_in_fragments() -> None:
    """Control frames may stand between fragments."""
    assert [TextReceived("hello"), TextReceived("one two")] == events(
        frame(b"hello"), frame(b"one ", final=False), frame(b"ping", 9), frame(b"two", 0)
    )


def test_pings_are_answered_and_the_close_is_returned() -> None:
    """With the same payload."""
    core = WebSocketServer()
    core.receive_data(frame(b"x", 9) + frame(struct.pack(">H", 1001), 8))
    assert Closed(1001) == core.next_event()
    assert b"\x8a\x01x\x88\x02\x03\xe8" == core.data_to_send()
    core.send_text("late")
    assert b"" == core.data_to_send()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05hello", 1002), (b"\xc1\x80abcd", 1002), (b"\x83\x80abcd", 1002), (frame(b"x", 0), 1002), (frame(b"x" * 1_001), 1009),
        (frame(b"\xff"), 1007), (b"\x89\xfe\x00\x7eabcd", 1002), (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1009),
    ],
)  # fmt: skip
def test_what_may_not_be_closes(data: bytes, code: int) -> None:
    """Unmasked, unknown, out of order, too large: told and ended, before the payload is waited for."""
    core = WebSocketServer(max_message=1_000)
    core.receive_data(data)
    assert isinstance(core.next_event(), Closed)
    assert core.data_to_send().endswith(struct.pack(">H", code))


@given(st.binary(max_size=300), st.integers(1, 20))
def test_any_chunking_is_the_same(data: bytes, size: int) -> None:
    """However it arrives, and whatever it is."""
    whole, cut = WebSocketServer(), WebSocketServer()
    whole.receive_data(data) if data else None
    for at in range(0, len(data), size):
        cut.receive_data(data[at : at + size])
    assert whole.next_event() == cut.next_event()


def test_long_texts_have_long_lengths() -> None:
    """Three forms of length."""
    core = WebSocketServer()
    for length, head in ((125, b"\x81\x7d"), (126, b"\x81\x7e\x00\x7e"), (70_000, b"\x81\x7f\0\0\0\0\0\x01\x11\x70")):
        core.send_text("x" * length)
        assert core.data_to_send().startswith(head)
