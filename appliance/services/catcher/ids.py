"""Identifiers of caught messages: 22 letters and digits that nobody can guess.

Sources: the alphabet and length that Mailpit's clients know (base 57, without look-alikes).
"""

import secrets
from typing import Final

__all__ = ["ALPHABET", "new_id"]

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LENGTH: Final = 22


def new_id() -> str:
    """Return a new identifier: 128 random bits."""
    number = int.from_bytes(secrets.token_bytes(16))
    letters = []
    for _ in range(_LENGTH):
        number, letter = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[letter])
    return "".join(letters)
