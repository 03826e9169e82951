"""LANGUAGE: in which words the server speaks to people.

Owns how a text is found in a language's table: as it stands, or as a pattern of
which some pieces are taken over. A text that no table has stays English: better
than nothing. Protocol words, codes and names are never touched.

Sources:  RFC 5255 section 3, RFC 2277 section 4.5 (i-default).
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_session import Language
from appliance.protocols.imap.responses import astring
from appliance.protocols.language import LANGUAGE_NAMES, choose_language
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.portuguese import PORTUGUESE
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "Catalogue", "language"]

_PLAIN: Final = "i-default"
"""English in ASCII: what a session speaks until it is asked for something else (RFC 5255 section 3.1)."""
_LONGEST: Final = 400
"""No text of ours is longer; what the client wrote is quoted in pieces."""
_HOLE = re.compile(r"\{\*?\}")


class Catalogue:
    """One language: English texts and patterns to its own."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._patterns = [_compile(text) for text in texts if _HOLE.search(text)]

    def __call__(self, text: str) -> str:
        """Return a text in this language, with a capital where the English has one."""
        known = self._texts.get(text)
        if known is not None or not 0 < len(text) <= _LONGEST:
            return known or text
        # The core begins every rejection with a capital.
        found = self._find(text[0].lower() + text[1:])
        return found[0].upper() + found[1:] if found and text[0].isupper() else found or self._find(text) or text

    def _find(self, text: str) -> str | None:
        if text in self._texts:
            return self._texts[text]
        for pattern, phrases, original in self._patterns:
            match = pattern.fullmatch(text)
            if match is not None:
                pieces = [self(piece) if phrase else piece for piece, phrase in zip(match.groups(), phrases, strict=True)]
                frame = _HOLE.split(self._texts[original])
                return frame[0] + "".join(piece + after for piece, after in zip(pieces, frame[1:], strict=True))
        return None


def _compile(text: str) -> "tuple[re.Pattern[str], list[bool], str]":
    literal = "(.+?)".join(re.escape(piece) for piece in _HOLE.split(text))
    return re.compile(literal, re.DOTALL), [hole == "{*}" for hole in _HOLE.findall(text)], text


_CATALOGUES: Final[Mapping[str, Catalogue]] = MappingProxyType({"pt": Catalogue(PORTUGUESE)})


def _choose(ranges: Sequence[str], preferred: str) -> str | None:
    """Return the first that a range names; ``default`` is the administrator's choice (RFC 5255 section 3.2)."""
    for wanted in ranges:
        name = wanted.lower()
        found = _PLAIN if name == _PLAIN else choose_language("*" if name == "default" else name, preferred)
        if found is not None:
            return found
    return None


async def language(session: Session, command: Language) -> Reply:
    """Speak another language from the response on that says so (RFC 5255 section 3.2)."""
    if not command.ranges:
        session.send(b"* LANGUAGE (%b)\r\n" % b" ".join(astring(tag.encode("ascii")) for tag in (*LANGUAGE_NAMES, _PLAIN)))
        return ok("Languages are listed")
    found = _choose(command.ranges, session.shared.language)
    if found is None:
        return no("None of these languages is spoken here")
    session.send(b"* LANGUAGE (%b)\r\n" % astring(found.encode("ascii")))
    session.core.translate = _CATALOGUES.get(found)
    return ok("Speaking this language now")


HANDLERS: Final[Mapping[type[Command], Handler]] = {Language: language}
