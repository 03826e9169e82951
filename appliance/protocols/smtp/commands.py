"""Command lines: from bytes to a verb, and the arguments of MAIL, RCPT, BDAT and AUTH, both ways.

Owns which parameters exist, their limits, and that each belongs to an extension
that was offered. Builders for the client stand beside the parsers.

Fails: parsers raise GrammarError with the reply.
Sources: RFC 5321 section 4.1.1, RFC 1870 section 6, RFC 3461 section 4.1 to 4.4,
RFC 3030 section 2, RFC 4865 section 4, RFC 4954 section 4 and 5, RFC 6152, RFC 6531 section 3.4.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from appliance.model.envelope import Body, Notify, Ret
from appliance.protocols.smtp import replies
from appliance.protocols.smtp.events import MailRequested, RecipientRequested
from appliance.protocols.smtp.grammar import (
    GrammarError,
    decode_xtext,
    encode_xtext,
    format_path,
    needs_smtputf8,
    parse_parameters,
    parse_path,
)
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply

__all__ = [
    "FOREIGN_VERBS",
    "KNOWN_ELSEWHERE",
    "decode_base64",
    "format_mail",
    "format_rcpt",
    "parse_auth",
    "parse_bdat",
    "parse_mail",
    "parse_rcpt",
    "split_command",
]

FOREIGN_VERBS: Final = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"})
"""HTTP, RFC 9110 section 9.3: a browser or proxy made to talk to us by a page; each header could hold a command."""

KNOWN_ELSEWHERE: Final = frozenset({"SEND", "SOML", "SAML", "TURN", "ATRN", "BURL", "XFORWARD", "ONEX", "XEXCH50"})
"""Commands of others: 502, not 500 (RFC 5321 section 4.2.4)."""

MAX_ENVID = 100  # RFC 3461 section 4.4
MAX_ORCPT = 500  # RFC 3461 section 4.2
MAX_SIZE_DIGITS = 20  # RFC 1870 section 6
MAX_HOLD_DIGITS = 9  # RFC 4865 section 4

_COMMAND = re.compile(rb"([A-Za-z]+)(?:[ \t]+([^\x00-\x08\x0a-\x1f\x7f]*))?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)", re.ASCII).fullmatch
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_MAIL = re.compile(r"FROM:", re.IGNORECASE)
_RCPT = re.compile(r"TO:", re.IGNORECASE)
_BDAT = re.compile(r"([0-9]{1,20})(?: +(LAST))? *", re.IGNORECASE)
_AUTH = re.compile(r"([A-Za-z0-9_\-]{1,20})(?: +(\S+))? *")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9\-]+")

_SAY_FROM = Reply(501, "5.5.4", "Write MAIL FROM:<name@example.org>")
_SAY_TO = Reply(501, "5.5.4", "Write RCPT TO:<name@example.org>")
_SAY_BDAT = Reply(501, "5.5.4", "Write BDAT size or BDAT size LAST")
_SAY_AUTH = Reply(501, "5.5.4", "Write AUTH mechanism, and at most one initial response")
_BAD_VALUE = Reply(501, "5.5.4", "A parameter has a value that it cannot have")
_UNKNOWN_PARAMETER = Reply(555, "5.5.4", "A parameter is not known or not offered here")
_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "The address is not ASCII; say SMTPUTF8 in MAIL")


def split_command(line: bytes) -> tuple[str, str]:
    """Return the verb in upper case and its argument, trimmed.

    Raises:   GrammarError for control characters (NUL among them), a bare LF or bare CR, and what is not UTF-8.
    """
    match = _COMMAND.fullmatch(line)
    if match is None:
        if not _CONTROLS.search(line):
            raise GrammarError(replies.UNKNOWN_COMMAND)
        bare_lf = line.endswith(b"\n") and not _CONTROLS.search(line, 0, len(line) - 1)
        raise GrammarError(replies.BARE_LF if bare_lf else replies.BAD_CHARACTERS)
    try:
        return match[1].decode().upper(), (match[2] or b"").decode().rstrip(" \t")
    except UnicodeDecodeError:
        raise GrammarError(replies.BAD_CHARACTERS) from None


# MAIL


def parse_mail(argument: str, options: ServerOptions, raw: bytes) -> MailRequested:
    """Parse what follows MAIL. Raises GrammarError."""
    prefix = _MAIL.match(argument)
    if not prefix:
        raise GrammarError(_SAY_FROM)
    path, end = parse_path(argument, prefix.end(), is_reverse=True, unqualified=options.unqualified)
    if end == len(argument):
        if not path.isascii():
            raise GrammarError(_NEEDS_SMTPUTF8)
        return MailRequested(path, raw=raw)
    parameters = parse_parameters(argument, end)
    for name in parameters:
        if name not in _MAIL_PARAMETERS or not _MAIL_PARAMETERS[name](options):
            raise GrammarError(_UNKNOWN_PARAMETER)
    smtputf8 = "SMTPUTF8" in parameters
    if (smtputf8 and parameters["SMTPUTF8"] is not None) or (not smtputf8 and needs_smtputf8(path)):
        raise GrammarError(_BAD_VALUE if smtputf8 else _NEEDS_SMTPUTF8)
    return MailRequested(
        path,
        size=_parse_size(parameters.get("SIZE", "0"), options.max_message_bytes),
        body=_parse_body(parameters, options),
        smtputf8=smtputf8,
        ret=_parse_ret(parameters),
        envid=_parse_envid(parameters),
        auth=_parse_auth_parameter(parameters),
        requiretls=_parse_flag(parameters, "REQUIRETLS"),
        hold_for_s=_parse_hold_for(parameters, options),
        hold_until_s=_parse_hold_until(parameters),
        raw=raw,
    )


_MAIL_PARAMETERS: Final[Mapping[str, Callable[[ServerOptions], bool]]] = {
    "SIZE": lambda options: options.size,
    "BODY": lambda options: options.eight_bit or (options.binarymime and options.chunking),
    "SMTPUTF8": lambda options: options.smtputf8,
    "RET": lambda options: options.dsn,
    "ENVID": lambda options: options.dsn,
    # RFC 4954 section 5 ties AUTH= to the extension, but clients send it on unauthenticated hops too; it is only told.
    "AUTH": lambda _: True,
    "REQUIRETLS": lambda options: options.requiretls,
    "HOLDFOR": lambda options: options.future_release_s > 0,
    "HOLDUNTIL": lambda options: options.future_release_s > 0,
}


def _parse_size(value: str | None, limit: int) -> int:
    if value is None or not value.isascii() or not value.isdigit() or len(value) > MAX_SIZE_DIGITS:
        raise GrammarError(_BAD_VALUE)
    size = int(value)
    if limit and size > limit:
        raise GrammarError(replies.MESSAGE_TOO_BIG)  # RFC 1870 section 6.1
    return size


def _parse_body(parameters: Mapping[str, str | None], options: ServerOptions) -> Body:
    if "BODY" not in parameters:
        return Body.SEVEN_BIT
    try:
        body = Body((parameters["BODY"] or "").upper())
    except ValueError:
        raise GrammarError(_BAD_VALUE) from None
    offered = {Body.BINARY_MIME: options.binarymime and options.chunking, Body.EIGHT_BIT_MIME: options.eight_bit}
    if not offered.get(body, True):
        raise GrammarError(_UNKNOWN_PARAMETER)
    return body


def _parse_flag(parameters: Mapping[str, str | None], name: str) -> bool:
    if parameters.get(name) is not None:
        raise GrammarError(_BAD_VALUE)
    return name in parameters


def _parse_hold_for(parameters: Mapping[str, str | None], options: ServerOptions) -> int:
    """RFC 4865 section 4: seconds, at most nine digits, never more than was offered; not both at once."""
    if "HOLDFOR" not in parameters:
        return 0
    value = parameters["HOLDFOR"] or ""
    if "HOLDUNTIL" in parameters or not (value.isascii() and value.isdigit() and len(value) <= MAX_HOLD_DIGITS):
        raise GrammarError(_BAD_VALUE)
    if int(value) > options.future_release_s:
        raise GrammarError(replies.HOLD_TOO_LONG)
    return int(value)


def _parse_hold_until(parameters: Mapping[str, str | None]) -> float:
    """RFC 4865 section 4: a moment as RFC 3339 writes it, here without fractions, with its zone."""
    if "HOLDUNTIL" not in parameters:
        return 0.0
    value = (parameters["HOLDUNTIL"] or "").upper()
    if _MOMENT(value) is None:
        raise GrammarError(_BAD_VALUE)
    try:
        return max(0.0, datetime.fromisoformat(value).timestamp())
    except (ValueError, OverflowError):
        raise GrammarError(_BAD_VALUE) from None


def _parse_ret(parameters: Mapping[str, str | None]) -> Ret | None:
    if "RET" not in parameters:
        return None
    try:
        return Ret((parameters["RET"] or "").upper())
    except ValueError:
        raise GrammarError(_BAD_VALUE) from None


def _parse_envid(parameters: Mapping[str, str | None]) -> str | None:
    if "ENVID" not in parameters:
        return None
    value = parameters["ENVID"]
    if not value or len(value) > MAX_ENVID:
        raise GrammarError(_BAD_VALUE)
    return decode_xtext(value)


def _parse_auth_parameter(parameters: Mapping[str, str | None]) -> str | None:
    if "AUTH" not in parameters:
        return None
    value = parameters["AUTH"]
    if not value:
        raise GrammarError(_BAD_VALUE)
    return value if value == "<>" else decode_xtext(value)


def format_mail(mail: MailRequested) -> bytes:
    """Return the MAIL command with CRLF, for the client; the inverse of ``parse_mail``."""
    words = [f"MAIL FROM:{format_path(mail.reverse_path)}"]
    if mail.size:
        words.append(f"SIZE={mail.size}")
    if mail.body is not Body.SEVEN_BIT:
        words.append(f"BODY={mail.body.value}")
    if mail.smtputf8:
        words.append("SMTPUTF8")
    if mail.requiretls:
        words.append("REQUIRETLS")
    if mail.hold_for_s:
        words.append(f"HOLDFOR={mail.hold_for_s}")
    if mail.hold_until_s:
        words.append(f"HOLDUNTIL={datetime.fromtimestamp(mail.hold_until_s, UTC):%Y-%m-%dT%H:%M:%SZ}")
    if mail.ret is not None:
        words.append(f"RET={mail.ret.value}")
    if mail.envid:
        words.append(f"ENVID={encode_xtext(mail.envid)}")
    if mail.auth is not None:
        words.append(f"AUTH={mail.auth if mail.auth == '<>' else encode_xtext(mail.auth)}")
    return (" ".join(words) + "\r\n").encode()


# RCPT


def parse_rcpt(argument: str, options: ServerOptions, raw: bytes, *, smtputf8: bool) -> RecipientRequested:
    """Parse what follows RCPT. ``smtputf8``: MAIL said so. Raises GrammarError."""
    prefix = _RCPT.match(argument)
    if not prefix:
        raise GrammarError(_SAY_TO)
    path, end = parse_path(argument, prefix.end(), unqualified=options.unqualified)
    if not smtputf8 and not path.isascii():
        raise GrammarError(_NEEDS_SMTPUTF8)
    if end == len(argument):
        return RecipientRequested(path, raw=raw)
    parameters = parse_parameters(argument, end)
    if not options.dsn or not parameters.keys() <= {"NOTIFY", "ORCPT"}:
        raise GrammarError(_UNKNOWN_PARAMETER)
    notify = _parse_notify(parameters["NOTIFY"]) if "NOTIFY" in parameters else None
    orcpt = _parse_orcpt(parameters["ORCPT"], smtputf8=smtputf8) if "ORCPT" in parameters else None
    return RecipientRequested(path, notify, orcpt, raw)


def _parse_notify(value: str | None) -> Notify:
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        return Notify.NEVER
    notify = Notify.NEVER
    for word in words:
        if word not in {"SUCCESS", "FAILURE", "DELAY"}:
            raise GrammarError(_BAD_VALUE)
        notify |= Notify[word]
    return notify


def _parse_orcpt(value: str | None, *, smtputf8: bool) -> str:
    kind, semicolon, encoded = (value or "").partition(";")
    if not semicolon or not encoded or len(kind) + len(encoded) >= MAX_ORCPT or not _ADDRESS_TYPE.fullmatch(kind):
        raise GrammarError(_BAD_VALUE)
    if not encoded.isascii():
        # RFC 6533 section 3: utf-8-addr-unitext, only where SMTPUTF8 was said.
        if kind.lower() != "utf-8" or not smtputf8 or not encoded.isprintable():
            raise GrammarError(_BAD_VALUE)
        return f"{kind};{encoded}"
    return f"{kind};{decode_xtext(encoded)}"


def format_rcpt(recipient: RecipientRequested) -> bytes:
    """Return the RCPT command with CRLF, for the client; the inverse of ``parse_rcpt``."""
    words = [f"RCPT TO:{format_path(recipient.forward_path)}"]
    if recipient.notify is not None:
        names = [flag.name or "" for flag in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if flag in recipient.notify]
        words.append(f"NOTIFY={','.join(names) or 'NEVER'}")
    if recipient.orcpt:
        kind, _, address = recipient.orcpt.partition(";")
        words.append(f"ORCPT={kind};{encode_xtext(address)}")
    return (" ".join(words) + "\r\n").encode()


# BDAT and AUTH


def parse_bdat(argument: str) -> tuple[int, bool]:
    """Return size and whether LAST was said (RFC 3030 section 2). Raises GrammarError."""
    match = _BDAT.fullmatch(argument)
    if not match:
        raise GrammarError(_SAY_BDAT)
    return int(match[1]), match[2] is not None


def parse_auth(argument: str) -> tuple[str, bytes | None]:
    """Return the mechanism in upper case and the initial response, decoded; ``=`` is an empty one (RFC 4954 section 4)."""
    match = _AUTH.fullmatch(argument)
    if not match:
        raise GrammarError(_SAY_AUTH)
    if match[2] is None:
        return match[1].upper(), None
    return match[1].upper(), b"" if match[2] == "=" else decode_base64(match[2].encode())


def decode_base64(text: bytes) -> bytes:
    """Decode strictly. Raises GrammarError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise GrammarError(replies.AUTH_NOT_BASE64) from None
