"""The PROXY protocol: what a load balancer says before the client's first byte, versions 1 and 2.

Owns the header's form and how many bytes of it may be read at once: never one of what follows, which may
be the start of a TLS handshake. A header names the client's address; ``LOCAL`` and ``UNKNOWN`` name none:
the load balancer talks for itself, to see whether we are there.

Fails: ``ProxyError`` with what is wrong; the connection is of no use then.
Does not: look at the TLVs of version 2 (a client's TLS, where the load balancer ends it, counts for nothing here).

Sources: "The PROXY protocol", HAProxy, sections 2.1 (text form, 107 bytes at most), 2.2 (binary form) and 4.
"""

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import Final

__all__ = ["FIRST_BYTES", "ProxyError", "ProxyHeader", "missing_bytes", "parse_proxy_header"]

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
FIRST_BYTES: Final = 15
"""``PROXY UNKNOWN`` and its line end: no header is shorter."""
MAX_TEXT: Final = 107
MAX_BINARY: Final = 4_096
"""Addresses and TLVs; load balancers send a few hundred bytes, those of big clouds less than one KiB."""

_FIXED: Final = len(SIGNATURE) + 4
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES: Final = {0x11: 4, 0x21: 16}
"""TCP over IPv4 and over IPv6."""
_TEXT = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n\0]*)?|TCP([46]) ([0-9A-Fa-f.:]{2,45}) ([0-9A-Fa-f.:]{2,45}) ([0-9]{1,5}) ([0-9]{1,5}))\r\n"
)
_MAX_PORT: Final = 65_535


class ProxyError(ValueError):
    """It is no PROXY header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The client's address and port, and those it connected to; empty when the load balancer names nobody."""

    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0


def missing_bytes(data: bytes) -> int:
    """Return how many bytes may be read now, 0 when the header is whole. Raises ProxyError as soon as it cannot be one."""
    if SIGNATURE.startswith(data[: len(SIGNATURE)]):
        return _missing_binary(data)
    if not b"PROXY ".startswith(data[:6]):
        raise ProxyError("the connection does not begin with a PROXY header")
    end = data.find(b"\n")
    if end >= 0:
        return 0
    if len(data) >= MAX_TEXT:
        raise ProxyError("the PROXY line has no end")
    # A line's end is two bytes: so many can be read without a look at what comes behind it.
    return FIRST_BYTES - len(data) if len(data) < FIRST_BYTES else 1 if data.endswith(b"\r") else min(2, MAX_TEXT - len(data))


def _missing_binary(data: bytes) -> int:
    if len(data) < FIRST_BYTES:
        return FIRST_BYTES - len(data)
    if len(data) < _FIXED:
        return _FIXED - len(data)
    length = int.from_bytes(data[14:16])
    if length > MAX_BINARY:
        raise ProxyError(f"the PROXY header is {length} bytes long")
    return _FIXED + length - len(data)


def parse_proxy_header(data: bytes) -> ProxyHeader:
    """Return what a whole header says. Raises ProxyError."""
    return _parse_binary(data) if data.startswith(SIGNATURE) else _parse_text(data)


def _parse_text(data: bytes) -> ProxyHeader:
    match = _TEXT.fullmatch(data)
    if match is None or len(data) > MAX_TEXT:
        raise ProxyError("the PROXY line is malformed")
    if not match[1]:
        return ProxyHeader()
    version = int(match[1])
    return ProxyHeader(
        _address(match[2].decode(), version), _port(int(match[4])), _address(match[3].decode(), version), _port(int(match[5]))
    )


def _parse_binary(data: bytes) -> ProxyHeader:
    command, family, length = struct.unpack_from(">BBH", data, len(SIGNATURE))
    if len(data) != _FIXED + length:
        raise ProxyError("the PROXY header is not whole")
    if command == _LOCAL:
        return ProxyHeader()
    if command != _PROXY:
        raise ProxyError("the PROXY header has an unknown version or command")
    size = _ADDRESS_BYTES.get(family)
    if size is None:
        return ProxyHeader()  # "the receiver may ignore address information" of families that it does not know (section 2.2)
    if length < 2 * size + 4:
        raise ProxyError("the PROXY header is too short for its addresses")
    source, destination = data[_FIXED : _FIXED + size], data[_FIXED + size : _FIXED + 2 * size]
    source_port, destination_port = struct.unpack_from(">HH", data, _FIXED + 2 * size)
    return ProxyHeader(_plain(ipaddress.ip_address(source)), source_port, _plain(ipaddress.ip_address(destination)), destination_port)


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ProxyError("the PROXY line names no address") from None
    if address.version != version:
        raise ProxyError("the PROXY line names an address of the other family")
    return _plain(address)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _port(number: int) -> int:
    if number > _MAX_PORT:
        raise ProxyError("the PROXY line names no port")
    return number
