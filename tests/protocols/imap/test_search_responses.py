"""What answers the commands that find messages."""

import pytest

from appliance.protocols.imap.commands_search import Returns, SearchReturn
from appliance.protocols.imap.partial_range import PartialRange
from appliance.protocols.imap.search_responses import context_change, esearch, sort, thread


@pytest.mark.parametrize(
    ("numbers", "returns", "expected"),
    [
        (
            [2, 3, 9],
            Returns(SearchReturn.ALL | SearchReturn.MIN | SearchReturn.MAX | SearchReturn.COUNT),
            b" UID MIN 2 MAX 9 ALL 2:3,9 COUNT 3",
        ),
        ([], Returns(SearchReturn.ALL | SearchReturn.COUNT), b" UID COUNT 0"),
        ([], Returns(SearchReturn.ALL), b" UID"),
        ([9, 2, 3], Returns(SearchReturn.MIN | SearchReturn.ALL), b" UID MIN 9 ALL 9,2:3"),
        ([9, 2, 3], Returns(partial=PartialRange(2, 5)), b" UID PARTIAL (2:5 2:3)"),
        ([], Returns(partial=PartialRange(-1, -5)), b" UID PARTIAL (-1:-5 NIL)"),
    ],
)
def test_esearch(numbers: list[int], returns: Returns, expected: bytes) -> None:
    """Nothing found leaves most items out."""
    assert b'* ESEARCH (TAG "a1")' + expected + b"\r\n" == esearch(b"a1", numbers, returns, uid=True)


def test_correlators_scores_and_modseq() -> None:
    """RFC 7377 section 2.1, RFC 6203 section 4, RFC 4731 section 3.2."""
    returns = Returns(SearchReturn.ALL | SearchReturn.RELEVANCY)
    assert b'* ESEARCH (TAG "a" MAILBOX INBOX UIDVALIDITY 7) ALL 1:2 RELEVANCY (5 100) MODSEQ 9\r\n' == esearch(
        b"a", [1, 2], returns, uid=False, scores={1: 5}, mailbox=(b"INBOX", 7), modseq=9
    )


def test_old_answers() -> None:
    """SORT and THREAD with and without results."""
    assert b"* SORT 3 1\r\n* SORT\r\n" == sort([3, 1]) + sort([])
    assert b"* THREAD (1)(2)\r\n* THREAD\r\n" == thread(b"(1)(2)") + thread(b"")


def test_changes_of_a_context() -> None:
    """RFC 5267 section 4.3.3."""
    assert b'* ESEARCH (TAG "C01") UID ADDTO (1 2731:2733)\r\n' == context_change(b"C01", b"ADDTO", [(1, [2731, 2732, 2733])], uid=True)
    assert b'* ESEARCH (TAG "B01") REMOVEFROM (0 4,9)\r\n' == context_change(b"B01", b"REMOVEFROM", [(0, [4, 9])], uid=False)
