r"""What is noted about a mailbox beside its mail: annotations, and for an mbox its id, one per line of a text file.

A line is a key, a tab and a value. In the value a backslash is ``\\``, a line
end ``\n``, a carriage return ``\r``, a tab ``\t``, any other control character
``\xNN``; the rest stands as it is, so that people read and edit UTF-8. Keys that
begin with a slash are annotations, in lower case. The file is written whole,
by rename, and is not there while nothing is noted.

Durable: at return of ``write``.
Fails:    ``OSError``. A line that makes no sense is left out.
Sources:  RFC 5464 section 3 (entries and values), RFC 8474 section 7 (objectid).
"""

import re
import secrets
from collections.abc import Mapping

from appliance.storage.fileops import FileOps

__all__ = ["AttributeFile", "is_mailbox_id", "new_mailbox_id"]

_MAILBOX_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_SPECIAL = re.compile(rb"[\x00-\x1f\x7f\\]")
_ESCAPED = re.compile(rb"\\(?:([nrt\\])|x([0-9a-f]{2}))")
_SHORT = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r", b"\t": rb"\t"}
_LONG = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def is_mailbox_id(text: str) -> bool:
    """RFC 8474 section 7, ``objectid``."""
    return _MAILBOX_ID.fullmatch(text) is not None


def new_mailbox_id() -> str:
    """Return an id as Dovecot makes them: 128 bits, in hex."""
    return secrets.token_hex(16)


def _escape(value: bytes) -> bytes:
    return _SPECIAL.sub(lambda match: _SHORT.get(match[0], rb"\x%02x" % match[0][0]), value)


def _unescape(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: _LONG[match[1]] if match[1] else bytes([int(match[2], 16)]), text)


class AttributeFile:
    """One such file. Called with the account's lock held."""

    def __init__(self, ops: FileOps, path: bytes) -> None:
        self._ops = ops
        self._path = path

    def read(self) -> dict[str, bytes]:
        try:
            data = self._ops.read_file(self._path)
        except FileNotFoundError:
            return {}
        found = {}
        for line in data.split(b"\n"):
            key, tab, text = line.partition(b"\t")
            if tab and key and key.isascii():
                found[key.decode("ascii")] = _unescape(text.removesuffix(b"\r"))
        return found

    def write(self, values: Mapping[str, bytes]) -> None:
        """Put these in place of all that was noted."""
        if values:
            lines = [key.encode("ascii") + b"\t" + _escape(value) + b"\n" for key, value in sorted(values.items())]
            self._ops.replace_file(self._path, b"".join(lines))
        elif self._ops.exists(self._path):
            self._ops.unlink(self._path)
            self._ops.flush_path(self._path.rpartition(b"/")[0])
