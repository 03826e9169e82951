"""Commands on the session itself: compress it, give it back, choose its language.

Sources:  RFC 4978 (COMPRESS), RFC 5255 section 3 (LANGUAGE), RFC 8437 (UNAUTHENTICATE).
"""

from dataclasses import dataclass
from typing import ClassVar

from appliance.protocols.imap.commands import Command

__all__ = ["Compress", "Language", "Unauthenticate"]


@dataclass(frozen=True, slots=True)
class Compress(Command):
    """RFC 4978 section 3; ``algorithm`` in capitals."""

    verb: ClassVar[str] = "COMPRESS"
    algorithm: str


@dataclass(frozen=True, slots=True)
class Unauthenticate(Command):
    """RFC 8437 section 3."""

    verb: ClassVar[str] = "UNAUTHENTICATE"


@dataclass(frozen=True, slots=True)
class Language(Command):
    """RFC 5255 section 3.2: the ranges in the order of preference; none: ask for what there is."""

    verb: ClassVar[str] = "LANGUAGE"
    ranges: tuple[str, ...] = ()
