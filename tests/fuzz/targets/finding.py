"""Finding: the commands' grammar, base subjects, threads of hostile References, partial ranges, digests, fuzzy words."""

import random
import re

from appliance.message.collation import casemap
from appliance.message.digest import digest_header
from appliance.message.fuzzy import FuzzyQuery
from appliance.message.msgid import message_ids, parent_ids
from appliance.message.subject import base_subject
from appliance.message.text import decode_header
from appliance.message.thread import ThreadMessage, ordered_subject, references, refs
from appliance.protocols.imap.find_grammar import VERBS
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.partial_range import PartialRange, read_partial_range
from tests.fuzz.engine import Target
from tests.fuzz.seeds import header_sections

__all__ = ["TARGETS"]


def _told(error: ParseError) -> str:
    """Return the kind of a complaint, which goes over the wire as it is."""
    assert str(error).isascii()
    assert str(error).isprintable()
    return str(error)[:12]


def _check_command(data: bytes, rnd: random.Random) -> object:
    name, _, _ = data.partition(b" ")
    verb = VERBS.get(name.upper().decode("ascii", "replace"))
    if verb is None or verb.read is None:
        return None
    reader = Reader(data, len(name), utf8=rnd.random() < 0.3)
    try:
        command = verb.read(reader, rnd.random() < 0.5)
        reader.read_end()
    except ParseError as error:
        return _told(error)
    return re.sub(r"[^A-Z]", "", repr(command)[:300])[:30]


def _check_subject(data: bytes, rnd: random.Random) -> object:
    text = decode_header(data)
    base = base_subject(text)
    assert base_subject(base.text) == (base.text, False)
    assert len(base.text) <= len(text)
    assert not base.text.startswith(" ")
    assert not base.text.endswith(" ")
    assert casemap(base.text) == casemap(base.text)
    return base.is_reply, len(base.text).bit_length()


def _check_threads(data: bytes, rnd: random.Random) -> object:
    """A line is a message: its number is its identifier or what it begins with, the rest are its references."""
    messages: list[ThreadMessage] = []
    for number, line in enumerate(data.split(b"\n")[:3_000], 1):
        own, _, rest = line.partition(b" ")
        parents = [hash(one) for one in parent_ids(rest, own)]
        kept = message_ids(own)
        identifier = hash(kept[0]) if kept else 0
        messages.append(ThreadMessage(number, len(own) % 7, len(rest) % 5, own[:1], bool(len(own) & 1), identifier, parents))
    shape = []
    for algorithm in (references, refs, ordered_subject):
        steps = algorithm(messages)
        turns = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                written = bytes(end.value)
                break
            turns += 1
        assert turns <= 100 + len(data)
        assert sorted(map(int, re.findall(rb"\d+", written))) == list(range(1, len(messages) + 1))
        assert written.count(b"(") == written.count(b")")
        shape.append(written.count(b"(").bit_length())
    return tuple(shape)


def _check_partial(data: bytes, rnd: random.Random) -> object:
    reader = Reader(data)
    try:
        found = read_partial_range(reader)
        reader.read_end()
    except ParseError as error:
        return str(error)[:8]
    assert read_partial_range(Reader(found.to_bytes())) == found
    count = rnd.randrange(50)
    numbers = list(range(1, count + 1))
    told = numbers[found.slice(count)]
    low, high = sorted((found.first, found.last))
    wanted = [number for number in numbers if low <= (number if low > 0 else number - count - 1) <= high]
    assert told == wanted
    assert found.slice(count) == PartialRange(found.last, found.first).slice(count)
    return found.first > 0, bool(told)


def _check_digest(data: bytes, rnd: random.Random) -> object:
    digest = digest_header(data)
    assert digest.is_whole or not any(digest.texts)
    assert len(digest.parents) % 8 == 0
    assert max(map(len, (digest.base, digest.from_key, digest.to_key, digest.cc_key, digest.display_from, digest.display_to))) <= 1_000
    return (
        digest.is_reply,
        digest.sent_day is None,
        digest.message_id != 0,
        len(digest.parents).bit_length(),
        tuple(bool(text) for text in digest.texts),
    )


def _check_fuzzy(data: bytes, rnd: random.Random) -> object:
    wanted, _, text = data.partition(b"\n")
    score = FuzzyQuery(casemap(wanted.decode("utf-8", "replace"))).score(casemap(text.decode("utf-8", "replace")))
    assert 0 <= score <= 100
    return score // 5


_COMMAND_WORDS = [
    b"SEARCH ", b"SORT ", b"THREAD ", b"ESEARCH ", b"CANCELUPDATE ", b"RETURN (", b") ", b"(", b"PARTIAL 1:2", b"PARTIAL -1:-2", b"SAVE", b"UPDATE", b"CONTEXT",
    b"RELEVANCY", b"MIN", b"ALL", b"COUNT", b" ", b"CHARSET UTF-8 ", b"FUZZY ", b"NOT ", b"OR ", b"SUBJECT x", b"$", b"1:*", b"(REVERSE DATE SUBJECT) ", b"REVERSE ",
    b"DISPLAYFROM", b"UTF-8 ", b"REFERENCES ", b"REFS ", b"IN (", b"selected", b"subtree-one ", b"mailboxes (", b"personal", b'"a"', b"{1+}\r\nx", b"FILTER a",
]  # fmt: skip
_SUBJECT_WORDS = [
    b"re",
    b"RE:",
    b"fwd:",
    b"fw",
    b"[fwd:",
    b"[",
    b"]",
    b"(fwd)",
    b" ",
    b"\t",
    b":",
    b"[a]",
    b"x",
    b"=?utf-8?q?Re=3A?=",
    b"\xc3\xa9",
]
_IDS = [b"<a@x>", b"<b@x>", b"<c@x>", b"<", b">", b"@", b" ", b"\n", b'"', b'<"a"@x>', b"Re"]

# fmt: off
TARGETS = [
    Target("find_commands", _check_command, [b"SEARCH RETURN (PARTIAL 1:2 SAVE) FUZZY TEXT x", b"SORT RETURN (ALL) (REVERSE DATE) UTF-8 ALL", b"THREAD REFS UTF-8 $", b'ESEARCH IN (mailboxes ("a" b) subtree-one c) RETURN (COUNT) UNSEEN', b'CANCELUPDATE "a" "b"'], _COMMAND_WORDS, [(b"SORT (", b"DATE ", b"DATE) UTF-8 ALL"), (b"ESEARCH IN (", b"personal ", b"personal) ALL"), (b"ESEARCH IN (mailboxes (", b"a ", b"a)) ALL"), (b"SEARCH ", b"FUZZY ", b"ALL"), (b"CANCELUPDATE", b' "a"', b"")]),
    Target("base_subject", _check_subject, [b"Re: [list] Fwd: hello (fwd)", b"[fwd: [a] re[2]: x ]", b"[a][b][c]"], _SUBJECT_WORDS, [(b"", b"[a]", b""), (b"", b"re:", b""), (b"", b"[fwd:", b"]"), (b"x", b"(fwd)", b""), (b"", b"[", b""), (b"re", b" ", b""), (b"", b"[a] ", b"re")]),
    Target("threads", _check_threads, [b"<a@x>\n<b@x> <a@x>\n<c@x> <a@x> <b@x>", b"<a@x> <b@x>\n<b@x> <a@x>", b"Re <a@x>\n<a@x> <a@x>", b"\n".join(b"<%d@x> <%d@x> <%d@x>" % (n, n * 7 % 40, n * 3 % 40) for n in range(40))], _IDS, [(b"", b"<a@x> <b@x>\n", b""), (b"<z@x>", b" <a@x> <b@x>", b""), (b"", b"\n", b"")]),
    Target("partial_range", _check_partial, [b"1:100", b"-1:-100", b"5:3", b"-5:-50"], [b"-", b":", b"0", b"1", b"9", b"*", b",", b"4294967295", b"4294967296", b" "], judges_growth=False),
    Target("digest", _check_digest, header_sections(), [b"Subject: ", b"References: ", b"<a@b> ", b"In-Reply-To: ", b"Message-ID: ", b"Date: 1 Jan 2020\r\n", b"From: ", b"a@b, ", b"g: ", b";", b"\r\n", b" ", b"=?utf-8?q?x?=", b"Cc: "], [(b"References: ", b"<a@b>", b"\r\n\r\n"), (b"Subject: ", b"[a]", b"\r\n\r\n"), (b"", b"Subject: x\r\n", b"\r\n"), (b"From: ", b"a@b, ", b"\r\n\r\n")]),
    Target("fuzzy", _check_fuzzy, [b"hello world\nHelo wrold", "ação\nacao".encode(), b"break\nbroken"], [b"a", b"hello", b" ", b"\n", b"s", b"ing", "ção".encode(), b"\xcc\x81", b"!"], [(b"hello\n", b"helo ", b""), (b"hello\n", b"h", b""), (b"", b"ab ", b"\nab")]),
]
# fmt: on
