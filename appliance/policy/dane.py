"""DANE for SMTP: TLSA records against the certificates that a server shows.

Owns which records can be used, and matching: the whole certificate or its public
key, as it is or hashed. The public key is cut out of the DER here, so that no
certificate library has to be loaded for DANE-EE.

Fails: never; what cannot be read matches nothing.
Does not: look anything up, or know whether an answer was signed. A chain up to a
trust anchor (DANE-TA) is built by whoever can check signatures, ``net.chains``.

Sources: RFC 6698 section 2.1, RFC 7671 sections 4 and 5, RFC 7672 section 3.1 (PKIX-TA and PKIX-EE are unusable with SMTP).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["DANE_EE", "DANE_TA", "TlsaRecord", "matches", "public_key_info", "usable"]

DANE_TA: Final = 2
DANE_EE: Final = 3
MAX_RECORDS: Final = 64

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_FIELDS_BEFORE_KEY: Final = 5
"""serialNumber, signature, issuer, validity, subject (RFC 5280 section 4.1)."""
_LENGTHS: Final = {1: 32, 2: 64}
_FULL, _SHA256, _SHA512 = 0, 1, 2


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """RFC 6698 section 2.1: certificate usage, selector, matching type, association data."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def is_usable(self) -> bool:
        """True when SMTP can do something with it. Source: RFC 7672 section 3.1."""
        has_form = self.usage in {DANE_TA, DANE_EE} and self.selector in {0, 1} and self.matching in {_FULL, _SHA256, _SHA512}
        return has_form and bool(self.data) and len(self.data) == _LENGTHS.get(self.matching, len(self.data))


def usable(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """Return the records that can be used, the strongest digest of each kind alone (RFC 7671 section 9)."""
    found = [record for record in records if record.is_usable][:MAX_RECORDS]
    best: dict[tuple[int, int], int] = {}
    for record in found:
        kind = (record.usage, record.selector)
        if record.matching:
            best[kind] = max(best.get(kind, 0), record.matching)
    return tuple(record for record in found if record.matching in {0, best.get((record.usage, record.selector))})


def matches(records: Sequence[TlsaRecord], usage: int, certificate: bytes) -> bool:
    """Tell whether a record of this usage is about the certificate (DER)."""
    wanted = [record for record in records if record.usage == usage and record.is_usable]
    if not wanted:
        return False
    # A certificate that cannot be read has no key, and nothing is the digest of no key: its octets alone may match.
    selected = (certificate, public_key_info(certificate))
    return any(selected[record.selector] and _digest(record, selected[record.selector]) == record.data for record in wanted)


def _digest(record: TlsaRecord, selected: bytes) -> bytes:
    if record.matching == _SHA256:
        return hashlib.sha256(selected).digest()
    return hashlib.sha512(selected).digest() if record.matching == _SHA512 else selected


def public_key_info(certificate: bytes) -> bytes:
    """Return SubjectPublicKeyInfo of a certificate, both DER; ``b""`` when it is no certificate.

    Source: RFC 5280 section 4.1.
    """
    outer = _element(certificate, 0)
    inner = _element(certificate, outer[0]) if outer is not None and certificate[0] == _SEQUENCE else None
    if outer is None or inner is None or certificate[outer[0]] != _SEQUENCE:
        return b""
    position, end = inner
    if position < end and certificate[position] == _VERSION:
        version = _element(certificate, position)
        position = version[1] if version is not None else end
    for _field in range(_FIELDS_BEFORE_KEY):
        passed = _element(certificate, position) if position < end else None
        if passed is None:
            return b""
        position = passed[1]
    key = _element(certificate, position) if position < end else None
    return certificate[position : key[1]] if key is not None and key[1] <= end and certificate[position] == _SEQUENCE else b""


def _element(data: bytes, start: int) -> tuple[int, int] | None:
    """Return where the content of the DER element at ``start`` begins and ends; None when it does not fit."""
    if start + 2 > len(data):
        return None
    length = data[start + 1]
    begin = start + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or begin + count > len(data):
            return None
        length = int.from_bytes(data[begin : begin + count])
        begin += count
    return (begin, begin + length) if begin + length <= len(data) else None
