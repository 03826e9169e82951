"""Messages that can be told apart and checked to the last byte: everything follows from the token.

The bodies hold what breaks mail programs: lines of one dot, lines that begin
with ``From`` and ``>From``, empty lines at the end.
"""

import hashlib
import random
import re

__all__ = ["TOKEN", "digest", "make_message", "token_of"]

TOKEN = re.compile(rb"^X-Token: (\S+)\r?$", re.MULTILINE)
_TRAPS = (b".", b"..", b"From ana@example.com Thu Jan  1 00:00:00 1970", b">From here", b"", b"Status: RO", b"Content-Length: 3")


def make_message(token: str, size: int) -> bytes:
    """Return a whole message of about ``size`` bytes with CRLF line ends."""
    chance = random.Random(token)
    # One page of lines, repeated: making random text must not cost more than sending it.
    page = [b"%d %s" % (number, chance.randbytes(30).hex().encode()) for number in range(40)]
    page += _TRAPS
    chance.shuffle(page)
    text = b"\r\n".join(page) + b"\r\n"
    head = (
        f"From: <load@client.test>\r\nTo: <someone@office.test>\r\nSubject: {token}\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
        f"Message-ID: <{token}@client.test>\r\nX-Token: {token}\r\n\r\n"
    ).encode()
    repeats = max(1, (size - len(head)) // len(text))
    return head + text * repeats + f"end of {token}\r\n".encode()


def token_of(message: bytes) -> str:
    """Return the token of a message as it was received, "" when there is none."""
    found = TOKEN.search(message, 0, 65_536)
    return found.group(1).decode() if found else ""


def digest(message: bytes) -> str:
    """Return a hash of the body: what servers add stands in the header."""
    return hashlib.sha256(message.partition(b"\r\n\r\n")[2]).hexdigest()
