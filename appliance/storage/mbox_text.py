r"""The text of mbox files: From_ lines, quoting, and the state that lies in hidden header fields.

A message is a From_ line, its header section, a blank line, its body with
``>`` before each line of the form ``>*From `` (mboxrd), and a blank line. Our state
fields stand right behind the From_ line, each padded with blanks, so that flags
change in place without moving a byte and no line end ever moves:

    X-IMAPbase: <uid_validity> <last uid> <keywords>     (first message of the file)
    X-UID: <uid>
    X-Carteiro-Id: <queue id>                            (delivered by our queue)
    X-Carteiro-Saved: <seconds since the epoch>          (put here at another time than the From_ line tells)
    Status: RO      X-Status: AFTD      X-Keywords: ...

The fields mean what they mean to Dovecot, UW imapd, mutt and mailx. Towards
clients they do not exist; those that a sender put in are dropped. So are
Content-Length and Lines, which mutt adds when it rewrites a file: a message
must not change under its uid.

Sources: RFC 4155 (From_ line, UTC), Dovecot "Mbox Mailbox Format", mboxrd by Rahul Dhesi.
"""

import calendar
import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from appliance.model.mailbox import Flag

__all__ = [
    "FIELDS",
    "SEPARATOR",
    "State",
    "filter_header",
    "from_line",
    "hash_header",
    "parse_from_date",
    "parse_state",
    "quote",
    "quote_pieces",
    "state_fields",
    "unquote",
    "unquote_pieces",
]

SEPARATOR = re.compile(rb"From [^\n]*?\d{1,2}:\d\d(?::\d\d)?[^\n]*? \d{4}\b[^\n]*\n")
"""A line that begins a message: as strict as mutt, so that a body line of another program's file is rarely taken for one."""
HIDDEN = rb"(?:Status|X-Status|X-UID|X-Keywords|X-IMAPbase|X-IMAP|X-Carteiro-Id|X-Carteiro-Saved|Content-Length|Lines)"
FIELDS = re.compile(rb"^(" + HIDDEN + rb"):[ \t]?([^\n]*)\n", re.IGNORECASE | re.MULTILINE)
_HIDDEN_FIELD = re.compile(rb"^" + HIDDEN + rb"[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_QUOTABLE = re.compile(rb"^(>*From )", re.MULTILINE)
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_OPEN_LINE = re.compile(rb">*(?:F(?:r(?:om?)?)?)?")
_DATE = re.compile(rb"([A-Z][a-z]{2}) +(\d{1,2}) (\d{1,2}):(\d\d)(?::(\d\d))?(?: [A-Za-z+0-9-]+)*? (\d{4})")
_MONTHS = {name.encode("ascii"): number for number, name in enumerate(calendar.month_abbr)}

STATUS_WIDTH, X_STATUS_WIDTH, KEYWORDS_WIDTH = 2, 4, 50
_STATUS = ((b"R", Flag.SEEN),)
_X_STATUS = ((b"A", Flag.ANSWERED), (b"D", Flag.DELETED), (b"F", Flag.FLAGGED), (b"T", Flag.DRAFT))


@dataclass(slots=True)
class State:
    """What the hidden fields of one message say."""

    uid: int = 0
    flags: int = 0
    keywords: tuple[bytes, ...] = ()
    is_old: bool = False
    queue_id: str = ""
    saved_at_s: int = 0
    uid_validity: int = 0
    last_uid: int = 0
    all_keywords: tuple[bytes, ...] = ()


def from_line(reverse_path: str, at_s: float) -> bytes:
    """Return the line that begins a message, with its LF."""
    sender = re.sub(r"[\x00-\x20\x7f]", "-", reverse_path) or "MAILER-DAEMON"
    date = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(max(0, int(at_s))))
    return f"From {sender} {date}\n".encode("utf-8", "replace")


def parse_from_date(line: bytes) -> int:
    """Return seconds since the epoch, 0 when the line does not tell."""
    match = _DATE.search(line)
    if match is None or match[1] not in _MONTHS:
        return 0
    numbers = (int(match[6]), _MONTHS[match[1]], int(match[2]), int(match[3]), int(match[4]), int(match[5] or 0))
    try:
        return max(0, calendar.timegm((*numbers, 0, 0, 0)))
    except (ValueError, OverflowError):
        return 0


def parse_state(header: bytes) -> State:
    """Read the hidden fields of a header section with LF line ends."""
    state = State()
    for match in FIELDS.finditer(header):
        _take_field(state, match[1].lower(), match[2].strip())
    return state


def _take_field(state: State, name: bytes, value: bytes) -> None:
    if name == b"status":
        state.flags |= sum(flag for letter, flag in _STATUS if letter in value)
        state.is_old |= b"O" in value
    elif name == b"x-status":
        for letter, flag in _X_STATUS:
            state.flags |= flag if letter in value else 0
    elif name == b"x-uid":
        state.uid = int(value) if value.isdigit() and len(value) <= 10 else 0
    elif name == b"x-keywords":
        state.keywords = tuple(value.replace(b",", b" ").split())
    elif name == b"x-carteiro-id":
        state.queue_id = value.decode("ascii", "replace")
    elif name == b"x-carteiro-saved":
        state.saved_at_s = int(value) if value.isdigit() and len(value) <= 11 else 0
    elif name in (b"x-imapbase", b"x-imap"):
        words = value.split()
        if len(words) >= 2 and all(word.isdigit() and len(word) <= 10 for word in words[:2]):
            state.uid_validity, state.last_uid = int(words[0]), int(words[1])
            state.all_keywords = tuple(words[2:])


def status_values(flags: int, *, is_old: bool, keywords: Sequence[str]) -> dict[bytes, bytes]:
    """Return the values of the fields that change."""
    return {
        b"status": b"".join(letter for letter, flag in _STATUS if flags & flag) + (b"O" if is_old else b""),
        b"x-status": b"".join(letter for letter, flag in _X_STATUS if flags & flag),
        b"x-keywords": " ".join(keywords).encode("utf-8"),
    }


def base_value(uid_validity: int, last_uid: int, keywords: Sequence[str]) -> bytes:
    """Return the value of X-IMAPbase; the last uid has a fixed width, so that it changes in place."""
    words = "".join(" " + keyword for keyword in keywords).encode("utf-8")
    return b"%010d %010d%s" % (uid_validity, last_uid, words)


def state_fields(
    uid: int,
    flags: int,
    *,
    is_old: bool,
    keywords: Sequence[str] = (),
    queue_id: str = "",
    saved_at_s: int = 0,
    base: bytes = b"",
) -> bytes:
    """Return all hidden fields of a message, padded."""
    values = status_values(flags, is_old=is_old, keywords=keywords)
    lines = []
    if base:
        lines.append(b"X-IMAPbase: " + base.ljust(len(base) // 50 * 50 + 100))
    lines.append(b"X-UID: %d" % uid)
    if queue_id:
        lines.append(b"X-Carteiro-Id: " + queue_id.encode("ascii", "replace"))
    if saved_at_s:
        lines.append(b"X-Carteiro-Saved: %d" % saved_at_s)
    lines += [
        b"Status: " + values[b"status"].ljust(STATUS_WIDTH),
        b"X-Status: " + values[b"x-status"].ljust(X_STATUS_WIDTH),
        b"X-Keywords: " + values[b"x-keywords"].ljust(len(values[b"x-keywords"]) // 50 * 50 + KEYWORDS_WIDTH),
    ]
    return b"\n".join(lines) + b"\n"


def filter_header(header: bytes) -> bytes:
    """Return a header section (LF) without hidden fields."""
    return _HIDDEN_FIELD.sub(b"", header)


def hash_header(line: bytes, header: bytes) -> bytes:
    """Return what recognises a message whose uid does not stand in the file yet."""
    return hashlib.blake2b(line + filter_header(header), digest_size=16).digest()


def quote(body: bytes) -> bytes:
    return _QUOTABLE.sub(rb">\1", body) if b"From " in body else body


def unquote(body: bytes) -> bytes:
    return _QUOTED.sub(rb"\1", body) if b">From " in body else body


def _convert(pieces: Iterable[bytes], pattern: "re.Pattern[bytes]", replacement: bytes) -> Iterator[bytes]:
    """Substitute at line beginnings, wherever pieces are cut.

    Of a line that may still become ``>*From `` no more than its last ``>`` and
    what follows is held back: which of the ``>`` is doubled or dropped makes no
    difference, so a long row of them costs no more than any other text.
    """
    held, at_start = b"", True  # at_start: what comes next begins a line, or stands behind nothing but ``>``
    for piece in pieces:
        data = held + piece
        begin = data.rfind(b"\n") + 1
        is_open = (begin > 0 or at_start) and _OPEN_LINE.fullmatch(data, begin) is not None
        end = max(data.rfind(b">", begin), begin) if is_open else len(data)
        held = data[end:]
        if end:
            yield _substitute(data[:end], pattern, replacement, at_start=at_start)
        at_start = is_open
    if held:
        yield held


def _substitute(data: bytes, pattern: "re.Pattern[bytes]", replacement: bytes, *, at_start: bool) -> bytes:
    if b"From " not in data:
        return data
    if at_start:
        return pattern.sub(replacement, data)
    first, feed, rest = data.partition(b"\n")
    return first + feed + pattern.sub(replacement, rest)


def quote_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Quote a body that comes in pieces of any size."""
    return _convert(pieces, _QUOTABLE, rb">\1")


def unquote_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return _convert(pieces, _QUOTED, rb"\1")
