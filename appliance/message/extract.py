"""Codes and links that a message wants its reader to use.

Owns what counts as a code: digits, or capitals and digits, near a word that says
so, in English, Portuguese and their neighbours. The best comes first.

Fails: never; a message without any has none.
"""

import re
from typing import Final

__all__ = ["find_codes"]

_MOST: Final = 10
_LONGEST: Final = 100_000
_NEAR: Final = 80
_CANDIDATE: Final = re.compile(
    r"(?<![\w/.,:#$€£=&?%@-])(?:[0-9]{4,8}|[0-9]{3}[- ][0-9]{3}|(?=[A-Z0-9]*[0-9])(?=[A-Z0-9]*[A-Z])[A-Z0-9]{5,10}|[A-Z0-9]{4}-[A-Z0-9]{4})(?![\w/@%-]|[.,:][0-9])"
)
_WORD: Final = re.compile(
    r"\b(?:codes?|c[oó]digos?|codice|otp|pin|passcode|token|one-time|verif\w*|confirm\w*|senha|acesso|access|security|segurança|seguridad|"
    r"authenti\w*|autentica\w*|2fa|login|sign.?in|log.?in|activation|ativação|password)\b",
    re.IGNORECASE,
)  # fmt: skip
_YEAR: Final = re.compile(r"(?:19|20)[0-9]{2}")


def find_codes(text: str, subject: str = "") -> list[str]:
    """Return the codes of a message, the likeliest first; those in the subject before others that are as likely."""
    whole = f"{subject}\n{text[:_LONGEST]}"
    words = [found.start() for found in _WORD.finditer(whole)]
    scored: dict[str, float] = {}
    for found in _CANDIDATE.finditer(whole):
        distance = min((abs(found.start() - at) for at in words), default=_NEAR)
        if distance >= _NEAR:
            continue
        alone = whole[whole.rfind("\n", 0, found.start()) + 1 : found.start()].strip() == ""
        likely = 100 - distance + (30 if alone else 0) + (20 if found.end() <= len(subject) else 0)
        if _YEAR.fullmatch(found[0]):
            likely -= 60
        scored[found[0]] = max(likely, scored.get(found[0], 0))
    return sorted(scored, key=lambda code: -scored[code])[:_MOST]
