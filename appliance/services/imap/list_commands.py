r"""LIST with all that it can return, LSUB, and STATUS.

Mailboxes are counted before they are told, so that one that goes meanwhile is
told as gone (RFC 5819 section 2).

Sources:  RFC 3501 section 6.3, RFC 5258 and RFC 5819 (LIST), RFC 7162 section 3.1.7, RFC 7889,
          RFC 8438 (STATUS=SIZE), RFC 8440 (MYRIGHTS), RFC 8474 (MAILBOXID), RFC 9208
          section 4.1.4 (DELETED, DELETED-STORAGE), RFC 9590 (METADATA).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.model.errors import ApplianceError
from appliance.model.ids import MailboxName
from appliance.model.mailbox import MailboxStatus
from appliance.model.ports import MailStore
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command, ListReturn, StatusItem
from appliance.protocols.imap.metadata_responses import metadata_values
from appliance.protocols.imap.responses import list_response, mailbox_name, status
from appliance.services.imap.acl import my_rights_line
from appliance.services.imap.errors import Reply, ok
from appliance.services.imap.listing import Row, list_rows, lsub_rows
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import become_aware

__all__ = ["HANDLERS", "list_mailboxes", "lsub", "mailbox_status"]

_BATCH = 20
"""Mailboxes looked at in one hop; each may have to look at a directory."""
_NEED_SIZES = {StatusItem.SIZE, StatusItem.DELETED_STORAGE}


@dataclass(slots=True)
class _Details:
    """What was found out about the mailboxes of a batch."""

    counted: dict[MailboxName, MailboxStatus] = field(default_factory=dict)
    annotations: dict[MailboxName, dict[str, bytes | None]] = field(default_factory=dict)
    gone: set[MailboxName] = field(default_factory=set)


def _list(store: MailStore, command: commands.List) -> list[Row]:
    # Matching runs in the same thread: a hostile list of patterns must not hold up the other sessions.
    return list_rows(command, store.list_mailboxes(), store.subscriptions())


def _lsub(store: MailStore, command: commands.Lsub) -> list[Row]:
    return lsub_rows(command, store.list_mailboxes(), store.subscriptions())


def _row_line(session: Session, kind: bytes, row: Row) -> bytes:
    return list_response(kind, row.attributes, mailbox_name(row.name, utf8=session.core.utf8), child_info=row.child_info)


async def list_mailboxes(session: Session, command: commands.List) -> Reply:
    if command.patterns == ("",) and not command.extended:
        # Asks for the separator and the root of the reference (RFC 3501 section 6.3.8).
        session.send(list_response(b"LIST", ["\\Noselect"], b'""'))
        return ok("List completed")
    if StatusItem.HIGHESTMODSEQ in command.status:
        become_aware(session)
    rows = await session.run_blocking(_list, session.store, command)
    for low in range(0, len(rows), _BATCH):
        batch = rows[low : low + _BATCH]
        details = _Details()
        if command.status or command.metadata:
            names = [row.name for row in batch if row.selectable and row.is_chosen]
            details = await session.run_blocking(_look, session.store, names, command)
        for row in batch:
            _tell(session, row, details, command)
        await session.checkpoint()
    return ok("List completed")


def _look(store: MailStore, names: Sequence[MailboxName], command: commands.List) -> _Details:
    details = _Details()
    for name in names:
        try:
            if command.status:
                details.counted[name] = _count(store, name, command.status)
            if command.metadata:  # RFC 9590 section 3: NIL for an entry without a value
                known = store.annotations(name)
                details.annotations[name] = {entry: known.get(entry) for entry in command.metadata}
        except ApplianceError:
            details.gone.add(name)
    return details


def _tell(session: Session, row: Row, details: _Details, command: commands.List) -> None:
    if row.name in details.gone:
        mark = "\\NonExistent" if command.extended else "\\Noselect"
        row = Row(row.name, (mark, *row.attributes), row.child_info, selectable=False)
    session.send(_row_line(session, b"LIST", row))
    if ListReturn.MYRIGHTS in command.returns and row.selectable and row.is_chosen:
        session.send(my_rights_line(session, row.name))
    if row.name in details.annotations:
        session.send(metadata_values(row.name, details.annotations[row.name], utf8=session.core.utf8))
    if row.name in details.counted:
        session.send(_status_line(session, row.name, details.counted[row.name], command.status))


async def lsub(session: Session, command: commands.Lsub) -> Reply:
    if not command.pattern:
        session.send(list_response(b"LSUB", ["\\Noselect"], b'""'))
        return ok("Lsub completed")
    for row in await session.run_blocking(_lsub, session.store, command):
        session.send(_row_line(session, b"LSUB", row))
    return ok("Lsub completed")


def _count(store: MailStore, name: MailboxName, items: Sequence[StatusItem]) -> MailboxStatus:
    return store.status(name, sizes=not _NEED_SIZES.isdisjoint(items))


async def mailbox_status(session: Session, command: commands.Status) -> Reply:
    if StatusItem.HIGHESTMODSEQ in command.items:
        become_aware(session)
    counted = await session.run_blocking(_count, session.store, command.mailbox, command.items)
    session.send(_status_line(session, command.mailbox, counted, command.items))
    if session.opened is not None and session.opened.mailbox.name == command.mailbox:
        # It knows already, or will not believe it: RFC 9051 section 6.3.11, RFC 5530 section 3.
        return ok("Status of the selected mailbox completed", b"CLIENTBUG")
    return ok("Status completed")


def _status_line(session: Session, name: MailboxName, counted: MailboxStatus, items: Sequence[StatusItem]) -> bytes:
    values: Mapping[StatusItem, int | str] = {
        StatusItem.MESSAGES: counted.messages,
        StatusItem.RECENT: counted.recent,
        StatusItem.UIDNEXT: int(counted.uid_next),
        StatusItem.UIDVALIDITY: int(counted.uid_validity),
        StatusItem.UNSEEN: counted.unseen,
        StatusItem.SIZE: counted.size_bytes,
        StatusItem.DELETED: counted.deleted,
        StatusItem.DELETED_STORAGE: counted.deleted_bytes,
        StatusItem.APPENDLIMIT: session.shared.settings.max_append_bytes,
        StatusItem.MAILBOXID: f"({counted.mailbox_id})",
        StatusItem.HIGHESTMODSEQ: int(counted.highest_modseq),
    }
    return status(mailbox_name(name, utf8=session.core.utf8), {item.value: values[item] for item in items})


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.List: list_mailboxes,
    commands.Lsub: lsub,
    commands.Status: mailbox_status,
}
