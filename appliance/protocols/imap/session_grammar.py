"""Arguments of the commands on the session itself.

Fails:    ``ParseError``.
Sources:  RFC 4978 section 5, RFC 5255 section 3.5 (language ranges are astrings), RFC 8437 section 6.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_session import Compress, Language, Unauthenticate
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.state import ANY, LOGGED_IN, Condition, State, Verb

__all__ = ["VERBS"]

MAX_RANGES: Final = 100


def _read_compress(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    return Compress(reader.read_word("compression algorithm"))


def _read_unauthenticate(reader: Reader, uid: bool) -> Command:
    return Unauthenticate()


def _read_language(reader: Reader, uid: bool) -> Command:
    ranges: list[str] = []
    while reader.take(b" ") and not reader.at_end:
        ranges.append(reader.read_text("language range"))
        if len(ranges) > MAX_RANGES:
            raise ParseError("too many language ranges")
    return Language(tuple(ranges))


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "COMPRESS": Verb(LOGGED_IN, _read_compress),
        "LANGUAGE": Verb(ANY, _read_language),
        "UNAUTHENTICATE": Verb(LOGGED_IN, _read_unauthenticate, MappingProxyType({Condition.OK: State.NOT_AUTHENTICATED})),
    }
)
