"""What goes wrong on purpose in a session: delays, refusals and hang-ups that a developer asked for.

Owns doing it to the client; what is to happen, and to whom, the port
``FaultSource`` says. Only the catcher's listener has one.

Fails: ConnectionLostError when the connection is to end without a word.

Sources: RFC 5321 section 3.8 (421 ends the connection).
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import trio

from appliance.net.connection import ConnectionLostError
from appliance.protocols.smtp.replies import Reply

if TYPE_CHECKING:
    from appliance.model.caught import Fault

__all__ = ["before", "suffered"]


class Session(Protocol):
    """The session that it happens to. ``allow`` gives the connection that long, and the usual time after it."""

    reason: str

    def allow(self, delay_s: float) -> None: ...
    async def flush(self) -> None: ...
    def refuse(self, stage: str, reply: Reply) -> None: ...


def before(session: Session, stage: str, fault: "Fault | None", go_on: Callable[[], None]) -> Awaitable[None] | None:
    """Go on, unless something goes wrong on purpose; without a fault nothing is awaited."""
    if fault is None:
        go_on()
        return None
    return _interrupted(session, stage, fault, go_on)


async def _interrupted(session: Session, stage: str, fault: "Fault", go_on: Callable[[], None]) -> None:
    if not await suffered(session, stage, fault):
        go_on()


async def suffered(session: Session, stage: str, fault: "Fault | None") -> bool:
    """Do to the client what ``fault`` says; False when the command is to be answered as usual.

    Raises:   ConnectionLostError when the connection ends without a word.
    """
    if fault is None:
        return False
    if fault.delay_s:
        await session.flush()
        session.allow(fault.delay_s)
        await trio.sleep(fault.delay_s)
    if fault.hang_up:
        session.reason = "hung up on purpose"
        raise ConnectionLostError(session.reason)
    if fault.code:
        session.refuse(stage, Reply(fault.code, fault.status, fault.text))
        if fault.code == 421:  # the server ends it (RFC 5321 section 3.8)
            await session.flush()
            session.reason = "421 on purpose"
            raise ConnectionLostError(session.reason)
    return bool(fault.code)
