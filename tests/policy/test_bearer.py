"""JSON Web Tokens, good and bad."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from appliance.policy.bearer import BearerTokens, KeyFileError, TokenError

NOW_S = 1_800_000_000
CLAIMS = {"iss": "https://login.example", "aud": "carteiro", "exp": NOW_S + 300, "email": "ana@example.org"}
RSA = rsa.generate_private_key(65_537, 2_048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(algorithm: str, signed: bytes) -> bytes:
    if algorithm == "RS256":
        return RSA.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    if algorithm == "ES256":
        r, s = utils.decode_dss_signature(EC.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return ED.sign(signed)


def token(claims: dict[str, Any] | None = None, algorithm: str = "EdDSA", header: dict[str, Any] | None = None) -> str:
    signed = f"{text(json.dumps({'alg': algorithm, **(header or {})}).encode())}.{text(json.dumps(claims or CLAIMS).encode())}"
    return f"{signed}.{text(sign(algorithm, signed.encode()))}"


def tokens(claim: str = "email") -> BearerTokens:
    return BearerTokens(pem(RSA) + pem(EC) + pem(ED), issuer="https://login.example", audience="carteiro", claim=claim)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_good_tokens(algorithm: str) -> None:
    """Each kind of key, one file for all."""
    assert "ana@example.org" == tokens().login_of(token(algorithm=algorithm), NOW_S)


def test_choices() -> None:
    """One of several audiences; another claim; clocks that differ a little."""
    claims = {**CLAIMS, "aud": ["other", "carteiro"], "preferred_username": "ana", "exp": NOW_S - 30, "nbf": NOW_S + 30}
    assert "ana" == tokens("preferred_username").login_of(token(claims), NOW_S)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example"}, "another issuer's"),
        ({"iss": None}, "another issuer's"),
        ({"aud": "web"}, "meant for another audience"),
        ({"aud": {"carteiro": 1}}, "meant for another audience"),
        ({"exp": NOW_S - 61}, "expired"),
        ({"exp": None}, "its claim exp is no time"),
        ({"exp": True}, "its claim exp is no time"),
        ({"exp": "soon"}, "its claim exp is no time"),
        ({"exp": 1e300}, "its claim exp is no time"),
        ({"nbf": NOW_S + 61}, "not valid yet"),
        ({"email": None}, "its claim email names nobody"),
        ({"email": ""}, "its claim email names nobody"),
        ({"email": ["ana"]}, "its claim email names nobody"),
        ({"email": "a\nb"}, "its claim email names nobody"),
        ({"email": "a" * 256}, "its claim email names nobody"),
        ({"email_verified": False}, "its address is not verified"),
    ],
)
def test_bad_claims(changes: dict[str, Any], reason: str) -> None:
    """Signed all the same."""
    with pytest.raises(TokenError, match=reason):
        tokens().login_of(token({**CLAIMS, **changes}), NOW_S)


def test_forgeries() -> None:
    """No algorithm, a public key as shared secret, another's signature, another key's algorithm, an unknown extension."""
    good = token().split(".")
    for header in ({"alg": "none"}, {"alg": "HS256"}, {"alg": "RS512"}, {}, {"alg": ["EdDSA"]}):
        with pytest.raises(TokenError, match="its algorithm is not that of a key we have"):
            tokens().login_of(f"{text(json.dumps(header).encode())}.{good[1]}.", NOW_S)
    other = text(json.dumps({**CLAIMS, "email": "bob@example.org"}).encode())
    for bad in (f"{good[0]}.{other}.{good[2]}", f"{good[0]}.{good[1]}.{text(bytes(64))}", f"{good[0]}.{good[1]}."):
        with pytest.raises(TokenError, match="its signature is wrong"):
            tokens().login_of(bad, NOW_S)
    es256 = text(b'{"alg": "ES256"}')
    for signature in (bytes(64), bytes(63), b"\xff" * 64):
        with pytest.raises(TokenError, match="its signature is wrong"):
            tokens().login_of(f"{es256}.{good[1]}.{text(signature)}", NOW_S)
    with pytest.raises(TokenError, match="must be understood"):
        tokens().login_of(token(header={"crit": ["b64"], "b64": False}), NOW_S)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "not a signed"),
        ("a.b", "not a signed"),
        ("a.b.c.d.e", "not a signed"),
        ("é.b.c", "not base64url"),
        ("a+/.b.c", "not base64url"),
        (f"{text(b'[]')}.e30.", "not a JSON object"),
        (f"{text(b'[' * 5_000)}.e30.", "not JSON"),
        (f"{text(bytes([255]))}.e30.", "not JSON"),
        ("a" * 8_193, "too long"),
    ],
)
def test_other_text(raw: str, reason: str) -> None:
    """Nothing else is raised."""
    with pytest.raises(TokenError, match=reason):
        tokens().login_of(raw, NOW_S)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "holds no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        (pem(rsa.generate_private_key(65_537, 1_024)), "too short"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "keys are RSA"),
    ],
)
def test_key_files(data: bytes, reason: str) -> None:
    """Said at the start, not at the first login."""
    with pytest.raises(KeyFileError, match=reason):
        BearerTokens(data, issuer="i", audience="a", claim="email")
