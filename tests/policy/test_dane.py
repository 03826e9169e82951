"""TLSA records against certificates."""

import hashlib
import ssl

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.policy.dane import DANE_EE, DANE_TA, TlsaRecord, matches, public_key_info, usable


@pytest.fixture(scope="module")
def certificate() -> bytes:
    return ssl.PEM_cert_to_DER_cert(trustme.CA().issue_cert("mx.example").cert_chain_pems[0].bytes().decode())


def test_the_public_key_is_cut_out(certificate: bytes) -> None:
    """The same octets as a certificate library gives."""
    expected = x509.load_der_x509_certificate(certificate).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert expected == public_key_info(certificate)


def test_a_cut_certificate_has_no_key(certificate: bytes) -> None:
    """At every length: nothing, and no error."""
    assert {b""} == {public_key_info(certificate[:length]) for length in range(len(certificate))}


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("usage", [DANE_TA, DANE_EE])
def test_every_form_matches(certificate: bytes, usage: int, selector: int, matching: int) -> None:
    """RFC 6698 section 2.1; one bit off matches no more."""
    selected = public_key_info(certificate) if selector else certificate
    digest = {0: selected, 1: hashlib.sha256(selected).digest(), 2: hashlib.sha512(selected).digest()}[matching]
    assert matches([TlsaRecord(usage, selector, matching, digest)], usage, certificate)
    assert not matches([TlsaRecord(usage, selector, matching, digest)], 5 - usage, certificate)
    other = bytes([digest[0] ^ 1]) + digest[1:]
    assert not matches([TlsaRecord(usage, selector, matching, other)], usage, certificate)


def test_what_cannot_be_used(certificate: bytes) -> None:
    """RFC 7672 section 3.1.3: PKIX usages say nothing to SMTP; nor do unknown selectors and digests of a wrong length."""
    good = TlsaRecord(3, 1, 1, bytes(32))
    bad = [TlsaRecord(*form, bytes(32)) for form in ((0, 1, 1), (1, 1, 1), (3, 2, 1), (3, 1, 3))]
    assert (good,) == usable([*bad, good, TlsaRecord(3, 1, 1, b"short"), TlsaRecord(3, 1, 2, bytes(32)), TlsaRecord(3, 0, 0, b"")])


def test_the_strongest_digest_rules(certificate: bytes) -> None:
    """RFC 7671 section 9: of the digests of one kind only the strongest counts, so that a weak one cannot open the door."""
    weak, strong, whole = TlsaRecord(3, 1, 1, bytes(32)), TlsaRecord(3, 1, 2, bytes(64)), TlsaRecord(3, 1, 0, b"key")
    assert (strong, whole) == usable([weak, strong, whole])


def test_no_key_matches_no_digest() -> None:
    """The digest of nothing is not the key of garbage."""
    assert not matches([TlsaRecord(3, 1, 1, hashlib.sha256(b"").digest())], DANE_EE, b"garbage")
