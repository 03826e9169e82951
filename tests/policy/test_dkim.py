"""Verifying DKIM: what dkimpy signs is good, what was changed is not, and what is hostile costs nothing."""

import base64
import hashlib
import time
from collections.abc import Mapping
from typing import Any

import dkim
import pytest

from appliance.message.header import Field, HeaderSection, split_message
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.dkim import DkimResult, DkimVerdict, DkimVerifier
from appliance.policy.dkim_canon import BodyHash, Canon, FieldPicker, signing_input
from appliance.policy.dkim_tags import format_tags
from tests.policy.dkimkeys import ED_KEY, ZONE, dkimpy_sign

NOW_S = time.time()
MESSAGE = (
    b"From: Ana <ana@example.com>\r\nTo: bob@example.org\r\nSubject:  a   long\r\n subject\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n\r\nHello  Bob,\r\n\r\n  this is \ta test. \r\n\r\n\r\n"
)


def look_up(question: DnsQuestion, zone: Mapping[str, str] = ZONE) -> DnsAnswer:
    if question.name.startswith("late."):
        return DnsAnswer(DnsStatus.FAILED)
    found = zone.get(question.name)
    return DnsAnswer(DnsStatus.FOUND, (found,)) if found else DnsAnswer(DnsStatus.MISSING)


def verify(message: bytes, *, now_s: float = NOW_S, chunk: int = 0) -> tuple[DkimVerdict, ...]:
    header, body = split_message(message)
    verifier = DkimVerifier(HeaderSection(header).fields, now_s=now_s)
    for at in range(0, len(body), chunk or max(len(body), 1)):
        verifier.feed(body[at : at + (chunk or len(body))])
    return answer_with(look_up, verifier.finish())


def results(message: bytes, **options: Any) -> list[str]:
    return [verdict.result.value for verdict in verify(message, **options)]


def ed25519_sign(message: bytes, **more: str) -> bytes:
    """Sign as RFC 8463 has it; ``more`` are tags that are added or replaced."""
    header, body = split_message(message)
    hashed = BodyHash(Canon.RELAXED)
    hashed.feed(body)
    tags = {"v": "1", "a": "ed25519-sha256", "c": "relaxed/relaxed", "d": "example.com", "s": "ed", "h": "from:to:subject:subject",
            "bh": base64.b64encode(hashed.digest()).decode()} | more | {"b": ""}  # fmt: skip
    unsigned = format_tags("DKIM-Signature", tags)
    picker = FieldPicker(HeaderSection(header).fields)
    names = tags["h"].encode().split(b":")
    signed = signing_input(picker, names, Field(b"DKIM-Signature", unsigned), Canon.RELAXED)
    tags["b"] = base64.b64encode(ED_KEY.sign(hashlib.sha256(signed).digest())).decode()
    return format_tags("DKIM-Signature", tags) + message


@pytest.mark.parametrize("header_canon", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body_canon", [b"simple", b"relaxed"])
@pytest.mark.parametrize("chunk", [0, 1, 7])
def test_what_dkimpy_signs_is_good(header_canon: bytes, body_canon: bytes, chunk: int) -> None:
    """In each canonical form, however the body arrives."""
    signed = dkimpy_sign(MESSAGE, canonicalize=(header_canon, body_canon))
    assert ["pass"] == results(signed, chunk=chunk)


def test_the_verdict_names_who_signed() -> None:
    """For Authentication-Results and DMARC."""
    (verdict,) = verify(dkimpy_sign(MESSAGE, identity=b"ana@news.example.com"))
    assert ("example.com", "rsa", "ana@news.example.com", "rsa-sha256", 2_048, "") == (
        verdict.domain, verdict.selector, verdict.identity, verdict.algorithm, verdict.bits, verdict.reason
    )  # fmt: skip
    assert 8 == len(verdict.signature_start)


def test_ed25519_beside_rsa() -> None:
    """Each signature has a verdict of its own."""
    assert ["pass", "pass"] == results(ed25519_sign(dkimpy_sign(MESSAGE)))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"a test", b"a text", "the body is not what was signed"),
        (b"Subject:", b"Subject: x", "the header is not what was signed"),
        (b"To: bob", b"To: eve", "the header is not what was signed"),
    ],
)
def test_changes_are_found(old: bytes, new: bytes, reason: str) -> None:
    """In the body and in a field that is signed."""
    (verdict,) = verify(dkimpy_sign(MESSAGE).replace(old, new))
    assert (DkimResult.FAIL, reason) == (verdict.result, verdict.reason)


def test_a_second_subject_is_found_where_it_was_signed_away() -> None:
    """A name that stands once more in ``h=`` than in the message keeps further fields out."""
    signed = ed25519_sign(MESSAGE)
    assert ["pass"] == results(signed)
    assert ["fail"] == results(signed.replace(b"From:", b"Subject: another\r\nFrom:"))


@pytest.mark.parametrize(
    ("tags", "result", "reason"),
    [
        ({"v": "2"}, "permerror", "it is of another version"),
        ({"a": "rsa-sha512"}, "permerror", "its algorithm rsa-sha512 is unknown"),
        ({"a": "rsa-sha1"}, "policy", "it is made with SHA-1, which no longer proves anything"),
        ({"h": "to:subject"}, "permerror", "From is not signed"),
        ({"x": "1000"}, "fail", "the signature has expired"),
        ({"t": "2000", "x": "1000"}, "permerror", "it ends before it begins"),
        ({"t": str(int(NOW_S) + 7_200)}, "permerror", "it was made in the future"),
        ({"t": str(int(NOW_S)), "x": str(int(NOW_S) + 60)}, "pass", ""),
        ({"q": "dns/txt:x"}, "pass", ""),
        ({"q": "http"}, "permerror", "q=http is unknown"),
        ({"c": "relaxed/strange"}, "permerror", "c=relaxed/strange is unknown"),
        ({"i": "@example.org"}, "permerror", "i= is not of the domain that signs"),
        ({"i": "x@sub.example.com"}, "pass", ""),
        ({"i": ""}, "permerror", "'' is no domain"),
        ({"l": "x"}, "permerror", "l= is no number"),
        ({"l": ""}, "permerror", "l= is no number"),
        ({"l": "99999"}, "fail", "the body is not what was signed"),
        ({"s": "late"}, "temperror", "the key cannot be looked up now"),
        ({"s": "none"}, "permerror", "there is no key"),
        ({"s": "gone"}, "permerror", "the key was revoked"),
        ({"s": "rsa"}, "permerror", "the key is for another algorithm"),
        ({"bh": "?"}, "permerror", "bh= is not base64"),
        ({"d": "a..b"}, "permerror", "'a..b' is no domain"),
    ],
)
def test_what_a_signature_says_is_judged(tags: dict[str, str], result: str, reason: str) -> None:
    """Tag by tag."""
    (verdict,) = verify(ed25519_sign(MESSAGE, **tags))
    assert (result, reason) == (verdict.result.value, verdict.reason)


def test_a_part_of_the_body_is_not_enough() -> None:
    """``l=`` lets anybody add to a message; where it covers everything it does no harm."""
    signed = dkimpy_sign(MESSAGE, length=True)
    assert ["pass"] == results(signed)
    (verdict,) = verify(signed + b"buy now\r\n")
    assert (DkimResult.POLICY, "a part of the body is not signed") == (verdict.result, verdict.reason)


def test_small_keys_are_enough_from_1024_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8301 section 3.2; one bit less is refused."""
    signed = dkimpy_sign(MESSAGE, "small")
    assert ["pass"] == results(signed)


def test_flags_of_the_key_count() -> None:
    """``t=y`` makes a failure neutral, ``t=s`` forbids subdomains in ``i=``."""
    testing = dkimpy_sign(MESSAGE, "testing")
    assert ["pass", "neutral"] == [results(testing)[0], results(testing.replace(b"To: bob", b"To: eve"))[0]]
    assert ["pass"] == results(dkimpy_sign(MESSAGE, "strict"))
    assert ["permerror"] == results(dkimpy_sign(MESSAGE, "strict", identity=b"@sub.example.com"))


@pytest.mark.parametrize(
    "field", [b"\xff\xfe", b"", b";;;", b"v=1", b"v=1; v=1", b"v=1;" + b"h= " * 20_000, b"v=1; a=rsa-sha256; b=" + b" " * 60_000]
)
def test_hostile_signatures_are_errors(field: bytes) -> None:
    """They raise nothing and take no time."""
    start = time.perf_counter()
    assert ["permerror"] == results(b"DKIM-Signature: " + field + b"\r\n" + MESSAGE)
    assert time.perf_counter() - start < 1


def test_a_message_that_starts_with_a_fold_is_one_without_signature() -> None:
    """There is no field for it to belong to."""
    assert [] == results(b" folded\r\n" + MESSAGE)


def test_only_so_many_signatures_are_looked_at() -> None:
    """The first ones; each costs a DNS question."""
    assert ["pass"] * 6 == results(dkimpy_sign(MESSAGE)[: -len(MESSAGE)] * 20 + MESSAGE)


def test_dkimpy_agrees_on_what_we_make() -> None:
    """A signature put together by our own canonical forms verifies there."""
    signed = dkimpy_sign(MESSAGE, include_headers=[b"from", b"to", b"subject", b"subject"])
    assert dkim.verify(signed, dnsfunc=lambda name, timeout=5: ZONE[name.decode().rstrip(".")].encode())
    assert ["pass"] == results(signed)
