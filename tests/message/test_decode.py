"""The text of a message."""

import base64
import io
import quopri

import pytest

from appliance.message.decode import decoded_body, header_text, html_text, leaf_parts, searchable_text
from appliance.message.mime import scan


def text_of(message: bytes, limit: int = 100_000) -> str:
    return searchable_text(io.BytesIO(message), scan(message), limit)


def part(encoding: str, content: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    return f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + content


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (part("quoted-printable", b"Ol=C3=A1 =\r\nmundo\r\n"), "Olá mundo\r\n"),
        (part("base64", base64.encodebytes("Olá".encode())), "Olá"),
        (part("base64", b"T2zDoQ"), "Olá"),
        (part("base64", b"T2zDo"), "Ol\ufffd"),
        (part("8bit", "Olá".encode("latin-1"), "text/plain; charset=us-ascii"), "Olá"),
        (part("x-odd", b"abc"), "abc"),
        (part("7bit", b"<p>a<br>b</p>", "text/html"), "a\nb"),
        (part("7bit", b"%PDF", "application/pdf"), ""),
    ],
)
def test_text_parts_are_decoded(message: bytes, expected: str) -> None:
    """Transfer encoding, charset, markup; other types hold no text."""
    assert expected == text_of(message)


def test_every_text_part_and_nested_header_is_searched() -> None:
    """In the order of the message."""
    message = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Subject: =?utf-8?q?=C3=A1?=\r\n\r\ntwo\r\n--b--\r\n"
    )
    assert "one\nSubject: á\ntwo" == text_of(message)
    assert [b"one", b"two"] == [message[leaf.body_start : leaf.body_end] for leaf in leaf_parts(scan(message))]


def test_the_text_is_capped_between_words() -> None:
    """A character cut in two would spoil the charset of all."""
    assert "áé" == text_of(part("8bit", "áé íó".encode()), 7)
    assert len(text_of(part("8bit", b"x" * 300_000), 1_000)) == 1_000


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_large_parts_are_decoded_in_chunks(encoding: str) -> None:
    """Whatever falls on the seam."""
    content = bytes(range(256)) * 2_000
    encoded = base64.encodebytes(content) if encoding == "base64" else quopri.encodestring(content)
    message = part(encoding, encoded)
    assert content == b"".join(decoded_body(io.BytesIO(message), scan(message)))


def test_a_quoted_line_without_end_is_cut_beside_its_escapes() -> None:
    """64 KiB and no line end in sight."""
    message = part("quoted-printable", b"x" + b"=C3=A1" * 40_000)
    assert b"x" + b"\xc3\xa1" * 40_000 == b"".join(decoded_body(io.BytesIO(message), scan(message)))


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<style>a{}</style><b>x</b>&eacute;&#33;", "xé!"),
        ("a<!-- c -->b<script>1<2", "a\nb"),
        ("1 < 2 <unclosed", "1 < 2 <unclosed"),
        ("&#" + "1" * 9_000 + ";x", "\ufffdx"),
        ("<p>a</p>\n\n\n<p>b &nbsp; c</p>", "a\nb c"),
    ],
)
def test_markup_is_taken_out(markup: str, expected: str) -> None:
    """For finding words; hostile markup costs no time and raises nothing."""
    assert expected == html_text(markup)


def test_headers_are_decoded_line_by_line() -> None:
    """Unfolded, malformed lines left out."""
    assert "Subject: á b\nTo: x" == header_text(b"Subject: =?utf-8?q?=C3=A1?=\r\n b\r\njunk\r\nTo: x\r\n\r\n")


def test_a_number_may_stand_on_both_sides_of_a_tag() -> None:
    """Digits that come together only when tags are gone are no number of thousands of digits."""
    assert "\ufffdx" == html_text("&#" + "9999999<b>" * 900 + ";x")
