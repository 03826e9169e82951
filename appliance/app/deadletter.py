"""``dead.letter``: where a message ends up that nobody took, so that its author can send it again.

Owns the file's form (mboxrd, so that ``mail -f`` and mutt open it), its lock and its bound.

Fails: ``DeadLetterError`` with a sentence; the message is then lost, and the caller says so.
Sources: Sendmail's sendmail(8) and mailx(1) (dead.letter), RFC 4155, mbox(5).
"""

import fcntl
import os
import pwd
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from appliance.message.date import format_mbox_date

__all__ = ["DeadLetterError", "append_dead_letter", "dead_letter_path"]

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
MAX_PIECE: Final = 1_048_576
_FROM_LINE = re.compile(rb"^(>*From )", re.MULTILINE)


class DeadLetterError(Exception):
    """The message could not be kept."""


def dead_letter_path() -> Path:
    """Return ``~/dead.letter`` of the calling user. Raises DeadLetterError."""
    home = os.environ.get("HOME", "")
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            raise DeadLetterError("you have no home directory to keep it in") from None
    return Path(home) / "dead.letter"


def append_dead_letter(path: Path, sender: str, pieces: Iterable[bytes], *, now_s: float) -> None:
    """Append one message; what was there stays.

    Blocks:   disk; a lock held by another sender.
    Raises:   DeadLetterError; then the file is as it was.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise DeadLetterError(f"{path}: {error.strerror}") from error
    before = 0
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        before = os.fstat(descriptor).st_size
        if before > MAX_FILE_BYTES:
            raise DeadLetterError(f"{path} is larger than 256 MiB; look through it and remove it")
        _write(descriptor, b"From %s %s\n" % ((sender or "MAILER-DAEMON").encode(), format_mbox_date(now_s)))
        for piece in _whole_lines(pieces):
            _write(descriptor, _FROM_LINE.sub(rb">\1", piece.replace(b"\r\n", b"\n")))
        _write(descriptor, b"\n")
    except OSError as error:
        os.ftruncate(descriptor, before)
        raise DeadLetterError(f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _whole_lines(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Join pieces so that each ends where a line does; the last gets its line end."""
    rest = b""
    for piece in pieces:
        data = rest + piece
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) > MAX_PIECE:
            end = len(data) - 1  # One line as long as a book: no From_ can begin inside it.
        rest = data[end:]
        if end:
            yield data[:end]
    if rest:
        yield rest + b"\n"
