"""Whose access token is this? JSON Web Tokens, checked with keys that the administrator gave.

Owns the decision: form, algorithm, signature, issuer, audience, times, and which
claim names the user. The algorithm follows from the key, never from the token
alone, so that ``none`` and a public key taken for a shared secret get nowhere.

Fails:    ``TokenError`` with a reason for the log, in which nothing of the token stands.
Does not: ask the issuer, or know whether a token was revoked: tokens live minutes for that reason.
Sources:  RFC 7519 sections 4.1 and 7.2, RFC 7515 section 5.2, RFC 7518 section 3, RFC 8037 section 3.1, RFC 8725 section 3.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

__all__ = ["EXPIRED", "MAX_TOKEN_OCTETS", "BearerTokens", "KeyFileError", "TokenError", "TokenReader"]

MAX_TOKEN_OCTETS: Final = 8_192
EXPIRED: Final = "expired"
"""The one fault that its owner can mend: by a new token."""
_LEEWAY_S: Final = 60
"""Clocks of issuers run a little ahead or behind."""
_MAX_NAME: Final = 255
_MIN_RSA_BITS: Final = 2_048
"""RFC 7518 section 3.3."""
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_END = b"-----END "


class TokenError(Exception):
    """The token is not to be believed."""


class KeyFileError(Exception):
    """The file with the issuer's keys cannot be used; the text says why."""


class TokenReader(Protocol):
    """Tells whose login a token stands for; see ``BearerTokens``."""

    def login_of(self, token: str, now_s: float) -> str: ...


class BearerTokens:
    """Tokens of one issuer for one audience; ``claim`` names the user, as a login or an address."""

    def __init__(self, pem: bytes, *, issuer: str, audience: str, claim: str) -> None:
        """``pem``: public keys, one behind the other. Raises KeyFileError."""
        self._issuer = issuer
        self._audience = audience
        self._claim = claim
        self._keys = [_read_key(block) for block in _blocks(pem)]
        if not self._keys:
            raise KeyFileError("it holds no public key; PEM is expected, -----BEGIN PUBLIC KEY-----")

    def login_of(self, token: str, now_s: float) -> str:
        """Return the login that a token stands for.

        Blocks:   the processor for about 0.1 ms a key.
        Raises:   TokenError.
        """
        if len(token) > MAX_TOKEN_OCTETS:
            raise TokenError("too long")
        pieces = token.split(".")
        if len(pieces) != 3:
            raise TokenError("not a signed JSON Web Token")
        header, claims, signature = _object(pieces[0]), pieces[1], _decode(pieces[2])
        if "crit" in header:
            # RFC 7515 section 4.1.11: who does not know an extension that counts must not go on.
            raise TokenError("has an extension that must be understood")
        signed = f"{pieces[0]}.{pieces[1]}".encode("ascii", "replace")
        fitting = [verify for name, verify in self._keys if name == header.get("alg")]
        if not fitting:
            raise TokenError("its algorithm is not that of a key we have")
        if not any(verify(signature, signed) for verify in fitting):
            raise TokenError("its signature is wrong")
        return self._login(_object(claims), now_s)

    def _login(self, claims: Mapping[str, Any], now_s: float) -> str:
        if claims.get("iss") != self._issuer:
            raise TokenError("another issuer's")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise TokenError("meant for another audience")
        if now_s > _seconds(claims, "exp") + _LEEWAY_S:
            raise TokenError(EXPIRED)
        if "nbf" in claims and now_s < _seconds(claims, "nbf") - _LEEWAY_S:
            raise TokenError("not valid yet")
        login = claims.get(self._claim)
        if not isinstance(login, str) or not 0 < len(login) <= _MAX_NAME or not login.isprintable():
            raise TokenError(f"its claim {self._claim} names nobody")
        if self._claim == "email" and claims.get("email_verified") is False:
            raise TokenError("its address is not verified")
        return login


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 < value < 1e12:
        raise TokenError(f"its claim {name} is no time")
    return float(value)


def _decode(text: str) -> bytes:
    if not _BASE64URL.fullmatch(text):
        raise TokenError("not base64url")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise TokenError("not base64url") from None


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(_decode(text).decode("utf-8"))
    except (ValueError, RecursionError):
        raise TokenError("not JSON") from None
    if not isinstance(found, dict):
        raise TokenError("not a JSON object")
    return found


# Keys

Verify = Callable[[bytes, bytes], bool]


def _blocks(pem: bytes) -> Sequence[bytes]:
    lines, found = [], []
    for line in pem.splitlines(keepends=True):
        lines.append(line)
        if line.startswith(_END):
            found.append(b"".join(lines))
            lines = []
    return found


def _read_key(block: bytes) -> tuple[str, Verify]:
    """Return the algorithm that a key is for, and its check."""
    from cryptography.exceptions import UnsupportedAlgorithm  # 80 ms, only where tokens are taken
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        key = serialization.load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError("a block in it is no public key") from None
    match key:
        case rsa.RSAPublicKey():
            if key.key_size < _MIN_RSA_BITS:
                raise KeyFileError(f"an RSA key of {key.key_size} bits is too short; {_MIN_RSA_BITS} are the least")
            return "RS256", _verify_rsa(key)
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            return "ES256", _verify_ec(key)
        case ed25519.Ed25519PublicKey():
            return "EdDSA", _guarded(key.verify)
        case _:
            raise KeyFileError("keys are RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA)")


def _guarded(verify: Callable[[bytes, bytes], None]) -> Verify:
    from cryptography.exceptions import InvalidSignature

    def check(signature: bytes, signed: bytes) -> bool:
        try:
            verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return check


def _verify_rsa(key: "rsa.RSAPublicKey") -> Verify:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return _guarded(lambda signature, signed: key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256()))


def _verify_ec(key: "ec.EllipticCurvePublicKey") -> Verify:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    check = _guarded(lambda signature, signed: key.verify(signature, signed, ec.ECDSA(hashes.SHA256())))

    def verify(signature: bytes, signed: bytes) -> bool:
        # RFC 7518 section 3.4: both numbers side by side, not as ASN.1.
        if len(signature) != 64:
            return False
        numbers = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        return check(utils.encode_dss_signature(*numbers), signed)

    return verify
