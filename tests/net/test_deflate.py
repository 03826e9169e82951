"""DEFLATE as a stream."""

import random
import zlib

import pytest
import trio
import trio.testing

from appliance.net.deflate import DeflateStream


def pair() -> tuple[DeflateStream, DeflateStream]:
    one, other = trio.testing.memory_stream_pair()
    return DeflateStream(one), DeflateStream(other)


async def receive_exactly(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.receive_some(1_000)
        assert more
        assert len(more) <= 1_000
        data += more
    return bytes(data)


async def test_what_is_sent_arrives_at_once() -> None:
    """Each send can be read whole, without a further one."""
    here, there = pair()
    source = random.Random(1)
    for size in (1, 10, 16_384, 16_385, 100_000):
        data = source.randbytes(size // 2) + b"a" * (size - size // 2)
        await here.send_all(data)
        assert data == await receive_exactly(there, size)


async def test_repetition_costs_little() -> None:
    """The window reaches over sends."""
    one, other = trio.testing.memory_stream_pair()
    here = DeflateStream(one)
    await here.send_all(b"* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n")
    await other.receive_some()
    await here.send_all(b"* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n")
    assert len(await other.receive_some()) < 25


async def test_a_bomb_is_inflated_piece_by_piece() -> None:
    """Never more than was asked for; others get their turn in between."""
    one, other = trio.testing.memory_stream_pair()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(20_000_000)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 20_000
    await one.send_all(bomb)
    await one.send_eof()
    there = DeflateStream(other)
    total = turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        while data := await there.receive_some(65_536):
            assert len(data) <= 65_536
            total += len(data)
        nursery.cancel_scope.cancel()
    assert 20_000_000 == total
    assert turns >= 20_000_000 // 65_536 - 2


async def test_empty_blocks_are_no_end() -> None:
    """A flush without data gives nothing to return."""
    one, other = trio.testing.memory_stream_pair()
    there = DeflateStream(other)
    deflate = zlib.compressobj(-1, zlib.DEFLATED, -15)
    await one.send_all(deflate.flush(zlib.Z_FULL_FLUSH) + deflate.compress(b"x") + deflate.flush(zlib.Z_SYNC_FLUSH))
    assert b"x" == await there.receive_some()


async def test_broken_data() -> None:
    """Like a stream that broke."""
    one, other = trio.testing.memory_stream_pair()
    await one.send_all(b"\xff\xff\xff\xffa NOOP\r\n")
    with pytest.raises(trio.BrokenResourceError):
        await DeflateStream(other).receive_some()


async def test_what_follows_the_end_is_kept() -> None:
    """A peer that ends its compressed data goes on in the clear."""
    one, other = trio.testing.memory_stream_pair()
    deflate = zlib.compressobj(-1, zlib.DEFLATED, -15)
    await one.send_all(deflate.compress(b"last") + deflate.flush(zlib.Z_FINISH) + b"clear")
    there = DeflateStream(other)
    assert b"last" == await there.receive_some()
    assert b"" == await there.receive_some()
    assert b"clear" == there.rest
