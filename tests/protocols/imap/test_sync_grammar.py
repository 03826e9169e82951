"""Parameters and modifiers of CONDSTORE and QRESYNC, the MODSEQ key, UIDBATCHES."""

import pytest

from appliance.model.ids import MailboxName, ModSeq, UidValidity
from appliance.model.mailbox import FlagAction
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command, FlagList
from appliance.protocols.imap.commands_search import Search
from appliance.protocols.imap.commands_uid import UidBatches
from appliance.protocols.imap.fetch_items import Attribute
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.partial_range import PartialRange
from appliance.protocols.imap.search_keys import AllKey, FlagKey, ModSeqKey, NotKey, SequenceKey, UidKey, has_key
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.sync_values import FetchModifiers, Qresync, SelectParameters
from appliance.protocols.imap.verbs import VERBS

INBOX = MailboxName("INBOX")
HIGHEST = (1 << 63) - 1


def parse(line: bytes, *, uid: bool = False) -> Command:
    """Parse one command without its tag."""
    verb, _, _ = line.partition(b" ")
    read = VERBS[verb.decode("ascii")].read
    assert read is not None
    reader = Reader(line, len(verb))
    command = read(reader, uid)
    reader.read_end()
    return command


def numbers(raw: bytes) -> SequenceSet:
    return SequenceSet.parse(raw)


def known(uids: bytes = b"", matches: tuple[bytes, bytes] | None = None) -> SelectParameters:
    sets = (numbers(matches[0]), numbers(matches[1])) if matches else None
    return SelectParameters(qresync=Qresync(UidValidity(7), ModSeq(9), numbers(uids) if uids else None, sets))


@pytest.mark.parametrize(
    ("line", "parameters"),
    [
        (b"SELECT INBOX", SelectParameters()),
        (b"SELECT INBOX (condstore)", SelectParameters(condstore=True)),
        (b"SELECT INBOX (QRESYNC (7 9))", known()),
        (b"SELECT INBOX (QRESYNC (7 9 1:5,8))", known(b"1:5,8")),
        (b"SELECT INBOX (QRESYNC (7 9 1:5 (1,3:4 2,6:7)))", known(b"1:5", (b"1,3:4", b"2,6:7"))),
        (b"SELECT INBOX (QRESYNC (7 9 (1 2)))", known(b"", (b"1", b"2"))),
    ],
)
def test_select(line: bytes, parameters: SelectParameters) -> None:
    """SELECT and EXAMINE take the same parameters."""
    assert commands.Select(INBOX, parameters) == parse(line)
    assert commands.Examine(INBOX, parameters) == parse(line.replace(b"SELECT", b"EXAMINE"))


def test_fetch_and_store() -> None:
    """Modifiers stand behind the items of FETCH and before those of STORE."""
    flags = (Attribute.FLAGS,)
    one = numbers(b"1")
    assert commands.Fetch(one, flags, False, FetchModifiers(ModSeq(5))) == parse(b"FETCH 1 FLAGS (CHANGEDSINCE 5)")
    assert commands.Fetch(one, flags, True, FetchModifiers(ModSeq(HIGHEST), True)) == parse(
        b"FETCH 1 (FLAGS) (VANISHED CHANGEDSINCE %d)" % HIGHEST, uid=True
    )
    for modifiers in (b"PARTIAL -1:-30 CHANGEDSINCE 5", b"changedsince 5 partial -1:-30"):
        expected = commands.Fetch(one, flags, True, FetchModifiers(ModSeq(5), partial=PartialRange(-1, -30)))
        assert expected == parse(b"FETCH 1 FLAGS (%b)" % modifiers, uid=True)
    assert commands.Fetch(one, (Attribute.MODSEQ,)) == parse(b"FETCH 1 modseq")
    assert commands.Store(one, FlagAction.ADD, FlagList(0, ("a",)), True, False, ModSeq(0)) == parse(
        b"STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT (a)"
    )


@pytest.mark.parametrize("entry", [b"", b'"/flags/\\\\Draft" all ', b'"/flags/$Work" PRIV ', b'"/flags/x" shared '])
def test_search(entry: bytes) -> None:
    """MODSEQ takes the name of a flag, which makes no difference."""
    assert Search(ModSeqKey(ModSeq(620_162_338))) == parse(b"SEARCH MODSEQ " + entry + b"620162338")


def test_uids_before_and_after() -> None:
    """UIDAFTER and UIDBEFORE leave their uid out (RFC 9738 section 3.2)."""
    assert Search(NotKey(UidKey(SequenceSet(((1, 25_000),))))) == parse(b"SEARCH UIDAFTER 25000")
    assert Search(UidKey(SequenceSet(((1, 24_999),)))) == parse(b"SEARCH UIDBEFORE 25000")
    assert Search(NotKey(AllKey())) == parse(b"SEARCH UIDBEFORE 1")


def test_a_key_is_found_wherever_it_stands() -> None:
    """What must not be used is found in any depth."""
    command = parse(b"SEARCH SEEN OR NOT (ALL 5) DELETED")
    assert isinstance(command, Search)
    assert [True, True, False] == [has_key(command.key, kind) for kind in (SequenceKey, FlagKey, ModSeqKey)]


def test_expunge_waits_for_numbers() -> None:
    """UID SEARCH allows EXPUNGE, but not with message numbers among its keys (RFC 7162 section 3.2.10.2)."""
    assert [False, True, False] == [
        parse(b"SEARCH ALL").allows_expunge,
        parse(b"SEARCH ALL", uid=True).allows_expunge,
        parse(b"SEARCH NOT 1", uid=True).allows_expunge,
    ]


def test_batches() -> None:
    """The order of a range is left to the session, which answers with a code."""
    assert UidBatches(2_000) == parse(b"UIDBATCHES 2000")
    assert UidBatches(2_000, (4, 1)) == parse(b"UIDBATCHES 2000 4:1")


@pytest.mark.parametrize(
    ("line", "uid"),
    [
        (b"SELECT INBOX (CONDSTORE CONDSTORE)", False),
        (b"SELECT INBOX ()", False),
        (b"SELECT INBOX (QRESYNC (7))", False),
        (b"SELECT INBOX (QRESYNC (7 0))", False),
        (b"SELECT INBOX (QRESYNC (0 7))", False),
        (b"SELECT INBOX (QRESYNC (7 9 *))", False),
        (b"SELECT INBOX (QRESYNC (7 9 1:5 (3,2 5,6)))", False),
        (b"SELECT INBOX (QRESYNC (7 9 1:5 (2:1 5,6)))", False),
        (b"SELECT INBOX (QRESYNC (7 9 1:5 (1 2) 3))", False),
        (b"FETCH 1 FLAGS (CHANGEDSINCE)", False),
        (b"FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)", False),
        (b"FETCH 1 FLAGS (VANISHED)", True),
        (b"FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", False),
        (b"FETCH 1 FLAGS ()", False),
        (b"FETCH 1 FLAGS (PARTIAL 1:2)", False),
        (b"FETCH 1 FLAGS (PARTIAL)", True),
        (b"FETCH 1 FLAGS (PARTIAL 1:-2)", True),
        (b"FETCH 1 FLAGS (PARTIAL 1:2 PARTIAL 1:2)", True),
        (b"STORE 1 (CHANGEDSINCE 1) FLAGS (a)", False),
        (b"STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) FLAGS (a)", False),
        (b"STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS (a)", False),
        (b"SEARCH MODSEQ", False),
        (b'SEARCH MODSEQ "/flags/a" 5', False),
        (b'SEARCH MODSEQ "/flag/a" all 5', False),
        (b'SEARCH MODSEQ "/flags/a" some 5', False),
        (b"UIDBATCHES", False),
        (b"UIDBATCHES 0", False),
        (b"UIDBATCHES 500 0:1", False),
        (b"UIDBATCHES 500 1", False),
        (b"UIDBATCHES 500 1:*", False),
    ],
)
def test_refused(line: bytes, uid: bool) -> None:
    """What the grammar does not know is said, not guessed."""
    with pytest.raises(ParseError):
        parse(line, uid=uid)
