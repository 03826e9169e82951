"""CATENATE: octets of messages that are here already, named by IMAP URLs.

Owns whether a URL is one of ours: this server, this user, the mailbox as it was
when the client saw it. The octets are those that ``BODY.PEEK[section]`` shows;
they go into the new message piece by piece, and nothing becomes seen.

Fails:    ``BadUrlError`` with the answer; ``ApplianceError`` from the store.
Sources:  RFC 4469 section 3 and section 4.1 (BADURL), RFC 5092 section 6.
"""

from collections.abc import Callable

from appliance.model.errors import ApplianceError, ExpungedError, NotFoundError
from appliance.model.ids import Uid
from appliance.model.ports import Mailbox
from appliance.protocols.imap.grammar import ParseError
from appliance.protocols.imap.url import ImapUrl, parse_url
from appliance.services.imap.body import BodyReader, LargeSection, MessageBody, read_piece
from appliance.services.imap.errors import Reply, no
from appliance.services.imap.incoming import Incoming
from appliance.services.imap.session import Session

__all__ = ["BadUrlError", "add_url"]

PIECE_BYTES = 262_144
_MAX_TOLD = 1_000


class BadUrlError(Exception):
    """A URL that names nothing we can take; carries the answer."""

    def __init__(self, url: bytes, text: str) -> None:
        super().__init__(text)
        self.reply: Reply = no(text, b"BADURL " + _tellable(url))


def _tellable(url: bytes) -> bytes:
    """Return what may stand within brackets (RFC 4469 section 5, url-resp-text); everything else percent-encoded."""
    return b"".join([b"%c" % octet if 0x20 < octet < 0x7F and octet not in b"]\\" else b"%%%02X" % octet for octet in url[:_MAX_TOLD]])


async def add_url(session: Session, raw: bytes, message: Incoming, count: Callable[[int], None]) -> None:
    """Put what a URL names at the end of a message. ``count`` is told its size beforehand."""
    selected = session.opened
    try:
        url = parse_url(raw, selected.mailbox.name if selected is not None else None)
    except ParseError as error:
        text = str(error)
        raise BadUrlError(raw, text[0].upper() + text[1:]) from None
    _check_server(session, url, raw)
    try:
        mailbox = await _open(session, url)
    except NotFoundError:
        raise BadUrlError(raw, "The URL's mailbox is not there") from None
    if url.uid_validity not in (None, mailbox.snapshot().uid_validity):
        raise BadUrlError(raw, "The URL's mailbox was made anew since")
    reader = BodyReader(mailbox, [url.section], summaries=False, spool=session.shared.spool)
    batch = await session.run_blocking(reader.read_batch, [Uid(url.uid)])
    if batch.error is not None:
        raise batch.error
    body = batch.bodies.get(Uid(url.uid))
    if body is None:
        raise BadUrlError(raw, "The URL's message is not there")
    try:
        await _copy(session, raw, body, message, count)
    finally:
        body.close()


def _check_server(session: Session, url: ImapUrl, raw: bytes) -> None:
    if url.user and url.user != session.account:
        raise BadUrlError(raw, "The URL is of another user")
    if url.host and url.host.lower() != session.shared.hostname.lower():
        raise BadUrlError(raw, "The URL is of another server")


async def _open(session: Session, url: ImapUrl) -> Mailbox:
    selected = session.opened
    if selected is not None and url.mailbox in ("", selected.mailbox.name):
        return selected.mailbox
    if not url.mailbox:
        raise NotFoundError
    return await session.run_blocking(session.store.open_mailbox, url.mailbox)


async def _copy(session: Session, raw: bytes, body: MessageBody, message: Incoming, count: Callable[[int], None]) -> None:
    (value,) = body.values
    if isinstance(value, bytes):
        count(len(value))
        await message.feed(value)
    elif isinstance(value, LargeSection):
        count(value.length)
        await _copy_large(session, value, message)
    else:
        raise BadUrlError(raw, "The URL's message has no such section")


async def _copy_large(session: Session, section: LargeSection, message: Incoming) -> None:
    done = 0
    while done < section.length:
        try:
            data = await session.run_blocking(read_piece, section, done, min(PIECE_BYTES, section.length - done))
        except OSError as error:
            raise ApplianceError(str(error)) from error
        if not data:
            raise ExpungedError("a message became shorter while it was read")
        await message.feed(data)
        done += len(data)
