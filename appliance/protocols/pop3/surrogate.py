"""A message with UTF-8 header fields for a client that never said UTF8.

RFC 6856 section 2.1 forbids to send such a header as it is and leaves a choice:
refuse the message, which a user cannot understand and cannot get rid of, or
send a surrogate. Here each word or quoted string outside ASCII becomes an
encoded word, so that names and subjects are shown right; an address outside
ASCII stays recognisable but cannot be answered by such a client anyhow.
Does not: touch bodies (8-bit bodies are what MIME labels say they are, and every
client takes them), nor headers that are not valid UTF-8: their charset is
unknown and what clients make of them is better than what we would.

Sources: RFC 6856 sections 2.1 and 5, RFC 6855 section 7, RFC 2047 sections 2, 4.2 and 5.
"""

import re

__all__ = ["downgrade"]

_MOST_HEADER_BYTES = 65_536
_WORD = rb'[^\s<>@,;:()"\x80-\xff]*[\x80-\xff][^\s<>@,;:()"]*'
# A word starts after what ends one, nowhere else: tried at every octet of a long word this would take quadratic time.
# Words side by side become one, since readers drop the blanks between encoded words (RFC 2047 section 6.2).
_QUOTED_OR_WORDS = re.compile(rb'"[^"\r\n]*"|(?<![^\s<>@,;:()"])' + _WORD + rb"(?: +" + _WORD + rb")*")
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")
_LONGEST = 60
"""Places in an encoded word beside its frame: below the 75 of RFC 2047 section 2."""


def downgrade(message: bytes) -> bytes:
    """Return the message with an ASCII header section; the same object when it is fine as it is."""
    if message.isascii():
        return message
    end = message.find(b"\r\n\r\n")
    if not 0 < end <= _MOST_HEADER_BYTES:
        return message
    header = message[:end]
    if header.isascii() or not _is_utf8(header):
        return message
    return _QUOTED_OR_WORDS.sub(_encode, header) + message[end:]


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _encode(found: re.Match[bytes]) -> bytes:
    words = found[0]
    if words.isascii():
        return words
    text = words.strip(b'"').replace(b"\\", b"").decode()
    pieces = [b""]
    for character in text:
        quoted = b"".join([_quote(octet) for octet in character.encode()])
        if len(pieces[-1]) + len(quoted) > _LONGEST:
            pieces.append(b"")
        pieces[-1] += quoted
    return b"\r\n ".join([b"=?utf-8?q?" + piece + b"?=" for piece in pieces])


def _quote(octet: int) -> bytes:
    return bytes((octet,)) if octet in _SAFE else b"_" if octet == 32 else b"=%02X" % octet
