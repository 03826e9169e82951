"""Adding our own ARC set to a message that we pass on.

Pure: who calls it has the body's hash, our findings and a private key behind ``sign``.

Does not: seal a chain that was known to be broken before it came to us (RFC 8617 section 5.1, step 2).
Sources: RFC 8617 sections 4.1 and 5.1, 5.1.2 (a broken chain is sealed over our own set alone).
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.message.header import Field
from appliance.policy.arc import ArcResult, ArcSet, ArcVerdict, collect_sets, seal_input
from appliance.policy.dkim_canon import Canon, FieldPicker, signing_input
from appliance.policy.dkim_signature import SignatureError, field_tags
from appliance.policy.dkim_tags import format_tags

__all__ = ["SIGNED_FIELDS", "ArcSealer", "seal_message"]

SIGNED_FIELDS: Final = (
    "from", "to", "cc", "subject", "date", "message-id", "reply-to", "in-reply-to", "references", "mime-version", "content-type",
    "content-transfer-encoding", "list-id", "list-unsubscribe", "list-unsubscribe-post", "dkim-signature",
)  # fmt: skip
_MAX_INSTANCE: Final = 50


@dataclass(frozen=True, slots=True)
class ArcSealer:
    """Who seals. ``sign``: the octets that are signed -> the signature; ``breaks_base64``: fold it; the seal covers the folds, too."""

    domain: str
    selector: str
    sign: Callable[[bytes], bytes]
    algorithm: str = "rsa-sha256"
    breaks_base64: bool = True


def seal_message(
    sealer: ArcSealer,
    fields: Sequence[Field],
    verdict: ArcVerdict,
    *,
    results: str,
    body_hash: bytes,
    now_s: float,
    names: Sequence[str] = SIGNED_FIELDS,
) -> bytes:
    """Return the three fields to put in front, or nothing when no further set may be added.

    ``results``: what follows the instance in ARC-Authentication-Results, our authserv-id first; ``body_hash``:
    SHA-256 of the body in relaxed form; ``names``: fields to sign, of which those that are there are.
    """
    picker = FieldPicker(fields)
    earlier: tuple[ArcSet, ...] = ()
    try:
        earlier = verdict.sets or collect_sets(picker)
    except SignatureError:
        return b""  # sets that cannot be told apart cannot be continued
    number = len(earlier) + 1
    if number > _MAX_INSTANCE or (earlier and field_tags(earlier[-1].seal).get("cv") == "fail"):
        return b""
    own_results = Field(b"ARC-Authentication-Results", f"ARC-Authentication-Results: i={number}; {results}\r\n".encode("utf-8", "replace"))
    signature = _message_signature(sealer, picker, number, names, body_hash, now_s)
    tags = {
        "a": sealer.algorithm,
        "b": "",
        "cv": verdict.result.value,
        "d": sealer.domain,
        "i": str(number),
        "s": sealer.selector,
        "t": str(int(now_s)),
    }
    own = ArcSet(number, own_results, signature, Field(b"ARC-Seal", format_tags("ARC-Seal", tags)))
    chain = (own,) if verdict.result is ArcResult.FAIL else (*earlier, own)
    tags["b"] = base64.b64encode(sealer.sign(seal_input(chain))).decode()
    return format_tags("ARC-Seal", tags) + signature.raw + own_results.raw


def _message_signature(sealer: ArcSealer, picker: FieldPicker, number: int, names: Sequence[str], body_hash: bytes, now_s: float) -> Field:
    there = [name for name in names if picker.all(name.encode())]
    tags = {
        "a": sealer.algorithm,
        "b": "",
        "bh": base64.b64encode(body_hash).decode(),
        "c": "relaxed/relaxed",
        "d": sealer.domain,
        "h": ":".join(there),
        "i": str(number),
        "s": sealer.selector,
        "t": str(int(now_s)),
    }
    unsigned = Field(b"ARC-Message-Signature", format_tags("ARC-Message-Signature", tags))
    signed = signing_input(picker, [name.encode() for name in there], unsigned, Canon.RELAXED)
    tags["b"] = base64.b64encode(sealer.sign(signed)).decode()
    return Field(b"ARC-Message-Signature", format_tags("ARC-Message-Signature", tags, breaks_base64=sealer.breaks_base64))
