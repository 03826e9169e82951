"""Properties of the small pure parts: names, line ends, quoting, keywords, uidlists, file names."""

import os
import tempfile
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.model.errors import InvalidNameError
from appliance.model.mailbox import KEYWORD_SHIFT
from appliance.storage import lineends
from appliance.storage.keywords import KeywordTable
from appliance.storage.lineends import CrlfReader, crlf_size, to_crlf, to_lf
from appliance.storage.maildir_names import NameBlob, crlf_size_of, crlf_sizes_of, flags_from_letters, letters_from_flags
from appliance.storage.mbox_text import from_line, parse_from_date, parse_state, quote, quote_pieces, state_fields, unquote, unquote_pieces
from appliance.storage.names import check_name, decode_utf7, encode_utf7, from_maildir, from_mbox_path, maildir_directory, mbox_path
from appliance.storage.uidlist import format_uidlist, parse_uidlist

BODIES = st.lists(st.sampled_from([b"From ", b">", b"\n", b"\r\n", b"\r", b"F", b"Fro", b"m x", b"text", b"\n\n"]), max_size=40).map(
    b"".join
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Return data in pieces of the given sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


@given(st.text(max_size=30))
def test_utf7(text: str) -> None:
    """Modified UTF-7 is ASCII and comes back."""
    encoded = encode_utf7(text)
    assert encoded.isascii()
    assert text == decode_utf7(encoded)


@pytest.mark.parametrize(
    ("text", "encoded"),
    [("台北", "&U,BTFw-"), ("日本語", "&ZeVnLIqe-"), ("R&D", "R&-D"), ("Entwürfe", "Entw&APw-rfe")],
)
def test_utf7_examples(text: str, encoded: str) -> None:
    """RFC 3501 section 5.1.3 and what Dovecot writes."""
    assert encoded == encode_utf7(text)


@pytest.mark.parametrize("encoded", ["&AGE-", "&", "&U,BTF", "ü", "a&b", "&2AA-"])
def test_utf7_refusals(encoded: str) -> None:
    """Only the one right spelling is a name."""
    with pytest.raises(ValueError):  # noqa: PT011  - UnicodeDecodeError and binascii.Error are such
        decode_utf7(encoded)


@given(st.text(min_size=1, max_size=20))
def test_names_round_trip(text: str) -> None:
    """What passes the check comes back from both spellings on disk, and lies inside the account's directory."""
    try:
        name = check_name(text)
        directory, path = maildir_directory(name), mbox_path(name)
    except InvalidNameError:
        return
    if name == "INBOX":
        return
    assert name == from_maildir(directory)
    assert name == from_mbox_path(path)
    assert b"/" not in directory
    assert not directory.startswith(b"..")
    assert not any(level in (b"", b".", b"..") or level.startswith(b".") for level in path.split(b"/"))


@settings(max_examples=60)
@given(BODIES, st.lists(st.integers(0, 9), max_size=8))
def test_crlf_reader(data: bytes, sizes: list[int]) -> None:
    """The windowed reader gives the same bytes as the conversion in memory, wherever blocks and reads begin."""
    original = lineends.CHUNK_BYTES
    lineends.CHUNK_BYTES = 3
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"??" + data + b"!!")
            file.flush()
            reader = CrlfReader(os.dup(file.fileno()), 2, len(data))
            expected = to_crlf(data)
            assert len(expected) == crlf_size(data) == reader.seek(0, 2)
            reader.seek(0)
            read = b"".join([*(reader.read(size) for size in sizes), reader.read()])
            assert expected == read
            middle = len(expected) // 2
            reader.seek(middle)
            assert expected[middle : middle + 1] == reader.read(1)
            reader.close()
    finally:
        lineends.CHUNK_BYTES = original


@given(BODIES, st.lists(st.integers(1, 9), max_size=20))
def test_quoting(body: bytes, sizes: list[int]) -> None:
    """Quoting hides every From_ line, comes back, and is the same in pieces of any size."""
    quoted = quote(body)
    assert not quoted.startswith(b"From ")
    assert b"\nFrom " not in quoted
    assert body == unquote(quoted)
    assert quoted == b"".join(quote_pieces(iter(cut(body, sizes))))
    assert body == b"".join(unquote_pieces(iter(cut(quoted, sizes))))


@pytest.mark.parametrize("convert", [quote_pieces, unquote_pieces])
def test_long_rows_of_quotes_flow(convert: Callable[[Iterator[bytes]], Iterator[bytes]]) -> None:
    """Of a line that may still become a quoted From_ line only a few bytes are held back, so it costs no more than other text."""
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1_000
            yield b">" * 1_000

    given = 0
    for piece in convert(pieces()):
        given += len(piece)
        assert taken - given < len(b">From ")
    assert 100_000 == given


def test_quoting_across_cuts() -> None:
    """A From_ line that begins in one piece and ends in another is one; behind other text it is none."""
    assert b"x>>From \n>>>From >From y" == b"".join(quote_pieces([b"x>", b">Fr", b"om \n>", b">F", b"rom ", b">From y"]))
    assert b"x>>From \n>From >From y" == b"".join(unquote_pieces([b"x>", b">Fr", b"om \n>", b">F", b"rom ", b">From y"]))


@given(st.integers(0, 4_000_000_000), st.text(max_size=20))
def test_from_line(at_s: int, sender: str) -> None:
    """The date of a From_ line comes back to the second, whoever sent it."""
    line = from_line(sender, at_s)
    assert 1 == line.count(b"\n")
    assert at_s == parse_from_date(line)


@given(st.integers(1, 2**32 - 1), st.integers(0, 31), st.booleans())
def test_state_fields(uid: int, flags: int, is_old: bool) -> None:
    """Hidden fields come back."""
    state = parse_state(state_fields(uid, flags, is_old=is_old, keywords=["a", "b"], queue_id="Q1", base=b"0000000007 0000000009 a b"))
    assert (uid, flags, is_old, (b"a", b"b"), "Q1") == (state.uid, int(state.flags), state.is_old, state.keywords, state.queue_id)
    assert (7, 9, (b"a", b"b")) == (state.uid_validity, state.last_uid, state.all_keywords)


@given(st.integers(0, (1 << KEYWORD_SHIFT + 26) - 1).map(lambda bits: bits & ~0xE0))
def test_flag_letters(flags: int) -> None:
    """Flags and their letters are inverse."""
    letters = letters_from_flags(flags)
    assert bytes(sorted(letters)) == letters
    assert (flags, b"") == flags_from_letters(letters)


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=30), st.sets(st.integers(0, 29)))
def test_name_blob(names: list[bytes], gone: set[int]) -> None:
    """Packed names behave as a list."""
    blob = NameBlob()
    blob.extend(names)
    positions = sorted(position for position in gone if position < len(names))
    blob.remove(positions)
    expected = [name for position, name in enumerate(names) if position not in gone]
    assert expected == list(blob) == [blob[position] for position in range(len(blob))]


@given(st.lists(st.from_regex(rb"[0-9]{1,3}\.[a-z,=0-9]{1,6}", fullmatch=True), unique=True, max_size=10))
def test_uidlist(names: list[bytes]) -> None:
    """A uidlist comes back."""
    entries = [(uid, name) for uid, name in enumerate(names, start=3)]
    found = parse_uidlist(format_uidlist(77, 100, b"abc", entries))
    assert found is not None
    assert (77, 100, b"abc", {name: uid for uid, name in entries}, True) == (
        found.uid_validity,
        found.next_uid,
        found.guid,
        found.uids,
        found.is_clean,
    )


@given(st.binary(max_size=200))
def test_uidlist_of_anything(data: bytes) -> None:
    """No bytes upset the reader."""
    parse_uidlist(b"3 V1 N1 G1\n" + data)
    parse_uidlist(data)


@pytest.mark.parametrize(
    "header",
    [
        b"3 V4294967296 N1 Gx",
        b"3 V1 N4294967296 Gx",
        b"3 V1 N4294967295 Gx",
        b"3 V1 N" + b"9" * 5_000 + b" Gx",
        b"1 1 " + b"9" * 5_000,
        b"1 7",
    ],
)
def test_uidlist_beyond_32_bits(header: bytes) -> None:
    """Numbers that no UID can have, or that leave no UID to give, make it no uidlist."""
    assert parse_uidlist(header + b"\n1 :a\n") is None


def test_uidlist_of_last_uids() -> None:
    """A line with the last UID of all leaves none to give; a line beyond that is left out."""
    assert parse_uidlist(b"3 V1 N2 Gx\n1 :a\n4294967295 :b\n") is None
    found = parse_uidlist(b"3 V1 N2 Gx\n1 :a\n4294967296 :b\n")
    assert found is not None
    assert ({b"a": 1}, 2, False) == (found.uids, found.next_uid, found.is_clean)


def test_names_too_long_for_us() -> None:
    """A directory with a longer name than we would give is none of ours."""
    assert from_maildir(b"." + b"x" * 245) == "x" * 245
    assert from_maildir(b"." + b"x" * 246) is None


def test_keyword_file() -> None:
    """dovecot-keywords comes back, gaps and bad lines included."""
    table = KeywordTable.parse(b"0 $Forwarded\n2 Work\nbad line\n99 far\n" + b"9" * 5_000 + b" farther\n")
    assert ["$Forwarded", "unknown-1", "Work"] == table.names
    assert b"0 $Forwarded\n1 unknown-1\n2 Work\n" == table.to_bytes()
    assert b"a\nb\n" == to_lf(b"a\r\nb\n")


@given(
    bases=st.lists(
        st.lists(st.sampled_from([b"1.M2P3R4.host", b",S=3", b",W=4", b",W=", b",W=x", b"5" * 16, b"W=6"]), max_size=4).map(b"".join)
    )
)
def test_sizes_of_many_names(bases: list[bytes]) -> None:
    """Many names at once tell what each tells by itself, whatever other programs put into them."""
    assert [crlf_size_of(base) for base in bases] == crlf_sizes_of(bases)
