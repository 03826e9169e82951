"""The structure scanner: where parts lie, whatever the message looks like."""

import io
from pathlib import Path

import pytest

from appliance.message.mime import StructureScanner, scan, scan_stream, summarise, summarise_stream
from appliance.message.part import Part
from appliance.message.structure import render_body

DATA = Path(__file__).parent / "data"
MIXED = (
    b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\none\r\n\r\n"
    b"--b \t\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\nepilogue\r\n--b\r\n\r\nnot a part\r\n"
)


def read(name: str) -> bytes:
    return (DATA / name).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def body(data: bytes, part: Part) -> bytes:
    return data[part.body_start : part.body_end]


def test_parts_lie_between_their_delimiters() -> None:
    """The CRLF before a delimiter belongs to it; space behind a boundary does not matter; the epilogue has no parts."""
    root = scan(MIXED)
    assert [b"one\r\n", b"<p>"] == [body(MIXED, part) for part in root.children]
    assert [1, 0] == [part.lines for part in root.children]
    assert b"\r\n" == MIXED[root.children[0].header_start : root.children[0].body_start]
    assert len(MIXED) == root.body_end


def test_a_plain_message_is_one_part() -> None:
    """Lines are line ends."""
    root = scan(b"Subject: s\r\n\r\na\r\nb\r\nc")
    assert (14, 21, 2) == (root.body_start, root.body_end, root.lines)
    assert [] == root.children


@pytest.mark.parametrize("data", [b"", b"\r\n", b"Subject: s", b"Subject: s\r\n", b"Subject: s\r\n\r\n"])
def test_a_message_without_body_has_an_empty_one(data: bytes) -> None:
    """Header only, or nothing at all."""
    root = scan(data)
    assert (len(data), 0, 0) == (root.body_start, root.size, root.lines)


def test_a_nested_message_has_its_own_tree() -> None:
    """The inner message ends where the outer part ends and has an envelope."""
    data = (
        b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Subject: in\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nx\r\n--o--\r\n"
    )
    part = scan(data).children[0]
    assert part.message is not None
    assert b'(NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL)' == part.message.envelope
    assert b"x" == body(data, part.message.children[0])
    assert part.body_end == part.message.body_end == part.message.children[0].body_end


def test_entries_of_a_digest_are_messages() -> None:
    """RFC 2046 section 5.1.5: the default type inside multipart/digest."""
    root = scan(
        b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: x\r\n\r\ny\r\n--d\r\nContent-Type: text/plain\r\n\r\nz\r\n--d--"
    )
    assert [True, False] == [part.message is not None for part in root.children]


def test_a_delimiter_in_a_header_ends_the_part() -> None:
    """No empty line between header and delimiter, as some programs write empty parts."""
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n--b\r\n--b--\r\n"
    root = scan(data)
    assert [(b"html", 0), (b"plain", 0)] == [(part.subtype, part.size) for part in root.children]


@pytest.mark.parametrize(
    "header", [b"Content-Type: message/rfc822\r\n", b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n--b--\r\n"]
)
def test_a_nested_message_may_be_nothing_at_all(header: bytes) -> None:
    """It announces a message, and there the octets or the part end."""
    root = scan(header)
    outer = root.children[0] if root.children else root
    assert outer.message is not None
    assert (outer.body_start, 0, b"text") == (outer.message.body_start, outer.message.size, outer.message.type)
    assert outer.message.envelope is not None


def test_the_longest_boundary_wins() -> None:
    """One boundary is the beginning of the other (RFC 2046 section 5.1.2)."""
    data = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n"
        b"--bb\r\n\r\ninner\r\n--bb--\r\n\r\n--b\r\n\r\nouter\r\n--b--\r\n"
    )
    root = scan(data)
    assert [b"inner"] == [body(data, part) for part in root.children[0].children]
    assert b"outer" == body(data, root.children[1])


def test_a_multipart_without_boundary_is_text() -> None:
    """RFC 2045 section 5.2, and the reader sees something."""
    assert b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 8 2)' == render_body(
        scan(b"Content-Type: multipart/mixed\r\n\r\n--b\r\nx\r\n")
    )


def test_depth_is_bounded() -> None:
    """Beyond the limit a container is an opaque leaf."""
    data = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(9)) + b"\r\n"
    scanner = StructureScanner(max_depth=3)
    scanner.feed(data)
    part = scanner.finish()
    depth = 0
    while part.children:
        part = part.children[0]
        depth += 1
    assert (3, b"octet-stream") == (depth, part.subtype)
    chain = scan(b"Content-Type: message/rfc822\r\n\r\n" * 300)
    assert render_body(chain).count(b'"rfc822"') < 101


def test_the_number_of_parts_is_bounded() -> None:
    """The last part takes the rest."""
    scanner = StructureScanner(max_parts=3)
    data = b"Content-Type: multipart/mixed; boundary=b\r\n" + b"\r\n--b\r\n\r\nx" * 9
    scanner.feed(data)
    root = scanner.finish()
    assert 2 == len(root.children)
    assert len(data) == root.body_end


def test_a_large_header_is_read_as_far_as_the_limit() -> None:
    """What is behind it is not known, but the body is found."""
    scanner = StructureScanner(max_header=30)
    scanner.feed(b"Subject: s\r\nX: " + b"x" * 500 + b"\r\nContent-Type: text/html\r\n\r\nbody")
    root = scanner.finish()
    assert (b"plain", 4) == (root.subtype, root.size)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0090_base64encoded-rfc822message-nested.msg", b'("application" "octet-stream" NIL NIL NIL "base64" 380)'),
        ("0106_misplaced-boundary.msg", b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 100 2) "mixed")'),
        (
            "0107_missing-inner-boundary.msg",
            b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 1)'
            b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "alternative") "mixed")',
        ),
        (
            "0117_multipartnestedemptypartsnorfc822.msg",
            b'((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed") "mixed")',
        ),
        ("0124_weird-boundary.msg", b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 186 4) "mixed")'),
    ],
)
def test_odd_messages_are_seen_as_other_servers_see_them(name: str, expected: bytes) -> None:
    """Messages from another project's collection of the odd."""
    assert expected == render_body(scan(read(name)))


@pytest.mark.parametrize("path", sorted(DATA.glob("*.msg")), ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [1, 7, 300])
def test_the_tree_does_not_depend_on_the_cut(path: Path, size: int) -> None:
    """However the octets arrive."""
    data = read(path.name)
    scanner = StructureScanner()
    for start in range(0, len(data), size):
        scanner.feed(data[start : start + size])
    assert scan(data) == scanner.finish()


def test_a_stream_gives_the_same_as_the_bytes() -> None:
    """Small and large messages have one truth."""
    data = MIXED + b"x" * 300_000
    assert summarise(data) == summarise_stream(io.BytesIO(data))
    assert scan(data) == scan_stream(io.BytesIO(data))


def test_a_summary_has_the_three_items() -> None:
    """What the index keeps at delivery."""
    summary = summarise(b"From: a@b\r\nSubject: s\r\n\r\nx\r\n")
    sender = b'((NIL NIL "a" "b"))'
    assert b'(NIL "s" ' + b" ".join([sender] * 3) + b" NIL NIL NIL NIL NIL)" == summary.envelope
    assert b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1)' == summary.body
    assert b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)' == summary.body_structure
