"""Thumbnails of what messages bring."""

import struct
import zlib

import pytest

from appliance.message.jpeg import encode_jpeg
from appliance.message.png import decode_png
from appliance.message.thumbnail import make_thumbnail


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, raw: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("picture", "pixels"),
    [
        (png(2, 1, b"\0\x01\x02\x03\x04\x05\x06"), b"\x01\x02\x03\x04\x05\x06"),
        (png(2, 1, b"\x01\x01\x02\x03\x04\x05\x06"), b"\x01\x02\x03\x05\x07\x09"),
        (png(1, 2, b"\0\x01\x02\x03\x02\x01\x01\x01"), b"\x01\x02\x03\x02\x03\x04"),
        (png(2, 1, b"\x03\x02\x02\x02\x02\x02\x02"), b"\x02\x02\x02\x03\x03\x03"),
        (png(2, 1, b"\x04\x02\x02\x02\x02\x02\x02"), b"\x02\x02\x02\x04\x04\x04"),
        (png(1, 1, b"\0\x80", colour=0), b"\x80\x80\x80"),
        (png(2, 1, b"\0\x80", depth=1, colour=0), b"\xff\xff\xff\0\0\0"),
        (png(1, 1, b"\0\x01", colour=3, extra=chunk(b"PLTE", b"\0\0\0\x01\x02\x03")), b"\x01\x02\x03"),
        (png(1, 1, b"\0\0\0\0\0", colour=6), b"\xff\xff\xff"),
        (png(1, 1, b"\0\x10\xff", colour=4), b"\x10\x10\x10"),
        (png(1, 1, b"\0\x01\xff\x02\xff\x03\xff", depth=16), b"\x01\x02\x03"),
    ],
)
def test_pixels_of_each_kind(picture: bytes, pixels: bytes) -> None:
    """Every filter, every colour type."""
    found = decode_png(picture)
    assert found is not None
    assert pixels == found[2]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GIF89a", png(100_000, 100_000, b""), png(2, 2, b"\0"), png(1, 1, b"\x09\0\0\0"), png(1, 1, b"\0\0\0\0", depth=3),
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"no zlib"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_blank(data: bytes) -> None:
    """Also one that claims to be huge: nothing is unpacked for it."""
    assert decode_png(data) is None
    assert make_thumbnail(b"") == make_thumbnail(data)


def test_a_thumbnail_is_a_small_jpeg() -> None:
    """180 by 120, from larger and from smaller pictures."""
    for width, height in ((400, 100), (10, 10)):
        found = make_thumbnail(png(width, height, (b"\0" + b"\x10\x80\xc0" * width) * height))
        assert found.startswith(b"\xff\xd8\xff\xe0")
        assert b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 120, 180) in found
        assert found.endswith(b"\xff\xd9")


def test_a_jpeg_of_odd_size() -> None:
    """Blocks at the edge are filled up."""
    assert encode_jpeg(9, 3, b"\x01\x02\x03" * 27).endswith(b"\xff\xd9")
