"""Messages: header sections, addresses, dates, encoded text, structure, text for searching, reports about them."""

import io
import random
import re
from datetime import UTC

from appliance.message.address import Address, addresses, format_address_list, parse_address_list
from appliance.message.authres import MethodResult, authserv_id, build_authentication_results, without_claims_of
from appliance.message.date import (
    format_date,
    format_internal_date,
    format_mbox_date,
    parse_date,
    parse_internal_date,
    parse_mbox_date,
)
from appliance.message.decode import decoded_body, header_text, html_text, leaf_parts, searchable_text
from appliance.message.dsn import DsnKind, DsnRequest, build_dsn, frame_dsn
from appliance.message.header import HeaderSection, body_offset, first_values, iterate_fields, select_fields, split_message, unfold
from appliance.message.mime import StructureScanner, render_summary, scan
from appliance.message.parameter import decode_parameter, parse_disposition, parse_media_type, strip_comments
from appliance.message.part import Part
from appliance.message.received import build_received, build_return_path
from appliance.message.section import find_part
from appliance.message.submission import HeaderFilter
from appliance.message.text import (
    decode_header,
    decode_parameter_text,
    encode_parameter,
    encode_phrase,
    encode_unstructured,
)
from appliance.model.envelope import Body, Envelope, EnvelopeRecipient
from appliance.model.outcome import Action, Outcome
from tests.fuzz.engine import Target, cut
from tests.fuzz.seeds import header_sections, messages
from tests.fuzz.targets.imaplist import check_body, check_envelope, read_value

__all__ = ["TARGETS"]

_WANTED = frozenset({b"subject", b"from", b"to"})
_FIELD_LINES = re.compile(rb"(?:[!-9;-~]+:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*")


def _check_header(data: bytes, rnd: random.Random) -> object:
    header, body = split_message(data)
    assert header + body == data
    section = HeaderSection(header)
    assert section.to_bytes() == header
    assert HeaderSection(header, max_fields=2).to_bytes() == header
    assert HeaderSection(header).without({b"bcc"}).count(b"bcc") == 0
    for field in section.fields:
        assert b"\n" not in field.value
        assert not field.name or field.raw.startswith(field.name)
    for name, value in first_values(header, _WANTED).items():
        assert section.get(name) == value or b"\r" in value or any(not field.name for field in section.fields), name
    kept = select_fields(header, _WANTED)
    left = select_fields(header, _WANTED, exclude=True)
    assert kept.endswith(b"\r\n")
    assert left.endswith(b"\r\n")
    assert not _WANTED & {field.name.lower() for field in iterate_fields(left)}
    assert {field.name.lower() for field in iterate_fields(kept)} <= _WANTED
    without_claims_of(section, "mx.example.org")
    authserv_id(section.get(b"authentication-results") or data[:200])
    header_text(header)
    return (
        min(6, len(section.fields)),
        body_offset(data) >= 0,
        tuple(not field.name for field in section.fields[:4]),
    )


def _check_filter(data: bytes, rnd: random.Random) -> object:
    rewrite = rnd.random() < 0.6
    limit = rnd.choice((100, 1_000, 1_048_576))
    found = []
    for chunks in ([data] if data else [], cut(data, rnd)):
        header_filter = HeaderFilter(rewrite=rewrite, date=b"D", message_id=b"<x@y>", max_header_bytes=limit)
        out = b"".join([header_filter.feed(chunk) for chunk in chunks]) + header_filter.finish()
        found.append((out, header_filter.report, header_filter.fault))
    assert found[0] == found[1]
    out, report, fault = found[0]
    assert (report is None) == (fault is not None)
    if report is not None and not rewrite:
        assert out == data
    elif report is not None:
        section = HeaderSection(split_message(out)[0])
        assert not section.count(b"bcc")
        assert section.count(b"date")
        assert section.count(b"message-id")
    return rewrite, fault, None if report is None else (report.received_count, report.has_date, report.from_count, bool(report.sender))


def _is_plain(address: Address) -> bool:
    return (
        bool(address.local_part and re.fullmatch(rb"[a-zA-Z0-9.-]+", address.domain) and not address.route)
        and all(32 <= octet < 127 for octet in address.local_part + address.name)
        and b"=?" not in address.name
        and address.name == b" ".join(address.name.split())
    )


def _check_addresses(data: bytes, rnd: random.Random) -> object:
    value = unfold(data)
    entries = parse_address_list(value)
    assert len(addresses(value, limit=3)) <= 3 or len(parse_address_list(value, limit=3)) <= 3
    for address in addresses(value):
        assert b"\0" not in address.path.encode()[:0]
        address.to_bytes()
    plain = [entry for entry in entries if isinstance(entry, Address) and _is_plain(entry)]
    assert parse_address_list(unfold(format_address_list(plain))) == plain
    return min(5, len(entries)), tuple((type(entry).__name__, len(entry.name) > 0) for entry in entries[:4])


def _check_dates(data: bytes, rnd: random.Random) -> object:
    found = parse_date(data)
    if found is not None and 1 < found.year < 9_999:
        seconds = found.astimezone(UTC).timestamp()
        if seconds >= 0:
            again = parse_date(format_date(seconds))
            assert again is not None
            assert again == found.replace(microsecond=0)
    for parse, write in ((parse_internal_date, format_internal_date), (parse_mbox_date, format_mbox_date)):
        moment = parse(data)
        if moment is not None and moment >= 0:
            assert parse(write(moment)) == moment
    return found is None, found is not None and found.utcoffset(), parse_internal_date(data) is None, parse_mbox_date(data) is None


def _check_text(data: bytes, rnd: random.Random) -> object:
    text = decode_header(data)
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    assert decode_header(unfold(encode_unstructured(line))) == line
    assert encode_phrase(line).isascii()
    return len(text) < len(data), text.isascii(), "\ufffd" in text


def _check_parameters(data: bytes, rnd: random.Random) -> object:
    value = unfold(data)
    strip_comments(value)
    media = parse_media_type(value)
    disposition = parse_disposition(value)
    for parameters in [media[2]] if media else []:
        decode_parameter(parameters, b"name")
        text = decode_parameter_text(parameters, b"name")
        if text is not None and len(text) <= 1_000 and "=?" not in text and all(character.isprintable() for character in text):
            again = parse_media_type(b"a/b; " + unfold(encode_parameter("name", text)))
            assert again is not None
            assert decode_parameter_text(again[2], b"name") == text
    return (
        media and media[:2] == (b"text", b"plain"),
        media is None,
        disposition is None,
        media is not None and tuple(name for name, _ in media[2])[:3],
    )


def _check_nesting(part: Part, start: int, end: int) -> int:
    assert start <= part.header_start <= part.body_start <= part.body_end <= end
    position, count = part.body_start, 1
    for child in part.children:
        count += _check_nesting(child, position, part.body_end)
        position = child.body_end
    if part.message is not None:
        count += _check_nesting(part.message, part.body_start, part.body_end)
    return count


def _scan(chunks: list[bytes]) -> Part:
    scanner = StructureScanner(max_depth=8, max_parts=50, max_header=3_000)
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner.finish()


def _check_structure(data: bytes, rnd: random.Random) -> object:
    root = _scan([data])
    assert root == _scan(cut(data, rnd))
    count = _check_nesting(root, 0, len(data))
    assert count <= 120
    assert data[root.body_start : root.body_end].count(b"\n") == root.lines
    summary = render_summary(root)
    check_envelope(read_value(summary.envelope))
    check_body(read_value(summary.body), extended=False)
    check_body(read_value(summary.body_structure), extended=True)
    for section in (
        "",
        "1",
        "2",
        "1.1",
        "2.1.MIME",
        "1.HEADER",
        "2.1.TEXT",
        "HEADER",
        "TEXT",
        "3.2.1",
        rnd.choice(("0", "1.0", "99", "MIME", "1..1", "x", "1.1.1.1.1")),
    ):
        found = find_part(root, section)
        if found is not None:
            assert 0 <= found.offset <= found.offset + found.length <= len(data)
    assert find_part(root, "1") is not None
    return count, root.is_multipart, len(root.children), max((len(child.children) for child in root.children), default=0)


def _check_searchable(data: bytes, rnd: random.Random) -> object:
    root = scan(data)
    limit = rnd.choice((10, 200, 100_000))
    text = searchable_text(io.BytesIO(data), root, limit)
    assert len(text) <= 3 * limit + 20 * _leaves(root)
    for part in leaf_parts(root):
        decoded = b"".join(decoded_body(io.BytesIO(data), part))
        assert len(decoded) <= part.size + 2
    return len(text) > 0, _leaves(root), "\ufffd" in text


def _leaves(root: Part) -> int:
    return sum(1 for _ in leaf_parts(root)) + 1


def _check_html(data: bytes, rnd: random.Random) -> object:
    text = html_text(data.decode("utf-8", "replace"))
    assert len(text) <= 2 * len(data) + 2
    return len(text) < len(data), "<" in text, "\n" in text


def _check_dsn(data: bytes, rnd: random.Random) -> object:
    """Whatever peers and senders wrote: the report has its own fields and its three parts, and no line is too long."""
    pieces = data.split(b"\n\n") + [b""] * 6
    texts = [piece.decode("utf-8", "replace") for piece in pieces]
    kind = rnd.choice(list(DsnKind))
    outcome = Outcome(rnd.choice(list(Action)), texts[1], texts[2], texts[3], texts[4], texts[5])
    recipient = EnvelopeRecipient(texts[5] or "bob@example.net", orcpt=texts[4] or None, original=texts[1] or None)
    envelope = Envelope(
        texts[2][:300] or "ana@example.org", (recipient,), rnd.choice(list(Body)), smtputf8=rnd.random() < 0.3, envid=texts[3] or None
    )
    request = DsnRequest(
        kind, envelope, [(recipient, outcome)] * rnd.randrange(1, 4), pieces[0], "mx.example.org", 1_700_000_000, 1_699_000_000, "=_carteiro_0123456789",
        "<1@mx.example.org>", rnd.choice(("en", "pt")), returns_message=rnd.random() < 0.5, queue_id="0123456789ABC", retry_until_s=rnd.choice((None, 1_800_000_000)),
    )  # fmt: skip
    frame = frame_dsn(request)
    head = frame.head
    assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r"), "a bare line end"
    assert max(map(len, head.split(b"\r\n"))) <= 998
    header = split_message(head)[0]
    assert _FIELD_LINES.fullmatch(header.removesuffix(b"\r\n")), header
    names = [field.name for field in HeaderSection(header).fields]
    assert len(names) == len(set(names))
    assert names[:4] == [b"From", b"To", b"Subject", b"Date"]
    root = scan(build_dsn(request, data if b"=_carteiro" not in data else b""))
    assert len(root.children) == 3, len(root.children)
    machine = head[root.children[1].body_start : root.children[1].body_end]
    assert _FIELD_LINES.fullmatch(b"".join([line + b"\r\n" for line in machine.split(b"\r\n") if line])), machine
    assert machine.count(b"\r\nFinal-Recipient:") == len(request.outcomes)
    return kind, frame.body, frame.smtputf8


def _check_trace_fields(data: bytes, rnd: random.Random) -> object:
    texts = [piece.decode("utf-8", "replace") for piece in data.split(b"\n", 4)] + [""] * 4
    field = build_received(
        helo=texts[0], client_address=rnd.choice(("192.0.2.1", "2001:db8::1", "", texts[1])), client_name=texts[2], hostname="mx.example.org",
        protocol="ESMTP", queue_id="0123456789ABC", now_s=0, recipient=rnd.choice(("", texts[3])),
    )  # fmt: skip
    results = build_authentication_results("mx.example.org", [MethodResult("spf", "pass", (("smtp.mailfrom", texts[0]),), texts[1])])
    for made in (field, build_return_path(texts[0]), results):
        assert _FIELD_LINES.fullmatch(made), made
        assert len(HeaderSection(made).fields) == 1
    return field.isascii()


_PARTS = [
    b"\r\n", b"\r\n\r\n", b"--outer", b"--in", b"--outer--", b"--in--", b"\r\n--outer\r\n", b"\r\n--in\r\n", b"\r\n--outer--\r\n", b"--", b" ", b"text",
    b"Content-Type: multipart/mixed; boundary=in\r\n", b'Content-Type: multipart/digest; boundary="outer"\r\n', b"Content-Type: multipart/x; boundary=\r\n", b"\r", b"\n",
    b"Content-Type: message/rfc822\r\n", b"Content-Type: message/global\r\n", b"Content-Type: text/html; charset=utf-7\r\n", b"Content-Type: text/plain; charset=\xff\r\n",
    b"Subject: x\r\n", b"From: a@b, c\r\n", b"\xe1", b"\0", b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Disposition: attachment; filename=x\r\n", b"Content-Language: en, \r\n", b"Content-Type: \r\n", b"=E1=\r\n", b"SGVsbG8=", b"<p>&amp;&#9999999;</p>",
]  # fmt: skip
_NEST = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
_ADDRESS_WORDS = [
    b'"', b"\\", b"(", b")", b"<", b">", b"@", b",", b":", b";", b"a", b" ", b"b.c", b"=?utf-8?q?=C3=A1?=", b"\xe1", b"=", b".", b"<a@b>", b'"x y" <c@d>', b"g: a@b;",
    b"@x,@y:", b"[1.2.3.4]", b"\r\n ", b"\0",
]  # fmt: skip
_DATE_WORDS = [
    b"Mon, ", b"2 Jan 2006", b"15:04:05", b" -0700", b" (MST)", b" EST", b"Jan  2 15:04:05 2006", b"29 Feb ", b"2001", b"99", b"0000", b"9999", b":60", b"24:00", b"+9999",
    b"-2400", b"2-Feb-1994 ", b" 0:0", b"31", b"Dec", b"1 Jan 1601", b"GMT", b"\xd9\xa1", b"(", b")", b"\n",
]  # fmt: skip
_TEXT_WORDS = [
    b"=?utf-8?q?", b"=?iso-8859-1?B?", b"?=", b"=C3=A1", b"=?", b"?q?", b"?b?", b"4pyT", b"=", b"_", b" ", b"\r\n ", b"=?utf-8*pt?q?x?=", b"=?big5?b?", b"=?utf-7?q?+AOk-?=",
    b"=?unknown?q?x?=", b"=?idna?q?xn--?=", b"=?hex?q?00?=", b"=?utf-16?b?AAA=?=", b"=?punycode?q?x?=", b"=?zlib?q?x?=", b"=?unicode_escape?q?=5Cx?=", b"\xe1", b"\0",
]  # fmt: skip
_PARAMETER_WORDS = [
    b"text/plain", b"; ", b"name=", b"name*=", b"name*0=", b"name*1*=", b"name*99999999999=", b"utf-8''", b"%C3%A1", b"%", b'"', b"\\", b"(", b")", b"charset=utf-8", b"/", b"=", b" ",
    b"attachment", b"filename=x", b"\xe1", b"=?utf-8?q?x?=", b"*", b"'",
]  # fmt: skip

TARGETS = [
    Target("header", _check_header, messages(), [*_PARTS, b"Subject : ", b": ", b"\t", b"bcc: x\r\n", b"Authentication-Results: mx.example.org; x\r\n"], [(b"", b"a:\r\n", b"\r\n"), (b"a: x", b"\r\n x", b"\r\n\r\n"), (b"", b"x\r\n", b"\r\n"), (b"", b"\n", b""), (b"", b" \n", b"")]),
    Target("header_filter", _check_filter, messages(), [*_PARTS, b"Bcc: x\r\n", b"Date: x\r\n", b"Message-ID: <x>\r\n", b"Received: x\r\n", b"Resent-Bcc: x\r\n", b"Sender: a@b\r\n"], [(b"", b"Bcc: x\r\n", b"\r\nb"), (b"From: ", b"a@b,", b"\r\n\r\n"), (b"Bcc: x", b"\r\n y", b"\r\n\r\n"), (b"", b"x", b"")]),
    Target("addresses", _check_addresses, [b'"Carl, Jr." <c@d>, ana@b (Ana), g: a@b, <c@d>;', b"<@a,@b:c@d>", b'"a\\"b"@c', b"=?utf-8?q?=C3=A1?= <a@b>"], _ADDRESS_WORDS, [(b"", b"a@b, ", b""), (b"", b"(", b""), (b"", b"(a)", b"<a@b>"), (b'"', b"\\a", b'"@b'), (b"<", b"@a,", b":x@y>"), (b"", b"g:;", b""), (b"", b"a ", b"@b"), (b"", b"<", b"")]),
    Target("dates", _check_dates, [b"Mon, 2 Jan 2006 15:04:05 -0700 (MST)", b"Mon Jan  2 15:04:05 2006", b" 2-Feb-1994 10:11:12 +0100", b"2 Jan 06 15:04 EST", b"31 Dec 9999 23:59:60 -2359"], _DATE_WORDS, [(b"", b" ", b""), (b"", b"(", b""), (b"1 Jan ", b"1", b"")], 4_096),
    Target("encoded_text", _check_text, [b"=?utf-8?q?Ol=C3=A1?= world", b"=?utf-8?b?4pyT?=\r\n =?utf-8?b?4pyT?=", "olá".encode()], _TEXT_WORDS, [(b"", b"=?utf-8?q?x?= ", b""), (b"=?utf-8?q?", b"=C3", b"?="), (b"", b"=?", b""), (b"", b"?=", b""), (b"=?utf-8?b?", b"A", b"?="), (b"", b" ", b"")]),
    Target("parameters", _check_parameters, [b"text/plain; charset=utf-8; name*0*=utf-8''a%20; name*1=b", b'attachment; filename="x \\" y.pdf"', b"a/b (c (d)) ; x=y"], _PARAMETER_WORDS, [(b"a/b", b"; x=y", b""), (b"a/b; x=", b"(", b""), (b'a/b; x="', b"\\a", b'"'), (b"a/b", b"; x*1=y", b""), (b"a/b; x*=utf-8''", b"%41", b"")]),
    Target("structure", _check_structure, messages(), _PARTS, [(_NEST, b"\r\n--a\r\n", b"--a--"), (_NEST, b"--", b""), (_NEST, b"\r\n--", b""), (b"", b"Content-Type: message/rfc822\r\n\r\n", b""), (b"", _NEST, b""), (_NEST, b"x\r\n", b"")]),
    Target("searchable_text", _check_searchable, messages(), _PARTS, [(b"Content-Type: text/html\r\n\r\n", b"<", b""), (b"Content-Type: text/html\r\n\r\n", b"<!--", b""), (b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"=", b""), (b"Content-Transfer-Encoding: base64\r\n\r\n", b"A=", b"")]),
    Target("html_text", _check_html, [b"<p>Hi<br>&amp; <b>bye</b><style>x</style><!-- c --></p>", b"<script>a<b</script>x"], [b"<", b">", b"</", b"<!--", b"-->", b"<style>", b"</style>", b"<script", b"&", b"&#", b"&#x", b"99999999", b";", b"&amp;", b'"', b" ", b"\n", b"<p", b"</script>", b"<head>", b"<title>", b"\xe1"], [(b"", b"<style>", b""), (b"", b"<!--", b""), (b"", b"<a ", b""), (b"", b"&", b""), (b"", b" \n", b""), (b"<script>", b"</scrip", b""), (b"", b"<script", b""), (b"", b"<a<", b"")]),
    Target("dsn", _check_dsn, [b"\n\n".join([header, b"5.1.1", b"No such user", b"550 5.1.1 no such user here", b"mx.example.net", b"rfc822;bob@example.net"]) for header in header_sections()], [*_PARTS, b"\n\n", b"\r\n ", b"5.1.1", b"550 ", b"x" * 500, b"\xc3\xbc" * 100, b"\xe2\x80\xa8", b"\x85", b"\x1c", b"{}", b"%s", b";", b"\r\nBcc: x\r\n", b"Subject: =?utf-8?q?=0D=0ABcc:_x?=\r\n", b"Message-ID: <a\r\n b>\r\n"], [(b"\n\n5.1.1\n\nx\n\n", b"word ", b"\n\nx"), (b"Subject: ", b"=?utf-8?q?=0A?= ", b"\r\n\n\n"), (b"", b"X: y\r\n", b"\r\n\n\n")], 16_384),
    Target("trace_fields", _check_trace_fields, [b"client.example\n192.0.2.1\nhost\nbob@example.org", b"[192.0.2.1]\n\n\n\n", "bücher.example\nx\ny\nü@x".encode()], [b"\n", b"\r\n", b"\r\nX: y", b"(", b")", b"\\", b" ", b"x" * 300, b"\xc3\xbc", b"\0", b"[", b";", b"\xe2\x80\xa8", b"\x85", b"@", b'"'], [(b"", b"x", b""), (b"\n\n", b"(", b""), (b"", b"\\", b"")], 8_192),
]  # fmt: skip
