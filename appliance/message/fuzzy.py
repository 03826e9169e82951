"""How well a text fits a few words that may be misspelt.

Owns the scoring of FUZZY. Accents do not count. Each word that is looked for counts by its best
counterpart in the text: 100 for itself, 85 where a word begins with it, 75 for
another form of the word (endings of English and Portuguese taken off), 60 where
one letter was added, left out, exchanged or swapped with its neighbour. The
score is their mean; a text fits when half of the words or more have a
counterpart. Words of up to three letters are never taken for misspelt.

Does not: look at the order of words, or learn.
Source:   RFC 6203 sections 3 and 4 (the measure is the server's own).
"""

import re
from collections.abc import Collection
from typing import Final

__all__ = ["FuzzyQuery"]

MAX_QUERY_WORDS: Final = 20
_WORD = re.compile(r"[^\W_]\w*")
_MARKS = re.compile("[\u0300-\u036f]+")
_ENDINGS: Final = (
    "MENTE",
    "C\u0327O\u0303ES",
    "C\u0327A\u0303O",
    "INGS",
    "ING",
    "IES",
    "ERS",
    "ED",
    "ER",
    "EN",
    "ES",
    "LY",
    "AS",
    "OS",
    "S",
    "E",
    "O",
    "A",
    "Y",
)
_SAME, _BEGINNING, _FORM, _MISSPELT = 100, 85, 75, 60


class FuzzyQuery:
    """Words to look for, as a key of the collation."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._words = _words(key)[:MAX_QUERY_WORDS]

    def score(self, text: bytes) -> int:
        """Return 1 to 100, or 0 when ``text`` does not fit."""
        if not self._words:
            return _SAME if self._key in text else 0
        words = set(_words(text))
        scores = [_best(word, words) for word in self._words]
        if 2 * sum(map(bool, scores)) < len(scores):
            return 0
        return max(1, round(sum(scores) / len(scores))) if any(scores) else 0


def _words(text: bytes) -> list[str]:
    return _WORD.findall(_MARKS.sub("", text.decode("utf-8", "replace")))


def _best(wanted: str, words: Collection[str]) -> int:
    if wanted in words:
        return _SAME
    best = 0
    stem = _stem(wanted)
    for word in words:
        if best < _BEGINNING and len(wanted) >= 3 and word.startswith(wanted):
            return _BEGINNING
        if best < _FORM and len(stem) >= 3 and word.startswith(stem) and _stem(word) == stem:
            best = _FORM
        elif best < _MISSPELT and len(wanted) > 3 and _is_one_apart(wanted, word):
            best = _MISSPELT
    return best


def _stem(word: str) -> str:
    ending = next((ending for ending in _ENDINGS if word.endswith(ending) and len(word) - len(ending) >= 3), "")
    return word[: len(word) - len(ending)]


def _is_one_apart(one: str, other: str) -> bool:
    """Tell whether one edit leads from one word to the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    front = 0
    least = min(len(one), len(other))
    while front < least and one[front] == other[front]:
        front += 1
    rest, others = one[front:], other[front:]
    if len(rest) == len(others):
        return rest[1:] == others[1:] or (rest[:2] == others[1::-1] and rest[2:] == others[2:])
    return rest[1:] == others if len(rest) > len(others) else rest == others[1:]
