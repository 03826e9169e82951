"""Pieces of responses."""

import pytest

from appliance.model.mailbox import Flag
from appliance.protocols.imap import responses


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", b'""'),
        (b"a b", b'"a b"'),
        (b'a"\\', b'"a\\"\\\\"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xe9", b"{1}\r\n\xe9"),
        (b"x" * 5000, b"{5000}\r\n" + b"x" * 5000),
    ],
)
def test_strings(value: bytes, expected: bytes) -> None:
    """Quoted where possible, literal elsewhere."""
    assert expected == responses.string(value)


def test_atoms_and_nothing() -> None:
    """NIL is a word of its own."""
    assert (b"INBOX", b'"NIL"', b'"a b"', b"NIL") == (
        responses.astring(b"INBOX"),
        responses.astring(b"NIL"),
        responses.astring(b"a b"),
        responses.nstring(None),
    )


def test_mailbox_names() -> None:
    """Modified UTF-7, or UTF-8 once enabled."""
    assert b"&AOk-" == responses.mailbox_name("é")
    assert '"é"'.encode() == responses.mailbox_name("é", utf8=True)


def test_flag_names() -> None:
    """System flags first, then keywords by their numbers."""
    assert "\\Seen \\Recent b" == responses.flag_names(Flag.SEEN | responses.RECENT | 1 << 9, ("a", "b"))


def test_untagged_lines() -> None:
    """One line each, as RFC 3501 section 7 has them."""
    assert b"* SEARCH 1 5\r\n" == b"".join(responses.search_pieces([1, 5]))
    assert b"* SEARCH\r\n" == b"".join(responses.search_pieces([]))
    assert b'* LIST (\\HasNoChildren) "/" x\r\n' == responses.list_response(b"LIST", ["\\HasNoChildren"], b"x")
    assert b'* LIST () "/" x ("CHILDINFO" ("SUBSCRIBED"))\r\n' == responses.list_response(b"LIST", [], b"x", child_info=["SUBSCRIBED"])
    assert b"* STATUS x (MESSAGES 1 UNSEEN 0)\r\n" == responses.status(b"x", {"MESSAGES": 1, "UNSEEN": 0})
    assert b'* ID ("name" "x")\r\n' == responses.id_response({"name": "x"})
    assert b"* ID NIL\r\n" == responses.id_response({})
    assert b"COPYUID 7 1:2 5,4" == responses.copy_code(7, [1, 2], [5, 4])
    assert b"caf?" == responses.text_line("café")
