"""Keys of the tests for DKIM and ARC, and signing with them by dkimpy."""

import base64
from typing import Any

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

__all__ = ["ED_KEY", "RSA_KEY", "ZONE", "dkimpy_sign", "key_record", "private_pem"]

RSA_KEY = rsa.generate_private_key(65_537, 2_048)
SMALL_KEY = rsa.generate_private_key(65_537, 1_024)
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def key_record(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, extra: str = "") -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        data, kind = key.public_key().public_bytes(serialization.Encoding.DER, form), "rsa"
    else:
        data, kind = key.public_key().public_bytes_raw(), "ed25519"
    return f"v=DKIM1; k={kind}; {extra}p={base64.b64encode(data).decode()}"


def private_pem(key: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


ZONE = {
    "rsa._domainkey.example.com": key_record(RSA_KEY),
    "small._domainkey.example.com": key_record(SMALL_KEY),
    "ed._domainkey.example.com": key_record(ED_KEY),
    "testing._domainkey.example.com": key_record(RSA_KEY, "t=y; "),
    "strict._domainkey.example.com": key_record(RSA_KEY, "t=s; "),
    "gone._domainkey.example.com": "v=DKIM1; p=",
}


def dkimpy_sign(message: bytes, selector: str = "rsa", domain: str = "example.com", **options: Any) -> bytes:
    """Return the message with a signature of dkimpy's in front."""
    key = SMALL_KEY if selector == "small" else RSA_KEY
    field: bytes = dkim.sign(message, selector.encode(), domain.encode(), private_pem(key), **options)
    return field + message
