"""EMAILID and THREADID from the message alone."""

import io

import pytest

from appliance.message.identity import Identity, identify

MESSAGE = b"Message-ID: <1@x>\r\nSubject: s\r\n\r\nbody\r\n"


def of(data: bytes, date_s: int = 0) -> Identity:
    return identify(io.BytesIO(data), date_s)


def test_an_email_id_tells_content_and_date() -> None:
    """RFC 8474 section 5.1: what is the same in both is the same message."""
    assert of(MESSAGE) == of(MESSAGE)
    assert of(MESSAGE).email_id != of(MESSAGE, 1).email_id
    assert of(MESSAGE).email_id != of(MESSAGE + b"x").email_id
    assert of(MESSAGE).email_id[:1] == "M"
    assert of(MESSAGE).thread_id[:1] == "T"
    assert of(MESSAGE).email_id[1:] != of(MESSAGE).thread_id[1:]
    assert all(len(name) == 33 and name.isalnum() for name in of(MESSAGE))


@pytest.mark.parametrize(
    "header",
    [
        b"Message-ID: <2@x>\r\nReferences: <1@x>\r\n",
        b"Message-ID: <3@x>\r\nReferences: (the\r\n first) <1@x>\r\n\t<2@x>\r\nIn-Reply-To: <2@x>\r\n",
        b"Message-ID: <4@x>\r\nIn-Reply-To: Your message <1@x>\r\n",
        b"Message-ID: <1@x>\r\n",
    ],
)
def test_a_thread_is_named_by_its_first_message(header: bytes) -> None:
    """The first of References, else of In-Reply-To, else the message's own."""
    assert of(MESSAGE).thread_id == of(header + b"\r\nother\r\n", 9).thread_id


def test_a_message_without_ids_is_a_thread_of_its_own() -> None:
    """Two of them are not related."""
    one, other = of(b"Subject: a\r\n\r\n"), of(b"Subject: b\r\n\r\n")
    assert one.thread_id != other.thread_id
    assert one == of(b"Subject: a\r\n\r\n")
    assert of(b"") == of(b"")


def test_a_header_that_does_not_end_is_read_to_a_limit() -> None:
    """What stands beyond a mebibyte of header counts for the content only."""
    data = b"X: y\r\n" * 400_000
    assert of(data + b"Message-ID: <1@x>\r\n").thread_id == "T" + of(data + b"Message-ID: <1@x>\r\n").thread_id[1:]
    assert of(data + b"Message-ID: <1@x>\r\n").thread_id != of(MESSAGE).thread_id
