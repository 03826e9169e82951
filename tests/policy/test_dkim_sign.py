"""DKIM signatures of our own, judged by our verifier and by dkimpy."""

import hashlib

import dkim
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.message.header import HeaderSection
from appliance.policy.dkim_canon import BodyHash, Canon
from appliance.policy.dkim_key import parse_key_record
from appliance.policy.dkim_sign import DkimSigner, author_domain, key_record, sign_message, zone_line

HEADER = b"From: Ana <ana@example.com>\r\nTo: bob@far.example\r\nSubject:  a   folded\r\n\tsubject\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n\r\n"
BODIES = [b"", b"\r\n\r\n", b"Hello  there \t\r\n\r\n\r\n", b"no line end", b".\r\n" * 1_000]
RSA = rsa.generate_private_key(65_537, 2_048)
RSA_RECORD = key_record("rsa", RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
EDWARDS = ed25519.Ed25519PrivateKey.generate()
EDWARDS_RECORD = key_record("ed25519", EDWARDS.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
SIGNERS = [
    DkimSigner("example.com", "r", "rsa-sha256", lambda data: RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())),
    DkimSigner("example.com", "e", "ed25519-sha256", lambda data: EDWARDS.sign(hashlib.sha256(data).digest())),
]


def signed(body: bytes, header: bytes = HEADER) -> bytes:
    found = BodyHash(Canon.RELAXED)
    found.feed(body)
    return sign_message(SIGNERS, HeaderSection(header[:-2]).fields, found.digest(), 1_700_000_000) + header + body


def verified_by_dkimpy(message: bytes) -> bool:
    names = {b"r._domainkey.example.com.": RSA_RECORD.encode()}
    return bool(dkim.verify(message, dnsfunc=lambda name, timeout=5: names.get(name, b"")))


@pytest.mark.parametrize("body", BODIES)
def test_dkimpy_agrees(body: bytes) -> None:
    """The RSA signature holds for another implementation, whatever the body."""
    message = signed(body)
    rsa_only = message[: message.index(b"DKIM-Signature", 10)] + HEADER + body
    assert verified_by_dkimpy(rsa_only)
    assert not verified_by_dkimpy(rsa_only.replace(b"bob@", b"eve@"))


def test_ed25519_holds() -> None:
    """What it signs is what the record's key checks (RFC 8463 section 3)."""
    data = b"signed octets"
    assert parse_key_record(EDWARDS_RECORD.encode()).check(SIGNERS[1].sign(data), data)
    assert 2 == signed(b"x\r\n").count(b"DKIM-Signature:")


def test_a_second_author_breaks_it() -> None:
    """RFC 6376 section 8.15: From is signed once more than it is there."""
    message = signed(b"x\r\n")
    rsa_only = message[: message.index(b"DKIM-Signature", 10)] + HEADER + b"x\r\n"
    assert verified_by_dkimpy(rsa_only)
    assert not verified_by_dkimpy(b"From: Eve <eve@evil.example>\r\n" + rsa_only)
    assert not verified_by_dkimpy(b"Subject: other\r\n" + rsa_only)


def test_records_are_read_back() -> None:
    """By the parser that reads other people's."""
    assert ("rsa", 2_048) == (parse_key_record(RSA_RECORD.encode()).kind, parse_key_record(RSA_RECORD.encode()).bits)
    assert "ed25519" == parse_key_record(EDWARDS_RECORD.encode()).kind
    line = zone_line("r", "example.com", RSA_RECORD)
    assert line.startswith('r._domainkey.example.com. IN TXT "v=DKIM1; k=rsa; p=')
    assert max(len(part) for part in line.split('"')) <= 255


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"From: Ana <ana@Example.COM>\r\n", "example.com"),
        (b"From: a@one.example, b@two.example\r\n", ""),
        (b"From: a@one.example\r\nFrom: b@two.example\r\n", ""),
        (b"Subject: x\r\n", ""),
        (b"From: nobody\r\n", ""),
    ],
)
def test_author_domain(header: bytes, expected: str) -> None:
    """One author's, or none."""
    assert expected == author_domain(HeaderSection(header).fields)
