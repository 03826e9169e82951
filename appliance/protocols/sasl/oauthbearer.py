"""OAUTHBEARER: an access token of somebody else's login page instead of a password.

Owns the form of the client's message and of the server's error. Whether a token
is good is ``policy.bearer``'s decision.

Sources: RFC 7628 sections 3.1, 3.2.2 and 3.2.3, RFC 5801 section 4 (gs2-header), RFC 6750 section 2.1 (b64token).
"""

import re
from dataclasses import dataclass, field
from typing import Final

from appliance.protocols.sasl.prep import PrepError, saslprep

__all__ = ["FAILURE", "NAME", "BearerToken", "parse_bearer"]

NAME: Final = "OAUTHBEARER"
MAX_MESSAGE: Final = 12_288
FAILURE: Final = b'{"status":"invalid_token"}'
"""What is sent before the failure itself; the client answers with an octet that says nothing (RFC 7628 section 3.2.3)."""

_MESSAGE = re.compile(rb"n,(?:a=([^,\x00-\x1f]{1,1020}))?,\x01((?:[A-Za-z]+=[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\x01)*)\x01")
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")


@dataclass(frozen=True, slots=True)
class BearerToken:
    """``authzid``: whose mail is wanted, ``""`` for that of the token's own user."""

    authzid: str
    token: str = field(repr=False)


def parse_bearer(message: bytes) -> BearerToken | None:
    """Return the token of a client's message, None when it has another form."""
    match = _MESSAGE.fullmatch(message) if len(message) <= MAX_MESSAGE else None
    if match is None:
        return None
    pairs = dict(pair.split(b"=", 1) for pair in match[2].split(b"\x01") if pair)
    bearer = _BEARER.fullmatch(pairs.get(b"auth", b"").decode("utf-8", "replace").strip())
    if bearer is None or re.search(rb"=(?!2C|3D)", match[1] or b""):
        return None
    try:
        authzid = saslprep((match[1] or b"").decode().replace("=2C", ",").replace("=3D", "="))
    except (UnicodeDecodeError, PrepError):
        return None
    return BearerToken(authzid, bearer[1])
