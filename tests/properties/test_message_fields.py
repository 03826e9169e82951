"""Fields: nothing raises, and what is written is read back."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from appliance.message.address import Address, Group, format_address, format_address_list, parse_address_list
from appliance.message.authres import authserv_id
from appliance.message.date import (
    format_date,
    format_internal_date,
    format_mbox_date,
    parse_date,
    parse_internal_date,
    parse_mbox_date,
)
from appliance.message.decode import header_text, html_text
from appliance.message.envelope import render_envelope
from appliance.message.header import unfold
from appliance.message.parameter import decode_parameter, parse_disposition, parse_media_type, strip_comments
from appliance.message.received import build_received
from appliance.message.text import decode_bytes, decode_header, decode_parameter_text, encode_parameter, encode_phrase, encode_unstructured

ODD = st.one_of(
    st.binary(max_size=120),
    st.lists(
        st.sampled_from(
            [b'"', b"\\", b"(", b")", b"<", b">", b"@", b",", b":", b";", b"a", b" ", b"b.c", b"=?utf-8?q?=C3=A1?=", b"\xe1", b"="]
        ),
        max_size=30,
    ).map(b"".join),
)
ATOM = st.text("abcdefgXYZ019!#-_", min_size=1, max_size=8).map(str.encode)
DOMAIN = st.builds(lambda first, second: first + b"." + second, ATOM, ATOM)
LOCAL_PART = st.one_of(ATOM, st.text('ab ."\\,@<>()', min_size=1, max_size=8).map(str.encode))
NAME = st.one_of(st.just(b""), ATOM, st.text('ab .,"\\@<>():;', min_size=1, max_size=10).map(lambda text: text.strip().encode()))
ADDRESS = st.builds(Address, NAME, LOCAL_PART, DOMAIN, st.just(b""))
LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), max_size=60)
MOMENT = st.integers(0, 4_000_000_000)
ZONE = st.integers(-1_439, 1_439)


@given(ODD)
def test_no_parser_raises(value: bytes) -> None:
    """Whatever a stranger writes into a field."""
    parse_address_list(value)
    parse_date(value)
    parse_mbox_date(value)
    parse_internal_date(value)
    parse_media_type(b"a/b;" + value)
    parse_disposition(value)
    strip_comments(value)
    decode_parameter(((b"x", value), (b"x*", value)), b"x")
    decode_header(value)
    authserv_id(value)
    header_text(b"Subject: " + value)
    html_text(value.decode("latin-1"))
    assert render_envelope(b"From: " + value + b"\r\nSubject: " + value + b"\r\n\r\n").endswith(b")")


@given(st.lists(st.one_of(ADDRESS, st.builds(Group, ATOM, st.lists(ADDRESS, max_size=3).map(tuple))), max_size=4))
def test_addresses_are_read_back(entries: list[Address | Group]) -> None:
    """Formatting and parsing is the identity, folding included."""
    assert entries == parse_address_list(unfold(format_address_list(entries)))


@given(LINE)
def test_names_are_read_back(name: str) -> None:
    """A person's name, in any alphabet."""
    found = parse_address_list(unfold(format_address(name, "a@b.example")))
    assert [(name, "a@b.example")] == [(decode_header(entry.name), entry.path) for entry in found if isinstance(entry, Address)]


@given(LINE)
def test_text_is_read_back(text: str) -> None:
    """Subject, phrase, parameter; no line of an encoded text is over 78."""
    encoded = encode_unstructured(text)
    assert text == decode_header(unfold(encoded))
    assert text.isascii() or all(len(line) < 78 for line in encoded.split(b"\r\n"))
    assert encode_phrase(text).isascii()
    parsed = parse_media_type(b"a/b; " + unfold(encode_parameter("name", text)))
    assert parsed is not None
    if "=?" not in text:
        assert text == decode_parameter_text(parsed[2], b"name")


@given(MOMENT, ZONE)
def test_dates_are_read_back(seconds: int, zone: int) -> None:
    """Three forms, any zone."""
    parsed = parse_date(format_date(seconds, zone))
    assert parsed is not None
    assert (datetime.fromtimestamp(seconds, UTC), zone * 60) == (parsed, (parsed.utcoffset() or parsed - parsed).total_seconds())
    assert seconds == parse_internal_date(format_internal_date(seconds, zone))
    assert seconds == parse_mbox_date(format_mbox_date(seconds))


@given(st.binary(max_size=60), st.text(max_size=20))
def test_any_charset_gives_text(data: bytes, charset: str) -> None:
    """Known, unknown or nonsense."""
    assert isinstance(decode_bytes(data, charset), str)


@given(st.text(max_size=60), st.text(max_size=40))
def test_a_received_field_is_one_field(helo: str, recipient: str) -> None:
    """Nothing a client says starts a line of its own."""
    field = build_received(
        helo=helo, client_address=helo, client_name=recipient, hostname="h", protocol="ESMTP", queue_id=helo, now_s=0, recipient=recipient
    )
    assert field.endswith(b"\r\n")
    assert all(line.startswith((b"Received:", b"\t")) for line in field[:-2].split(b"\r\n"))
    assert b"\n" not in field.replace(b"\r\n", b"")
