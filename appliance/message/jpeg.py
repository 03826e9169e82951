"""A small JPEG writer: baseline, no subsampling, the tables of the standard.

Owns nothing but the encoding of RGB pixels; meant for thumbnails.

Sources: ITU-T T.81 annexes F (sequential coding), K (tables), A.3.3 (DCT).
"""

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["encode_jpeg"]

_ZIGZAG: Final = sorted(range(64), key=lambda at: (at // 8 + at % 8, (at // 8 if (at // 8 + at % 8) % 2 else at % 8)))
_LUMINANCE: Final = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_DC_BITS: Final = (0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)
_DC_VALUES: Final = tuple(range(12))
_AC_BITS: Final = (0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125)
_AC_VALUES: Final = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748"
    "494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3"
    "c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
)
_COSINES: Final = [
    [math.cos((2 * place + 1) * wave * math.pi / 16) * (math.sqrt(0.125) if wave == 0 else 0.5) for place in range(8)] for wave in range(8)
]


def _codes(bits: Sequence[int], values: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return value to code and its length (T.81 annex C)."""
    found: dict[int, tuple[int, int]] = {}
    code = at = 0
    for length, count in enumerate(bits, 1):
        for _ in range(count):
            found[values[at]] = (code, length)
            code += 1
            at += 1
        code <<= 1
    return found


_DC: Final = _codes(_DC_BITS, _DC_VALUES)
_AC: Final = _codes(_AC_BITS, _AC_VALUES)


class _Bits:
    def __init__(self) -> None:
        self.out = bytearray()
        self._value = 0
        self._count = 0

    def put(self, value: int, length: int) -> None:
        self._value = self._value << length | value
        self._count += length
        while self._count >= 8:
            self._count -= 8
            octet = self._value >> self._count & 255
            self.out.append(octet)
            if octet == 255:
                self.out.append(0)
        self._value &= (1 << self._count) - 1

    def finish(self) -> bytes:
        if self._count:
            self.put((1 << (8 - self._count)) - 1, 8 - self._count)
        return bytes(self.out)


def _transformed(block: Sequence[float]) -> list[float]:
    """Return the cosine transform of 64 samples."""
    rows = [sum([block[at + place] * wave[place] for place in range(8)]) for at in range(0, 64, 8) for wave in _COSINES]
    return [sum([rows[place * 8 + column] * wave[place] for place in range(8)]) for wave in _COSINES for column in range(8)]


def _encode(bits: _Bits, block: Sequence[float], before: int, table: Sequence[int]) -> int:
    """Write a block; return its mean for the next one's difference."""
    if min(block) == max(block):
        found = [0] * 64
        found[0] = round(block[0] * 8 / table[0])
    else:
        coefficients = _transformed(block)
        found = [round(coefficients[at] / table[at]) for at in _ZIGZAG]
    _number(bits, found[0] - before, _DC, 0)
    zeros = 0
    for value in found[1:]:
        if value == 0:
            zeros += 1
            continue
        while zeros > 15:
            bits.put(*_AC[0xF0])
            zeros -= 16
        _number(bits, value, _AC, zeros << 4)
        zeros = 0
    if zeros:
        bits.put(*_AC[0])
    return found[0]


def _number(bits: _Bits, value: int, codes: dict[int, tuple[int, int]], run: int) -> None:
    size = abs(value).bit_length()
    bits.put(*codes[run | size])
    if size:
        bits.put(value if value > 0 else value + (1 << size) - 1, size)


def encode_jpeg(width: int, height: int, rgb: bytes, quality: int = 80) -> bytes:
    """Return a JPEG file of RGB pixels. ``quality`` from 50 to 99."""
    scale = 200 - quality * 2
    table = [min(max((value * scale + 50) // 100, 1), 255) for value in _LUMINANCE]
    ordered = bytes([table[at] for at in _ZIGZAG])
    planes = _planes(rgb)
    bits = _Bits()
    before = [0, 0, 0]
    for top in range(0, height, 8):
        rows = [min(top + row, height - 1) * width for row in range(8)]
        for left in range(0, width, 8):
            places = [row + min(left + column, width - 1) for row in rows for column in range(8)]
            for number, plane in enumerate(planes):
                before[number] = _encode(bits, [plane[place] for place in places], before[number], table)
    frame = b"\x08" + height.to_bytes(2) + width.to_bytes(2) + b"\x03\x01\x11\0\x02\x11\0\x03\x11\0"
    tables = b"\x00" + bytes(_DC_BITS) + bytes(_DC_VALUES) + b"\x10" + bytes(_AC_BITS) + _AC_VALUES
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xDB, b"\0" + ordered),
            _segment(0xC0, frame),
            _segment(0xC4, tables),
            _segment(0xDA, b"\x03\x01\0\x02\0\x03\0\0\x3f\0"),
            bits.finish(),
            b"\xff\xd9",
        ]
    )


def _planes(rgb: bytes) -> tuple[list[float], list[float], list[float]]:
    reds, greens, blues = rgb[::3], rgb[1::3], rgb[2::3]
    colours = list(zip(reds, greens, blues, strict=True))
    return (
        [0.299 * red + 0.587 * green + 0.114 * blue - 128 for red, green, blue in colours],
        [-0.168736 * red - 0.331264 * green + 0.5 * blue for red, green, blue in colours],
        [0.5 * red - 0.418688 * green - 0.081312 * blue for red, green, blue in colours],
    )


def _segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2) + data
