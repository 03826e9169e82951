"""How a log line looks, and the handler that writes it.

Owns the escaping: whatever a peer sent, a record is one line, starts with what
we wrote and cannot move a terminal's cursor. Under systemd (``JOURNAL_STREAM``
names our standard error) a line starts with ``<N>`` for its priority and has no
time, since the journal keeps both; elsewhere it starts with ``time=`` in UTC.
Empty fields are left out; addresses stand in angle brackets as Postfix logs
them, so ``from=<>`` is a bounce.

Fails: never towards the caller. What cannot be written is counted in
``LineHandler.dropped``.
Does not: write files or rotate.

Sources: sd-daemon(3) (priorities), systemd.exec(5) (JOURNAL_STREAM), the logging
HOWTO's chapter on optimization.
"""

import json
import logging
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

__all__ = ["JsonFormatter", "LineFormatter", "LineHandler", "LogfmtFormatter", "configure", "is_journal"]

_PRIORITIES = {logging.DEBUG: "<7>", logging.INFO: "<6>", logging.WARNING: "<4>", logging.ERROR: "<3>", logging.CRITICAL: "<2>"}
_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "critical"}
_MOST_LINES = 256
_ADDRESSES = frozenset({"from", "to", "orig_to"})
# Controls, and what changes the direction or the lines of text around it (Unicode line separators, bidi controls), and lone surrogates.
_UNSAFE = "\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_BARE = re.compile(rf'[^\s"=\\{_UNSAFE}]+').fullmatch
_ESCAPED = re.compile(rf'["\\{_UNSAFE}]')
_UNSAFE_IN_TEXT = re.compile(rf"[{_UNSAFE}]")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_Event = tuple[int, str, Mapping[str, Any], float]
"""Level, name, fields and time of an event whose line is not made yet."""
_json = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _nothing() -> None:
    pass


def is_journal(fd: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Return True if the descriptor is the stream systemd connected to its journal."""
    try:
        device, inode = environ.get("JOURNAL_STREAM", "").split(":")
        status = os.fstat(fd)
    except (ValueError, OSError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    short = _SHORT_ESCAPES.get(character)
    if short is not None:
        return short
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _text(value: object) -> str:
    """Return a value in logfmt, quoted where that is needed."""
    if value.__class__ is not str:
        if value is True or value is False:
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        value = str(value)
    assert isinstance(value, str)
    if _BARE(value):
        return value
    return f'"{_ESCAPED.sub(_escape, value)}"'


class _Stamp:
    """Time stamps in UTC with milliseconds; the part down to the second is made once per second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def at(self, now_s: float) -> str:
        second = int(now_s)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = second
        return f"{self._text}{int((now_s - second) * 1000):03d}Z"


class LineFormatter(logging.Formatter):
    """What both formats share. ``journal``: priority prefix instead of time and level."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal
        self._stamp = _Stamp()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; one of a library becomes the event ``log``."""
        traceback = self.formatException(record.exc_info) if record.exc_info else ""
        fields = record.__dict__.get("fields")
        if fields is not None:
            return self.format_event(record.levelno, str(record.msg), fields, record.created, traceback)
        fields = {"logger": record.name, "message": record.getMessage()}
        return self.format_event(record.levelno, "log", fields, record.created, traceback)

    def format_event(self, level: int, event: str, fields: Mapping[str, Any], now_s: float, traceback: str = "") -> str:
        """Return the line of one event, without its line end."""
        raise NotImplementedError


class LogfmtFormatter(LineFormatter):
    """``event=session_finished client=192.0.2.1:4711 ...``; a traceback follows in indented lines."""

    def format_event(self, level: int, event: str, fields: Mapping[str, Any], now_s: float, traceback: str = "") -> str:
        if self._journal:
            parts = [f"{_PRIORITIES.get(level, '<6>')}event={event}"]
        else:
            parts = [f"time={self._stamp.at(now_s)} level={_LEVELS.get(level, level)} event={event}"]
        for key, value in fields.items():
            if value.__class__ is str:
                text = f"<{value}>" if key in _ADDRESSES else value
                if text:
                    parts.append(f"{key}={text}" if _BARE(text) else f'{key}="{_ESCAPED.sub(_escape, text)}"')
            elif value is not None:
                parts.append(f"{key}={_text(value)}")
        line = " ".join(parts)
        if traceback:
            prefix = f"\n{_PRIORITIES.get(level, '<6>')}\t" if self._journal else "\n\t"
            line += "".join([prefix + _UNSAFE_IN_TEXT.sub(_escape, part) for part in traceback.split("\n")])
        return line


class JsonFormatter(LineFormatter):
    """One object per line, ASCII only: every other character is escaped."""

    def format_event(self, level: int, event: str, fields: Mapping[str, Any], now_s: float, traceback: str = "") -> str:
        head: dict[str, Any] = {} if self._journal else {"time": self._stamp.at(now_s)}
        head |= {"level": _LEVELS.get(level, str(level)), "event": event}
        head |= {key: value for key, value in fields.items() if value is not None and (value != "" or key in _ADDRESSES)}
        if traceback:
            head["traceback"] = traceback
        return (_PRIORITIES.get(level, "<6>") if self._journal else "") + _json(head)


class LineHandler(logging.Handler):
    """Writes lines to a descriptor, past Python's buffers.

    Each line is written at once, until ``collect`` lets those of one thread
    gather: then whoever called it must call ``flush`` a moment later. An error,
    and a line of another thread, takes them along.

    Blocks:   while the reader of a pipe or of the journal is behind.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._lines: deque[str | _Event] = deque()
        self._writing = threading.Lock()
        self._collecting_thread = 0
        self._soon: Callable[[], None] = _nothing
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (ValueError, TypeError, LookupError):
            # Nobody is left to be told; a log that fails must not take the mail with it.
            self.dropped += 1
            return
        self._add(record.levelno, line)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write without taking the handler's lock, which costs as much as a line."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def write_event(self, level: int, event: str, fields: Mapping[str, Any]) -> None:
        """Write a line that needs no ``LogRecord``: making one takes longer than the line. The fields are not copied."""
        # Its text is made with that of others: one line made between other work takes as long as five in a row.
        self._add(level, (level, event, fields, time.time()))

    def collect(self, soon: Callable[[], None] = _nothing) -> None:
        """Let this thread's lines gather until ``flush``, which ``soon`` asks for when there is a line."""
        self._collecting_thread = threading.get_ident()
        self._soon = soon

    def write_through(self) -> None:
        """Write what gathered, and from now on each line at once."""
        self._collecting_thread = 0
        self.flush()

    def _add(self, level: int, line: str | _Event) -> None:
        self._lines.append(line)
        count = len(self._lines)
        if level >= logging.ERROR or count >= _MOST_LINES or self._collecting_thread != threading.get_ident():
            self.flush()
        elif count == 1:
            self._soon()

    def _text_of(self, line: str | _Event) -> str | None:
        """Return a line's text; None when none can be made of it."""
        if isinstance(line, str):
            return line
        formatter = self.formatter
        assert isinstance(formatter, LineFormatter)
        try:
            return formatter.format_event(*line)
        except (ValueError, TypeError, LookupError):
            self.dropped += 1
            return None

    def flush(self) -> None:
        """Write the lines that gathered with one ``write``, in their order."""
        if not self._lines:
            return
        with self._writing:
            lines = []
            while self._lines:
                line = self._text_of(self._lines.popleft())
                if line is not None:
                    lines.append(line)
            lines.append("")
            try:
                data = "\n".join(lines).encode("utf-8", "backslashreplace")
                written = os.write(self._fd, data)
                while written < len(data):
                    data = data[written:]
                    written = os.write(self._fd, data)
            except OSError:
                self.dropped += len(lines) - 1


def configure(level: str = "info", format: str = "logfmt", *, fd: int | None = None) -> LineHandler:  # noqa: A002 - the setting's name
    """Send every record of the process to standard error (or ``fd``), in the format and from the level that the settings name.

    Call again to change either. Returns the handler, for its ``dropped``.
    """
    kind: Literal["logfmt", "json"] = "json" if format == "json" else "logfmt"
    target = sys.__stderr__.fileno() if fd is None and sys.__stderr__ is not None else 2 if fd is None else fd
    journal = is_journal(target)
    handler = LineHandler(target)
    handler.setFormatter(JsonFormatter(journal=journal) if kind == "json" else LogfmtFormatter(journal=journal))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # No record of ours names a source line, a thread or a process; finding them is most of what a record costs.
    logging._srcfile = None  # noqa: SLF001 - the documented way to skip the stack walk
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return handler
