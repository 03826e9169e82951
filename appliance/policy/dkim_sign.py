"""DKIM signatures of our own: which fields they cover, and the record that publishes their key. Pure.

Owns the list of fields. Those that a reader sees are signed once more often than they
stand there, so that nobody can add a second From or Subject on the way
(RFC 6376 section 8.15); fields that lists rightly add or change are not.

Sources: RFC 6376 sections 3.5, 3.6.1, 5.4 and 5.4.1, RFC 8301 (rsa-sha256), RFC 8463 (ed25519-sha256), M3AAWG's advice on oversigning.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.message.address import addresses
from appliance.message.header import Field
from appliance.policy.dkim_canon import Canon, FieldPicker, canonical_unsigned, signed_fields
from appliance.policy.dkim_tags import TagListError, format_tags, parse_tags

__all__ = ["DkimSigner", "author_domain", "is_published", "key_record", "sign_message", "zone_line"]

OVERSIGNED: Final = (
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "reply-to",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
)
SIGNED: Final = (
    "sender", "content-transfer-encoding", "content-disposition", "content-id", "content-language", "content-description",
    "resent-date", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-message-id",
    "list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "list-owner", "list-archive",
    "auto-submitted", "tls-required",
)  # fmt: skip
_STRING: Final = 255
"""Longest string of a TXT record (RFC 1035 section 3.3)."""


@dataclass(frozen=True, slots=True)
class DkimSigner:
    """One key. ``algorithm``: rsa-sha256 or ed25519-sha256; ``sign``: the octets that are signed -> the signature."""

    domain: str
    selector: str
    algorithm: str
    sign: Callable[[bytes], bytes]


def author_domain(fields: Sequence[Field]) -> str:
    """Return the domain of the one author, in lower case; empty when From is missing, stands twice or names nobody."""
    found = [field for field in fields if field.name.lower() == b"from"]
    named = [address.path for address in addresses(found[0].value)] if len(found) == 1 else []
    domains = {path.partition("@")[2] and path.rpartition("@")[2].lower() for path in named}
    return domains.pop() if len(domains) == 1 else ""


def is_published(texts: Sequence[bytes], public: bytes) -> bool:
    """Tell whether one of the TXT records at a selector publishes this key, as it crosses the wire."""
    wanted = base64.b64encode(public).decode()
    for text in texts:
        try:
            tags = parse_tags(text)
        except TagListError:
            continue
        if "".join(tags.get("p", "").split()) == wanted:
            return True
    return False


def sign_message(signers: Sequence[DkimSigner], fields: Sequence[Field], body_hash: bytes, now_s: float) -> bytes:
    """Return a DKIM-Signature field per signer, to be put in front of the message.

    ``body_hash``: SHA-256 of the body in relaxed form.
    Units:    ``now_s`` wall clock, seconds since the epoch.
    """
    picker = FieldPicker(fields)
    names = [name for name in (*OVERSIGNED, *SIGNED) for _field in picker.all(name.encode())] + list(OVERSIGNED)
    signed = signed_fields(picker, [name.encode() for name in names], Canon.RELAXED)
    return b"".join([_signature(signer, names, signed, body_hash, now_s) for signer in signers])


def _signature(signer: DkimSigner, names: Sequence[str], signed: bytes, body_hash: bytes, now_s: float) -> bytes:
    tags = {
        "v": "1",
        "a": signer.algorithm,
        "c": "relaxed/relaxed",
        "d": signer.domain,
        "s": signer.selector,
        "t": str(int(now_s)),
        "h": ":".join(names),
        "bh": base64.b64encode(body_hash).decode(),
        "b": "",
    }
    unsigned = Field(b"DKIM-Signature", format_tags("DKIM-Signature", tags))
    tags["b"] = base64.b64encode(signer.sign(signed + canonical_unsigned(unsigned, Canon.RELAXED))).decode()
    return format_tags("DKIM-Signature", tags)


def key_record(kind: str, public_key: bytes) -> str:
    """Return the TXT record of a key. ``public_key``: SubjectPublicKeyInfo for rsa, the 32 octets for ed25519."""
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public_key).decode()}"


def zone_line(selector: str, domain: str, record: str) -> str:
    """Return the line of a zone file that publishes a record."""
    strings = " ".join(f'"{record[at : at + _STRING]}"' for at in range(0, len(record), _STRING))
    return f"{selector}._domainkey.{domain}. IN TXT {strings}"
