"""DKIM's public keys: the TXT record that holds one, and checking a signature with it.

Owns which keys and algorithms are good enough: RSA from 1,024 bits, Ed25519,
SHA-256. Shared by DKIM and ARC, and by whoever publishes keys.

Fails: ``KeyRecordError``, whose argument is for people and for the log.
Blocks: no; a check with an RSA key of 2,048 bits takes about 30 us, half of what a thread's
hop costs, so it is made where it is asked for; the size of modulus and exponent is bounded,
because a key of somebody else's making would set the price.

Sources: RFC 6376 section 3.6.1, RFC 8301 (no SHA-1, 1,024 bits at least),
RFC 8463 (Ed25519), RFC 6376 section 6.1.2.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from appliance.model.dns import Asking, DnsQuestion, DnsStatus
from appliance.policy.dkim_tags import TagListError, parse_tags, without_space

__all__ = ["KeyRecordError", "KeyUnavailableError", "PublicKey", "ask_key", "parse_key_record"]

MIN_RSA_BITS: Final = 1_024
MAX_RSA_BITS: Final = 8_192
MAX_KEY_RECORDS: Final = 4
MAX_CACHED: Final = 256
"""Keys kept ready: making one ready takes as long as using it."""
MAX_RSA_EXPONENT: Final = 2**33
_ED25519_BYTES: Final = 32

Check = Callable[[bytes, bytes], bool]


class KeyRecordError(ValueError):
    """The key record cannot be used; the argument says why. ``is_policy``: it is a key, and we do not want it."""

    def __init__(self, reason: str, *, is_policy: bool = False) -> None:
        super().__init__(reason)
        self.is_policy = is_policy


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key. ``kind``: rsa or ed25519; ``flags``: of ``t=``; ``check``: signature, signed octets -> whether they fit."""

    kind: str
    bits: int
    flags: frozenset[str]
    check: Check = field(repr=False, compare=False)

    @property
    def is_testing(self) -> bool:
        """The domain is trying DKIM out: a failure is to count as no signature (``t=y``)."""
        return "y" in self.flags

    @property
    def is_strict(self) -> bool:
        """``i=`` must have the domain of ``d=``, no subdomain (``t=s``)."""
        return "s" in self.flags


class KeyUnavailableError(Exception):
    """Nobody can tell the key now."""


def ask_key(domain: str, selector: str) -> Asking[PublicKey]:
    """Ask for a key. Raises KeyRecordError, KeyUnavailableError.

    Of several records the first that is one counts; RFC 6376 section 3.6.2.2 leaves that open.
    """
    answer = yield DnsQuestion(f"{selector}._domainkey.{domain}", "TXT")
    if answer.status is DnsStatus.FAILED:
        raise KeyUnavailableError
    if not answer.records:
        raise KeyRecordError("there is no key")
    failure: KeyRecordError | None = None
    for record in answer.records[:MAX_KEY_RECORDS]:
        try:
            return parse_key_record(record.encode("latin-1"))
        except KeyRecordError as error:
            failure = failure or error
    assert failure is not None
    raise failure


@lru_cache(maxsize=MAX_CACHED)
def parse_key_record(record: bytes) -> PublicKey:
    """Return the key of a TXT record. Raises KeyRecordError.

    Source: RFC 6376 section 3.6.1 and 6.1.2: an empty ``p=`` is a key that was revoked.
    """
    try:
        tags = parse_tags(record)
    except TagListError as error:
        raise KeyRecordError(f"the key record cannot be read: {error}") from error
    if tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        raise KeyRecordError("the key record is of another version")
    if "p" not in tags:
        raise KeyRecordError("the key record has no key")
    encoded = without_space(tags["p"])
    if not encoded:
        raise KeyRecordError("the key was revoked")
    hashes = {word.strip() for word in tags.get("h", "sha256").split(":")}
    if "sha256" not in hashes:
        raise KeyRecordError("the key is not for SHA-256")
    services = {word.strip() for word in tags.get("s", "*").split(":")}
    if not services & {"*", "email"}:
        raise KeyRecordError("the key is not for mail")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyRecordError("the key is not base64") from error
    kind = tags.get("k", "rsa")
    if kind not in {"rsa", "ed25519"}:
        raise KeyRecordError("the key is of an unknown kind")
    flags = frozenset(word.strip() for word in tags.get("t", "").split(":"))
    bits, check = _rsa(data) if kind == "rsa" else _ed25519(data)
    return PublicKey(kind, bits, flags, check)


def _rsa(data: bytes) -> tuple[int, Check]:
    # 80 ms to import, at the first signature.
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        # Both forms are met: SubjectPublicKeyInfo, and the bare RSAPublicKey of the RFC's own text.
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyRecordError("the key is no RSA key") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise KeyRecordError("the key is no RSA key")
    if key.key_size < MIN_RSA_BITS:
        raise KeyRecordError(f"the key has only {key.key_size} bits", is_policy=True)
    if key.key_size > MAX_RSA_BITS or key.public_numbers().e > MAX_RSA_EXPONENT:
        raise KeyRecordError("the key is larger than anybody needs")
    scheme, algorithm = padding.PKCS1v15(), utils.Prehashed(hashes.SHA256())

    def check(signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, hashlib.sha256(signed).digest(), scheme, algorithm)
        except InvalidSignature:
            return False
        return True

    return key.key_size, check


def _ed25519(data: bytes) -> tuple[int, Check]:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(data) != _ED25519_BYTES:
        raise KeyRecordError("the key is no Ed25519 key")
    key = Ed25519PublicKey.from_public_bytes(data)

    def check(signature: bytes, signed: bytes) -> bool:
        try:
            # RFC 8463 section 3: PureEdDSA over the hash of what is signed.
            key.verify(signature, hashlib.sha256(signed).digest())
        except InvalidSignature:
            return False
        return True

    return 256, check
