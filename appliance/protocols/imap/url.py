"""IMAP URLs of messages and their sections, as CATENATE takes them.

Owns the syntax: relative to the server or the selected mailbox, or absolute;
UIDVALIDITY, UID, SECTION and PARTIAL; percent-encoding. Whether the server and
the user are ours is the session's question.

Fails:    ``ParseError`` for what names no message.
Does not: know mailboxes; read URLs of searches or with URLAUTH, which name no octets.
Sources:  RFC 5092 section 2, section 6 and section 11 (ABNF), RFC 3986 section 2.1 and section 5.2, RFC 4469 section 3.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from appliance.model.ids import INBOX, MailboxName
from appliance.protocols.imap.fetch_grammar import read_fetch_items
from appliance.protocols.imap.fetch_items import BodySection
from appliance.protocols.imap.grammar import ParseError, Reader

__all__ = ["ImapUrl", "parse_url"]

MAX_URL_BYTES = 4_096

_SERVER = re.compile(
    r"(?:(?i:imap):)?//(?:(?P<user>[^@/]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]*)(?::(?P<port>[0-9]{1,5}))?(?=/|\Z)"
)
_USER = re.compile(r"([^;]*)(?:;(?i:AUTH)=[^;]*)?")
_MESSAGE = re.compile(
    r"(?P<mailbox>[^;]*?)(?:;(?i:UIDVALIDITY)=(?P<validity>[1-9][0-9]{0,9}))?/?;(?i:UID)=(?P<uid>[1-9][0-9]{0,9})"
    r"(?:/;(?i:SECTION)=(?P<section>[^;]*?))?(?:/;(?i:PARTIAL)=(?P<offset>[0-9]{1,10})(?:\.(?P<length>[1-9][0-9]{0,9}))?)?/?"
)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class ImapUrl:
    """``host`` ``""``: this server; ``user`` ``""``: whoever is logged in; ``mailbox`` ``""``: the selected one."""

    mailbox: MailboxName
    uid: int
    section: BodySection
    uid_validity: int | None = None
    user: str = ""
    host: str = ""
    port: int | None = None


def parse_url(raw: bytes, base: MailboxName | None = None) -> ImapUrl:
    """Return what a URL names; one that is relative to a path is so to ``base``. Raises ParseError."""
    if len(raw) > MAX_URL_BYTES:
        raise ParseError("URL is too long")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise ParseError("URL with a character that must be percent-encoded") from None
    if _PERCENT.search(text):
        raise ParseError("URL with a percent sign that encodes nothing")
    server = _SERVER.match(text)
    path = text[server.end() :] if server is not None else text
    if server is None and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text):
        raise ParseError("URL of something else than IMAP")
    message = _MESSAGE.fullmatch(path.removeprefix("/"))
    if message is None:
        raise ParseError("URL names no message")
    number = int(message["uid"])
    validity = int(message["validity"]) if message["validity"] else None
    if number > 0xFFFF_FFFF or (validity or 0) > 0xFFFF_FFFF:
        raise ParseError("URL with a number above 4294967295")
    mailbox = _mailbox(message["mailbox"], base if server is None and not path.startswith("/") else None)
    user = _USER.match(server["user"] or "") if server is not None else None
    port = int(server["port"]) if server is not None and server["port"] else None
    return ImapUrl(
        mailbox,
        number,
        _section(message),
        validity,
        _decode(user[1]) if user is not None else "",
        server["host"] if server is not None else "",
        port,
    )


def _decode(text: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise ParseError("URL with octets that are not UTF-8") from None
    if "\0" in decoded or "\r" in decoded or "\n" in decoded:
        raise ParseError("URL with a control character")
    return decoded


def _mailbox(encoded: str, base: MailboxName | None) -> MailboxName:
    name = _decode(encoded)
    if base and name:
        # RFC 3986 section 5.2.3: the last segment of the base gives way.
        name = base.rpartition("/")[0] + "/" + name if "/" in base else name
    first, slash, rest = name.partition("/")
    return MailboxName(INBOX + slash + rest) if first.upper() == INBOX else MailboxName(name)


def _section(message: "re.Match[str]") -> BodySection:
    inside = _decode(message["section"] or "").encode("utf-8")
    item = b"BODY.PEEK[" + inside + b"]"
    if message["offset"] is not None:
        item += b"<%d.%d>" % (int(message["offset"]), int(message["length"] or 0xFFFF_FFFF))
    reader = Reader(item)
    items = read_fetch_items(reader)
    reader.read_end()
    (section,) = items
    if not isinstance(section, BodySection):
        raise ParseError("URL names no section")
    return section
