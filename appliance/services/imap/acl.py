"""Access rights: the owner of an account has all rights on all of its mailboxes, and nobody else has any.

LISTRIGHTS says so in the protocol's own words: the owner's rights cannot be
taken away, and to others none can be given. So SETACL and DELETEACL have nothing
that they could do.

Sources:  RFC 4314 sections 2.1 (rights), 3 and 5.1.1, RFC 8440 (MYRIGHTS in LIST).
"""

from collections.abc import Mapping
from typing import Final

from appliance.model.errors import NotFoundError
from appliance.model.ids import MailboxName
from appliance.protocols.imap import commands_mailboxes as commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.responses import astring, mailbox_name
from appliance.services.imap.errors import RefusalError, Reply, no, ok
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "delete_acl", "get_acl", "list_rights", "my_rights", "my_rights_line", "set_acl"]

OWNER_RIGHTS = b"lrswipkxtea"


async def _check_exists(session: Session, name: MailboxName) -> None:
    if not await session.run_blocking(session.store.exists, name):
        raise NotFoundError(name)


def _owner(session: Session) -> bytes:
    assert session.account is not None
    return astring(session.account.encode("utf-8"))


def my_rights_line(session: Session, name: MailboxName) -> bytes:
    """Return MYRIGHTS; also for LIST RETURN (MYRIGHTS)."""
    return b"* MYRIGHTS %b %b\r\n" % (mailbox_name(name, utf8=session.core.utf8), OWNER_RIGHTS)


async def my_rights(session: Session, command: commands.MyRights) -> Reply:
    """RFC 4314 section 3.5."""
    await _check_exists(session, command.mailbox)
    session.send(my_rights_line(session, command.mailbox))
    return ok("Myrights completed")


async def get_acl(session: Session, command: commands.GetAcl) -> Reply:
    """RFC 4314 section 3.3."""
    await _check_exists(session, command.mailbox)
    name = mailbox_name(command.mailbox, utf8=session.core.utf8)
    session.send(b"* ACL %b %b %b\r\n" % (name, _owner(session), OWNER_RIGHTS))
    return ok("Getacl completed")


async def list_rights(session: Session, command: commands.ListRights) -> Reply:
    """RFC 4314 section 3.4: what an identifier always has, then what it may be given."""
    await _check_exists(session, command.mailbox)
    name = mailbox_name(command.mailbox, utf8=session.core.utf8)
    is_owner = command.identifier.lower() == session.account
    identifier = astring(command.identifier.encode("utf-8"))
    session.send(b"* LISTRIGHTS %b %b %b\r\n" % (name, identifier, OWNER_RIGHTS if is_owner else b'""'))
    return ok("Listrights completed")


def _refuse() -> RefusalError:
    return RefusalError(no("Rights cannot be changed: shared folders are not offered, each mailbox belongs to its owner alone", b"NOPERM"))


async def set_acl(session: Session, command: commands.SetAcl) -> Reply:
    """RFC 4314 section 3.1."""
    await _check_exists(session, command.mailbox)
    raise _refuse()


async def delete_acl(session: Session, command: commands.DeleteAcl) -> Reply:
    """RFC 4314 section 3.2."""
    await _check_exists(session, command.mailbox)
    raise _refuse()


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.MyRights: my_rights,
    commands.GetAcl: get_acl,
    commands.ListRights: list_rights,
    commands.SetAcl: set_acl,
    commands.DeleteAcl: delete_acl,
}
