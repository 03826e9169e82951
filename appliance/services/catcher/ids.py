"""Identifiers of caught messages: 22 letters and digits that nobody can guess.

Sources: the alphabet and length that Mailpit's clients know (base 57, without look-alikes).
"""

import secrets
from typing import Final

__all__ = ["ALPHABET", "new_id"]

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LENGTH: Final = 22
_LETTERS: Final = (ALPHABET.encode() * 4).ljust(256, b"-")
_NO_LETTERS: Final = bytes(range(len(ALPHABET) * 4, 256))
"""Octets that would make some letters likelier than others."""


def new_id() -> str:
    """Return a new identifier: 128 random bits."""
    letters = b""
    while len(letters) < _LENGTH:
        letters += secrets.token_bytes(40).translate(_LETTERS, _NO_LETTERS)
    return letters[:_LENGTH].decode("ascii")
