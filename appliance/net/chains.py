"""A server's certificates checked up to the one that DANE names as its trust anchor.

Owns the walk from the server's own certificate upwards: each signed by the next,
each in its time, the upper ones authorities; and whom the first one is for.

Fails: ``ChainError`` with the reason in words.
Blocks: the processor, under a millisecond per certificate; ``cryptography`` (100 ms) is loaded by the first call.
Sources: RFC 7671 section 5.2 (DANE-TA), RFC 7672 section 3.2.1 (name checks), RFC 5280 section 6.1, RFC 9525 (names).
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["ChainError", "verify_chain"]

MAX_CERTIFICATES: Final = 10


class ChainError(Exception):
    """The chain does not lead to the anchor, or is for somebody else."""


def verify_chain(chain: Sequence[bytes], is_anchor: Callable[[bytes], bool], names: Collection[str], now_s: float) -> None:
    """Return when ``chain`` (DER, the server's first) leads to an anchor and the first one is for one of ``names``. Raises ChainError."""
    from cryptography import x509

    if not chain:
        raise ChainError("the server shows no certificate")
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain[:MAX_CERTIFICATES]]
        anchor = next((index for index, one in enumerate(chain[:MAX_CERTIFICATES]) if is_anchor(one)), None)
        if anchor is None:
            raise ChainError("none of the certificates shown is the one that TLSA names")
        _check_links(certificates[: anchor + 1], datetime.fromtimestamp(now_s, UTC))
        found = _dns_names(certificates[0])
    except ValueError as error:
        raise ChainError(f"a certificate cannot be read: {error}") from error
    if not any(_is_for(pattern, name.lower().rstrip(".")) for pattern in found for name in names):
        raise ChainError(f"the certificate is not for {' or '.join(dict.fromkeys(names))}")


def _check_links(certificates: Sequence["Certificate"], now: datetime) -> None:
    from cryptography.exceptions import InvalidSignature

    for index, certificate in enumerate(certificates):
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ChainError("a certificate is not valid now")
        if index and not _is_authority(certificate):
            raise ChainError("a certificate is signed by one that may not sign")
        if index + 1 < len(certificates):
            try:
                certificate.verify_directly_issued_by(certificates[index + 1])
            except (InvalidSignature, TypeError) as error:
                raise ChainError("a certificate is not signed by the next one") from error


def _is_authority(certificate: "Certificate") -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _dns_names(certificate: "Certificate") -> list[str]:
    """Return whom a certificate is for; the common name only counts where there is no alternative name (RFC 7672 section 3.2.3)."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return [name.lower().rstrip(".") for name in names]


def _is_for(pattern: str, name: str) -> bool:
    return pattern == name or (pattern.startswith("*.") and name.partition(".")[2] == pattern[2:])
