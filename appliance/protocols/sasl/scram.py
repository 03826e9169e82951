"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides: the password never crosses, and the server proves itself too.

Nonces and channel binding data come in as arguments. An unknown login gets keys
from the Authenticator like any other, so an answer tells nothing.

Fails: the server gives Failed or ScramFinished(ok=False); the client answers None.
Does not: take ``m=`` extensions, which nobody defined (RFC 5802 section 5.1).
Sources: RFC 5802 section 3, 5, 6 and 7, RFC 7677 section 3 and 4 (at least 4096
iterations), RFC 9266 (tls-exporter), RFC 5929 (tls-server-end-point).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Final

from appliance.model.ports import ScramKeys
from appliance.protocols.sasl.prep import PrepError, saslprep
from appliance.protocols.sasl.steps import Challenge, Failed, ScramFinished, Step

__all__ = ["ScramClient", "ScramServer", "derive_scram_keys", "server_signature"]

NAME: Final = "SCRAM-SHA-256"
MIN_ITERATIONS = 4_096  # RFC 7677 section 4
MAX_ITERATIONS = 1_000_000
"""More would let a server keep our processor busy for seconds."""
MAX_MESSAGE = 4_096

_CLIENT_FIRST = re.compile(rb"(n|y|p=([A-Za-z0-9.\-]{1,64})),(?:a=([^,]{1,1024}))?,(n=([^,]{1,1024}),r=([!-+\--~]{1,512})(?:,.*)?)")
_CLIENT_FINAL = re.compile(rb"(c=([A-Za-z0-9+/=]{1,2048}),r=([!-+\--~]{1,1024})(?:,.*)?),p=([A-Za-z0-9+/=]{1,128})")
_SERVER_FIRST = re.compile(rb"r=([!-+\--~]{1,1024}),s=([A-Za-z0-9+/=]{1,1024}),i=([1-9][0-9]{0,9})(?:,.*)?")
_SERVER_FINAL = re.compile(rb"v=([A-Za-z0-9+/=]{1,128})(?:,.*)?")


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)


def derive_scram_keys(password: str, salt: bytes, iterations: int) -> ScramKeys:
    """Return what a server stores of a password (RFC 5802 section 3).

    Blocks:   the processor for about 0.2 us per iteration.
    Raises:   PrepError.
    """
    salted = _salted(password, salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    return ScramKeys(salt, iterations, stored, _hmac(salted, b"Server Key"))


def server_signature(keys: ScramKeys, auth_message: bytes) -> bytes:
    return _hmac(keys.server_key, auth_message)


def _name_from_wire(name: bytes) -> str | None:
    """Undo ``=2C`` and ``=3D`` (RFC 5802 section 5.1); None for any other ``=`` and for what cannot be a name."""
    if re.search(rb"=(?!2C|3D)", name):
        return None
    try:
        return saslprep(name.decode().replace("=2C", ",").replace("=3D", "="))
    except (UnicodeDecodeError, PrepError):
        return None


def _decode(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


class ScramServer:
    """One exchange. ``channel_binding``: type to data of this TLS connection, for -PLUS; empty without TLS."""

    __slots__ = ("_authzid", "_binding", "_client_bare", "_gs2", "_keys", "_login", "_lookup", "_nonce", "_plus", "_server_first")

    def __init__(
        self, scram_keys: Callable[[str], ScramKeys], nonce: str, *, plus: bool = False, channel_binding: Mapping[str, bytes] | None = None
    ) -> None:
        """``nonce``: printable ASCII without comma, at least 18 random octets. ``scram_keys``: as Authenticator has it."""
        self._lookup = scram_keys
        self._nonce = nonce.encode()
        self._plus = plus
        self._binding = dict(channel_binding or {})
        self._login = self._authzid = ""
        self._gs2 = self._client_bare = self._server_first = b""
        self._keys: ScramKeys | None = None

    @property
    def name(self) -> str:
        return f"{NAME}-PLUS" if self._plus else NAME

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        if len(response) > MAX_MESSAGE:
            return Failed("SCRAM message too long")
        return self._first(response) if self._keys is None else self._final(response, self._keys)

    def _first(self, message: bytes) -> Step:
        match = _CLIENT_FIRST.fullmatch(message)
        if not match:
            return Failed("malformed client-first message")
        flag, binding_type = match[1], (match[2] or b"").decode()
        if flag == b"y" and self._binding:
            # RFC 5802 section 6: somebody took our -PLUS out of the list the client saw.
            return Failed("client saw no -PLUS although it was offered")
        if self._plus != bool(binding_type) or (binding_type and binding_type not in self._binding):
            return Failed("channel binding type does not fit")
        login = _name_from_wire(match[5])
        authzid = _name_from_wire(match[3] or b"")
        if not login or authzid is None:
            return Failed("malformed name")
        self._login, self._authzid = login, authzid
        self._gs2 = message[: match.start(4)] + self._binding.get(binding_type, b"")
        self._client_bare = match[4]
        keys = self._keys = self._lookup(login)
        self._nonce = match[6] + self._nonce
        self._server_first = b"r=%s,s=%s,i=%d" % (self._nonce, base64.b64encode(keys.salt), keys.iterations)
        return Challenge(self._server_first)

    def _final(self, message: bytes, keys: ScramKeys) -> Step:
        match = _CLIENT_FINAL.fullmatch(message)
        if not match:
            return Failed("malformed client-final message")
        proof = _decode(match[4])
        if proof is None or len(proof) != hashlib.sha256().digest_size:
            return Failed("malformed proof")
        binding = _decode(match[2])
        if binding is None or not hmac.compare_digest(binding, self._gs2):
            return Failed("channel binding does not match")
        if not hmac.compare_digest(match[3], self._nonce):
            return Failed("nonce does not match")
        auth_message = b",".join((self._client_bare, self._server_first, match[1]))
        client_key = _xor(proof, _hmac(keys.stored_key, auth_message))
        ok = hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key)
        final = b"v=" + base64.b64encode(server_signature(keys, auth_message)) if ok else b"e=invalid-proof"
        return ScramFinished(self._authzid, self._login, ok, final)


class ScramClient:
    """One exchange. ``is_complete`` only after the server's signature was right."""

    __slots__ = ("_bare", "_gs2", "_nonce", "_password", "_plus", "_signature", "is_complete")

    def __init__(
        self,
        login: str,
        password: str,
        nonce: str,
        *,
        channel_binding: tuple[str, bytes] | None = None,
        server_offers_plus: bool = False,
    ) -> None:
        """``channel_binding``: type and data of this TLS connection; used when the server offers -PLUS. Raises PrepError."""
        self._password = password
        self._nonce = nonce.encode()
        self._plus = channel_binding is not None and server_offers_plus
        if channel_binding is None:
            self._gs2, binding = b"n,,", b""
        elif not server_offers_plus:
            self._gs2, binding = b"y,,", b""
        else:
            self._gs2, binding = f"p={channel_binding[0]},,".encode(), channel_binding[1]
        name = saslprep(login).replace("=", "=3D").replace(",", "=2C").encode()
        self._bare = b"n=%s,r=%s" % (name, self._nonce)
        self._signature: bytes | None = None
        self._gs2 = self._gs2 + binding
        self.is_complete = False

    @property
    def name(self) -> str:
        return f"{NAME}-PLUS" if self._plus else NAME

    def initial_response(self) -> bytes | None:
        header_end = self._gs2.index(b",,") + 2
        return self._gs2[:header_end] + self._bare

    def respond(self, challenge: bytes) -> bytes | None:
        """Answer server-first with the proof, and server-final with nothing."""
        if self._signature is None:
            return self._prove(challenge) if challenge else self.initial_response()
        match = _SERVER_FINAL.fullmatch(challenge)
        signature = _decode(match[1]) if match else None
        if signature is None or not hmac.compare_digest(signature, self._signature):
            return None
        self.is_complete = True
        return b""

    def _prove(self, challenge: bytes) -> bytes | None:
        match = _SERVER_FIRST.fullmatch(challenge)
        salt = _decode(match[2]) if match else None
        if match is None or salt is None or not match[1].startswith(self._nonce) or len(match[1]) == len(self._nonce):
            return None
        iterations = int(match[3])
        if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            return None
        salted = _salted(self._password, salt, iterations)
        client_key = _hmac(salted, b"Client Key")
        without_proof = b"c=%s,r=%s" % (base64.b64encode(self._gs2), match[1])
        auth_message = b",".join((self._bare, challenge, without_proof))
        proof = _xor(client_key, _hmac(hashlib.sha256(client_key).digest(), auth_message))
        self._signature = _hmac(_hmac(salted, b"Server Key"), auth_message)
        return without_proof + b",p=" + base64.b64encode(proof)
