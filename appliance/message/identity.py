"""Identifiers of a message's content and of its thread, made from the message alone.

Owns EMAILID: a digest of the content and the internal date, so that a copy has
that of its source and nothing need be remembered. Owns THREADID: a digest of
the message id that the thread began with, as far as the message itself tells:
the first of References, else of In-Reply-To, else its own. Both stay what they
are when an index is lost, and in every mailbox.

Fails: never.
Does not: join threads whose messages have lost their References, or look at
subjects: an identifier that was told may not change when further mail comes.

Sources: RFC 8474 section 5.1 and 5.2, RFC 5322 section 3.6.4.
"""

import hashlib
import re
from typing import BinaryIO, NamedTuple

from appliance.message.header import body_offset, first_values

__all__ = ["Identity", "identify"]

CHUNK_SIZE = 262_144
_MAX_HEADER = 1_048_576
_DIGEST_SIZE = 16
_WANTED = frozenset({b"references", b"in-reply-to", b"message-id"})
_MESSAGE_ID = re.compile(rb"<[^<>\s]{1,998}>")


class Identity(NamedTuple):
    """RFC 8474 section 7, objectid: ASCII letters and digits. No email id equals a thread id."""

    email_id: str
    thread_id: str


def identify(stream: BinaryIO, internal_date_s: int) -> Identity:
    """Read a message with CRLF line ends from its beginning. Blocks: as ``stream.read`` does."""
    digest = hashlib.blake2b(b"%d\n" % internal_date_s, digest_size=_DIGEST_SIZE, person=b"emailid")
    header = b""
    has_header = False
    while chunk := stream.read(CHUNK_SIZE):
        digest.update(chunk)
        if not has_header:
            header += chunk
            has_header = body_offset(header) >= 0 or len(header) >= _MAX_HEADER
    email_id = digest.hexdigest()
    root = _thread_root(header[:_MAX_HEADER]) or email_id.encode("ascii")
    thread_id = hashlib.blake2b(root, digest_size=_DIGEST_SIZE, person=b"threadid").hexdigest()
    return Identity("M" + email_id, "T" + thread_id)


def _thread_root(header: bytes) -> bytes:
    end = body_offset(header)
    values = first_values(header if end < 0 else header[:end], _WANTED)
    for name in (b"references", b"in-reply-to", b"message-id"):
        found = _MESSAGE_ID.search(values.get(name, b""))
        if found is not None:
            return found.group()
    return b""
