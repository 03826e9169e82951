"""The catcher: WebSocket frames, the search language, magic addresses, pictures, HTML, whole messages for lists."""

import random

from appliance.message.html import elements, embedded, with_parts
from appliance.message.png import decode_png
from appliance.message.reading import index_message, read_message
from appliance.model.caught import CaughtEnvelope
from appliance.policy.caught_faults import magic_fault
from appliance.policy.caught_search import MAX_TERMS, parse_query
from appliance.policy.link_check import check_links
from appliance.protocols.websocket import NEED_DATA, Closed, WebSocketServer
from appliance.storage.caught_sql import condition
from tests.fuzz.engine import Target, cut

__all__ = ["TARGETS"]

_ENVELOPE = CaughtEnvelope(reverse_path="a@b.test", recipients=("c@d.test",))


def _check_frames(data: bytes, rnd: random.Random) -> object:
    core = WebSocketServer(max_message=500)
    events: list[object] = []
    for piece in cut(data, rnd):
        if piece:
            core.receive_data(piece)
        while (event := core.next_event()) is not NEED_DATA:
            events.append(event)
            if isinstance(event, Closed):
                break
    core.data_to_send()
    return None


def _check_query(data: bytes, rnd: random.Random) -> object:
    terms = parse_query(data.decode("utf-8", "replace"), now_s=0, zone="+01:00")
    assert len(terms) <= MAX_TERMS
    where, values = condition(terms)
    assert where.count("?") == len(values)
    return None


def _check_address(data: bytes, rnd: random.Random) -> object:
    text = data.decode("utf-8", "replace")
    for stage in ("mail", "rcpt", "data", "end"):
        fault = magic_fault(text, stage)
        assert fault is None or (fault.delay_s <= 120 and (not fault.code or 400 <= fault.code <= 599))
    return None


def _check_picture(data: bytes, rnd: random.Random) -> object:
    found = decode_png(data)
    assert found is None or len(found[2]) == found[0] * found[1] * 3
    return None


def _check_markup(data: bytes, rnd: random.Random) -> object:
    text = data.decode("utf-8", "replace")
    embedded(text, "N")
    elements(text, 1_000)
    with_parts(text, {"a": "/b"})
    check_links(text, text)
    return None


def _check_reading(data: bytes, rnd: random.Random) -> object:
    reading = read_message(data)
    for leaf in reading.leaves[:20]:
        assert reading.leaf(leaf.part_id) is leaf
        reading.content(leaf.part, 10_000)
    indexed = index_message(data, _ENVELOPE)
    assert len(indexed.snippet.encode("utf-8", "replace")) <= 203
    return None


_HTML_WORDS = [
    b"<p",
    b">",
    b"</p>",
    b"<a href=",
    b'"',
    b"cid:a",
    b"https://x.test/",
    b"<style>",
    b"<table>",
    b"<tr>",
    b"<!--",
    b"&#9",
    b"<script>",
]
_MIME_WORDS = [
    b"Content-Type: multipart/mixed; boundary=x\r\n",
    b"\r\n--x\r\n",
    b"--x--",
    b"\r\n",
    b"To: a@b\r\n",
    b"X-Tags: a,b\r\n",
    b"=?utf-8?q?a?=",
]

TARGETS = [
    Target("websocket", _check_frames, [b"\x81\x85abcdhello", b"\x89\x80abcd\x88\x82abcdXY", b"\x01\x81abcdx\x80\x81abcdy"], [b"\x81", b"\x80", b"\xfe", b"\xff", b"abcd", b"\x00\x7e"], [(b"", b"\x81\x81abcdx", b""), (b"", b"\x01\x80abcd", b"")]),
    Target("caught_query", _check_query, [b'subject:"a b" -from:x is:read larger:10k after:2025-01-01', b"tag:a !has:attachment"], [b'"', b":", b"-", b"!", b"to:", b"before:", b"yesterday", b"1e9", b" "], [(b"", b"a ", b""), (b'"', b"x", b'"'), (b"after:", b"1", b"")]),
    Target("magic_address", _check_address, [b"rcpt-451-4.7.1+x@a.test", b"slow-5s@a", b"drop-data@b", b"greylist@c"], [b"-", b"@", b"+", b"rcpt", b"451", b"9", b"."], [(b"slow-", b"9", b"s@a"), (b"rcpt-451", b"-4", b"@a")]),
    Target("png", _check_picture, [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0xxxx\0\0\0\x0cIDATx\x9cc`d\x02\x00\x00\x0b\x00\x04xxxx\0\0\0\0IEND"], [b"IHDR", b"IDAT", b"PLTE", b"\0\0\0\x01", b"\xff\xff\xff\xff"], [(b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IDATxxxx", b"")]),
    Target("markup", _check_markup, [b'<p style="color:red"><a href="https://x.test">y</a><img src=cid:a></p>', b"<table><tr><td>x"], _HTML_WORDS, [(b"", b"<p>", b""), (b"", b"<a href='", b""), (b"", b"https://x.test/ ", b""), (b"", b"</p>", b"")]),
    Target("caught_message", _check_reading, [b"Content-Type: multipart/mixed; boundary=x\r\nTo: a+t@b\r\n\r\n--x\r\n\r\ntext\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--x--\r\n"], _MIME_WORDS, [(b"Content-Type: multipart/mixed; boundary=x\r\n", b"\r\n--x\r\n", b""), (b"To: ", b"a@b, ", b"\r\n\r\n"), (b"\r\n", b"word ", b"")]),
]  # fmt: skip
