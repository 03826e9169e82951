"""IDLE: tell changes as they happen until the client says DONE.

The one place with a second task: it waits for the change feed and sends, while
the session's own task waits for DONE. A send is never cut in two: only the
waiting is cancelled.

Source:   RFC 2177.
"""

import trio

from appliance.model.ports import Subscription
from appliance.protocols.imap import commands
from appliance.protocols.imap.events import IdleFinished
from appliance.services.imap.errors import Reply, bad, ok
from appliance.services.imap.session import Session

__all__ = ["idle"]


async def idle(session: Session, command: commands.Idle) -> Reply | None:
    """Return when the client sent DONE; without a selected mailbox there is nothing to tell meanwhile."""
    session.core.start_idle()
    selected, account = session.opened, session.account
    if selected is None or account is None:
        await session.flush()
        return await _wait_done(session)
    with session.shared.feed.subscribe(account, selected.mailbox.name) as subscription:
        # Only now, so that no change falls between the look and the watch.
        await session.sync(expunge=True, refresh=True)
        await session.flush()
        watcher = _Watcher(session, subscription)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            reply = await _wait_done(session)
            watcher.stop()
    return reply


async def _wait_done(session: Session) -> Reply | None:
    event = await session.next_event(idle=True, flush=False)
    if isinstance(event, IdleFinished):
        return ok("Idle completed") if event.properly else bad("DONE expected")
    # The stream ended, or the core has answered a line that was too long.
    return None


class _Watcher:
    def __init__(self, session: Session, subscription: Subscription) -> None:
        self._session = session
        self._subscription = subscription
        self._waiting = trio.CancelScope()
        self._stopping = trio.Event()

    def stop(self) -> None:
        self._stopping.set()
        self._waiting.cancel()

    async def run(self) -> None:
        while not self._stopping.is_set():
            with trio.CancelScope() as self._waiting:
                await self._subscription.wait_changed()
            if self._stopping.is_set():
                return
            await self._session.sync(expunge=True, refresh=True)
            # Our own words are no sign of life of the client.
            await self._session.flush(touch=False)
