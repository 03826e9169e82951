"""Key records, and which keys are good enough."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from appliance.policy.dkim_key import KeyRecordError, parse_key_record

RSA = rsa.generate_private_key(65_537, 2_048)
ED = ed25519.Ed25519PrivateKey.generate()
Format = serialization.PublicFormat


def encoded(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, form: Format = Format.SubjectPublicKeyInfo) -> bytes:
    return base64.b64encode(key.public_bytes(serialization.Encoding.DER, form))


ED_KEY = base64.b64encode(ED.public_key().public_bytes_raw())


@pytest.mark.parametrize("form", [Format.SubjectPublicKeyInfo, Format.PKCS1])
def test_an_rsa_key_checks_its_signatures(form: Format) -> None:
    """In both forms in which people publish it."""
    key = parse_key_record(b"v=DKIM1; p=" + encoded(RSA.public_key(), form)[:50] + b" " + encoded(RSA.public_key(), form)[50:])
    signature = RSA.sign(b"text", padding.PKCS1v15(), hashes.SHA256())
    assert [True, False] == [key.check(signature, text) for text in (b"text", b"taxt")]
    assert ("rsa", 2_048, False, False) == (key.kind, key.bits, key.is_testing, key.is_strict)


def test_an_ed25519_key_checks_its_signatures() -> None:
    """RFC 8463 section 3 signs the hash."""
    key = parse_key_record(b"k=ed25519; t=y:s; p=" + ED_KEY)
    signature = ED.sign(hashlib.sha256(b"text").digest())
    assert [True, False] == [key.check(signature, text) for text in (b"text", b"taxt")]
    assert key.is_testing
    assert key.is_strict


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"v=DKIM2; p=AA", "of another version"),
        (b"p=AA; v=DKIM1", "of another version"),
        (b"k=rsa", "has no key"),
        (b"p=", "was revoked"),
        (b"h=sha1; p=AA", "not for SHA-256"),
        (b"s=tlsrpt; p=AA", "not for mail"),
        (b"p=?", "not base64"),
        (b"k=dsa; p=AAAA", "unknown kind"),
        (b"p=AAAA", "no RSA key"),
        (b"k=ed25519; p=AAAA", "no Ed25519 key"),
        (b"p=a;p=b", "cannot be read: the tag p stands twice"),
        (b"p=" + encoded(rsa.generate_private_key(65_537, 1_023 + 1).public_key())[:-8], "no RSA key"),
        (b"p=" + encoded(ec.generate_private_key(ec.SECP256R1()).public_key()), "no RSA key"),
        (b"p=" + encoded(rsa.RSAPublicNumbers(65_537, (1 << 8_200) + 1).public_key()), "larger than anybody needs"),
        (b"p=" + encoded(rsa.RSAPublicNumbers((1 << 40) + 1, RSA.public_key().public_numbers().n).public_key()), "larger than anybody"),
        (b"p=" + encoded(rsa.RSAPublicNumbers(65_537, (1 << 767) + 1).public_key()), "only 768 bits"),
    ],
)
def test_what_cannot_be_used_is_told(record: bytes, reason: str) -> None:
    """Records of other kinds, keys too small and keys too dear."""
    with pytest.raises(KeyRecordError, match=reason):
        parse_key_record(record)
