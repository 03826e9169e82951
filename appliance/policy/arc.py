"""ARC: who handled this message before, what did they find, and has nobody changed it since?

Owns ``ArcValidator``, shaped like ``DkimVerifier``: the header section first, the
body as it arrives (hashed together with DKIM's where the form is the same), then
the questions for keys. The chain is walked from the newest seal to the first; the first fault ends it.

Fails: never; a faulty chain is ``fail`` with the reason.
Does not: decide whom to trust; ``policy.dmarc`` compares sealers with the settings.

Sources: RFC 8617 section 4 (fields), 5.2 (validation).
"""

import enum
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.message.header import Field
from appliance.model.dns import Asking
from appliance.policy.dkim import BodyHashes, check_signature
from appliance.policy.dkim_canon import Canon, FieldPicker, canonical_field, canonical_unsigned
from appliance.policy.dkim_key import KeyRecordError, KeyUnavailableError, ask_key
from appliance.policy.dkim_signature import (
    Signature,
    SignatureError,
    decode_base64,
    domain_of,
    field_tags,
    kind_of,
    number_of,
    parse_signature,
)

__all__ = ["ArcResult", "ArcSet", "ArcValidator", "ArcVerdict", "collect_sets", "seal_input"]

MAX_SETS: Final = 20
"""RFC 8617 section 4.2.1 allows 50; each costs two questions and two checks, and no path has that many stations."""
RESULTS: Final = b"arc-authentication-results"
MESSAGE_SIGNATURE: Final = b"arc-message-signature"
SEAL: Final = b"arc-seal"
_INSTANCE = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,3})[ \t\r\n]*;")


class ArcResult(enum.Enum):
    """RFC 8617 section 4.4."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class ArcSet:
    """The three fields of one station."""

    instance: int
    results: Field
    message_signature: Field
    seal: Field


@dataclass(frozen=True, slots=True)
class ArcVerdict:
    """``sealers``: the domains of the seals, the first station's first; ``oldest_pass``: the first station after which nothing was changed, 0 unless it was looked for.

    ``is_temporary``: a key could not be looked up.
    """

    result: ArcResult
    sealers: tuple[str, ...] = ()
    reason: str = ""
    sets: tuple[ArcSet, ...] = ()
    is_temporary: bool = False


def instance_of_results(field: Field) -> int:
    """Return the instance of an ARC-Authentication-Results, which must be its first tag. Raises SignatureError."""
    found = _INSTANCE.match(field.raw.partition(b":")[2])
    if found is None:
        raise SignatureError("ARC-Authentication-Results has no instance")
    return int(found[1])


def _instance_of_tags(tags: Mapping[str, str]) -> int:
    text = tags.get("i", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise SignatureError("an ARC field has no instance")
    return int(text)


def collect_sets(picker: FieldPicker) -> tuple[ArcSet, ...]:
    """Return the sets, the first station's first; none when there is no ARC field. Raises SignatureError unless each is whole.

    Source: RFC 8617 section 4.2.1 and 5.2, step 3.A.
    """
    by_kind: list[dict[int, Field]] = []
    for name in (RESULTS, MESSAGE_SIGNATURE, SEAL):
        found: dict[int, Field] = {}
        fields = picker.all(name)
        if len(fields) > MAX_SETS:
            raise SignatureError("the chain is longer than any path")
        for field in fields:
            instance = instance_of_results(field) if name == RESULTS else _instance_of_tags(field_tags(field))
            if instance in found:
                raise SignatureError(f"instance {instance} stands twice")
            found[instance] = field
        by_kind.append(found)
    results, signatures, seals = by_kind
    wanted = set(range(1, len(seals) + 1))
    if not wanted == results.keys() == signatures.keys() == seals.keys():
        raise SignatureError("a set of ARC fields is not complete")
    return tuple(ArcSet(number, results[number], signatures[number], seals[number]) for number in sorted(wanted))


def seal_input(sets: Sequence[ArcSet]) -> bytes:
    """Return what the newest of these sets' seal signs (RFC 8617 section 5.1.1)."""
    pieces = []
    for each in sets:
        pieces += [canonical_field(field, Canon.RELAXED) for field in (each.results, each.message_signature)]
        if each is sets[-1]:
            pieces.append(canonical_unsigned(each.seal, Canon.RELAXED))
        else:
            pieces.append(canonical_field(each.seal, Canon.RELAXED))
    return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class _Seal:
    """What one ARC-Seal says."""

    kind: str
    domain: str
    selector: str
    signature: bytes
    chain_result: str


def _parse_seal(field: Field) -> _Seal:
    tags = field_tags(field)
    missing = [tag for tag in ("a", "b", "cv", "d", "s") if tag not in tags]
    if missing:
        raise SignatureError(f"a seal has no {missing[0]}=")
    if "h" in tags:
        raise SignatureError("a seal has h=, which only other signatures have")
    number_of(tags, "t")
    return _Seal(kind_of(tags), domain_of(tags["d"]), domain_of(tags["s"]), decode_base64(tags["b"], "b"), tags["cv"])


class ArcValidator:
    """Checks the chain of a message. ``bodies`` is shared with DKIM's verifier; feed the body to one of the two."""

    def __init__(self, fields: Iterable[Field] | FieldPicker, *, now_s: float, bodies: BodyHashes) -> None:
        self._picker = fields if isinstance(fields, FieldPicker) else FieldPicker(fields)
        self._bodies = bodies
        self._sets: tuple[ArcSet, ...] = ()
        self._seals: list[_Seal] = []
        self._newest: Signature | None = None
        self._fault = ""
        try:
            self._read(now_s)
        except SignatureError as error:
            self._fault = error.reason

    def _read(self, now_s: float) -> None:
        self._sets = collect_sets(self._picker)
        if not self._sets:
            return
        self._seals = [_parse_seal(each.seal) for each in self._sets]
        for number, seal in enumerate(self._seals):
            if seal.chain_result == "fail":
                raise SignatureError("an earlier station found the chain broken")
            if seal.chain_result != ("pass" if number else "none"):
                raise SignatureError(f"seal {number + 1} says cv={seal.chain_result[:20]}")
        field = self._sets[-1].message_signature
        signature = parse_signature(field, field_tags(field), now_s, needs_from=False, default_canon="relaxed/relaxed")
        if SEAL in signature.names:
            raise SignatureError("ARC-Message-Signature signs a seal")
        self._bodies.want(signature)
        self._newest = signature

    @property
    def needs_body(self) -> bool:
        return self._newest is not None

    def finish(self) -> Asking[ArcVerdict]:
        """Return the verdict. Asks for keys."""
        sealers = tuple(seal.domain for seal in self._seals)
        if not self._fault and not self._sets:
            return ArcVerdict(ArcResult.NONE)
        try:
            if self._fault:
                raise SignatureError(self._fault)  # noqa: TRY301
            yield from self._check_newest()
            for number in range(len(self._sets), 0, -1):
                yield from self._check_seal(number)
        except KeyUnavailableError:
            return ArcVerdict(ArcResult.FAIL, sealers, "a key cannot be looked up now", self._sets, is_temporary=True)
        except SignatureError as error:
            return ArcVerdict(ArcResult.FAIL, sealers, error.reason, self._sets)
        except KeyRecordError as error:
            return ArcVerdict(ArcResult.FAIL, sealers, str(error), self._sets)
        return ArcVerdict(ArcResult.PASS, sealers, "", self._sets)

    def _check_newest(self) -> Asking[None]:
        """Check the newest ARC-Message-Signature; who changes a message signs it anew."""
        signature = self._newest
        assert signature is not None
        digest = self._bodies.digest(signature)
        is_whole = signature.limit is None or signature.limit == self._bodies.size(signature)
        if not is_whole or not hmac.compare_digest(digest, signature.body_hash):
            raise SignatureError("the body is not what the last station signed")
        key = yield from ask_key(signature.domain, signature.selector)
        if not check_signature(signature, key, self._picker):
            raise SignatureError("the header is not what the last station signed")

    def _check_seal(self, number: int) -> Asking[None]:
        seal = self._seals[number - 1]
        key = yield from ask_key(seal.domain, seal.selector)
        if key.kind != seal.kind or not key.check(seal.signature, seal_input(self._sets[:number])):
            raise SignatureError(f"seal {number} does not fit")
