"""POP3 command lines into verbs and arguments.

Fails: with ``BadCommandError``, whose text is the sentence the client gets after
``-ERR``; the core turns it into a reply.
Deviations: a line may end in a bare LF, keywords may be followed by several
blanks, numbers may have leading zeros; all three are common in scripts typed by
hand and none is ambiguous.

Sources: RFC 1939 section 3 (keywords of three or four letters, any case) and 9,
RFC 2449 section 8 (ABNF), RFC 5034 section 4 (base64, ``=`` for an empty
initial response), RFC 6856 section 2.2.
"""

import binascii
import re

from appliance.protocols.pop3.state import Verb
from appliance.protocols.sasl.prep import PrepError, saslprep

__all__ = ["BadCommandError", "decode_base64", "decode_text", "parse_command", "parse_number", "parse_numbers"]

_VERBS = {verb.value: verb for verb in Verb}
_NUMBER = re.compile(rb"[0-9]{1,10}")


class BadCommandError(ValueError):
    """A line that is no POP3 command; ``str()`` of it is fit for the client."""


def parse_command(line: bytes) -> tuple[Verb, bytes]:
    """Split a line without its CRLF into the verb and everything after the first blank."""
    keyword, _, argument = line.partition(b" ")
    verb = _VERBS.get(keyword.upper())
    if verb is None:
        raise BadCommandError("Unknown command")
    return verb, argument


def parse_number(argument: bytes) -> int:
    """Parse one message number from 1; whether there is such a message is the maildrop's matter."""
    stripped = argument.strip(b" ")
    if not _NUMBER.fullmatch(stripped) or not (number := int(stripped)):
        raise BadCommandError("A message number is needed")
    return number


def parse_numbers(argument: bytes) -> tuple[int, int]:
    """Parse the arguments of TOP: a message number and a non-negative number of lines."""
    words = argument.split()
    if len(words) != 2 or not all(_NUMBER.fullmatch(word) for word in words) or not int(words[0]):
        raise BadCommandError("TOP needs a message number and a number of lines")
    return int(words[0]), int(words[1])


def decode_text(argument: bytes) -> str:
    """Decode and prepare a login or password: UTF-8 (RFC 6856 section 2.2), else Latin-1, which clients sent before it."""
    try:
        text = argument.decode()
    except UnicodeDecodeError:
        text = argument.decode("latin-1")
    try:
        return saslprep(text)
    except PrepError:
        raise BadCommandError("A name or password holds characters that are not allowed") from None


def decode_base64(data: bytes) -> bytes:
    """Decode a SASL response strictly: RFC 4648 section 3.3 wants foreign characters refused."""
    try:
        return binascii.a2b_base64(data, strict_mode=True) if data else b""
    except binascii.Error:
        raise BadCommandError("Not valid base64") from None
