"""Every mechanism that can take any password: for the mail catcher, which knows nobody.

Owns how the user's name is read out of each mechanism's message. The name is
what counts; of a password or token only what crosses in the clear is passed on.
Never to be offered by a server that keeps mail of people.

Fails: Failed for a message that has not the mechanism's form, which is a bug of the program under test.
Does not: offer SCRAM or DIGEST-MD5, whose server proves to the client that it knows the password too.

Sources: RFC 2195 (CRAM-MD5), RFC 4422 appendix A (EXTERNAL), RFC 4505 (ANONYMOUS), RFC 4616 (PLAIN), RFC 7628
section 3.1 (OAUTHBEARER), draft-murchison-sasl-login (LOGIN), Google's "OAuth 2.0 Mechanism" (XOAUTH2).
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from appliance.model.ports import ScramKeys
from appliance.protocols.sasl.mechanisms import MechanismSet
from appliance.protocols.sasl.oauthbearer import parse_bearer
from appliance.protocols.sasl.plain import MAX_OCTETS, LoginServer
from appliance.protocols.sasl.prep import PrepError, saslprep
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, ServerMechanism, Step

__all__ = ["NOBODY", "UNCHECKED"]

NOBODY: Final = "anonymous"
"""The name of who gives none."""
MAX_TOKEN: Final = 12_288
_CRAM_ANSWER = re.compile(rb"(.{1,1024}) ([0-9A-Fa-f]{32})", re.DOTALL)
_XOAUTH2 = re.compile(rb"user=([^\x01]{0,1024})\x01auth=(?:[Bb]earer) +([^\x01]+)\x01\x01")

Found = tuple[bytes | str, bytes | str]
"""A name and what was given as password, as far as it crosses."""


class _OneMessage:
    """One message of the client, after a challenge that may be empty."""

    __slots__ = ("_challenge", "_is_server_first", "_read", "name")

    def __init__(self, name: str, read: Callable[[bytes], Found | None], challenge: bytes = b"") -> None:
        """``challenge``: not empty where the client must have seen it before it answers."""
        self.name = name
        self._read = read
        self._challenge = challenge
        self._is_server_first = bool(challenge)

    def step(self, response: bytes | None) -> Step:
        # Mutt 2.2 says "AUTHENTICATE CRAM-MD5 " where it has no initial response.
        if response is None or (self._is_server_first and not response):
            self._is_server_first = False
            return Challenge(self._challenge)
        if self._is_server_first:
            return Failed("an initial response where the server speaks first")
        found = self._read(response) if len(response) <= MAX_TOKEN else None
        return _accept(*found) if found is not None else Failed(f"not the form of {self.name}")


class _Login(LoginServer):
    __slots__ = ()

    def _conclude(self, login: bytes, password: bytes) -> Step:
        return _accept(login, password)


def _accept(login: bytes | str, password: bytes | str) -> Step:
    if len(login) > MAX_OCTETS:
        return Failed("over-long name")
    try:
        return CheckPassword("", saslprep(_text(login)) or NOBODY, _text(password))
    except (UnicodeDecodeError, PrepError):
        return Failed("name or password holds prohibited characters")


def _text(given: bytes | str) -> str:
    return given if isinstance(given, str) else given.decode()


def _read_plain(message: bytes) -> Found | None:
    parts = message.split(b"\0")
    return (parts[1] or parts[0], parts[2]) if len(parts) == 3 else None


def _read_cram(message: bytes) -> Found | None:
    match = _CRAM_ANSWER.fullmatch(message)
    return (match[1], b"") if match else None


def _read_xoauth2(message: bytes) -> Found | None:
    match = _XOAUTH2.fullmatch(message)
    return (match[1], match[2]) if match else None


def _read_bearer(message: bytes) -> Found | None:
    bearer = parse_bearer(message)
    return (bearer.authzid, bearer.token) if bearer is not None else None


def _read_name(message: bytes) -> Found:
    return message, b""


_READERS: Final[Mapping[str, Callable[[bytes], Found | None]]] = MappingProxyType(
    {
        "PLAIN": _read_plain,
        "CRAM-MD5": _read_cram,
        "XOAUTH2": _read_xoauth2,
        "OAUTHBEARER": _read_bearer,
        "EXTERNAL": _read_name,
        "ANONYMOUS": _read_name,
    }
)


def _make(
    name: str, *, scram_keys: Callable[[str], ScramKeys], nonce: str, channel_binding: Mapping[str, bytes] | None = None
) -> ServerMechanism | None:
    if name == "LOGIN":
        return _Login()
    read = _READERS.get(name)
    # RFC 2195 section 2: the form of a Message-ID.
    return _OneMessage(name, read, b"<%b@carteiro>" % nonce.encode() if name == "CRAM-MD5" else b"") if read is not None else None


UNCHECKED: Final = MechanismSet(("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS"), _make)
"""In the order in which they are offered: libraries that take the first are shown the most common."""
