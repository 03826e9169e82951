"""Replies: their wire form cannot be broken."""

import pytest

from appliance.protocols.smtp import replies
from appliance.protocols.smtp.replies import Reply


def test_wire_form() -> None:
    """One line, many lines, with and without an enhanced code."""
    assert b"250 2.0.0 OK\r\n" == replies.OK.to_bytes()
    assert b"250-a\r\n250-b\r\n250 c\r\n" == Reply(250, "", "a", "b", "c").to_bytes()
    assert b"550-5.1.1 a\r\n550 5.1.1 b\r\n" == Reply(550, "5.1.1", "a", "b").to_bytes()
    assert b"250 2.0.0 Queued as Q1\r\n" == replies.queued("Q1").to_bytes()


def test_text_cannot_break_out() -> None:
    """Line ends, other characters and length are tamed."""
    assert b"250 a??250 b?\r\n" == Reply(250, "", "a\r\n250 b\u00e9").to_bytes()
    assert 512 == len(Reply(250, "2.0.0", "x" * 1000).to_bytes())
    with pytest.raises(ValueError, match="99"):
        Reply(99)


def test_kinds() -> None:
    """Positive, temporary, and the text for people."""
    assert replies.SEND_CONTENT.is_positive
    assert replies.TRY_LATER.is_temporary
    assert not replies.RELAY_DENIED.is_positive
    assert "550 5.1.1 a b" == str(Reply(550, "5.1.1", "a", "b"))


def test_enhanced_codes_fit() -> None:
    """Each constant's enhanced code has the class of its code; 3xx, greeting and EHLO have none (RFC 2034 section 4)."""
    constants = [value for value in vars(replies).values() if isinstance(value, Reply)]
    assert constants
    for reply in constants:
        assert reply.enhanced[:1] in {"", str(reply.code)[0]}, str(reply)
