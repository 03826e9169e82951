"""Whatever the octets: the scanner never raises, never depends on the cut, and its parts nest."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.message.header import HeaderSection, body_offset, first_values, select_fields, split_message
from appliance.message.mime import StructureScanner, render_summary, scan
from appliance.message.part import Part
from appliance.message.section import find_part
from appliance.message.submission import HeaderFilter

PIECES = st.sampled_from(
    [
        b"\r\n", b"\r\n\r\n", b"--", b"--b", b"--bb", b"--b--", b"--bb--", b"\r\n--b\r\n", b"\r\n--bb\r\n", b"\r\n--b--\r\n", b" ", b"text",
        b"Content-Type: multipart/mixed; boundary=b\r\n", b'Content-Type: multipart/digest; boundary="bb"\r\n', b"\r", b"\n",
        b"Content-Type: message/rfc822\r\n", b"Content-Type: text/html\r\n", b"Subject: x\r\n", b"From: a@b, c\r\n", b"\xe1", b"\0",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Disposition: attachment; filename=x\r\n",
    ]
)  # fmt: skip
MESSAGES = st.lists(PIECES, max_size=40).map(b"".join)


def scan_in_chunks(data: bytes, cuts: list[int]) -> Part:
    scanner = StructureScanner(max_depth=5, max_parts=20, max_header=120)
    start = 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        scanner.feed(data[start:cut])
        start = cut
    return scanner.finish()


def assert_nested(part: Part, start: int, end: int) -> None:
    assert start <= part.header_start <= part.body_start <= part.body_end <= end
    assert part.lines >= 0
    position = part.body_start
    for child in part.children:
        assert_nested(child, position, part.body_end)
        position = child.body_end
    if part.message is not None:
        assert_nested(part.message, part.body_start, part.body_end)


@given(MESSAGES, st.lists(st.integers(0, 2_000), max_size=8))
def test_the_tree_does_not_depend_on_the_cut(data: bytes, cuts: list[int]) -> None:
    """Any chunking gives the same tree."""
    assert scan_in_chunks(data, []) == scan_in_chunks(data, cuts)


@given(MESSAGES)
def test_parts_lie_inside_each_other(data: bytes) -> None:
    """Offsets never leave the parent, siblings never overlap, lines are those of the body."""
    root = scan(data)
    assert_nested(root, 0, len(data))
    assert data[root.body_start : root.body_end].count(b"\n") == root.lines


@given(st.one_of(MESSAGES, st.binary(max_size=300)))
def test_every_message_can_be_described(data: bytes) -> None:
    """Rendering never raises, its parentheses close, and each part it shows can be fetched."""
    root = scan(data)
    for item in render_summary(root):
        assert item.startswith(b"(")
        assert item.endswith(b")")
    assert find_part(root, "1") is not None
    assert len(data) == sum(found.length for word in ("HEADER", "TEXT") if (found := find_part(root, word)))


@given(st.one_of(MESSAGES, st.binary(max_size=300)), st.lists(st.integers(0, 2_000), max_size=8))
def test_headers_are_kept_byte_exact(data: bytes, cuts: list[int]) -> None:
    """Parsing and joining is the identity; a filter that does not rewrite passes every octet."""
    header, body = split_message(data)
    assert data == header + body
    assert header == HeaderSection(header).to_bytes() == HeaderSection(header, max_fields=2).to_bytes()
    assert select_fields(header, set(), exclude=True).startswith(header[:-2] if body_offset(header) >= 0 else b"")
    assert first_values(header, {b"subject"}).keys() <= {b"subject"}
    for rewrite in (False, True):
        header_filter = HeaderFilter(rewrite=rewrite, date=b"D", message_id=b"<x@y>")
        whole = HeaderFilter(rewrite=rewrite, date=b"D", message_id=b"<x@y>")
        passed = b""
        start = 0
        for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
            passed += header_filter.feed(data[start:cut])
            start = cut
        passed += header_filter.finish()
        assert whole.feed(data) + whole.finish() == passed
        assert whole.report == header_filter.report
        if not rewrite:
            assert data == passed
