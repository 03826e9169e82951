"""Quota: what the administrator allows, what of it is used, and a word in time.

Each account is one quota root. An account without limits has none, so that no
client draws a gauge of nothing. Limits stand in the settings; SETQUOTA is refused.

Sources:  RFC 9208 sections 3.1 (roots), 4 (commands, OVERQUOTA) and 5 (resources).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar, TypeVarTuple

from appliance.model.errors import ApplianceError
from appliance.model.mailbox import QuotaResource, QuotaUse
from appliance.model.ports import MailStore
from appliance.protocols.imap import commands_mailboxes as commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.responses import mailbox_name, string
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "add_and_warn", "get_quota", "get_quota_root", "set_quota"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_ROOT = "User quota"
_UNIT = 1_024
"""STORAGE is told in units of 1,024 octets (RFC 9208 section 5.1)."""
_NAMES = {QuotaResource.STORAGE: "storage", QuotaResource.MESSAGE: "number of messages", QuotaResource.MAILBOX: "number of mailboxes"}


def _resource(use: QuotaUse) -> bytes:
    """Return name, usage and limit; what is used is rounded up, what is allowed down."""
    unit = _UNIT if use.resource is QuotaResource.STORAGE else 1
    return b"%b %d %d" % (use.resource.value.encode("ascii"), -(-use.used // unit), use.limit // unit)


def _tell(session: Session, uses: list[QuotaUse]) -> None:
    session.send(b"* QUOTA %b (%b)\r\n" % (string(_ROOT.encode("ascii")), b" ".join(map(_resource, uses))))


async def _uses(session: Session) -> list[QuotaUse]:
    return list(await session.run_blocking(session.store.quota))


def _no_such_root() -> Reply:
    return no("No such quota root", b"NONEXISTENT")


async def get_quota(session: Session, command: commands.GetQuota) -> Reply:
    """RFC 9208 section 4.1.1."""
    uses = await _uses(session)
    if command.root != _ROOT or not uses:
        return _no_such_root()
    _tell(session, uses)
    return ok("Getquota completed")


async def get_quota_root(session: Session, command: commands.GetQuotaRoot) -> Reply:
    """RFC 9208 section 4.1.2: also for a mailbox that is not there yet."""
    uses = await _uses(session)
    name = mailbox_name(command.mailbox, utf8=session.core.utf8)
    session.send(b"* QUOTAROOT %b%b\r\n" % (name, b" " + string(_ROOT.encode("ascii")) if uses else b""))
    if uses:
        _tell(session, uses)
    return ok("Getquotaroot completed")


async def set_quota(session: Session, command: commands.SetQuota) -> Reply:
    """RFC 9208 section 4.1.3; QUOTASET is not offered."""
    if command.root != _ROOT or not await _uses(session):
        return _no_such_root()
    return no("Quotas are set by the administrator, in the settings of the server", b"NOPERM")


async def add_and_warn(session: Session, add: Callable[[*Ts], T], *args: *Ts) -> T:
    """Call ``add``, which adds messages, and say it when little room is left; each resource once in a session (RFC 9208 section 4.3.1)."""
    percent = session.shared.settings.quota_warning_percent
    if not percent:
        return await session.run_blocking(add, *args)
    result, uses = await session.run_blocking(_added, session.store, add, *args)
    for use in uses:
        if use.used * 100 < use.limit * percent:
            session.quota_warnings.discard(use.resource)
        elif use.resource not in session.quota_warnings:
            session.quota_warnings.add(use.resource)
            text = f"Your {_NAMES[use.resource]} has reached {use.used * 100 // use.limit} % of what is allowed: delete what you can spare"
            session.core.send_untagged(Condition.NO, text, b"OVERQUOTA")
    return result


def _added(store: MailStore, add: Callable[[*Ts], T], *args: *Ts) -> tuple[T, Sequence[QuotaUse]]:
    """One hop to a thread for both. What was added is there whether or not what is used can be counted."""
    result = add(*args)
    try:
        return result, store.quota()
    except ApplianceError:
        return result, ()


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.GetQuota: get_quota,
    commands.GetQuotaRoot: get_quota_root,
    commands.SetQuota: set_quota,
}
