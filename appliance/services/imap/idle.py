"""IDLE: tell changes as they happen until the client says DONE.

The telling is done by the task that watches the selected mailbox
(``session.Selected.watch``); this one waits for DONE.

Sources:  RFC 2177, RFC 5530 section 3 (CLIENTBUG).
"""

from collections.abc import Mapping
from typing import Final

from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.events import IdleFinished
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import Reply, ok
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "idle"]


async def idle(session: Session, command: commands.Idle) -> Reply | None:
    """Return when the client sent DONE; without a selected mailbox there is nothing to tell meanwhile."""
    session.core.start_idle()
    session.is_idling = True
    await session.tell_news()
    # No flush: the watching task may be sending.
    event = await session.next_event(idle=True, flush=False)
    await session.end_idling()
    if isinstance(event, IdleFinished):
        return ok("Idle completed") if event.properly else Reply(Condition.BAD, "DONE expected", b"CLIENTBUG")
    # The stream ended, or the core has answered a line that was too long.
    return None


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Idle: idle,
}
