"""What happens to a header section on its way in."""

from collections.abc import Iterable

import pytest

from appliance.message.submission import HeaderFault, HeaderFilter

ADDED = b"Date: D\r\nMessage-ID: <new@x>\r\n"


def submit(*chunks: bytes, max_header_bytes: int = 1_000) -> tuple[HeaderFilter, bytes]:
    return run(HeaderFilter(rewrite=True, date=b"D", message_id=b"<new@x>", max_header_bytes=max_header_bytes), chunks)


def run(header_filter: HeaderFilter, chunks: Iterable[bytes]) -> tuple[HeaderFilter, bytes]:
    passed = b"".join([header_filter.feed(chunk) for chunk in chunks])
    return header_filter, passed + header_filter.finish()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"From: a@b\r\n\r\nx", b"From: a@b\r\n" + ADDED + b"\r\nx"),
        (b"date: 1\r\nMESSAGE-ID: <1@x>\r\n\r\nx", b"date: 1\r\nMESSAGE-ID: <1@x>\r\n\r\nx"),
        (b"A: 1\r\nBcc: secret@x,\r\n other@x\r\nResent-Bcc: s\r\nB: 2\r\n\r\nx", b"A: 1\r\nB: 2\r\n" + ADDED + b"\r\nx"),
        (b"hello\r\nworld\r\n\r\nx", ADDED + b"\r\nhello\r\nworld\r\n\r\nx"),
        (b"A: 1\r\nhello\r\nBcc: text\r\n", b"A: 1\r\n" + ADDED + b"\r\nhello\r\nBcc: text\r\n"),
        (b"From me Tue Mar  3 10:11:12 2026\r\nA: 1\r\n\r\nx", b"A: 1\r\n" + ADDED + b"\r\nx"),
        (b"\r\nx", ADDED + b"\r\nx"),
        (b"", ADDED + b"\r\n"),
        (b"A: 1", b"A: 1\r\n" + ADDED + b"\r\n"),
        (b"A: 1\n\nBcc: body\r\n\r\nx", b"A: 1\n" + ADDED + b"\nBcc: body\r\n\r\nx"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_submitted_headers_are_completed(message: bytes, expected: bytes, size: int) -> None:
    """Date and Message-ID are added, Bcc goes, a stray body is put behind an empty line; however the octets arrive."""
    assert expected == submit(*[message[start : start + size] for start in range(0, len(message), size)])[1]


def test_chunks_of_the_body_are_not_copied() -> None:
    """Behind the header section the very objects pass."""
    header_filter = HeaderFilter(rewrite=True)
    header_filter.feed(b"A: 1\r\n\r\n")
    chunk = b"x" * 100
    assert header_filter.feed(chunk) is chunk
    assert b"" == header_filter.finish()


def test_mail_from_elsewhere_is_only_looked_at() -> None:
    """Nothing changes; the report says what policy and log want to know."""
    message = (
        b"Received: x\r\nReceived: y\r\nDelivered-To: z@x\r\nFrom: A <a@b>, c@d\r\nSender: s@b\r\nBcc: q\r\nSubject: \xe1\r\nDate: D\r\n"
        b"Message-ID: <1@x>\r\n\r\nbody"
    )
    header_filter, passed = run(HeaderFilter(), [message[:50], message[50:]])
    assert message == passed
    report = header_filter.report
    assert report is not None
    assert (len(message) - 4, 2, "<1@x>") == (report.header_bytes, report.received_count, report.message_id)
    assert (("a@b", "c@d"), 1, "s@b") == (report.from_addresses, report.from_count, report.sender)
    assert (True, True, ("z@x",)) == (report.has_date, report.has_8bit, report.delivered_to)


def test_a_header_over_the_limit_is_a_fault() -> None:
    """With or without its end in sight; nothing goes on afterwards."""
    for chunks in ([b"A: " + b"x" * 2_000], [b"A: " + b"x" * 2_000 + b"\r\n\r\nbody"]):
        header_filter, passed = submit(*chunks)
        assert (HeaderFault.TOO_LARGE, b"", None) == (header_filter.fault, passed, header_filter.report)
        assert b"" == header_filter.feed(b"more")


def test_a_large_body_in_the_first_chunk_is_no_fault() -> None:
    """Only the header section counts."""
    header_filter, passed = submit(b"A: 1\r\n\r\n" + b"x" * 5_000)
    assert header_filter.fault is None
    assert passed.endswith(b"x" * 5_000)
