"""Modified UTF-7, the wire form of mailbox names in IMAP4rev1.

Owns both directions and nothing else. ``decode_mailbox_name`` accepts exactly
what ``encode_mailbox_name`` can write, so that a name has one spelling only.

Fails:    ``ValueError`` with a sentence for the client.
Sources:  RFC 3501 section 5.1.3.
"""

import base64
import binascii
import re

__all__ = ["decode_mailbox_name", "encode_mailbox_name"]

_SHIFT = re.compile(rb"&([A-Za-z0-9+,]*)-")
_PLAIN = re.compile(rb"[\x20-\x25\x27-\x7e]*")
_DIRECT = re.compile(r"[^\x20-\x7e]+|&")


def _encode_run(match: "re.Match[str]") -> str:
    run = match.group()
    if run == "&":
        return "&-"
    packed = base64.b64encode(run.encode("utf-16-be", "surrogatepass")).rstrip(b"=").replace(b"/", b",")
    return f"&{packed.decode('ascii')}-"


def encode_mailbox_name(name: str) -> bytes:
    """Return the wire form of a decoded name."""
    return _DIRECT.sub(_encode_run, name).encode("ascii")


def _decode_run(match: "re.Match[bytes]") -> bytes:
    packed = match.group(1)
    if not packed:
        return b"&"
    try:
        raw = base64.b64decode(packed.replace(b",", b"/") + b"=" * (-len(packed) % 4), validate=True)
        return raw.decode("utf-16-be").encode("utf-8")
    except (binascii.Error, UnicodeError):
        raise ValueError("mailbox name is not valid modified UTF-7") from None


def decode_mailbox_name(raw: bytes) -> str:
    """Return the name that ``raw`` spells.

    Raises:   ValueError for 8-bit and control characters, a stray ``&``, bad base64 or a second spelling of the same name.
    """
    if _PLAIN.fullmatch(raw):
        return raw.decode("ascii")
    name = _SHIFT.sub(_decode_run, raw).decode("utf-8", "replace")
    if encode_mailbox_name(name) != raw:
        raise ValueError("mailbox name is not valid modified UTF-7")
    return name
