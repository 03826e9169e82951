"""IMAP: parameters and modifiers of CONDSTORE and QRESYNC, sets of uids as ranges."""

import random
import re

from appliance.model.uidranges import absent, common, joined
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.notify_grammar import VERBS
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.sync_grammar import (
    read_batch_range,
    read_fetch_modifiers,
    read_modseq_key,
    read_select_parameters,
    read_unchanged_since,
)
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]


def _check_grammar(data: bytes, rnd: random.Random) -> object:
    """Each reader takes what it knows or says in words why not."""
    outcome: list[object] = []
    for read in (read_select_parameters, read_unchanged_since, read_modseq_key, read_batch_range):
        try:
            outcome.append(type(read(Reader(data))).__name__)
        except ParseError as error:
            outcome.append(_told(error))
    for uid in (True, False):
        try:
            outcome.append(read_fetch_modifiers(Reader(data), uid=uid).vanished)
        except ParseError as error:
            outcome.append(_told(error))
    return tuple(outcome)


def _told(error: ParseError) -> str:
    """Return the kind of a complaint, which goes over the wire as it is."""
    assert str(error).isascii()
    assert str(error).isprintable()
    return str(error)[:12]


def _check_notify(data: bytes, rnd: random.Random) -> object:
    """What is taken names message events in pairs, and the selected mailbox once."""
    read = VERBS["NOTIFY"].read
    assert read is not None
    try:
        return re.sub(r"[^A-Z]", "", repr(read(Reader(data), False))[:400])[:40]
    except ParseError as error:
        return _told(error)


def _check_ranges(data: bytes, rnd: random.Random) -> object:
    """What is left and what was taken make up the whole, whatever the sets."""
    raw, _, other = data.partition(b" ")
    try:
        whole = joined(SequenceSet.parse(raw).resolve(0xFFFF_FFFF))
        part = joined(SequenceSet.parse(other).resolve(0xFFFF_FFFF))
    except ValueError as error:
        return str(error)[:12]
    both = common(whole, part)
    assert both == common(part, whole)
    assert both == common(both, whole)
    uids = sorted({uid for first, last in part for uid in range(first, min(last, first + 50) + 1)})
    left = absent(whole, uids)
    assert whole == joined([*left, *common(whole, [(uid, uid) for uid in uids])])
    return len(whole), len(both), len(left)


_WORDS = [
    b" (", b")", b" ", b"(", b"CONDSTORE", b"QRESYNC", b"CHANGEDSINCE ", b"VANISHED", b"PARTIAL -1:-3", b"UNCHANGEDSINCE ", b"0", b"1", b"7", b"9223372036854775807",
    b"9223372036854775808", b"1:5", b"1,3:4", b"*", b'"/flags/\\\\Seen"', b'"/flags/x"', b"all", b"priv", b"shared", b":", b",", b"\xff", b"{1}\r\nx",
]  # fmt: skip

TARGETS = [
    Target(
        "imap_sync_grammar",
        _check_grammar,
        [
            b" (CONDSTORE)", b" (QRESYNC (7 9 1:5 (1,3:4 2,6:7)))", b" (CHANGEDSINCE 5 VANISHED PARTIAL 1:3)", b"(UNCHANGEDSINCE 0) ",
            b'"/flags/\\\\Draft" all 620162338', b" 2000 1:20",
        ],
        _WORDS,
        [(b" (QRESYNC (7 9 1", b",3", b"))"), (b" (QRESYNC (7 9 (1", b",3", b" 1)))"), (b" (CHANGEDSINCE 5", b" VANISHED", b")")],
    ),
    Target(
        "imap_notify_grammar",
        _check_notify,
        [b" NONE", b" SET STATUS (selected (MessageNew (UID BODY.PEEK[HEADER]) MessageExpunge)) (subtree (a b) (MessageExpunge MessageNew))"],
        [
            b" ", b"(", b")", b"SET", b"NONE", b"STATUS", b"selected", b"selected-delayed", b"inboxes", b"personal", b"subscribed", b"subtree", b"mailboxes",
            b"MessageNew", b"MessageExpunge", b"FlagChange", b"MailboxName", b"x", b'"y"', b"(UID)", b"\xff", b"&AOk-",
        ],
        [(b" SET (mailboxes (a", b" b", b") NONE)"), (b" SET (personal NONE)", b" (personal NONE)", b""), (b" SET (inboxes (x", b" y", b"))")],
    ),
    Target("imap_uid_ranges", _check_ranges, [b"1:5,9,20:30 4:22", b"1:4294967295 7"], [b",", b":", b" ", b"1", b"3:9", b"*"], [(b"1", b",3", b" 2")]),
]  # fmt: skip
