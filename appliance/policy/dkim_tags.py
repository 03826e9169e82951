"""The tag=value lists of DKIM: signatures, key records, ARC sets, and DMARC's policy records.

Owns the one grammar that they share, its limits, and putting a list together
again folded for a header field. Signing and verifying both use it.

Fails: ``TagListError`` for what is no tag list, with what is wrong in a few words.
Does not: know what any tag means.

Sources: RFC 6376 section 3.2; the values of fields may be UTF-8 (RFC 8616 section 3).
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["MAX_TAG_LIST_BYTES", "TagListError", "format_tags", "parse_tags", "without_space"]

MAX_TAG_LIST_BYTES: Final = 8_192
"""Longest list that is looked at; a signature by an RSA key of 16,384 bits takes less than half of it."""
_LINE_WIDTH: Final = 76
_BASE64_WIDTH: Final = 72
_SPACE = " \t\r\n"
_WHITE = re.compile(r"[ \t\r\n]+")
_is_name = re.compile(r"[A-Za-z][A-Za-z0-9_]*").fullmatch
_is_forbidden = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search


class TagListError(ValueError):
    """It is no tag list; the argument says why."""


def parse_tags(value: bytes) -> dict[str, str]:
    """Return the tags in order, the space around names and values taken off. Raises TagListError.

    Source: RFC 6376 section 3.2: names differ by case, none may stand twice, a semicolon may end the list.
    """
    if len(value) > MAX_TAG_LIST_BYTES:
        raise TagListError("it is too long")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TagListError("it is not UTF-8") from error
    if _is_forbidden(text):
        raise TagListError("it has control characters")
    tags: dict[str, str] = {}
    pieces = text.split(";")
    if not pieces[-1].strip(_SPACE):
        del pieces[-1]
    for piece in pieces:
        name, equals, found = piece.partition("=")
        name = name.strip(_SPACE)
        if not equals or not _is_name(name):
            raise TagListError("a tag has no name or no value")
        if name in tags:
            raise TagListError(f"the tag {name} stands twice")
        tags[name] = found.strip(_SPACE)
    return tags


def without_space(value: str) -> str:
    """Take out the space that may stand anywhere in base64 (RFC 6376 section 2.6 and 3.2)."""
    return _WHITE.sub("", value)


def format_tags(field_name: str, tags: Mapping[str, str], *, breaks_base64: bool = True) -> bytes:
    """Return a header field of these tags with its line end, folded between tags and inside the values of h, and of b and bh.

    Source: RFC 6376 section 3.5 (where folding may stand).
    """
    lines = [f"{field_name}:"]
    for name, value in tags.items():
        whole = f"{name}={value};"
        if len(lines[-1]) + len(whole) >= _LINE_WIDTH > len(whole):
            lines.append("\t")  # a tag that fits into a line is not broken
        for word in _breakable(name, value, breaks_base64=breaks_base64):
            if len(lines[-1]) + len(word) + 1 > _LINE_WIDTH and lines[-1].strip():
                lines.append("\t")
            is_first = word.startswith(f"{name}=")
            lines[-1] += f" {word}" if is_first and lines[-1] != "\t" else word
        lines[-1] += ";"
    text = "\r\n".join(line.rstrip() for line in lines)
    return text.removesuffix(";").encode("utf-8", "replace") + b"\r\n"


def _breakable(name: str, value: str, *, breaks_base64: bool) -> list[str]:
    """Return the pieces of ``name=value`` between which a line may end."""
    whole = f"{name}={value}"
    if breaks_base64 and name in {"b", "bh"}:
        return [whole[at : at + _BASE64_WIDTH] for at in range(0, len(whole), _BASE64_WIDTH)]
    if name == "h":
        words = whole.split(":")
        return [word + ":" for word in words[:-1]] + [words[-1]]
    return [whole]
