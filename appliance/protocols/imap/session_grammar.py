"""Arguments of the commands on the session itself.

Fails:    ``ParseError``.
Sources:  RFC 4978 section 5, RFC 8437 section 6.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_session import Compress, Unauthenticate
from appliance.protocols.imap.grammar import Reader
from appliance.protocols.imap.state import LOGGED_IN, Condition, State, Verb

__all__ = ["VERBS"]


def _read_compress(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    return Compress(reader.read_word("compression algorithm"))


def _read_unauthenticate(reader: Reader, uid: bool) -> Command:
    return Unauthenticate()


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "COMPRESS": Verb(LOGGED_IN, _read_compress),
        "UNAUTHENTICATE": Verb(LOGGED_IN, _read_unauthenticate, MappingProxyType({Condition.OK: State.NOT_AUTHENTICATED})),
    }
)
