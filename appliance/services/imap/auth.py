r"""Commands on mailboxes as such: make, remove, rename, subscribe.

Sources:  RFC 3501 section 6.3, RFC 2342 (NAMESPACE), RFC 6154 section 3 (CREATE
          USE), RFC 8457 (\\Important), RFC 8474 section 4.1 (MAILBOXID).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from appliance.model.ids import INBOX, MailboxName
from appliance.model.mailbox import SpecialUse
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.grammar import printable
from appliance.services.imap.errors import RefusalError, Reply, no, ok
from appliance.services.imap.listing import SEPARATOR
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "create", "delete", "namespace", "read_special_uses", "rename", "subscribe", "unsubscribe"]

_SPECIAL_USES = {"\\" + use.value.upper(): use for use in SpecialUse}
_VIEWS = {SpecialUse.ALL, SpecialUse.FLAGGED}
"""What would have to show the messages of other mailboxes."""


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
    uses = read_special_uses(command.special_uses)
    mailbox_id = await session.run_blocking(session.store.create_mailbox, name, uses, session)
    return ok("Mailbox created", b"MAILBOXID (%b)" % mailbox_id.encode("ascii"))


def read_special_uses(words: Iterable[str]) -> tuple[SpecialUse, ...]:
    """Return what these attributes mean. Raises RefusalError for those that no mailbox here can have (RFC 6154 section 3)."""
    uses: dict[SpecialUse, None] = {}
    for word in words:
        use = _SPECIAL_USES.get(word.upper())
        shown = printable(word.encode())
        if use is None:
            raise RefusalError(no(f"Special use {shown} is not known", b"USEATTR"))
        if use in _VIEWS:
            raise RefusalError(no(f"Special use {shown} would show the messages of other mailboxes, which is not offered", b"USEATTR"))
        uses[use] = None
    return tuple(uses)


async def delete(session: Session, command: commands.Delete) -> Reply:
    name = _trimmed(command.mailbox)
    if name == INBOX:
        return no("INBOX cannot be deleted", b"CANNOT")
    if session.opened is not None and session.opened.mailbox.name == name:
        return no("This mailbox is selected: close it first", b"INUSE")
    await session.run_blocking(session.store.delete_mailbox, name, session)
    return ok("Mailbox deleted")


async def rename(session: Session, command: commands.Rename) -> Reply:
    new = _trimmed(command.new)
    if new == INBOX:
        return no("INBOX exists always", b"ALREADYEXISTS")
    await session.run_blocking(session.store.rename_mailbox, _trimmed(command.old), new, session)
    return ok("Mailbox renamed")


async def subscribe(session: Session, command: commands.Subscribe) -> Reply:
    await session.run_blocking(session.store.subscribe, _trimmed(command.mailbox), session)
    return ok("Subscribed")


async def unsubscribe(session: Session, command: commands.Unsubscribe) -> Reply:
    await session.run_blocking(session.store.unsubscribe, _trimmed(command.mailbox), session)
    return ok("Unsubscribed")


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Namespace: namespace,
    commands.Create: create,
    commands.Delete: delete,
    commands.Rename: rename,
    commands.Subscribe: subscribe,
    commands.Unsubscribe: unsubscribe,
}
