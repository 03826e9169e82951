"""INPROGRESS: say every ten seconds how far a long command is, so that no client takes us for dead.

Owns a task beside the command; it sends only while the command itself does not.

Source:   RFC 9585 section 4.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from appliance.model.errors import ApplianceError
from appliance.protocols.imap.responses import string
from appliance.services.imap.session import Session

__all__ = ["Progress", "reporting"]

EVERY_S: Final = 10.0
FEW: Final = 20
"""So few messages are done before anybody would ask."""


class Progress:
    """``done`` of ``goal`` messages; the command counts."""

    def __init__(self, session: Session, goal: int) -> None:
        self.done = 0
        self._session = session
        self._goal = goal
        self._waiting = trio.CancelScope()
        self._is_over = False

    def stop(self) -> None:
        """Say no more; what is being sent is sent to its end."""
        self._is_over = True
        self._waiting.cancel()

    async def report(self) -> None:
        """Tell every ten seconds, until ``stop``."""
        session = self._session
        while not self._is_over:
            # Only the waiting is cancelled: a send that is cut in two breaks the connection.
            with trio.CancelScope() as self._waiting:
                await trio.sleep(EVERY_S)
            if not self._is_over:
                session.note("Still at work", self._code())
                await session.flush()

    def _code(self) -> bytes:
        tag = self._session.core.tag
        # A number that reaches its goal would say that the command is over (RFC 9585 section 4).
        done = min(self.done, self._goal - 1)
        return b"INPROGRESS (%b %d %d)" % (b"NIL" if b"]" in tag else string(tag), done, self._goal)


@asynccontextmanager
async def reporting(session: Session, goal: int) -> AsyncIterator[Progress]:
    """Tell how far the block is. The block must not send; ``goal``: messages to be looked at or changed.

    Raises:   what the block raises; an ApplianceError as it is, not in a group.
    """
    progress = Progress(session, goal)
    if goal < FEW:
        yield progress
        return
    failure: ApplianceError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(progress.report)
        try:
            yield progress
        except ApplianceError as error:
            failure = error
        finally:
            progress.stop()
    if failure is not None:
        raise failure
