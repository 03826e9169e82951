"""PROXY headers: both forms, whole and cut, and what is none."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocols.proxy import FIRST_BYTES, SIGNATURE, ProxyError, ProxyHeader, missing_bytes, parse_proxy_header


def binary(command: int = 0x21, family: int = 0x11, body: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


def addresses(source: str, destination: str, *, ports: tuple[int, int] = (4_000, 25), more: bytes = b"") -> bytes:
    return ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + struct.pack(">HH", *ports) + more


def read(stream: bytes) -> tuple[ProxyHeader, bytes]:
    """Read as a connection does; return the header and what was left for the session."""
    data, wanted, position = b"", FIRST_BYTES, 0
    while wanted:
        piece = stream[position : position + wanted]
        if not piece:
            raise ProxyError("end")
        position += len(piece)
        data += piece
        wanted = missing_bytes(data)
    return parse_proxy_header(data), stream[position:]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"PROXY TCP4 192.0.2.9 192.0.2.1 4000 25\r\n", ProxyHeader("192.0.2.9", 4_000, "192.0.2.1", 25)),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", ProxyHeader("1.1.1.1", 1, "1.1.1.1", 1)),
        (b"PROXY TCP6 2001:DB8::9 ::ffff:192.0.2.1 4000 65535\r\n", ProxyHeader("2001:db8::9", 4_000, "192.0.2.1", 65_535)),
        (b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n", ProxyHeader("ffff:" * 7 + "ffff", 65_535, "ffff:" * 7 + "ffff", 65_535)),
        (b"PROXY UNKNOWN\r\n", ProxyHeader()),
        (b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n", ProxyHeader()),
        (binary(body=addresses("192.0.2.9", "192.0.2.1")), ProxyHeader("192.0.2.9", 4_000, "192.0.2.1", 25)),
        (binary(body=addresses("192.0.2.9", "192.0.2.1", more=b"\x03\0\x04abcd")), ProxyHeader("192.0.2.9", 4_000, "192.0.2.1", 25)),
        (binary(family=0x21, body=addresses("2001:db8::9", "2001:db8::1")), ProxyHeader("2001:db8::9", 4_000, "2001:db8::1", 25)),
        (binary(family=0x21, body=addresses("::ffff:192.0.2.9", "2001:db8::1")), ProxyHeader("192.0.2.9", 4_000, "2001:db8::1", 25)),
        (binary(command=0x20, family=0), ProxyHeader()),
        (binary(command=0x20, family=0x11, body=addresses("192.0.2.9", "192.0.2.1")), ProxyHeader()),
        (binary(family=0x31, body=bytes(216)), ProxyHeader()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", [b"", b"\x16\x03\x01", b"EHLO x\r\n", b"\r\n"])
def test_headers(header: bytes, expected: ProxyHeader, rest: bytes) -> None:
    """What it says, and not one byte of what comes behind is read."""
    assert (expected, rest) == read(header + rest)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"EHLO client.example\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 4000 65536\r\n",
        b"PROXY TCP4 2001:db8::9 2001:db8::1 4000 25\r\n",
        b"PROXY TCP4 192.0.2.999 192.0.2.1 4000 25\r\n",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 4000\r\n",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 4000 25\n",
        b"PROXY UDP4 192.0.2.9 192.0.2.1 4000 25\r\n",
        b"PROXY UNKNOWN" + b" " * 200 + b"\r\n",
        b"PROXY TCP4 192.0.2.9",
        binary(body=b"\xc0\0\2\x09"),
        binary(command=0x31, body=addresses("192.0.2.9", "192.0.2.1")),
        binary(command=0x22, body=addresses("192.0.2.9", "192.0.2.1")),
        binary(body=bytes(4_097)),
        binary(body=addresses("192.0.2.9", "192.0.2.1"))[:-1],
        SIGNATURE,
        SIGNATURE[:-1] + b"X\x21\x11\0\0",
    ],
)
def test_what_is_no_header(stream: bytes) -> None:
    """A client that talks itself, a broken header, one that is endless or cut."""
    with pytest.raises(ProxyError):
        read(stream)


@given(
    st.binary(max_size=300)
    | st.binary(max_size=60).map(lambda tail: SIGNATURE + tail)
    | st.binary(max_size=120).map(lambda tail: b"PROXY TCP4 " + tail)
)
def test_nothing_else_is_raised(stream: bytes) -> None:
    """Whatever comes is a header or a ProxyError, and reading goes forward."""
    try:
        header, rest = read(stream)
    except ProxyError:
        return
    assert stream.endswith(rest)
    assert header.source_port <= 65_535
