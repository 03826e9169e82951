r"""Annotations of mailboxes and of the server: GETMETADATA and SETMETADATA.

Mailbox entries and the server's private ones are the user's; the server's
shared ones stand in the settings. ``/private/specialuse`` is no text of its own:
it shows and sets what LIST tells (RFC 6154 section 4). An entry without a value
is told as NIL when it was asked for by its own name.

Sources:  RFC 5464 sections 3 and 4, RFC 5466 section 3.2 (filters).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from appliance.model.errors import LimitError
from appliance.model.ids import INBOX, MailboxName
from appliance.model.mailbox import SpecialUse
from appliance.protocols.imap import commands_mailboxes as commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_mailboxes import ANY_DEPTH
from appliance.protocols.imap.metadata_responses import metadata_values
from appliance.services.imap.auth import read_special_uses
from appliance.services.imap.errors import RefusalError, Reply, no, ok
from appliance.services.imap.filters import is_filter
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "get_metadata", "set_metadata"]

SPECIAL_USE: Final = "/private/specialuse"


def _server_entries(session: Session) -> dict[str, bytes]:
    settings = session.shared.settings
    admin = settings.admin or f"mailto:postmaster@{session.shared.hostname}"
    fixed = {"/shared/admin": admin, "/shared/comment": settings.comment}
    return {entry: text.encode("utf-8") for entry, text in fixed.items() if text}


async def _all_entries(session: Session, name: MailboxName) -> dict[str, bytes]:
    known = dict(await session.run_blocking(session.store.annotations, name or None))
    return known if name else known | _server_entries(session)


def _chosen(known: Mapping[str, bytes], entry: str, depth: int) -> dict[str, bytes | None]:
    """Return what is asked for by one name (RFC 5464 section 4.2.2)."""
    if not depth:
        return {entry: known.get(entry)}
    base = entry.count("/")
    return {
        name: value
        for name, value in sorted(known.items())
        if name == entry or (name.startswith(entry + "/") and (depth == ANY_DEPTH or name.count("/") - base <= depth))
    }


async def get_metadata(session: Session, command: commands.GetMetadata) -> Reply:
    """RFC 5464 section 4.2."""
    known = await _all_entries(session, command.mailbox)
    values: dict[str, bytes | None] = {}
    for entry in command.entries:
        values |= _chosen(known, entry, command.depth)
    longest = 0
    if command.max_bytes is not None:
        long = {entry: len(value) for entry, value in values.items() if value is not None and len(value) > command.max_bytes}
        longest = max(long.values(), default=0)
        values = {entry: value for entry, value in values.items() if entry not in long}
    if values:
        session.send(metadata_values(command.mailbox, values, utf8=session.core.utf8))
    return ok("Getmetadata completed", b"METADATA LONGENTRIES %d" % longest if longest else b"")


async def set_metadata(session: Session, command: commands.SetMetadata) -> Reply:
    """All or nothing (RFC 5464 section 4.3)."""
    settings = session.shared.settings
    changes = dict(command.values)
    if not command.mailbox and any(entry.startswith("/shared/") for entry in changes):
        return no("Shared entries of the server are set by the administrator", b"NOPERM")
    if any(value is not None and len(value) > settings.max_annotation_bytes for value in changes.values()):
        return no(f"A value has at most {settings.max_annotation_bytes} bytes", b"METADATA MAXSIZE %d" % settings.max_annotation_bytes)
    if not command.mailbox and not all(value is None or is_filter(entry, value) for entry, value in changes.items()):
        return no("The value of a filter is a whole search criterion")
    uses = _wanted_uses(command.mailbox, changes)
    try:
        await session.run_blocking(session.store.annotate, command.mailbox or None, changes, settings.max_annotations, uses, session)
    except LimitError:
        return no(f"At most {settings.max_annotations} entries may have a value here", b"METADATA TOOMANY")
    return ok("Setmetadata completed")


def _wanted_uses(name: MailboxName, changes: dict[str, bytes | None]) -> Sequence[SpecialUse] | None:
    """Take the special uses out of the changes; None when they are not to change. Raises RefusalError (RFC 6154 section 4)."""
    if not name or SPECIAL_USE not in changes:
        return None
    words = (changes.pop(SPECIAL_USE) or b"").decode("utf-8", "replace").split()
    uses = read_special_uses(words)
    if name == INBOX and uses:
        raise RefusalError(no("INBOX has its use already", b"USEATTR"))
    return uses


HANDLERS: Final[Mapping[type[Command], Handler]] = {commands.GetMetadata: get_metadata, commands.SetMetadata: set_metadata}
