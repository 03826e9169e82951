"""HTTP/1.1 requests, and what else comes in as words: the control socket's lines, sendmail's options."""

import random
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from appliance.app.sendmail_options import UsageError, parse_send_options
from appliance.net.connection import ConnectionLostError
from appliance.net.http import HttpLimits, _Exchanges
from appliance.net.http_hosts import is_private_name
from appliance.net.http_messages import Request, Response, StaticFile, parse_target
from appliance.services.control.protocol import ProtocolError, decode_line, encode_line, parse_request
from appliance.services.control.selection import Selection
from tests.fuzz.engine import Target, cut

__all__ = ["TARGETS"]

_HEAD = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [^\r\n]*\r\n((?:[!-9;-~]+: [^\r\n\0]*\r\n)*)\r\n")
_LENGTH = re.compile(rb"(?i)content-length: ([0-9]+)\r\n")
_LIMITS = HttpLimits(max_header_bytes=2_000, max_body_bytes=500, max_requests=6)
_FILE = StaticFile.of(b"body", "text/css")


@dataclass
class _Wire:
    """A connection that holds what the browser sent; nothing ever waits."""

    chunks: list[bytes]
    sent: list[bytes] = field(default_factory=list)
    draining: bool = False
    session_id: str = "s"
    is_tls: bool = False
    peer: Any = field(default_factory=lambda: SimpleNamespace(host="127.0.0.1"))

    async def receive_some(self, *, idle: bool = False) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    async def send_all(self, data: bytes) -> None:
        self.sent.append(data)

    async def send_last(self, data: bytes) -> None:
        self.sent.append(data)


class _UntimedExchanges(_Exchanges):
    def _deadline(self, seconds: float) -> None:
        pass


def _complete(work: Coroutine[Any, Any, None]) -> None:
    """Run what never waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


def _check_http(data: bytes, rnd: random.Random) -> object:
    methods: list[str] = []

    async def handler(request: Request) -> Response:
        methods.append(request.method)
        assert request.path.startswith("/") or request.path in {"", "*"} or "//" in request.path, request.path
        assert len(request.body) <= 500
        request.form()
        return _FILE.respond(request)

    wire = _Wire(cut(data, rnd))
    exchanges = _UntimedExchanges(wire, handler, SimpleNamespace(), _LIMITS, is_private_name, lambda _path: 500)  # type: ignore[arg-type]
    lost = False
    try:
        _complete(exchanges.run())
    except ConnectionLostError:
        lost = True
    output = b"".join(wire.sent)
    position, statuses = 0, []
    while position < len(output):
        head = _HEAD.match(output, position)
        assert head is not None, output[position : position + 200]
        position = head.end()
        statuses.append(int(head[1]))
        final = len([status for status in statuses if status >= 200])
        length = _LENGTH.search(head[2])
        is_bare = statuses[-1] in {100, 304} or (final <= len(methods) and methods[final - 1] == "HEAD")
        # A refused HEAD never reached the handler.
        is_bare |= final > len(methods) and position == len(output)
        if length is not None and not is_bare:
            position += int(length[1])
        assert statuses[-1] < 500 or statuses[-1] == 501, output
    assert position == len(output)
    return lost, tuple(statuses[:4])


def _check_target(data: bytes, rnd: random.Random) -> object:
    text = data.decode("latin-1")
    is_private_name(text.lower())
    Request("POST", "/", headers=[("content-type", "application/x-www-form-urlencoded")], body=data).form()
    try:
        path, query = parse_target(text)
    except ValueError:
        return None
    assert "\n" not in path
    assert len(query) <= 1_000
    return path == "/", min(4, len(query))


def _check_control(data: bytes, rnd: random.Random) -> object:
    try:
        request = parse_request(data)
    except ProtocolError as error:
        return str(error)
    assert decode_line(encode_line({"x": dict(request.arguments)})) == {"x": dict(request.arguments)} or b"NaN" in data
    try:
        selection = Selection.from_arguments(request.arguments)
    except ValueError as error:
        return str(error)
    return selection.is_filter, selection.is_empty, selection.needs_items


def _check_options(data: bytes, rnd: random.Random) -> object:
    words = [word.decode("utf-8", "surrogateescape") for word in data.split(b"\0")]
    try:
        return repr(parse_send_options(words))[:60]
    except UsageError as error:
        return str(error)[:12]


_HTTP_WORDS = [
    b"GET / HTTP/1.1\r\n", b"HEAD /x HTTP/1.1\r\n", b"POST / HTTP/1.0\r\n", b"Host: localhost\r\n", b"Host: evil.com\r\n", b"Content-Length: 3\r\n", b"abc", b"Transfer-Encoding: chunked\r\n",
    b"3\r\nabc\r\n", b"0\r\n\r\n", b"\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Content-Length: 99999999\r\n", b"Content-Length: -1\r\n",
    b"%", b"%2e%2e", b"%00", b"//", b"http://x/", b"?a=b&c", b"#", b":", b" ", b"\0", b"\xff", b"\n", b"\r", b"If-None-Match: *\r\n", b"Content-Type: application/x-www-form-urlencoded\r\n",
    b"Upgrade: websocket\r\n", b"OPTIONS * HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n", b"[::1]:80", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01", b"x" * 400,
]  # fmt: skip

TARGETS = [
    Target(
        "http_server",
        _check_http,
        [
            b"GET /?a=b HTTP/1.1\r\nHost: localhost\r\n\r\nGET /x HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=b&c=d",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"HEAD / HTTP/1.0\r\n\r\n",
        ],
        _HTTP_WORDS,
        [(b"GET / HTTP/1.1\r\n", b"a: b\r\n", b"\r\n"), (b"GET /", b"x", b" HTTP/1.1\r\n\r\n"), (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", b"0\r\n\r\n"), (b"", b"\r\n", b"")],
    ),
    Target("http_target", _check_target, [b"/a/b?x=y&z", b"http://localhost:80/a", b"/%41?%42=%43", b"*", b"a.b:80"], _HTTP_WORDS, [(b"/?", b"a&", b""), (b"/", b"%41", b""), (b"http://", b"[", b""), (b"/?", b"=", b"")]),
    Target("control", _check_control, [b'{"command": "queue.list", "ids": ["A"], "from": "<>", "all": true}\n', b'{"command": 1}', b"[]"], [b'{"command": "x"', b", ", b'"ids": ', b'"from": ', b"[", b"]", b"{", b"}", b"null", b"1e999", b"NaN", b'"\\ud800"', b'"', b"\\", b"\xff", b"true", b'"domain": "@x"', b"9" * 5_000, b"-0"], [(b"", b"[", b""), (b'{"command": "x", "a": [', b"1,", b"1]}"), (b'{"command": "', b"\\n", b'"}')]),
    Target("sendmail_options", _check_options, [b"-t\0-i\0-f\0a@b\0c@d", b"-bp", b"-oi\0-oem\0x", b"-N\0success,delay\0-R\0hdrs\0y", b"-F\0Name\0--\0-x"], [b"\0", b"-", b"-t", b"-f", b"-o", b"-b", b"-O", b"-N", b"-q", b"--", b"a@b", b"never", b"\xff", b"-B8BITMIME", b"-V", b"x", b"-C", b"-X"], [], 4_096,
        judges_growth=False,  # a command line is its own user's matter
),
]  # fmt: skip
