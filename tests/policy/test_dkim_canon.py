"""Canonical forms of fields and bodies, also as dkimpy makes them."""

import hashlib
from typing import Any

import dkim.canonicalization
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.message.header import Field, HeaderSection
from appliance.policy.dkim_canon import BodyHash, Canon, FieldPicker, canonical_field, canonical_unsigned, signing_input

PIECES = st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r", b"\n", b"b  c", b"\r\n\r\n", b" \r\n"]), max_size=30)


def body_hash(canon: Canon, chunks: list[bytes], limit: int | None = None) -> bytes:
    found = BodyHash(canon, limit)
    for chunk in chunks:
        found.feed(chunk)
    return found.digest()


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("canon", "body", "expected"),
    [
        (Canon.SIMPLE, b"", b"\r\n"),
        (Canon.RELAXED, b"", b""),
        (Canon.SIMPLE, b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n"),
        (Canon.RELAXED, b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (Canon.SIMPLE, b"no end", b"no end\r\n"),
        (Canon.RELAXED, b"no end ", b"no end\r\n"),
        (Canon.RELAXED, b" \r\n\t\r\n", b""),
        (Canon.SIMPLE, b"\r\n\r\n", b"\r\n"),
        (Canon.SIMPLE, b"a\r\r\n", b"a\r\r\n"),
        (Canon.SIMPLE, b"a\n\r\n\r\n", b"a\n\r\n"),
    ],
)
def test_bodies_have_a_canonical_form(canon: Canon, body: bytes, expected: bytes) -> None:
    """RFC 6376 section 3.4.3 to 3.4.5, with lone line ends as text."""
    assert sha(expected) == body_hash(canon, [body])


@pytest.mark.parametrize("canon", list(Canon))
@given(pieces=PIECES)
def test_the_chunks_do_not_matter(canon: Canon, pieces: list[bytes]) -> None:
    """A body in pieces, in single octets and in one has one hash."""
    body = b"".join(pieces)
    expected = body_hash(canon, [body])
    assert expected == body_hash(canon, pieces)
    assert expected == body_hash(canon, [body[at : at + 1] for at in range(len(body))])


@pytest.mark.parametrize(("canon", "theirs"), [(Canon.SIMPLE, "Simple"), (Canon.RELAXED, "Relaxed")])
@given(words=st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"b  c", b" \r\n"]), max_size=30))
def test_dkimpy_makes_the_same_of_it(canon: Canon, theirs: str, words: list[bytes]) -> None:
    """For bodies whose lines all end in CRLF."""
    body = b"".join([*words, b"\r\n"])
    algorithm: Any = getattr(dkim.canonicalization, theirs)
    assert sha(algorithm.canonicalize_body(body)) == body_hash(canon, [body])


def test_a_limit_cuts_what_is_hashed_and_size_tells_the_rest() -> None:
    """What ``l=`` leaves out is counted."""
    found = BodyHash(Canon.SIMPLE, 3)
    found.feed(b"ab\r")
    found.feed(b"\ncdef\r\n")
    assert sha(b"ab\r") == found.digest()
    assert 10 == found.size


@pytest.mark.parametrize(
    ("canon", "raw", "expected"),
    [
        (Canon.RELAXED, b"A: X\r\n", b"a:X\r\n"),
        (Canon.RELAXED, b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),
        (Canon.SIMPLE, b"B : Y\t\r\n\tZ  \r\n", b"B : Y\t\r\n\tZ  \r\n"),
        (Canon.SIMPLE, b"C: end", b"C: end\r\n"),
    ],
)
def test_fields_have_a_canonical_form(canon: Canon, raw: bytes, expected: bytes) -> None:
    """The examples of RFC 6376 section 3.4.5."""
    (field,) = HeaderSection(raw).fields
    assert expected == canonical_field(field, canon)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"DKIM-Signature: a=1; b=XY\r\n Z; bh=Q=\r\n", b"dkim-signature:a=1; b=; bh=Q="),
        (b"DKIM-Signature: a=1; bh=b; b=XY\r\n", b"dkim-signature:a=1; bh=b; b="),
    ],
)
def test_the_own_field_is_taken_without_its_signature(raw: bytes, expected: bytes) -> None:
    """Only the value of ``b=`` goes, with the space around it."""
    assert expected == canonical_unsigned(Field(b"DKIM-Signature", raw), Canon.RELAXED)


def test_fields_are_taken_from_the_bottom() -> None:
    """RFC 6376 section 5.4.2: and one time too many says that there is no further field."""
    section = HeaderSection(b"X: 1\r\nY: 2\r\nx: 3\r\nX: 4\r\n")
    picked = FieldPicker(section.fields).pick([b"x", b"X", b"y", b"y", b"z"])
    assert [b"X: 4\r\n", b"x: 3\r\n", b"Y: 2\r\n"] == [field.raw for field in picked]


def test_what_is_signed_ends_with_the_signature() -> None:
    """Without a line end behind it."""
    section = HeaderSection(b"To: a\r\nSubject: b\r\n")
    signature = Field(b"DKIM-Signature", b"DKIM-Signature: b=x\r\n")
    assert b"subject:b\r\ndkim-signature:b=" == signing_input(FieldPicker(section.fields), [b"subject"], signature, Canon.RELAXED)
