"""PROXY headers, as a connection reads them."""

import random

from appliance.protocols.proxy import FIRST_BYTES, SIGNATURE, ProxyError, missing_bytes, parse_proxy_header
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]

_MOST = 4_200


def _check(data: bytes, rnd: random.Random) -> object:
    taken, wanted, position = b"", FIRST_BYTES, 0
    try:
        while wanted:
            assert 0 < wanted <= _MOST
            piece = data[position : position + rnd.randint(1, wanted)]
            if not piece:
                return "end"
            position += len(piece)
            taken += piece
            wanted = missing_bytes(taken)
        header = parse_proxy_header(taken)
    except ProxyError as error:
        return str(error)[:24]
    assert len(taken) <= _MOST
    assert header.source_port <= 65_535 >= header.destination_port
    return bool(header.source), ":" in header.source


_V2 = SIGNATURE + bytes.fromhex("2111000c c0000209 c0000201 0fa00019")
_SEEDS = [
    b"PROXY TCP4 192.0.2.9 192.0.2.1 4000 25\r\n",
    b"PROXY UNKNOWN\r\n",
    _V2,
    SIGNATURE + b"\x20\0\0\0",
    SIGNATURE + b"\x21\x21\0\x24" + bytes(36),
]
_WORDS = [
    SIGNATURE,
    b"PROXY ",
    b"TCP6 ",
    b"UNKNOWN",
    b"2001:db8::1 ",
    b"::ffff:192.0.2.1 ",
    b"\r\n",
    b"\r",
    b"65536",
    b"\x21\x11",
    b"\xff\xff",
]

TARGETS = [
    Target("proxy_header", _check, _SEEDS, _WORDS, [(b"PROXY UNKNOWN ", b"x", b"\r\n"), (SIGNATURE + b"\x21\x11\xff\xff", b"\0", b"")])
]
