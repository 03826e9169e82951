"""The arguments of the commands that find messages, and their answers."""

import pytest

from appliance.model.finding import SortCriterion, SortKey
from appliance.model.ids import MailboxName
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_search import (
    CancelUpdate,
    MultiSearch,
    Returns,
    Search,
    SearchReturn,
    Sort,
    Thread,
    ThreadAlgorithm,
)
from appliance.protocols.imap.find_grammar import VERBS
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.mailbox_filter import MailboxFilter, MailboxScope
from appliance.protocols.imap.partial_range import PartialRange
from appliance.protocols.imap.search_keys import AllKey, FuzzyKey, HeaderKey


def parse(line: bytes) -> Command:
    name, _, _ = line.partition(b" ")
    read = VERBS[name.decode()].read
    assert read is not None
    reader = Reader(line, len(name))
    command = read(reader, False)
    reader.read_end()
    return command


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"SEARCH CHARSET KOI8-R ALL", Search(AllKey(), charset="KOI8-R")),
        (b"SEARCH RETURN (PARTIAL 1:9) ALL", Search(AllKey(), returns=Returns(partial=PartialRange(1, 9)))),
        (b"SEARCH RETURN (partial -9:-1 SAVE) ALL", Search(AllKey(), returns=Returns(SearchReturn.SAVE, PartialRange(-9, -1)))),
        (
            b"SEARCH RETURN (RELEVANCY) FUZZY SUBJECT x",
            Search(FuzzyKey(HeaderKey("subject", b"x")), returns=Returns(SearchReturn.RELEVANCY)),
        ),
        (
            b"SORT (REVERSE DATE SUBJECT) UTF-8 ALL",
            Sort(AllKey(), charset="UTF-8", criteria=(SortCriterion(SortKey.DATE, reverse=True), SortCriterion(SortKey.SUBJECT))),
        ),
        (b"THREAD REFS UTF-8 ALL", Thread(AllKey(), charset="UTF-8", algorithm=ThreadAlgorithm.REFS)),
        (b"ESEARCH ALL", MultiSearch(AllKey(), True, Returns(SearchReturn.ALL))),
        (
            b"ESEARCH IN (selected subtree-one (a b) mailboxes c personal) RETURN (COUNT) ALL",
            MultiSearch(
                AllKey(),
                True,
                Returns(SearchReturn.COUNT),
                sources=(
                    MailboxFilter(MailboxScope.SELECTED),
                    MailboxFilter(MailboxScope.SUBTREE_ONE, (MailboxName("a"), MailboxName("b"))),
                    MailboxFilter(MailboxScope.MAILBOXES, (MailboxName("c"),)),
                    MailboxFilter(MailboxScope.PERSONAL),
                ),
            ),
        ),
        (b'CANCELUPDATE "a" "b"', CancelUpdate((b"a", b"b"))),
    ],
)
def test_arguments_are_read(line: bytes, expected: Command) -> None:
    """One of each."""
    assert expected == parse(line)


@pytest.mark.parametrize(
    "line",
    [
        b"SEARCH RETURN (PARTIAL 1:-2) ALL",
        b"SEARCH RETURN (PARTIAL 0:2) ALL",
        b"SEARCH RETURN (PARTIAL 1:*) ALL",
        b"SEARCH RETURN (PARTIAL 1:9999999999) ALL",
        b"SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
        b"SEARCH RETURN (PARTIAL 1:2 ALL) ALL",
        b"SEARCH RETURN (NONE) ALL",
        b"SEARCH RETURN (RELEVANCY) ALL",
        b"SEARCH FUZZY",
        b"SEARCH FILTER",
        b"SORT () UTF-8 ALL",
        b"SORT (REVERSE) UTF-8 ALL",
        b"SORT (REVERSE REVERSE DATE) UTF-8 ALL",
        b"SORT (DATE) ALL",
        b"SORT (RELEVANCY) UTF-8 ALL",
        b"SORT (" + b"DATE " * 60 + b"DATE) UTF-8 ALL",
        b"THREAD FOO UTF-8 ALL",
        b"ESEARCH IN () ALL",
        b"ESEARCH IN (nowhere) ALL",
        b"ESEARCH IN (selected (option)) ALL",
        b"ESEARCH IN (selected-delayed) ALL",
        b"ESEARCH IN (personal) RETURN (UPDATE) ALL",
        b"ESEARCH IN (personal) RETURN (SAVE) ALL",
        b"ESEARCH IN (" + b"personal " * 120 + b"personal) ALL",
        b"ESEARCH IN (mailboxes (" + b"a " * 1_001 + b"a)) ALL",
        b"CANCELUPDATE",
        b"CANCELUPDATE a",
        b"CANCELUPDATE " + b'"a" ' * 120 + b'"a"',
    ],
)
def test_broken_arguments_are_refused(line: bytes) -> None:
    """Each error says what was expected, and every list has an end."""
    with pytest.raises(ParseError, match=r"\w"):
        parse(line)


@pytest.mark.parametrize(
    ("first", "last", "count", "expected"),
    [
        (1, 3, 5, [1, 2, 3]),
        (3, 1, 5, [1, 2, 3]),
        (4, 9, 5, [4, 5]),
        (6, 9, 5, []),
        (-1, -2, 5, [4, 5]),
        (-4, -9, 5, [1, 2]),
        (-6, -9, 5, []),
        (-1, -1, 0, []),
    ],
)
def test_partial_ranges(first: int, last: int, count: int, expected: list[int]) -> None:
    """RFC 9394 section 3.1: from either end, in either order, beyond what is there."""
    assert expected == list(range(1, count + 1))[PartialRange(first, last).slice(count)]
