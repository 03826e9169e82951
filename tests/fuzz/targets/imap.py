"""IMAP: the server core with its grammars, modified UTF-7 and sequence sets."""

import itertools
import random
import re
from collections.abc import Sequence

from appliance.message.envelope import render_envelope
from appliance.model.ids import MailboxName
from appliance.protocols.imap.commands import Authenticate, Enable, Idle, Login, Logout, Select, StartTls, Unselect
from appliance.protocols.imap.commands_session import Language
from appliance.protocols.imap.events import (
    NEED_DATA,
    AppendAnnounced,
    AppendDataReceived,
    AppendFinished,
    AuthenticateResponded,
    CatenateTextAnnounced,
    CommandReceived,
    Event,
    IdleFinished,
    SessionEnded,
)
from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.fetch_grammar import read_fetch_items
from appliance.protocols.imap.fetch_items import BodySection
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.list_grammar import read_list
from appliance.protocols.imap.responses import astring, mailbox_name, string, text_line
from appliance.protocols.imap.search_grammar import SearchReader
from appliance.protocols.imap.sequence import SequenceSet, format_sequence_set
from appliance.protocols.imap.server import ImapServer
from appliance.protocols.imap.state import Condition
from appliance.protocols.imap.utf7 import decode_mailbox_name, encode_mailbox_name
from appliance.services.imap.languages import Catalogue
from appliance.services.imap.portuguese import PORTUGUESE
from tests.fuzz.engine import Target, cut
from tests.fuzz.seeds import dialogue_inputs, header_sections
from tests.fuzz.targets.imaplist import check_envelope, read_value

__all__ = ["TARGETS"]

_OUTPUT = re.compile(rb"(?:(?:\+|\*|[^\x00-\x20\x7f-\xff(){%*\"\\+]+) [\x20-\x7e]*\r\n|\+ \r\n)*")
_SHORT = {"{*} expected in column {}, not {}": "{} in {} for {}", "Done": "done"}
"""A language in ASCII, so that the output can be checked."""


def _answer(core: ImapServer, event: Event) -> None:
    if isinstance(event, AppendAnnounced | CatenateTextAnnounced):
        if event.size_bytes > 2_000:
            core.refuse_append(Condition.NO, "Too large", b"TOOBIG")
        else:
            core.accept_append()
    elif isinstance(event, CommandReceived):
        if isinstance(event.command, Enable):
            core.enabled.add(Extension.UTF8_ACCEPT)
        elif isinstance(event.command, Language):
            core.translate = Catalogue(_SHORT)
        _answer_command(core, event)
    elif isinstance(event, (IdleFinished, AppendFinished)):
        core.send_tagged(Condition.OK, "Done")
    elif isinstance(event, AuthenticateResponded):
        core.send_tagged(Condition.OK if event.data == b"yes" else Condition.NO, "Finished")


def _answer_command(core: ImapServer, event: CommandReceived) -> None:
    match event.command:
        case Idle():
            core.start_idle()
        case Authenticate(_, None):
            core.send_challenge(b"")
        case Authenticate():
            core.send_challenge(b"more")
        case Logout():
            core.send_logout()
        case Login(login, _) if login.startswith("x"):
            core.send_tagged(Condition.NO, "Wrong password é\r\n")
        case Select(name) if name.startswith("x"):
            core.send_tagged(Condition.NO, "No such mailbox", b"NONEXISTENT")
        case StartTls():
            core.send_tagged(Condition.OK, "Begin TLS")
            core.start_tls()
        case Unselect():
            core.send_tagged(Condition.OK, "Done")
        case _:
            core.send_tagged(Condition.OK, "Done")


def _play(chunks: Sequence[bytes]) -> tuple[list[str], bytes, bytes]:
    """Return names of events with their commands, all output, all appended octets."""
    core = ImapServer(max_command_bytes=4_000, max_literal_bytes=5_000, max_append_bytes=6_000, max_bad_commands=60)
    seen: list[str] = []
    output: list[bytes] = []
    appended: list[bytes] = []
    for chunk in [*chunks, b""]:
        core.receive_data(chunk)
        while (event := core.next_event()) != NEED_DATA:
            if isinstance(event, AppendDataReceived):
                appended.append(event.data)
            elif isinstance(event, CommandReceived):
                seen.append(repr(event.command))
            else:
                seen.append(type(event).__name__)
            _answer(core, event)
            if isinstance(event, SessionEnded):
                output.append(core.data_to_send())
                return seen, b"".join(output), b"".join(appended)
        output.append(core.data_to_send())
    raise AssertionError("the end of the stream must end the session")


def _check_server(data: bytes, rnd: random.Random) -> object:
    if rnd.random() < 0.7:
        data = b"a LOGIN ana x\r\na SELECT y\r\n" + data
    chunks = cut(data, rnd)
    played = _play(chunks)
    assert _OUTPUT.fullmatch(played[1]), played[1][-200:]
    if len(chunks) > 1 and "StartTls()" not in played[0]:
        assert played == _play([data])
    return tuple(dict.fromkeys(name.partition("(")[0] for name in played[0]))


def _check_utf7(data: bytes, rnd: random.Random) -> object:
    try:
        name = decode_mailbox_name(data)
    except ValueError:
        decoded = False
    else:
        assert encode_mailbox_name(name) == data
        if len(data) <= 1_000 and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", name):
            assert Reader(mailbox_name(name)).read_mailbox().upper() == MailboxName(name).upper()
        decoded = True
    text = data.decode("utf-8", "replace")
    wire = encode_mailbox_name(text)
    assert wire.isascii()
    assert decode_mailbox_name(wire) == text
    return decoded, b"&" in data, text.isascii()


def _check_sequence(data: bytes, rnd: random.Random) -> object:
    try:
        parsed = SequenceSet.parse(data)
    except ValueError:
        return None
    assert SequenceSet.parse(parsed.to_bytes()) == parsed
    for largest in (0, 1, 1_000, 0xFFFF_FFFF):
        spans = parsed.resolve(largest)
        assert all(1 <= low <= high <= 0xFFFF_FFFF for low, high in spans)
        assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(spans))
    numbers = [number for low, high in parsed.resolve(50) for number in range(low, min(high, low + 50) + 1)]
    if numbers:
        assert [(low, high) for low, high in SequenceSet.parse(format_sequence_set(numbers)).resolve(50)]
    return len(parsed.ranges), parsed.uses_star


def _check_search(data: bytes, rnd: random.Random) -> object:
    reader = Reader(data, utf8=rnd.random() < 0.5)
    try:
        key = SearchReader(reader).read_keys()
        reader.read_end()
    except ParseError as error:
        return str(error)[:12]
    return re.sub(r"[^A-Z]", "", repr(key)[:300])[:30]


def _told(error: ParseError) -> str:
    """Return the kind of a complaint, which goes over the wire as it is."""
    assert str(error).isascii()
    assert str(error).isprintable()
    return str(error)[:12]


def _check_fetch(data: bytes, rnd: random.Random) -> object:
    reader = Reader(data)
    try:
        items = read_fetch_items(reader)
    except ParseError as error:
        return _told(error)
    for item in items:
        if isinstance(item, BodySection) and item.label.startswith(b"BODY["):
            wire = re.sub(rb"<(\d+)>$", rb"<\1.1>", item.label)
            again = read_fetch_items(Reader(wire))[0]
            assert isinstance(again, BodySection)
            assert (again.part, again.text, again.fields) == (item.part, item.text, item.fields)
    return tuple(type(item).__name__ for item in items)[:5]


def _check_list(data: bytes, rnd: random.Random) -> object:
    reader = Reader(data, utf8=rnd.random() < 0.5)
    try:
        found = read_list(reader)
        reader.read_end()
    except ParseError as error:
        return _told(error)
    return len(found.patterns), found.select, found.returns


def _check_strings(data: bytes, rnd: random.Random) -> object:
    """What we write as string or astring is read as what it was."""
    assert Reader(string(data)).read_string() == data
    if b"\0" not in data:
        assert Reader(astring(data)).read_astring() == data
    reader = Reader(data)
    reads = (reader.read_astring, reader.read_nstring, reader.read_mailbox, reader.read_flag, reader.read_date, reader.take_date_time)
    outcome = []
    for read in reads:
        reader.pos = 0
        try:
            read()
            outcome.append(True)
        except ParseError:
            outcome.append(False)
    return tuple(outcome)


def _check_words(data: bytes, rnd: random.Random) -> object:
    """Whatever is said is found or left as it is, and leaves as one line of UTF-8."""
    text = data.decode("utf-8", "replace")
    said = _PORTUGUESE(text)
    line = text_line(said, utf8=True)
    assert line.decode("utf-8").isprintable() or not said.isprintable()
    assert not set(b"\r\n\0") & set(line)
    return said != text, said[:8]


def _check_envelope(data: bytes, rnd: random.Random) -> object:
    value = read_value(render_envelope(data))
    check_envelope(value)
    assert isinstance(value, list)
    return tuple(len(member) if isinstance(member, list) else member is None for member in value)


_WORDS = [
    b"a ", b"b NOOP\r\n", b"LOGIN ana x\r\n", b"LOGIN {3+}\r\nana {1}\r\nx\r\n", b"SELECT ", b"INBOX", b"EXAMINE ", b"CLOSE\r\n", b"UNSELECT\r\n", b"APPEND x ",
    b"{5+}\r\nhello", b"{5}\r\nhello", b"{0}\r\n", b"{0+}\r\n", b"{4000+}\r\n", b"{99999999+}\r\n", b"(\\Seen \\Deleted key)", b'"17-Jul-1996 02:44:25 -0700"', b"FETCH ",
    b"UID ", b"1:*", b"1,2:3,*", b"*", b"4294967295", b"BODY.PEEK[", b"BODY[1.2.MIME]", b"HEADER.FIELDS (From To)", b"]", b"<0.100>", b"ENVELOPE",
    b"BODYSTRUCTURE", b"SEARCH ", b"OR ", b"NOT ", b"(", b")", b"SUBJECT ", b'"x"', b"BEFORE 1-Feb-1994", b"CHARSET UTF-8 ", b"KEYWORD key", b"LARGER 5",
    b"COMPRESS DEFLATE\r\n", b"UNAUTHENTICATE\r\n", b"LANGUAGE pt\r\n", b"~{2+}\r\n", b"RETURN (MIN MAX ALL COUNT) ", b"STORE ", b"+FLAGS.SILENT ", b"COPY ", b"MOVE ", b"EXPUNGE\r\n", b"IDLE\r\n", b"DONE\r\n", b"AUTHENTICATE PLAIN",
    b"AUTHENTICATE PLAIN =\r\n", b"eWVz\r\n", b"STARTTLS\r\n", b"LOGOUT\r\n", b"CAPABILITY\r\n", b"ID (\"a\" NIL)\r\n", b"ENABLE UTF8=ACCEPT\r\n", b"LIST ", b'"" "*"',
    b"%", b"STATUS x (MESSAGES UNSEEN)\r\n", b"NAMESPACE\r\n", b"CREATE x (USE (\\Sent \\Trash))\r\n", b"GETQUOTAROOT x\r\n", b"SETQUOTA x (STORAGE 1)\r\n", b"LISTRIGHTS x y\r\n",
    b"SETACL x y +lr\r\n", b"GETMETADATA (DEPTH 1 MAXSIZE 9) x (/private/a /shared/b)\r\n", b"SETMETADATA x (/private/a ~{1+}\r\n\0 /shared/b NIL)\r\n",
    b"LIST (SUBSCRIBED RECURSIVEMATCH) x (a %) RETURN (MYRIGHTS METADATA (/private/a) STATUS (DELETED))\r\n", b"RENAME a b\r\n", b"\r\n", b"\n", b"\r", b" ", b"\\", b'"', b"&", b"&-",
    b"&AOk-", b"\0", b"\xc3\xa9", b"\xff", b"{", b"}", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"x" * 50,
]  # fmt: skip
_PORTUGUESE = Catalogue(PORTUGUESE)
_LOGGED_IN = b"a LOGIN ana x\r\na SELECT y\r\n"
_SEARCH_WORDS = [
    b"ALL", b" ", b"OR ", b"NOT ", b"(", b")", b"1:*", b"2,3", b"*", b"SUBJECT ", b"FROM ", b'"x"', b"{1}\r\nx", b"HEADER ", b"BODY ", b"TEXT ", b"SINCE 1-Feb-1994",
    b'SENTON "28-Feb-2000"', b"KEYWORD ", b"UNKEYWORD \\Seen", b"EMAILID ", b"THREADID M0", b"SAVEDON ", b"LARGER ", b"YOUNGER 3", b"UID ", b"CHARSET ", b"UTF-8 ", b"x", b"\xff", b"\xc3\xa9", b"4294967296", b"\\",
]  # fmt: skip
_FETCH_WORDS = [
    b"FLAGS", b" ", b"(", b")", b"ALL", b"FULL", b"BODY[", b"BODY.PEEK[", b"]", b"1", b".", b"1.2.3", b"HEADER", b"TEXT", b"MIME", b"HEADER.FIELDS ", b"HEADER.FIELDS.NOT ",
    b"(From)", b'"x y"', b"{1}\r\nx", b"<0.10>", b"<", b">", b"RFC822", b"RFC822.HEADER", b"\xff", b"\\", b'"', b"0",
]  # fmt: skip

TARGETS = [
    Target(
        "imap_server",
        _check_server,
        [*dialogue_inputs("imap"), b"a UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (From)]<0.5>)\r\nb SEARCH OR SUBJECT {1+}\r\nx NOT 1:3\r\n"],
        _WORDS,
        [
            (_LOGGED_IN, b"a NOOP\r\n", b""), (_LOGGED_IN, b"a LIST {1+}\r\nx {1+}\r\ny\r\n", b""), (_LOGGED_IN + b"a SEARCH", b" TEXT {1+}\r\nx", b"\r\n"),
            (_LOGGED_IN + b"a APPEND x", b" {1+}\r\nx", b"\r\n"), (_LOGGED_IN + b"a FETCH 1", b",1", b" FLAGS\r\n"), (_LOGGED_IN + b"a STORE 1 FLAGS (", b"k ", b"k)\r\n"),
            (_LOGGED_IN + b"a IDLE\r\n", b"x", b"\r\n"), (_LOGGED_IN, b"x", b"\r\n"), (b"", b"{1+}\r\n", b""), (b"a AUTHENTICATE X\r\n", b"A", b"\r\n"),
            (_LOGGED_IN + b"a FETCH 1 (BODY[HEADER.FIELDS (", b"x ", b"x)])\r\n"),
        ],
    ),
    Target(
        "imap_utf7",
        _check_utf7,
        [b"INBOX/x", b"&AOk-t&AOk-", b"&-", b"&U,BTFw-&ZeVnLIqe-", b"&2D3eAA-", "Entwürfe/日本語".encode()],
        [b"&", b"-", b"&-", b"&AOk-", b"&2D3eAA-", b"&2D0-", b",", b"+", b"/", b"INBOX", b"\xc3\xa9", b"\0", b"A", b"=", b"\xed\xa0\x80"],
        [(b"", b"&AOk-", b""), (b"&", b"AOkA6Q", b"-"), (b"", b"\xc3\xa9x", b"")],
        4_000,
    ),
    Target("imap_sequence", _check_sequence, [b"1:5,9,20:*", b"*", b"4294967295:1", b"3,2,1"], [b",", b":", b"*", b"1", b"0", b"4294967295", b"12", b" ", b"\xd9\xa1"], [(b"1", b",1", b""), (b"1", b",3:9", b""), (b"9:1", b",*:4", b"")]),
    Target("imap_search", _check_search, [b"OR SUBJECT x NOT (SEEN 1:3)", b"FUZZY TEXT {2}\r\nab FILTER x $ SINCE 1-Feb-1994", b"HEADER a b LARGER 9 UID *"], _SEARCH_WORDS, [(b"", b"NOT ", b"ALL"), (b"", b"(", b"ALL"), (b"", b"OR ALL ", b"ALL"), (b"ALL", b" ALL", b""), (b'TEXT "', b"\\\\", b'"'), (b"", b"1,", b"1")]),
    Target("imap_fetch", _check_fetch, [b"(FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From \"x\")]<1.2>)", b"FULL", b"BODY[]", b"(RFC822.SIZE UID)"], _FETCH_WORDS, [(b"(FLAGS", b" FLAGS", b")"), (b"BODY[1", b".1", b"]"), (b"BODY[HEADER.FIELDS (x", b" x", b")]")]),
    Target("imap_list", _check_list, [b' "" *', b' (SUBSCRIBED RECURSIVEMATCH) "" (a "b%") RETURN (CHILDREN STATUS (MESSAGES))', b" x {1}\r\n%"], [*_FETCH_WORDS[:4], b'""', b"*", b"%", b"SUBSCRIBED", b"RETURN ", b"STATUS ", b"MESSAGES", b"&AOk-", b'"a"', b"REMOTE", b"\xff"], [(b' "" (a', b" a", b")"), (b' "" ', b"*", b""), (b' "" ', b"&AOk-", b"")]),
    Target("imap_strings", _check_strings, [b'"a\\"b"', b"{3}\r\nabc", b"NIL", b"\\Seen", b'"17-Jul-1996 02:44:25 -0700"', b"1-Feb-1994", b"&AOk-"], [b'"', b"\\", b"{1}\r\n", b"NIL", b"\r\n", b"\0", b"\xff", b"-", b"31-Feb-1994", b" 1-Jan-0001 00:00:00 +2400"], [(b'"', b"\\\\", b'"'), (b'"', b"x", b'"'), (b"", b"x", b"")]),
    Target("imap_words", _check_words, [b"Mailbox name expected in column 5, not x", b"FETCH is not possible now: log in first", b"There is no message 5; the mailbox has 2"], [text.encode() for text in sorted(PORTUGUESE)], [(b"", b" expected in column ", b""), (b"There is no message ", b"; the mailbox has ", b""), (b"x", b" is above ", b"")], 4_000),
    Target("imap_envelope", _check_envelope, header_sections(), [b"From: ", b"To: ", b"Subject: ", b"\r\n", b"\r\n ", b"<a@b>", b"(", b")", b'"', b"\\", b",", b";", b":", b"@", b"\xff", b"\0", b"Date: x", b"In-Reply-To: "], [(b"From: ", b"a@b, ", b"\r\n"), (b"To: ", b"(", b"\r\n"), (b"To: g: ", b"<a@b>", b";\r\n"), (b"Subject: ", b"x\r\n ", b"\r\n"), (b"", b"To: x\r\n", b"\r\n")]),
]  # fmt: skip
