"""Address lists: what people's programs write, and what comes out of it."""

import pytest

from appliance.message.address import Address, Group, addresses, format_address, format_address_list, parse_address_list

BOB = Address(b"Bob", b"bob", b"x.example")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bob@x.example", [Address(b"", b"bob", b"x.example")]),
        (b"Bob <bob@x.example>", [BOB]),
        (b'"Bob" <bob@x.example>, a@b', [BOB, Address(b"", b"a", b"b")]),
        (b'"Smith, J \\"x\\"" <j@x.example>', [Address(b'Smith, J "x"', b"j", b"x.example")]),
        (b"bob@x.example (Bob (really))", [Address(b"Bob (really)", b"bob", b"x.example")]),
        (b"=?utf-8?q?Jos=C3=A9?= <j@x.example>", [Address(b"=?utf-8?q?Jos=C3=A9?=", b"j", b"x.example")]),
        (b'"john doe"@x.example', [Address(b"", b"john doe", b"x.example")]),
        (b"<@a.example,@b.example:bob@x.example>", [Address(b"", b"bob", b"x.example", b"@a.example,@b.example")]),
        (b"bob@[192.0.2.1]", [Address(b"", b"bob", b"[192.0.2.1]")]),
        (b"bob @ x . example", [Address(b"", b"bob", b"x.example")]),
        (b"Team: Bob <bob@x.example>, a@b;, c@d", [Group(b"Team", (BOB, Address(b"", b"a", b"b"))), Address(b"", b"c", b"d")]),
        (b"undisclosed-recipients:;", [Group(b"undisclosed-recipients", ())]),
        (b"bob", [Address(b"", b"bob", b"")]),
        (b"Bob <>", [Address(b"Bob", b"", b"")]),
        (b"<>", []),
        (b"", []),
        (b" , ,", []),
        (b"Bob <bob@x.example", [BOB]),
        (b"a@b@c.example", [Address(b"", b"a@b", b"c.example")]),
        (b"Bob B. <bob@x.example>", [Address(b"Bob B.", b"bob", b"x.example")]),
        (b"Jos\xc3\xa9 <j\xc3\xb3@x.example>", [Address(b"Jos\xc3\xa9", b"j\xc3\xb3", b"x.example")]),
        (b'"unclosed <bob@x.example>', [Address(b"", b"unclosed <bob@x.example>", b"")]),
        (b"(comment only)", []),
        (b"(first) a@b (last)", [Address(b"last", b"a", b"b")]),
        (b"(first) a@b", [Address(b"", b"a", b"b")]),
    ],
)
def test_lists_are_understood(value: bytes, expected: list[Address | Group]) -> None:
    """Names, comments, groups, routes and broken ends."""
    assert expected == parse_address_list(value)


def test_the_list_is_capped() -> None:
    """What is behind the limit is left out, on both ways through."""
    assert 3 == len(parse_address_list(b"a@b," * 9, limit=3))
    assert 3 == len(parse_address_list(b"(c) a@b," * 9, limit=3))


def test_addresses_are_taken_out_of_groups() -> None:
    """Whoever wants addresses gets them flat."""
    assert ["a@b", "c@d", '"x y"@d'] == [found.path for found in addresses(b'G: a@b, c@d;, "x y"@d')]


def test_addresses_are_written_with_quotes_where_needed() -> None:
    """Names with specials are quoted, encoded words are left alone."""
    assert b"Bob <bob@x.example>" == BOB.to_bytes()
    assert b'"B, C" <"x y"@d>' == Address(b"B, C", b"x y", b"d").to_bytes()
    assert b"=?utf-8?q?a?= <a@b>" == Address(b"=?utf-8?q?a?=", b"a", b"b").to_bytes()
    assert b"a@b" == Address(b"", b"a", b"b").to_bytes()
    assert b"a" == Address(b"", b"a", b"").spec


def test_a_list_is_folded_after_each_entry() -> None:
    """Groups keep their form."""
    assert b"Bob <bob@x.example>,\r\n G: a@b, c@d;" == format_address_list(
        [BOB, Group(b"G", (Address(b"", b"a", b"b"), Address(b"", b"c", b"d")))]
    )


def test_a_name_from_people_cannot_start_a_field() -> None:
    """Line ends become spaces, other alphabets become encoded words."""
    assert b"Bob Bcc: x <a@b>" != format_address("Bob\r\nBcc: x", "a@b")
    assert b'"Bob Bcc: x" <a@b>' == format_address("Bob\r\nBcc: x", "a@b")
    assert b"=?utf-8?q?Jos=C3=A9?= <a@b>" == format_address("José", "a@b")
    assert b"a@b" == format_address("", "a@b")
