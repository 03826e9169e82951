r"""How mailbox names are written on disk, and back: Maildir++ directories, mbox files, subscriptions.

Owns modified UTF-7 and the escapes. Towards the port a name is Unicode with
``/`` between levels. Maildir++ joins levels with dots (``.Lists.python``), so a
dot inside a level is written ``\2e`` and a backslash ``\5c``, which is what
Dovecot's listescape plugin reads and writes. mbox files are named in plain
UTF-8 (``folders/Lists/python.mbox``); there only a leading dot and an ending
that would look like a mailbox or its lock are escaped.

Fails: ``InvalidNameError`` for names that no client should have made.
Sources: RFC 3501 section 5.1.3 (modified UTF-7), Courier's Maildir++, Dovecot listescape.
"""

import binascii
import os
import re
import unicodedata
from functools import lru_cache

from appliance.model.errors import EmptyLevelError, InvalidNameError, NameCharacterError, NameTooLongError
from appliance.model.ids import INBOX, MailboxName

__all__ = [
    "check_name",
    "decode_utf7",
    "encode_utf7",
    "from_maildir",
    "from_mbox_path",
    "maildir_directory",
    "mbox_path",
    "parents",
]

NAME_MAX = 255
MAX_DIRECTORY_BYTES = NAME_MAX - len("..deleted-") + 1
"""Room for the name under which a Maildir folder waits for its removal."""
MAX_LEVEL_BYTES = NAME_MAX - len(".mbox.metadata.tmp")
"""Room for the longest name that stands beside an mbox."""
MAX_LEVELS = 32

_ENCODED_RUN = re.compile(r"[^\x20-\x7e]+|&")
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")
_ESCAPE = re.compile(r"\\([0-9a-f]{2})")
_MBOX_ENDING = re.compile(r"\.(?=(?:mbox|lock|rewrite)$)|(?<=\.mbox)\.(?=(?:reading|metadata|metadata\.tmp|rewrite\.tmp)$)", re.IGNORECASE)


def encode_utf7(text: str) -> str:
    """Return ``text`` in modified UTF-7, pure ASCII."""
    return _ENCODED_RUN.sub(_shift, text)


def _shift(match: "re.Match[str]") -> str:
    run = match[0]
    if run == "&":
        return "&-"
    encoded = binascii.b2a_base64(run.encode("utf-16-be", "surrogatepass"), newline=False)
    return "&" + encoded.rstrip(b"=").replace(b"/", b",").decode("ascii") + "-"


def decode_utf7(text: str) -> str:
    """Return what modified UTF-7 says. Raises ValueError when it is none."""
    if not text.isascii():
        raise ValueError(text)
    decoded = _SHIFTED.sub(_unshift, text)
    if encode_utf7(decoded) != text:  # only the canonical spelling names a mailbox, else two names would be one
        raise ValueError(text)
    return decoded


def _unshift(match: "re.Match[str]") -> str:
    run = match[1]
    if not run:
        return "&"
    padded = run.replace(",", "/") + "=" * (-len(run) % 4)
    return binascii.a2b_base64(padded).decode("utf-16-be")


@lru_cache(maxsize=1_024)
def check_name(name: str) -> MailboxName:
    """Return the name as it is kept: INBOX in capitals, composed, no trailing separator. Raises InvalidNameError."""
    name = unicodedata.normalize("NFC", name).removesuffix("/")
    levels = name.split("/")
    if len(levels) > MAX_LEVELS:
        raise NameTooLongError(f"too many levels: {name!r}")
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    for level in levels:
        if not level or level != level.strip(" "):
            raise EmptyLevelError(f"empty level or blanks at its end: {name!r}")
        if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in level):
            raise NameCharacterError(f"control character in {name!r}")
        if "*" in level or "%" in level:  # RFC 9051 section 5.1: would match in LIST
            raise NameCharacterError(f"wildcard in {name!r}")
    return MailboxName("/".join(levels))


def parents(name: MailboxName) -> list[MailboxName]:
    """Return the names above, outermost first."""
    levels = name.split("/")
    return [MailboxName("/".join(levels[:count])) for count in range(1, len(levels))]


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


def maildir_directory(name: MailboxName) -> bytes:
    """Return the directory of a mailbox inside the Maildir++ root; empty for INBOX. Raises InvalidNameError."""
    if name == INBOX:
        return b""
    levels = [encode_utf7(level.replace("\\", "\\5c").replace(".", "\\2e")) for level in name.split("/")]
    directory = ("." + ".".join(levels)).encode("ascii")
    if len(directory) > MAX_DIRECTORY_BYTES:
        raise NameTooLongError(f"too long: {name!r}")
    return directory


def from_maildir(directory: bytes) -> MailboxName | None:
    """Return the mailbox that a directory holds, None if it is none of ours (``.``, ``..x``, undecodable, too long)."""
    if not directory.startswith(b".") or directory.startswith(b"..") or len(directory) < 2:
        return None
    try:
        levels = [_unescape(decode_utf7(level)) for level in directory[1:].decode("ascii").split(".")]
        name = check_name("/".join(levels))
        return name if name != INBOX and maildir_directory(name) == directory else None
    except (ValueError, InvalidNameError):
        return None


def mbox_path(name: MailboxName) -> bytes:
    """Return the path of a mailbox below ``folders/``. Raises InvalidNameError."""
    levels = []
    for level in name.split("/"):
        escaped = level.replace("\\", "\\5c")
        if escaped.startswith("."):
            escaped = "\\2e" + escaped[1:]
        encoded = _MBOX_ENDING.sub(r"\\2e", escaped).encode("utf-8")
        if len(encoded) > MAX_LEVEL_BYTES:
            raise NameTooLongError(f"too long: {name!r}")
        levels.append(encoded)
    return b"/".join(levels) + b".mbox"


def from_mbox_path(path: bytes) -> MailboxName | None:
    """Return the mailbox that a file below ``folders/`` holds, None if it is none of ours."""
    if not path.endswith(b".mbox"):
        return None
    try:
        text = os.fsdecode(path.removesuffix(b".mbox"))
        name = check_name("/".join(_unescape(level) for level in text.split("/")))
        return name if name != INBOX and mbox_path(name) == path else None
    except (UnicodeEncodeError, InvalidNameError):
        return None
