"""Thumbnails: a picture of a message, cut to 180 by 120.

Owns which pictures are read (PNG); any other gives a blank one.

Fails: never.
"""

from functools import cache
from typing import Final

from appliance.message.jpeg import encode_jpeg
from appliance.message.png import decode_png

__all__ = ["HEIGHT", "WIDTH", "make_thumbnail"]

WIDTH: Final = 180
HEIGHT: Final = 120


@cache
def _blank() -> bytes:
    return encode_jpeg(WIDTH, HEIGHT, b"\xff" * (WIDTH * HEIGHT * 3))


def make_thumbnail(data: bytes) -> bytes:
    """Return a JPEG of ``WIDTH`` by ``HEIGHT``: the middle of the picture, as large as fits; small ones stand on white."""
    found = decode_png(data)
    if found is None:
        return _blank()
    width, height, pixels = found
    scale = max(WIDTH / width, HEIGHT / height) if width >= WIDTH or height >= HEIGHT else 1.0
    columns = [_source(place, WIDTH, width, scale) for place in range(WIDTH)]
    rows = bytearray()
    for place in range(HEIGHT):
        row = _source(place, HEIGHT, height, scale)
        if row < 0:
            rows += b"\xff\xff\xff" * WIDTH
            continue
        line = row * width
        rows += b"".join([pixels[(line + column) * 3 : (line + column) * 3 + 3] if column >= 0 else b"\xff\xff\xff" for column in columns])
    return encode_jpeg(WIDTH, HEIGHT, bytes(rows))


def _source(place: int, target: int, size: int, scale: float) -> int:
    """Return which pixel of the picture stands at a place, -1 for none."""
    at = int((place + 0.5 - target / 2) / scale + size / 2)
    return at if 0 <= at < size else -1
