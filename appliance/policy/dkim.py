"""DKIM: which domains have signed this message, and does it still say what they signed?

Owns ``DkimVerifier``: made of the header section, fed with the body as it
arrives (each canonical form is hashed once, whatever the number of
signatures), and finished by a generator that asks for the keys. A signature
whose body hash is wrong costs no DNS question.

Fails: never; what is wrong with a signature is its verdict, in the words of RFC 8601 section 2.7.1.
Does not: believe a signature that leaves out a part of the body (``l=``): that part is anybody's.

Sources: RFC 6376 section 6, RFC 8301, RFC 8463, RFC 8601 section 2.7.1.
"""

import enum
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from appliance.message.header import Field
from appliance.model.dns import Asking
from appliance.policy.dkim_canon import BodyHash, Canon, FieldPicker, signing_input
from appliance.policy.dkim_key import KeyRecordError, KeyUnavailableError, PublicKey, ask_key
from appliance.policy.dkim_signature import (
    Signature,
    SignatureError,
    domain_of,
    field_tags,
    is_same_or_below,
    parse_signature,
)

__all__ = ["BodyHashes", "DkimResult", "DkimVerdict", "DkimVerifier", "check_signature"]

MAX_SIGNATURES: Final = 6
"""Looked at; a message through two mailing lists has four."""
FIELD: Final = b"dkim-signature"


class DkimResult(enum.Enum):
    """RFC 8601 section 2.7.1."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class DkimVerdict:
    """On one signature. ``signature_start``: the first characters of ``b=``, which tell two of one domain apart (RFC 6008)."""

    result: DkimResult
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    signature_start: str = ""
    bits: int = 0
    reason: str = ""


class BodyHashes:
    """The body's hashes in all the forms that a message's signatures ask for."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[Canon, int | None], BodyHash] = {}
        self._digests: dict[tuple[Canon, int | None], bytes] = {}

    def want(self, signature: Signature) -> None:
        """Prepare for a signature; before the first octet of the body."""
        key = (signature.body_canon, signature.limit)
        if key not in self._hashes:
            self._hashes[key] = BodyHash(*key)

    def feed(self, chunk: bytes) -> None:
        for each in self._hashes.values():
            each.feed(chunk)

    def digest(self, signature: Signature) -> bytes:
        """Return the hash for a signature, once the body is complete."""
        key = (signature.body_canon, signature.limit)
        if key not in self._digests:
            self._digests[key] = self._hashes[key].digest()
        return self._digests[key]

    def size(self, signature: Signature) -> int:
        """Return how many canonical octets the body has."""
        return self._hashes[signature.body_canon, signature.limit].size


def check_signature(signature: Signature, key: PublicKey, picker: FieldPicker) -> bool:
    """Tell whether the key made the signature over these fields. Raises SignatureError for a key of another kind."""
    if key.kind != signature.kind:
        raise SignatureError("the key is for another algorithm")
    return key.check(signature.signature, signing_input(picker, signature.names, signature.field, signature.header_canon))


@dataclass(slots=True)
class _Candidate:
    """One signature field; ``signature`` or what is wrong with it."""

    tags: dict[str, str]
    signature: Signature | None = None
    error: SignatureError | None = None


class DkimVerifier:
    """Checks all signatures of a message. ``now_s``: wall clock, for ``t=`` and ``x=``."""

    def __init__(self, fields: Iterable[Field], *, now_s: float, bodies: BodyHashes | None = None) -> None:
        self._now_s = now_s
        self.picker = FieldPicker(fields)
        self.bodies = bodies or BodyHashes()
        self._candidates = [self._candidate(field) for field in self.picker.all(FIELD)[:MAX_SIGNATURES]]

    @property
    def needs_body(self) -> bool:
        return any(candidate.signature is not None for candidate in self._candidates)

    def _candidate(self, field: Field) -> _Candidate:
        candidate = _Candidate({})
        try:
            candidate.tags = tags = field_tags(field)
            if tags.get("v") != "1":
                raise SignatureError("it is of another version")  # noqa: TRY301
            signature = parse_signature(field, tags, self._now_s)
            _check_identity(signature)
        except SignatureError as error:
            candidate.error = error
        else:
            candidate.signature = signature
            self.bodies.want(signature)
        return candidate

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self.bodies.feed(chunk)

    def finish(self) -> Asking[tuple[DkimVerdict, ...]]:
        """Return a verdict for each signature, in the order in which they stand. Asks for keys."""
        verdicts = []
        for candidate in self._candidates:
            signature = candidate.signature
            if signature is None:
                assert candidate.error is not None
                result = DkimResult.POLICY if candidate.error.is_policy else DkimResult.PERMERROR
                verdicts.append(_verdict(candidate.tags, result, candidate.error.reason))
            else:
                verdicts.append((yield from self._judge(signature)))
        return tuple(verdicts)

    def _judge(self, signature: Signature) -> Asking[DkimVerdict]:
        tags = signature.tags
        if signature.expires_at_s is not None and signature.expires_at_s < self._now_s:
            return _verdict(tags, DkimResult.FAIL, "the signature has expired")
        body_hash = self.bodies.digest(signature)
        unsigned = self.bodies.size(signature) - (signature.limit if signature.limit is not None else self.bodies.size(signature))
        if unsigned < 0 or not hmac.compare_digest(body_hash, signature.body_hash):
            return _verdict(tags, DkimResult.FAIL, "the body is not what was signed")
        try:
            key = yield from ask_key(signature.domain, signature.selector)
            is_good = check_signature(signature, key, self.picker)
        except KeyUnavailableError:
            return _verdict(tags, DkimResult.TEMPERROR, "the key cannot be looked up now")
        except KeyRecordError as error:
            result = DkimResult.POLICY if error.is_policy else DkimResult.PERMERROR
            return _verdict(tags, result, str(error))
        except SignatureError as error:
            return _verdict(tags, DkimResult.PERMERROR, error.reason)
        if not is_good:
            if key.is_testing:
                return _verdict(tags, DkimResult.NEUTRAL, "the header is not what was signed; the domain is trying DKIM out", key.bits)
            return _verdict(tags, DkimResult.FAIL, "the header is not what was signed", key.bits)
        if key.is_strict and _identity_domain(tags) != signature.domain:
            return _verdict(tags, DkimResult.PERMERROR, "the key is not for subdomains", key.bits)
        if unsigned:
            return _verdict(tags, DkimResult.POLICY, "a part of the body is not signed", key.bits)
        return _verdict(tags, DkimResult.PASS, "", key.bits)


def _check_identity(signature: Signature) -> None:
    """Raise SignatureError unless ``i=`` is the domain or below it (RFC 6376 section 6.1.1)."""
    if not is_same_or_below(_identity_domain(signature.tags), signature.domain):
        raise SignatureError("i= is not of the domain that signs")


def _identity_domain(tags: Mapping[str, str]) -> str:
    identity = tags.get("i", "@" + tags["d"])
    return domain_of(identity.rpartition("@")[2])


def _verdict(tags: Mapping[str, str], result: DkimResult, reason: str, bits: int = 0) -> DkimVerdict:
    domain = tags.get("d", "").lower()
    return DkimVerdict(
        result,
        domain=domain[:255],
        selector=tags.get("s", "")[:255],
        identity=tags.get("i", f"@{domain}" if domain else "")[:320],
        algorithm=tags.get("a", "")[:40],
        signature_start="".join(tags.get("b", "")[:16].split())[:8],
        bits=bits,
        reason=reason,
    )
