"""SPF's macros: what may stand in a domain-spec, and what comes of it.

Fails: expansion never does; ``None`` says that the text cannot become a name
(a local part that is not ASCII, RFC 8616 section 4).
Does not: look up the name behind ``%{p}``; who expands gives it.

Sources: RFC 7208 sections 7 and 12, RFC 3986 section 2.3 (what needs no escape).
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["check_domain_spec", "check_explanation", "check_macro_string", "expand", "fit_name", "uses_macro"]

_MAX_NAME: Final = 253
_MACRO = re.compile(r"%(?:\{([A-Za-z])([0-9]{0,3})([rR]?)([.\-+,/_=]*)\}|([%_-]))")
_LETTERS: Final = frozenset("slodiphv")
_EXPLAINING: Final = frozenset("crt")
_ESCAPES: Final = {"%": "%", "_": " ", "-": "%20"}
_is_literal = re.compile(r"[\x21-\x24\x26-\x7e]*").fullmatch
_is_spaced_literal = re.compile(r"[\x20-\x24\x26-\x7e]*").fullmatch
_is_top_label = re.compile(r"(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])").fullmatch
_UNSAFE = re.compile(rb"[^A-Za-z0-9._~-]")


def _check(text: str, letters: frozenset[str], *, spaces: bool = False) -> int:
    """Return where the last macro ends, 0 if there is none; -1 for a text that is none."""
    literal = _is_spaced_literal if spaces else _is_literal
    at = 0
    for found in _MACRO.finditer(text):
        letter, digits = found[1], found[2]
        if not literal(text[at : found.start()]):
            return -1
        if letter and (letter.lower() not in letters or (digits and not int(digits))):
            return -1
        at = found.end()
    return at if literal(text[at:]) else -1


def check_macro_string(text: str) -> bool:
    """Tell whether it is a macro-string outside an explanation."""
    return _check(text, _LETTERS | _EXPLAINING) >= 0


def check_explanation(text: str) -> bool:
    """Tell whether it is an explain-string: spaces are allowed, and the macros c, r and t."""
    return text.isascii() and _check(text, _LETTERS | _EXPLAINING, spaces=True) >= 0


def check_domain_spec(text: str) -> bool:
    """Tell whether it is a domain-spec: it ends in a macro or in a top-level label (RFC 7208 section 7.1)."""
    last = _check(text, _LETTERS)
    if last < 0 or not text:
        return False
    if last == len(text):
        return text[-1] == "}"  # ``%%`` and the like are no end of a domain
    before, dot, label = text.removesuffix(".").rpartition(".")
    return bool(dot) and last <= len(before) + 1 and _is_top_label(label) is not None


def uses_macro(text: str, letter: str) -> bool:
    """Tell whether a macro of this letter stands in a checked text."""
    return any((found[1] or "").lower() == letter for found in _MACRO.finditer(text))


def expand(text: str, values: Mapping[str, str]) -> str | None:
    """Replace the macros of a checked text. ``values``: by lower case letter. None: it would not be ASCII."""
    pieces: list[str] = []
    at = 0
    for found in _MACRO.finditer(text):
        pieces.append(text[at : found.start()])
        at = found.end()
        letter, digits, turn, delimiters, escape = found.groups()
        if escape:
            pieces.append(_ESCAPES[escape])
            continue
        value = _transform(values.get(letter.lower(), ""), digits, turn, delimiters)
        if not value.isascii():
            return None
        pieces.append(value if letter.islower() else _escaped(value))
    pieces.append(text[at:])
    return "".join(pieces)


def _transform(value: str, digits: str, turn: str, delimiters: str) -> str:
    if not (digits or turn or delimiters):
        return value
    parts = re.split(f"[{re.escape(delimiters)}]" if delimiters else r"\.", value)
    if turn:
        parts.reverse()
    if digits:
        parts = parts[-int(digits) :]
    return ".".join(parts)


def _escaped(value: str) -> str:
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], value.encode()).decode()


def fit_name(name: str) -> str:
    """Return a name that is short enough, labels taken off its left (RFC 7208 section 7.3), without the root's dot; "" for no name."""
    name = name.removesuffix(".")
    while len(name) > _MAX_NAME:
        _label, dot, name = name.partition(".")
        if not dot:
            return ""
    if not name or any(not 0 < len(label) <= 63 for label in name.split(".")):
        return ""
    return name
