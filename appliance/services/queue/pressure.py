"""Backpressure: how much the queue holds in memory, and who waits for it to become less.

Owns three figures: bytes received and not yet committed, bytes committed and
kept in memory for delivery, local recipients not yet delivered. ``Intake.begin``
waits while they are too large; nothing else ever waits here, so that what was
begun can always be finished.

Sources: measurements of ingest outrunning delivery (16,000 messages in memory),
Postfix in_flow_delay.
"""

import trio

__all__ = ["Pressure"]


class Pressure:
    """The figures and the waiting room. In memory."""

    __slots__ = ("_max_backlog", "_max_bytes", "_waiting", "backlog", "kept_bytes", "pending_bytes")

    def __init__(self, max_bytes: int, max_backlog: int) -> None:
        self._max_bytes = max_bytes
        self._max_backlog = max_backlog
        self._waiting = trio.lowlevel.ParkingLot()
        self.pending_bytes = 0
        self.kept_bytes = 0
        self.backlog = 0

    @property
    def has_room(self) -> bool:
        return self.pending_bytes + self.kept_bytes <= self._max_bytes and self.backlog <= self._max_backlog

    @property
    def is_tight(self) -> bool:
        """True when large messages had better go to their files early."""
        return self.pending_bytes + self.kept_bytes > self._max_bytes // 2

    def may_keep(self, size: int) -> bool:
        """True if content of this size may stay in memory for delivery: at most half of all is used for that."""
        return self.kept_bytes + size <= self._max_bytes // 2

    def eased(self) -> None:
        """Let those in who wait, if there is room: called after a figure went down."""
        if self._waiting and self.has_room:
            self._waiting.unpark_all()

    async def wait_room(self) -> None:
        """Return when there is room."""
        while not self.has_room:
            await self._waiting.park()
