"""How texts compare: the collation i;unicode-casemap, as octets that compare by themselves.

Owns the key of a text: each character in title case where UnicodeData.txt has a
single one, then decomposed with compatibility, in UTF-8. Two texts are equal
when their keys are, one is in the other when its key is in the other's, and
they sort as their keys do.

Fails: never; half a surrogate pair (utf-7 can say one) keeps its number.
Does not: decompose Hangul syllables, reorder combining marks across characters,
          or spell a character in several (the letter sharp s stays one).

Sources: RFC 5051 section 2, RFC 5255 section 4.2 (I18NLEVEL=1).
"""

import unicodedata

__all__ = ["casemap"]

_HANGUL = range(0xAC00, 0xD7A4)
_KEPT = 0x1_0000


class _Keys(dict[int, str | int]):
    """What each character becomes, found when first met; of rare planes only what changes is remembered."""

    def __missing__(self, number: int) -> str | int:
        character = chr(number)
        title = character.title()
        key = title if len(title) == 1 else character
        if number not in _HANGUL:
            key = unicodedata.normalize("NFKD", key)
        result: str | int = number if key == character else key
        if number < _KEPT or result != number:
            self[number] = result
        return result


_KEYS = _Keys()


def casemap(text: str) -> bytes:
    """Return the key of ``text``."""
    if text.isascii():
        return text.upper().encode("ascii")
    return text.translate(_KEYS).encode("utf-8", "surrogatepass")
