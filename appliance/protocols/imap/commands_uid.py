"""UIDBATCHES as the grammar delivers it, and its row in the table of verbs.

Source:   RFC 10022 section 4 (formal syntax).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.grammar import Reader
from appliance.protocols.imap.state import SELECTED, Verb
from appliance.protocols.imap.sync_grammar import read_batch_range

__all__ = ["VERBS", "UidBatches"]


@dataclass(frozen=True, slots=True)
class UidBatches(Command):
    """``batches``: first and last that are asked for, in the client's order; None for all."""

    verb: ClassVar[str] = "UIDBATCHES"
    size: int
    batches: tuple[int, int] | None = None


def _read(reader: Reader, uid: bool) -> Command:
    return UidBatches(*read_batch_range(reader))


VERBS: Final[Mapping[str, Verb]] = MappingProxyType({"UIDBATCHES": Verb(SELECTED, _read)})
