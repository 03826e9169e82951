"""What answers the commands that find messages.

Sources:  RFC 4731 section 3.1 (ESEARCH), RFC 5256 section 4 (SORT, THREAD), RFC 5267
          section 4.3 (ADDTO, REMOVEFROM), RFC 6203 section 4 (RELEVANCY), RFC 7377
          section 2.1 (MAILBOX, UIDVALIDITY), RFC 9394 section 3.1 (PARTIAL).
"""

from collections.abc import Iterator, Mapping, Sequence

from appliance.protocols.imap.commands_search import Returns, SearchReturn
from appliance.protocols.imap.responses import string
from appliance.protocols.imap.sequence import format_sequence_set

__all__ = ["context_change", "esearch", "sort", "thread"]


def esearch(
    tag: bytes,
    numbers: Sequence[int],
    returns: Returns,
    *,
    uid: bool,
    modseq: int = 0,
    scores: Mapping[int, int] | None = None,
    mailbox: tuple[bytes, int] | None = None,
) -> bytes:
    """Return ESEARCH; ``numbers`` in the order that was asked for.

    MIN, MAX and ALL are left out when nothing was found. ``scores``: relevancy by number. ``mailbox``: its name on the wire and its UIDVALIDITY.
    """
    correlator = b"TAG %b" % string(tag)
    if mailbox is not None:
        correlator += b" MAILBOX %b UIDVALIDITY %d" % mailbox
    pieces = [b"* ESEARCH (%b)" % correlator]
    if uid:
        pieces.append(b"UID")
    if numbers:
        pieces += _items(numbers, returns)
    if SearchReturn.COUNT in returns:
        pieces.append(b"COUNT %d" % len(numbers))
    told = numbers
    if returns.partial is not None:
        told = numbers[returns.partial.slice(len(numbers))]
        pieces.append(b"PARTIAL (%b %b)" % (returns.partial.to_bytes(), format_sequence_set(told) or b"NIL"))
    if SearchReturn.RELEVANCY in returns and scores is not None:
        pieces.append(b"RELEVANCY (%b)" % b" ".join([b"%d" % scores.get(number, 100) for number in told]))
    if modseq and numbers:
        pieces.append(b"MODSEQ %d" % modseq)
    return b" ".join(pieces) + b"\r\n"


def _items(numbers: Sequence[int], returns: Returns) -> Iterator[bytes]:
    if SearchReturn.MIN in returns:
        yield b"MIN %d" % numbers[0]
    if SearchReturn.MAX in returns:
        yield b"MAX %d" % numbers[-1]
    if SearchReturn.ALL in returns:
        yield b"ALL %b" % format_sequence_set(numbers)


def sort(numbers: Sequence[int], modseq: int = 0) -> bytes:
    highest = b" (MODSEQ %d)" % modseq if modseq else b""
    return b"* SORT" + b"".join([b" %d" % number for number in numbers]) + highest + b"\r\n"


def thread(threads: bytes) -> bytes:
    return b"* THREAD %b\r\n" % threads if threads else b"* THREAD\r\n"


def context_change(tag: bytes, kind: bytes, changes: Sequence[tuple[int, Sequence[int]]], *, uid: bool) -> bytes:
    """Return ESEARCH with ADDTO or REMOVEFROM; ``changes``: context position and numbers."""
    pairs = b" ".join([b"%d %b" % (position, format_sequence_set(numbers)) for position, numbers in changes])
    return b"* ESEARCH (TAG %b)%b %b (%b)\r\n" % (string(tag), b" UID" if uid else b"", kind, pairs)
