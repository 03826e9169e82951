r"""The words of the IMAP grammar, read from one complete command.

``Reader`` walks over the bytes of a command whose literals stand inline
(``{5}\r\nhello``) and whose final line end is cut off. Owns atoms, strings,
numbers, flags, dates, mailbox names; command groups build on it.

Fails:    ``ParseError`` with a sentence for the client; ``server`` turns it into BAD.
Does not: know commands, hold state between commands, or read incomplete input.
          Tolerates any character after a backslash in a quoted string and
          8-bit characters in strings, because password prompts send them; once UTF-8 is
          enabled, a quoted string has to be UTF-8 (RFC 6855 section 3).
Sources:  RFC 3501 section 9 and errata, RFC 7888 (LITERAL+), RFC 9051 section 5.1.
"""

import datetime
import re
from collections.abc import Iterator
from typing import Final, NoReturn

from appliance.model.ids import INBOX, MailboxName
from appliance.model.mailbox import Flag
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.utf7 import decode_mailbox_name

__all__ = ["MONTHS", "SYSTEM_FLAGS", "ParseError", "Reader", "expectation", "printable"]

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBER = {name.upper().encode("ascii"): number for number, name in enumerate(MONTHS, 1)}

SYSTEM_FLAGS: Final = {
    b"\\SEEN": Flag.SEEN,
    b"\\ANSWERED": Flag.ANSWERED,
    b"\\FLAGGED": Flag.FLAGGED,
    b"\\DELETED": Flag.DELETED,
    b"\\DRAFT": Flag.DRAFT,
}

_EARLIEST = -0x8000_0000
"""December 1901; file systems and our own calendar go no further back."""

MAX_KEYWORD_BYTES = 255
MAX_MAILBOX_BYTES = 1_000
MAX_LIST_ITEMS = 1_000

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_LIST_MAILBOX = re.compile(rb'[^\x00-\x20\x7f(){"\\]+')
_QUOTED = re.compile(rb'"([^"\\\r\n\x00]*(?:\\[^\r\n\x00][^"\\\r\n\x00]*)*)"')
_ESCAPED = re.compile(rb"\\(.)")
_LITERAL = re.compile(rb"\{([0-9]{1,10})\+?\}\r?\n")
_NUMBER = re.compile(rb"[0-9]{1,20}")
_SEQUENCE = re.compile(rb"[0-9*:,]+|\$")
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DATE_TIME = re.compile(rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"')
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""RFC 6855 section 3: what a mailbox name may not have, however it is written."""
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e]+")


class ParseError(Exception):
    """A command breaks the grammar; the text says where and is safe to send. ``code``: of the response."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        super().__init__(text)
        self.code = code


def printable(raw: bytes, limit: int = 40) -> str:
    """Return peer bytes fit for the text of a response: short, ASCII, one line, no bracket at its head."""
    shown = _UNPRINTABLE.sub(b"?", raw[:limit]).decode("ascii")
    return shown + "..." if len(raw) > limit else shown


def expectation(expected: str, data: bytes, at: int) -> str:
    """Return the sentence for a command that has something else than ``expected`` at ``at``."""
    rest = data[at : at + 41].rstrip(b"\r\n")
    return f"{expected} expected in column {at + 1}, " + (f"not {printable(rest)}" if rest else "where the command ends")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class Reader:
    """A position in one command; each ``take`` moves it and returns a value or None, each ``read`` must find one."""

    __slots__ = ("data", "pos", "utf8")

    def __init__(self, data: bytes, pos: int = 0, *, utf8: bool = False) -> None:
        self.data = data
        self.pos = pos
        self.utf8 = utf8

    # Punctuation

    @property
    def at_end(self) -> bool:
        return self.pos >= len(self.data)

    def fail(self, expected: str) -> NoReturn:
        """Say what was expected, where, and what is there instead. Columns are octets, from 1, literals included."""
        raise ParseError(expectation(expected, self.data, self.pos))

    def take(self, token: bytes) -> bool:
        """Step over ``token`` (upper case; letters match either case) if it is next."""
        end = self.pos + len(token)
        if self.data[self.pos : end].upper() != token:
            return False
        self.pos = end
        return True

    def read_space(self) -> None:
        if not self.take(b" "):
            self.fail("space")

    def read_words(self, what: str) -> Iterator[str]:
        """Read the words of a list whose parenthesis is open, up to the closing one; the caller reads what belongs to a word."""
        if self.take(b")"):
            return
        yield self.read_word(what)
        while not self.take(b")"):
            self.read_space()
            yield self.read_word(what)

    def read_end(self) -> None:
        """Trailing blanks are tolerated: several clients send one."""
        if self.data[self.pos :].strip(b" "):
            self.fail("end of command")

    def _match(self, pattern: "re.Pattern[bytes]") -> "re.Match[bytes] | None":
        match = pattern.match(self.data, self.pos)
        if match is not None:
            self.pos = match.end()
        return match

    # Words

    def take_atom(self) -> bytes | None:
        match = self._match(_ATOM)
        return None if match is None else match.group()

    def read_atom(self, what: str = "atom") -> bytes:
        atom = self.take_atom()
        if atom is None:
            self.fail(what)
        return atom

    def read_word(self, what: str) -> str:
        """Return an atom as an upper-case key word."""
        return self.read_atom(what).upper().decode("ascii")

    def take_string(self) -> bytes | None:
        """Return a quoted string or literal."""
        start = self.data[self.pos : self.pos + 1]
        if start == b'"':
            match = self._match(_QUOTED)
            if match is None:
                raise ParseError("quoted string is not closed")
            text = match.group(1)
            if self.utf8 and not _is_utf8(text):
                raise ParseError("quoted string is not UTF-8")
            return _ESCAPED.sub(rb"\1", text) if b"\\" in text else text
        if start == b"{":
            match = self._match(_LITERAL)
            if match is None:
                raise ParseError("literal is not written as {length}")
            begin, length = self.pos, int(match.group(1))
            if begin + length > len(self.data):
                raise ParseError("literal is cut short")
            self.pos = begin + length
            return self.data[begin : self.pos]
        return None

    def read_string(self, what: str = "string") -> bytes:
        value = self.take_string()
        if value is None:
            self.fail(what)
        return value

    def read_astring(self, what: str = "string") -> bytes:
        value = self.take_string()
        if value is None:
            match = self._match(_ASTRING)
            if match is None:
                self.fail(what)
            value = match.group()
        if b"\x00" in value:
            raise ParseError(f"{what} with a NUL character")
        return value

    def read_nstring(self, what: str = "string or NIL") -> bytes | None:
        value = self.take_string()
        if value is None and not self.take(b"NIL"):
            self.fail(what)
        return value

    def read_text(self, what: str) -> str:
        """Return an astring as text."""
        try:
            return self.read_astring(what).decode("utf-8")
        except UnicodeDecodeError:
            raise ParseError(f"{what} is not UTF-8") from None

    def read_number(self, what: str = "number", largest: int = 0xFFFF_FFFF) -> int:
        match = self._match(_NUMBER)
        if match is None:
            self.fail(what)
        number = int(match.group())
        if number > largest:
            raise ParseError(f"{what} is above {largest}")
        return number

    def read_sequence_set(self) -> SequenceSet:
        match = self._match(_SEQUENCE)
        if match is None:
            self.fail("sequence set")
        try:
            return SequenceSet.parse(match.group())
        except ValueError as error:
            raise ParseError(str(error)) from None

    # Mailboxes

    def _mailbox_text(self, raw: bytes) -> str:
        if len(raw) > MAX_MAILBOX_BYTES:
            raise ParseError("mailbox name is too long")
        try:
            name = raw.decode("utf-8") if self.utf8 else decode_mailbox_name(raw)
        except UnicodeDecodeError:
            raise ParseError("mailbox name is not UTF-8") from None
        except ValueError as error:
            raise ParseError(str(error)) from None
        if _NO_NAME.search(name):
            raise ParseError("mailbox name with a control character")
        return name

    def read_mailbox(self) -> MailboxName:
        """Return a mailbox name; its first level INBOX in any case is INBOX."""
        name = self._mailbox_text(self.read_astring("mailbox name"))
        first, slash, rest = name.partition("/")
        return MailboxName(INBOX + slash + rest) if first.upper() == INBOX else MailboxName(name)

    def read_reference(self) -> str:
        return self._mailbox_text(self.read_astring("mailbox name"))

    def read_list_mailbox(self) -> str:
        """Return a pattern with ``%`` and ``*``, decoded."""
        value = self.take_string()
        if value is None:
            match = self._match(_LIST_MAILBOX)
            if match is None:
                self.fail("mailbox pattern")
            value = match.group()
        pattern = self._mailbox_text(value)
        first, slash, rest = pattern.partition("/")
        return INBOX + slash + rest if first.upper() == INBOX else pattern

    # Flags

    def read_flag(self) -> Flag | str:
        """Return a system flag or the name of a keyword."""
        match = self._match(_FLAG)
        if match is None:
            self.fail("flag")
        raw = match.group()
        if not raw.startswith(b"\\"):
            if len(raw) > MAX_KEYWORD_BYTES:
                raise ParseError("keyword is too long")
            return raw.decode("ascii")
        flag = SYSTEM_FLAGS.get(raw.upper())
        if flag is None:
            raise ParseError(f"flag {printable(raw)} cannot be set")
        return flag

    # Dates

    def read_date(self) -> datetime.date:
        """Return a day such as ``1-Feb-1994``, quoted or not."""
        quoted = self.take(b'"')
        match = self._match(_DATE)
        if match is None or (quoted and not self.take(b'"')):
            self.fail("date such as 1-Feb-1994")
        day, month, year = match.groups()
        try:
            return datetime.date(int(year), _MONTH_NUMBER[month.upper()], int(day))
        except (ValueError, KeyError):
            raise ParseError(f"no such day: {match.group().decode('ascii')}") from None

    def take_date_time(self) -> int | None:
        """Return a date-time as seconds since the epoch, UTC; None if no quote is next."""
        if self.data[self.pos : self.pos + 1] != b'"':
            return None
        match = self._match(_DATE_TIME)
        if match is None:
            self.fail('date-time such as "17-Jul-1996 02:44:25 -0700"')
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
        offset = datetime.timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        try:
            zone = datetime.timezone(-offset if sign == b"-" else offset)
            # A leap second is told as :60; the calendar of seconds has no place for it.
            moment = datetime.datetime(
                int(year), _MONTH_NUMBER[month.upper()], int(day), int(hour), int(minute), min(int(second), 59), tzinfo=zone
            )
            return max(int(moment.timestamp()), _EARLIEST)
        except (ValueError, KeyError, OverflowError):
            raise ParseError(f"no such date-time: {match.group().decode('ascii')}") from None
