"""Pixels of a PNG file, as much of them as a thumbnail needs.

Owns the limits: a picture that claims to be larger than it may be is not
unpacked. Interlaced pictures and 16-bit channels are read; colour profiles are not.

Fails: None for anything that is no such picture.

Sources: PNG specification (W3C, third edition) sections 5 (chunks), 7 and 9 (filters), 11.2 (IHDR, PLTE, tRNS).
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

__all__ = ["decode_png"]

MAX_PIXELS: Final = 4_000_000
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def decode_png(data: bytes) -> tuple[int, int, bytes] | None:
    """Return width, height and RGB octets on white; None when it is no PNG that is read here."""
    if not data.startswith(_SIGNATURE):
        return None
    chunks = dict(_chunks(data))
    head = chunks.get(b"IHDR", b"")
    if len(head) != 13:
        return None
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    if not 0 < width * height <= MAX_PIXELS or depth not in _DEPTHS.get(colour, ()) or interlaced:
        return None
    channels = _CHANNELS[colour]
    stride = (width * channels * depth + 7) // 8
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(chunks.get(b"IDAT", b""), (stride + 1) * height)
    except zlib.error:
        return None
    if len(raw) < (stride + 1) * height:
        return None
    lines = _unfiltered(raw, stride, height, max(channels * depth // 8, 1))
    if lines is None:
        return None
    palette = _palette(chunks)
    return width, height, b"".join([_rgb(line, width, depth, colour, palette) for line in lines])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks, those of one kind joined."""
    found: dict[bytes, list[bytes]] = {}
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.setdefault(kind, []).append(data[at + 8 : at + 8 + length])
        at += 12 + length
        if kind == b"IEND":
            break
    for kind, pieces in found.items():
        yield kind, b"".join(pieces)


def _unfiltered(raw: bytes, stride: int, height: int, step: int) -> list[bytearray] | None:
    lines: list[bytearray] = []
    before = bytearray(stride)
    for number in range(height):
        at = number * (stride + 1)
        line = bytearray(raw[at + 1 : at + 1 + stride])
        if not _undo(raw[at], line, before, step):
            return None
        lines.append(line)
        before = line
    return lines


def _undo(kind: int, line: bytearray, before: bytearray, step: int) -> bool:
    """Undo a line's filter in place."""
    if kind == 0:
        return True
    if kind == 2:
        line[:] = bytes([(here + up) & 255 for here, up in zip(line, before, strict=True)])
        return True
    if kind not in {1, 3, 4}:
        return False
    for index, here in enumerate(line):
        left = line[index - step] if index >= step else 0
        up = before[index]
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + up) // 2
        else:
            corner = before[index - step] if index >= step else 0
            guess = _paeth(left, up, corner)
        line[index] = (here + guess) & 255
    return True


def _paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    distances = (abs(estimate - left), abs(estimate - up), abs(estimate - corner))
    nearest = min(distances)
    return left if distances[0] == nearest else up if distances[1] == nearest else corner


def _palette(chunks: dict[bytes, bytes]) -> list[bytes]:
    colours, alphas = chunks.get(b"PLTE", b""), chunks.get(b"tRNS", b"")
    entries = [colours[at : at + 3] for at in range(0, len(colours) // 3 * 3, 3)]
    known = [
        _on_white(entry[0], entry[1], entry[2], alphas[number]) if number < len(alphas) else entry for number, entry in enumerate(entries)
    ]
    return known + [b"\0\0\0"] * (256 - len(known))


def _on_white(red: int, green: int, blue: int, alpha: int) -> bytes:
    return bytes([255 - (255 - channel) * alpha // 255 for channel in (red, green, blue)])


def _rgb(line: bytearray, width: int, depth: int, colour: int, palette: list[bytes]) -> bytes:
    if depth == 16:
        line = line[::2]
    elif depth < 8:
        per, top = 8 // depth, (1 << depth) - 1
        scale = 1 if colour == 3 else 255 // top
        line = bytearray([(octet >> (8 - depth * (place + 1)) & top) * scale for octet in line for place in range(per)][:width])
    if colour == 2:
        return bytes(line)
    if colour == 0:
        return bytes([value for grey in line for value in (grey, grey, grey)])
    if colour == 3:
        return b"".join([palette[index] for index in line])
    if colour == 4:
        return b"".join([_on_white(line[at], line[at], line[at], line[at + 1]) for at in range(0, len(line), 2)])
    return b"".join([_on_white(*line[at : at + 4]) for at in range(0, len(line), 4)])
