"""Message identifiers."""

import pytest

from appliance.message.msgid import MAX_REFERENCES, message_ids, parent_ids


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<a@b>", [b"a@b"]),
        (b"<a@b> <c@d>\r\n\t<e@f>", [b"a@b", b"c@d", b"e@f"]),
        (b'<"01KF8JCEOCBS0045PS"@xxx.yyy.com>', [b"01KF8JCEOCBS0045PS@xxx.yyy.com"]),
        (b'<"a\\"b"@c>', [b'a"b@c']),
        (b"Your mail of Monday <a@b> (a comment)", [b"a@b"]),
        (b"< a@b >", [b"a@b"]),
        (b"<a> <@b> <a@> a@b <a@b", []),
        (b"<a@[127.0.0.1]>", [b"a@[127.0.0.1]"]),
        (b"", []),
    ],
)
def test_identifiers_are_found(value: bytes, expected: list[bytes]) -> None:
    """Whatever stands between them, quoted or not."""
    assert expected == message_ids(value)


def test_the_nearest_of_too_many_are_kept() -> None:
    """A field of a megabyte does not make a million ancestors."""
    value = b"".join(b"<%d@x>" % number for number in range(MAX_REFERENCES + 5))
    assert (MAX_REFERENCES, b"%d@x" % (MAX_REFERENCES + 4)) == (len(message_ids(value)), message_ids(value)[-1])


def test_in_reply_to_is_asked_when_references_say_nothing() -> None:
    """And of several only the first counts (RFC 5256 section 3)."""
    assert [b"a@b"] == parent_ids(b"<a@b>", b"<c@d>")
    assert [b"c@d"] == parent_ids(b"nothing", b"<c@d> <e@f>")
    assert [] == parent_ids(b"", b"from me")
