"""Commands on mailboxes as such: make, remove, rename, subscribe, list, ask for numbers.

Sources:  RFC 3501 section 6.3, RFC 2342 (NAMESPACE), RFC 5258
          and RFC 5819 (LIST), RFC 6154 (CREATE USE), RFC 8438 (STATUS=SIZE),
          RFC 7162 section 3.1.7 (HIGHESTMODSEQ).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from appliance.model.errors import ApplianceError
from appliance.model.ids import INBOX, MailboxName
from appliance.model.mailbox import MailboxStatus
from appliance.model.ports import MailStore
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command, StatusItem
from appliance.protocols.imap.responses import list_response, mailbox_name, status
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.listing import SEPARATOR, Row, list_rows, lsub_rows
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import become_aware

__all__ = [
    "HANDLERS",
    "create",
    "delete",
    "list_mailboxes",
    "lsub",
    "mailbox_status",
    "namespace",
    "rename",
    "subscribe",
    "unsubscribe",
]

_STATUS_BATCH = 20
"""Mailboxes counted in one hop; each may have to look at a directory."""


def _trimmed(name: MailboxName) -> MailboxName:
    """A trailing separator only declares that children will follow (RFC 3501 section 6.3.3)."""
    return MailboxName(name.rstrip(SEPARATOR))


async def namespace(session: Session, command: commands.Namespace) -> Reply:
    session.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
    return ok("Namespace completed")


async def create(session: Session, command: commands.Create) -> Reply:
    name = _trimmed(command.mailbox)
    if name == INBOX:
        return no("INBOX exists always", b"ALREADYEXISTS")
    await session.run_blocking(session.store.create_mailbox, name, command.special_use)
    return ok("Mailbox created")


async def delete(session: Session, command: commands.Delete) -> Reply:
    name = _trimmed(command.mailbox)
    if name == INBOX:
        return no("INBOX cannot be deleted", b"CANNOT")
    if session.opened is not None and session.opened.mailbox.name == name:
        return no("This mailbox is selected: close it first", b"INUSE")
    await session.run_blocking(session.store.delete_mailbox, name)
    return ok("Mailbox deleted")


async def rename(session: Session, command: commands.Rename) -> Reply:
    new = _trimmed(command.new)
    if new == INBOX:
        return no("INBOX exists always", b"ALREADYEXISTS")
    await session.run_blocking(session.store.rename_mailbox, _trimmed(command.old), new)
    return ok("Mailbox renamed")


async def subscribe(session: Session, command: commands.Subscribe) -> Reply:
    await session.run_blocking(session.store.subscribe, _trimmed(command.mailbox))
    return ok("Subscribed")


async def unsubscribe(session: Session, command: commands.Unsubscribe) -> Reply:
    await session.run_blocking(session.store.unsubscribe, _trimmed(command.mailbox))
    return ok("Unsubscribed")


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
    rows = await session.run_blocking(_list, session.store, command)
    for low in range(0, len(rows), _STATUS_BATCH):
        batch = rows[low : low + _STATUS_BATCH]
        counted: Mapping[MailboxName, MailboxStatus] = {}
        if command.status:
            if StatusItem.HIGHESTMODSEQ in command.status:
                become_aware(session)
            counted = await session.run_blocking(_count, session.store, [row.name for row in batch if row.selectable])
        for row in batch:
            session.send(_row_line(session, b"LIST", row))
            if row.name in counted:
                session.send(_status_line(session, row.name, counted[row.name], command.status))
        await session.checkpoint()
    return ok("List completed")


def _count(store: MailStore, names: Sequence[MailboxName]) -> dict[MailboxName, MailboxStatus]:
    """Count what can be counted: a mailbox that just went has no STATUS (RFC 5819 section 2)."""
    counted: dict[MailboxName, MailboxStatus] = {}
    for name in names:
        try:
            counted[name] = store.status(name)
        except ApplianceError:
            continue
    return counted


async def lsub(session: Session, command: commands.Lsub) -> Reply:
    if not command.pattern:
        session.send(list_response(b"LSUB", ["\\Noselect"], b'""'))
        return ok("Lsub completed")
    for row in await session.run_blocking(_lsub, session.store, command):
        session.send(_row_line(session, b"LSUB", row))
    return ok("Lsub completed")


async def mailbox_status(session: Session, command: commands.Status) -> Reply:
    if StatusItem.HIGHESTMODSEQ in command.items:
        become_aware(session)
    counted = await session.run_blocking(session.store.status, command.mailbox)
    session.send(_status_line(session, command.mailbox, counted, command.items))
    return ok("Status completed")


def _status_line(session: Session, name: MailboxName, counted: MailboxStatus, items: Sequence[StatusItem]) -> bytes:
    values = {
        StatusItem.MESSAGES: counted.messages,
        StatusItem.RECENT: counted.recent,
        StatusItem.UIDNEXT: int(counted.uid_next),
        StatusItem.UIDVALIDITY: int(counted.uid_validity),
        StatusItem.UNSEEN: counted.unseen,
        StatusItem.SIZE: counted.size_bytes,
        StatusItem.HIGHESTMODSEQ: int(counted.highest_modseq),
    }
    return status(mailbox_name(name, utf8=session.core.utf8), {item.value: values[item] for item in items})


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Namespace: namespace,
    commands.Create: create,
    commands.Delete: delete,
    commands.Rename: rename,
    commands.Subscribe: subscribe,
    commands.Unsubscribe: unsubscribe,
    commands.List: list_mailboxes,
    commands.Lsub: lsub,
    commands.Status: mailbox_status,
}
