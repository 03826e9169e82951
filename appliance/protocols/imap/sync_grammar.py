r"""The words of CONDSTORE, QRESYNC and UIDBATCHES, wherever they stand, and all modifiers of FETCH.

Fails:    ``ParseError``.
Sources:  RFC 7162 section 7 (CONDSTORE, QRESYNC), RFC 4466 section 2 (parameters and modifiers), RFC 10022 section 4 (UIDBATCHES),
          RFC 9394 section 4 (PARTIAL).
"""

import re
from typing import Final

from appliance.model.ids import ModSeq, UidValidity
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.partial_range import PartialRange, read_partial_range
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.sync_values import MAX_MODSEQ, FetchModifiers, Qresync, SelectParameters

__all__ = ["read_batch_range", "read_fetch_modifiers", "read_modseq_key", "read_select_parameters", "read_unchanged_since"]

_ENTRY: Final = re.compile(r"/flags/\\?[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+")


def _read_modseq(reader: Reader, *, may_be_zero: bool = False) -> ModSeq:
    modseq = reader.read_number("mod-sequence", MAX_MODSEQ)
    if not modseq and not may_be_zero:
        raise ParseError("mod-sequence must be above 0")
    return ModSeq(modseq)


def _read_known_set(reader: Reader) -> SequenceSet:
    """Read a set without ``*``: what a client knows has numbers."""
    numbers = reader.read_sequence_set()
    if numbers.uses_star:
        raise ParseError("* is not allowed in a set of what is known")
    return numbers


# SELECT and EXAMINE


def read_select_parameters(reader: Reader) -> SelectParameters:
    """Read `` (CONDSTORE)`` and `` (QRESYNC (...))`` behind the mailbox name, if they are there."""
    if not reader.take(b" ("):
        return SelectParameters()
    condstore, qresync = False, None
    while True:
        name = reader.read_word("select parameter")
        if name == "CONDSTORE" and not condstore:
            condstore = True
        elif name == "QRESYNC" and qresync is None:
            reader.read_space()
            qresync = _read_qresync(reader)
        else:
            raise ParseError(f"no such select parameter, or twice: {name[:40]}")
        if reader.take(b")"):
            return SelectParameters(condstore, qresync)
        reader.read_space()


def _read_qresync(reader: Reader) -> Qresync:
    if not reader.take(b"("):
        reader.fail("list of what is known")
    uid_validity = UidValidity(reader.read_number("uidvalidity"))
    if not uid_validity:
        raise ParseError("uidvalidity must be above 0")
    reader.read_space()
    modseq = _read_modseq(reader)
    known_uids = matches = None
    if reader.take(b" ") and not (matches := _take_matches(reader)):
        known_uids = _read_known_set(reader)
        if reader.take(b" ") and not (matches := _take_matches(reader)):
            reader.fail("list of message numbers and uids")
    if not reader.take(b")"):
        reader.fail("end of what is known")
    return Qresync(uid_validity, modseq, known_uids, matches)


def _take_matches(reader: Reader) -> tuple[SequenceSet, SequenceSet] | None:
    if not reader.take(b"("):
        return None
    numbers = _read_known_set(reader)
    reader.read_space()
    uids = _read_known_set(reader)
    if not reader.take(b")"):
        reader.fail("end of message numbers and uids")
    if not (_ascends(numbers) and _ascends(uids)):
        raise ParseError("message numbers and uids must ascend")
    return numbers, uids


def _ascends(numbers: SequenceSet) -> bool:
    last = 0
    for first, end in numbers.ranges:
        if not last < first <= end:
            return False
        last = end
    return True


# FETCH and STORE


def read_fetch_modifiers(reader: Reader, *, uid: bool) -> FetchModifiers:
    """Read `` (CHANGEDSINCE n VANISHED PARTIAL 1:9)`` behind the FETCH items, if it is there."""
    if not reader.take(b" ("):
        return FetchModifiers()
    changed_since, vanished = None, False
    partial: PartialRange | None = None
    while True:
        name = reader.read_word("FETCH modifier")
        if name == "CHANGEDSINCE" and changed_since is None:
            reader.read_space()
            # 0 stands outside the grammar; clients that know nothing yet send it.
            changed_since = _read_modseq(reader, may_be_zero=True)
        elif name == "VANISHED" and not vanished:
            vanished = True
        elif name == "PARTIAL" and partial is None:
            reader.read_space()
            partial = read_partial_range(reader)
        else:
            raise ParseError(f"no such FETCH modifier, or twice: {name[:40]}")
        if reader.take(b")"):
            break
        reader.read_space()
    if vanished and (changed_since is None or not uid):
        raise ParseError("VANISHED needs UID FETCH and CHANGEDSINCE")
    if partial is not None and not uid:
        raise ParseError("PARTIAL needs UID FETCH")
    return FetchModifiers(changed_since, vanished, partial)


def read_unchanged_since(reader: Reader) -> ModSeq | None:
    """Read ``(UNCHANGEDSINCE n) `` before the flags of STORE, if it is there."""
    if not reader.take(b"("):
        return None
    name = reader.read_word("STORE modifier")
    if name != "UNCHANGEDSINCE":
        raise ParseError(f"no such STORE modifier: {name[:40]}")
    reader.read_space()
    modseq = _read_modseq(reader, may_be_zero=True)
    if not reader.take(b")"):
        reader.fail("one STORE modifier")
    reader.read_space()
    return modseq


# SEARCH


def read_modseq_key(reader: Reader) -> ModSeq:
    r"""Read what follows ``MODSEQ ``; the name of a flag is checked and, as there is one modseq for all, passed over."""
    name = reader.take_string()
    if name is not None:
        if not _ENTRY.fullmatch(name.decode("latin-1")):
            raise ParseError('entry name such as "/flags/\\\\Seen" expected')
        reader.read_space()
        kind = reader.read_word("priv, shared or all")
        if kind not in {"PRIV", "SHARED", "ALL"}:
            raise ParseError("priv, shared or all expected")
        reader.read_space()
    return _read_modseq(reader, may_be_zero=True)


# UIDBATCHES


def read_batch_range(reader: Reader) -> tuple[int, tuple[int, int] | None]:
    """Read ``SP size [SP first:last]`` behind UIDBATCHES; the order of the range is the session's matter."""
    reader.read_space()
    size = _read_positive(reader, "batch size")
    if not reader.take(b" ") or reader.at_end:
        return size, None
    first = _read_positive(reader, "first batch")
    if not reader.take(b":"):
        reader.fail("range of batches such as 1:4")
    return size, (first, _read_positive(reader, "last batch"))


def _read_positive(reader: Reader, what: str) -> int:
    number = reader.read_number(what)
    if not number:
        raise ParseError(f"{what} must be above 0")
    return number
