"""IMAP strings inside ENVELOPE and BODYSTRUCTURE: quoted where that is allowed, else literals.

The results are stored and sent later as they are, so a literal stands in them as
``{n}CRLF`` and its octets; a server's literal needs no answer from the client.

Sources: RFC 3501 section 9 (nstring, string, literal), RFC 9051 section 9.
"""

import re

__all__ = ["nstring", "string"]

_is_plain = re.compile(rb"[ !#-\[\]-~\t]*").fullmatch
_is_quotable = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*").fullmatch


def string(value: bytes) -> bytes:
    """Return ``value`` as an IMAP string. NUL, which no literal may hold, becomes 0x80 as Dovecot has it."""
    if _is_plain(value):
        return b'"' + value + b'"'
    if _is_quotable(value):
        return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"{%d}\r\n" % len(value) + value.replace(b"\0", b"\x80")


def nstring(value: bytes | None) -> bytes:
    """Return ``value`` as an IMAP nstring."""
    return b"NIL" if value is None else string(value)
