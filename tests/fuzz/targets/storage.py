"""What other programs may leave in the mail directory, and rows of the spool.

These are the pure parsers; ``directories`` puts the same kind of input into a real directory.
"""

import contextlib
import os
import random
import struct
from pathlib import Path
from typing import Any

from appliance.model.content import MemoryContent
from appliance.model.envelope import Body, Client, Envelope, EnvelopeRecipient, Notify, Ret
from appliance.model.errors import InvalidNameError
from appliance.model.ids import INBOX, AccountName
from appliance.storage import lineends
from appliance.storage.keywords import KeywordTable
from appliance.storage.lineends import CrlfReader, crlf_size, iter_lf, to_crlf
from appliance.storage.maildir_names import (
    crlf_size_of,
    file_size_of,
    flags_from_letters,
    letters_from_flags,
    queue_id_of,
    split_name,
    time_of,
)
from appliance.storage.mbox_scan import scan, torn_tail
from appliance.storage.mbox_text import (
    filter_header,
    parse_from_date,
    parse_state,
    quote,
    quote_pieces,
    unquote,
    unquote_pieces,
)
from appliance.storage.names import check_name, decode_utf7, encode_utf7, from_maildir, from_mbox_path, maildir_directory, mbox_path
from appliance.storage.spool_ids import queue_id_from_int, queue_id_to_int
from appliance.storage.spool_schema import Addition, message_from_row, message_row, recipient_from_row, recipient_rows
from appliance.storage.uidlist import MAX_UID, format_uidlist, parse_uidlist
from tests.fuzz.engine import Target, cut
from tests.fuzz.seeds import messages

__all__ = ["MBOX", "MBOX_WORDS", "NAME", "NAME_WORDS", "TARGETS", "UIDLIST", "UIDLIST_WORDS"]

_ANA = AccountName("ana")
_SHARED_MEMORY = Path("/dev/shm")


def _check_uidlist(data: bytes, rnd: random.Random) -> object:
    found = parse_uidlist(data)
    if found is None:
        return None
    assert 0 < found.uid_validity <= MAX_UID
    assert 0 < found.next_uid <= MAX_UID + 1
    uids = list(found.uids.values())
    assert uids == sorted(set(uids))
    assert all(0 < uid <= MAX_UID and uid < found.next_uid for uid in uids)
    again = parse_uidlist(
        format_uidlist(found.uid_validity, found.next_uid, found.guid or b"x", [(uid, base) for base, uid in found.uids.items()])
    )
    assert again is not None
    assert again.uids == found.uids or any(base.startswith(b":") for base in found.uids)
    assert (again.uid_validity, again.next_uid) == (found.uid_validity, found.next_uid)
    return found.is_clean, min(5, len(uids)), bool(found.guid)


def _check_small_files(data: bytes, rnd: random.Random) -> object:
    table = KeywordTable.parse(data)
    assert len(table.names) <= 26
    assert KeywordTable.parse(table.to_bytes()).names == table.names or any(
        set("\r\n\x0b\x0c\x1c\x1d\x1e\x85") & set(name) for name in table.names
    )
    state = parse_state(data)
    assert 0 <= state.uid <= 9_999_999_999
    filter_header(data)
    parse_from_date(data)
    return len(table.names), state.flags, state.uid > 0, len(state.keywords)


def _check_names(data: bytes, rnd: random.Random) -> object:
    base, letters = split_name(data)
    flags, others = flags_from_letters(letters or b"")
    assert flags_from_letters(letters_from_flags(flags, others))[0] == flags
    assert crlf_size_of(base) >= 0
    assert file_size_of(base) >= -1
    assert time_of(base) >= 0
    queue_id_of(base)
    name = from_maildir(data)
    assert name is None or maildir_directory(name) == data
    path_name = from_mbox_path(data)
    assert path_name is None or mbox_path(path_name) == data
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        assert encode_utf7(decode_utf7(text)) == text
    try:
        checked = check_name(text)
        assert check_name(checked) == checked
        directory = maildir_directory(checked)
        assert checked == INBOX or from_maildir(directory) == checked
        path = mbox_path(checked)
        assert checked == INBOX or from_mbox_path(path) == checked
        valid = True
    except InvalidNameError:
        valid = False
    with contextlib.suppress(ValueError):
        assert queue_id_from_int(queue_id_to_int(text)) == text.upper()
    return flags, len(others) > 0, name is None, path_name is None, valid


def _check_mbox_text(data: bytes, rnd: random.Random) -> object:
    assert unquote(quote(data)) == data
    pieces = cut(data, rnd)
    assert b"".join(quote_pieces(pieces)) == quote(data)
    assert b"".join(unquote_pieces(pieces)) == unquote(data)
    with _memory_file(data) as fd:
        entries = scan(fd, 0, len(data))
        position = 0
        for entry in entries:
            assert entry.offset >= position
            assert data.startswith(b"From ", entry.offset)
            assert entry.length > 0
            position = entry.offset + entry.length
        assert position <= len(data)
        if entries:
            assert position == len(data)
        assert 0 <= torn_tail(fd, len(data), entries[-1] if entries else None) <= len(data)
    return min(6, len(entries)), quote(data) == data, unquote(data) == data


@contextlib.contextmanager
def _memory_file(data: bytes) -> Any:
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def _check_line_ends(data: bytes, rnd: random.Random) -> object:
    assert len(to_crlf(data)) == crlf_size(data)
    converted = to_crlf(data)
    original = lineends.CHUNK_BYTES
    lineends.CHUNK_BYTES = max(3, len(data) // rnd.choice((1, 3, 12)))  # seams fall anywhere
    fd = os.memfd_create("fuzz")
    os.write(fd, data)
    reader = CrlfReader(fd, 0, len(data))
    try:
        assert reader.seek(0, os.SEEK_END) == len(converted)
        start = rnd.randrange(len(converted) + 1)
        reader.seek(start)
        assert reader.read() == converted[start:]
        assert b"".join(iter_lf(MemoryContent(data))) == data.replace(b"\r\n", b"\n")
    finally:
        lineends.CHUNK_BYTES = original
        reader.close()
    return len(converted) - len(data)


def _check_rows(data: bytes, rnd: random.Random) -> object:
    """A row with any values of the right types is decoded or refused with ValueError; what was encoded comes back."""
    texts = [piece.decode("utf-8", "replace") for piece in data.split(b"\0")] + [""] * 8
    numbers = struct.unpack("<4q", (data + b"\0" * 32)[:32])
    row: tuple[Any, ...] = (
        abs(numbers[0]) >> 1, 1.5, numbers[1], rnd.choice((0, 1, 2, numbers[2])), texts[0], 0, 0, texts[1], rnd.choice(("7BIT", "8BITMIME", texts[2])), 1,
        rnd.choice((None, "FULL", texts[3])), texts[4], texts[5], 25, texts[6], "", "ESMTP", None, "s", 0,
    )  # fmt: skip
    outcome = []
    try:
        recipient = recipient_from_row((row[0], 0, texts[0], None, rnd.choice((None, 0, 7, numbers[3])), None, 1, 2.5, "", "", "", "", 0))
        message_from_row(row, [recipient])
        outcome.append("decoded")
    except ValueError:
        outcome.append("refused")
    one = EnvelopeRecipient(texts[0], rnd.choice((None, Notify.NEVER, Notify.SUCCESS | Notify.DELAY)), texts[1] or None, texts[2] or None)
    envelope = Envelope(
        texts[3],
        (one,),
        rnd.choice(list(Body)),
        rnd.random() < 0.5,
        rnd.choice((None, *Ret)),
        texts[4] or None,
        Client(texts[5], 25, texts[6]),
    )
    addition = Addition(queue_id_from_int(abs(numbers[0]) >> 1), envelope, 5, 1.5, b"")
    written, values = message_row(addition), recipient_rows(addition)[0]
    again = recipient_from_row((values[0], values[1], values[2], values[3], values[4], values[5], 0, values[6], "", "", "", "", 0))
    assert again.recipient == one
    read = message_from_row((written[0], written[1], written[2], 0, "", 0, *written[3:16], 0), [again])
    assert read.envelope == envelope
    return outcome[0]


UIDLIST = b"3 V1700000000 N5 Gabcdef\n1 :1700000000.M1P2Q0123456789ABC.host,S=17,W=20\n3 S5 :b\n4 :c\n"
NAME = b"1700000000.M123P45Q0123456789ABC.host,S=16,W=20:2,FSa"
MBOX = (
    b"From a@b Mon Jan  2 15:04:05 2006\nX-IMAPbase: 1700000000 0000000003 key\nX-UID: 1\nStatus: RO\nX-Status: F\nX-Keywords: key        \nSubject: one\n\nbody\n>From x\n\n"
    b"From c@d Mon Jan  2 15:04:05 2006\nX-UID: 3\nStatus: O \nSubject: two\n\nFrom here\n\n"
)
NAME_WORDS = [
    b":2,", b",S=", b",W=", b"1700000000.", b"M1P2Q", b"0123456789ABC", b".", b"/", b"\\2e", b"\\5c", b"\\2f", b"&AOk-", b"&", b"&-", b"INBOX", b"inbox", b".mbox", b".lock", b"%", b"*",
    b" ", b"\xff", "é".encode(), "e\u0301".encode(), b"x" * 120, b"\n", b"FSRTDPa", b"9" * 20, "\u2028".encode(), "ﬁ".encode(), "\u0130".encode(), b"~", b"\\",
]  # fmt: skip
UIDLIST_WORDS = [
    b"3 ",
    b"1 ",
    b"V",
    b"N",
    b"G",
    b"\n",
    b" :",
    b":2,S",
    b"4294967295",
    b"4294967296",
    b"0",
    b" S1 W2",
    b"2 :x\n",
    b"\0\n",
    b" ",
    b"9" * 4_500,
    b"\xff",
    b"key\n",
    b"25 k\n",
    b"26 k\n",
    b"\r",
]
MBOX_WORDS = [
    b"From ", b">From ", b"From x Mon Jan  2 15:04:05 2006\n", b"\n", b"\n\n", b"\r\n", b"X-UID: ", b"Status: RO\n", b"X-IMAPbase: 1 2\n", b"X-IMAPbase: 4294967295 4294967295\n",
    b"X-Keywords: a b c\n", b"X-Carteiro-Id: 0123456789ABC\n", b"X-UID: 4294967295\n", b"X-UID: 9999999999\n", b"\0", b"x", b"Subject: y\n", b" ", b"\xff", b"X-Status: AFTD\n",
]  # fmt: skip

TARGETS = [
    Target("uidlist", _check_uidlist, [UIDLIST, b"1 1700000000 3\n1 a\n2 b:2,S\n", b"3 V1 N1 G0\n"], UIDLIST_WORDS, [(b"3 V1 N1 G0\n", b"1 :x\n", b""), (b"3 V1 N1 G0\n1", b" S1", b" :x\n"), (b"3", b" V1", b"\n"), (b"3 V1 N1 G0\n", b"1 ", b""), (b"3 V1 N1 G0\n", b"x\n", b"")]),
    Target("small_files", _check_small_files, [b"0 key\n1 other\n", b"X-UID: 5\nStatus: RO\nX-Keywords: a b\n", MBOX], [*UIDLIST_WORDS, *MBOX_WORDS], [(b"", b"1 k\n", b""), (b"Status:", b" ", b"\n"), (b"", b"X-UID: 1\n", b""), (b"From x", b" 1:1", b"")]),
    Target("names", _check_names, [NAME, b".Lists.python", b".Lists\\2epy.&AOk-", "Lists/é".encode(), b"Lists/python.mbox", b"INBOX/x", b"0123456789ABC"], NAME_WORDS, [(b".", b"a.", b"b"), (b"", b"&AOk-", b""), (b"", b"a/", b"b"), (b"", "e\u0301".encode(), b""), (b"x:2,", b"a", b"")], 4_096),
    Target("mbox_text", _check_mbox_text, [MBOX, *[message.replace(b"\r\n", b"\n") for message in messages()[:4]]], MBOX_WORDS, [(b"", b"From x Mon Jan  2 15:04:05 2006\n\n", b""), (b"", b">", b"From x\n"), (b"", b"\nFrom ", b""), (b"From x ", b"1:11 ", b"\n"), (b"From x", b"Status: R\n ", b"\n\n"), (b"", b"F", b"")]),
    Target("line_ends", _check_line_ends, [b"a\r\nb\nc\rd\r\r\n", b"\n", b"\r"], [b"\r", b"\n", b"\r\n", b"x", b"\r\r\n"], [(b"", b"\r\n", b""), (b"", b"\r", b""), (b"", b"\n", b"")], 16_384),
    Target("spool_rows", _check_rows, [b"a@b\0" * 8, b"\xff" * 40], [b"\0", b"a@b", b"BINARYMIME", b"HDRS", b"\xff" * 8, b"rfc822;x"], [], 4_096),
]  # fmt: skip
