"""Tag, verb and whether it may come now."""

import pytest

from appliance.protocols.imap.grammar import ParseError
from appliance.protocols.imap.head import looks_like_http, read_head, read_tag
from appliance.protocols.imap.state import State


@pytest.mark.parametrize(("data", "tag"), [(b"a.1 NOOP", b"a.1"), (b"] NOOP", b"]"), (b"~ NOOP", b"~"), (b"a", b"a")])
def test_tags(data: bytes, tag: bytes) -> None:
    """Any astring character but the plus sign."""
    assert tag == read_tag(data)


@pytest.mark.parametrize("data", [b"", b" a NOOP", b"+ NOOP", b"* NOOP", b'"a" NOOP', b"\xe9 NOOP"])
def test_no_tags(data: bytes) -> None:
    """What would be read as something else in a response."""
    with pytest.raises(ParseError, match="tag expected"):
        read_tag(data)


def test_head() -> None:
    """UID belongs to the verb behind it."""
    head = read_head(b"a uid fetch 1 FLAGS", 1, State.SELECTED)
    assert ("FETCH", True, 11) == (head.name, head.uid, head.at)


@pytest.mark.parametrize(
    ("data", "state", "text"),
    [
        (b"a", State.SELECTED, "command expected in column 2, where the command ends"),
        (b"a  NOOP", State.SELECTED, "command expected in column 3, not  NOOP"),
        (b"a UID NOOP", State.SELECTED, "unknown command UID NOOP"),
        (b"a UID", State.SELECTED, "unknown command UID"),
        (b"a FETCH 1 ALL", State.AUTHENTICATED, "FETCH is not possible now: no mailbox is selected"),
        (b"a LIST", State.NOT_AUTHENTICATED, "LIST is not possible now: log in first"),
        (b"a LOGIN", State.SELECTED, "LOGIN is not possible now: already logged in"),
    ],
)
def test_refusals(data: bytes, state: State, text: str) -> None:
    """Say why."""
    with pytest.raises(ParseError, match=text):
        read_head(data, 1, state)


def test_http() -> None:
    """A request line, and nothing that an IMAP client could mean."""
    assert looks_like_http(b"POST / HTTP/1.1\r\n")
    assert not looks_like_http(b"GET NOOP\r\n")
