"""What clients say of the state that they know: parameters of SELECT, modifiers of FETCH and STORE.

Sources:  RFC 7162 section 7 (formal syntax), RFC 4466 section 2.1 (select parameters) and section 2.4 (modifiers), RFC 9394 section 3.3 (PARTIAL).
"""

from dataclasses import dataclass

from appliance.model.ids import ModSeq, UidValidity
from appliance.protocols.imap.partial_range import PartialRange
from appliance.protocols.imap.sequence import SequenceSet

__all__ = ["MAX_MODSEQ", "FetchModifiers", "Qresync", "SelectParameters"]

MAX_MODSEQ = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Qresync:
    """RFC 7162 section 3.2.5. ``matches``: message numbers and the uids that they had, both ascending."""

    uid_validity: UidValidity
    modseq: ModSeq
    known_uids: SequenceSet | None = None
    matches: tuple[SequenceSet, SequenceSet] | None = None


@dataclass(frozen=True, slots=True)
class SelectParameters:
    condstore: bool = False
    qresync: Qresync | None = None


@dataclass(frozen=True, slots=True)
class FetchModifiers:
    """``vanished`` stands only beside ``changed_since`` (RFC 7162 section 3.2.6), ``partial`` only with UID FETCH (RFC 9394 section 3.3)."""

    changed_since: ModSeq | None = None
    vanished: bool = False
    partial: PartialRange | None = None
