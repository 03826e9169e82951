"""The active queue: which attempt comes next.

Owns the local queue (one, in order of arrival) and a queue per destination with
its concurrency. A destination gets one connection until it has answered, then a few, each success allows
one more, each failed connection one less; at none it is dead for a while
and everything queued for it goes back to the deferred queue at once. Turns go
round the destinations, so that a slow one delays only its own mail, and at each round its senders. An attempt that gets
nowhere for a while at a destination that has not answered yet gives its place among the
connections up: a hundred dead servers, each waited for, must not keep the others waiting. Pure, in memory.

Fails: never.
Does not: start anything or know the time but by argument.

Sources: Postfix SCHEDULER_README (slow start, feedback, dead destinations, round robin), qmgr(8).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.model.outcome import Action, Outcome
from appliance.model.routing import NextHop
from appliance.services.queue.entry import Slot
from appliance.services.queue.fair import FairQueue

__all__ = ["STUCK_S", "ActiveQueue", "Destination", "RelayGroup", "is_connection_failure"]

STUCK_S: Final = 0.5
"""A server that is there has answered by then, or soon will."""
_STUCK_SHARE: Final = 8
"""So many times ``max_connections`` may be stuck, each a socket that waits for a packet."""
_PRUNE_AT: Final = 1_000
"""So many destinations, and twice as many as were left last time, before the dead ones are looked through."""


@dataclass(slots=True, eq=False)
class RelayGroup:
    """Recipients of one message that share a next hop: one transaction."""

    destination: "Destination"
    slots: list[Slot]
    started_at_s: float = 0.0
    is_stuck: bool = False
    """It counts among the stuck, not among the connections."""


@dataclass(slots=True, eq=False)
class Destination:
    """One next hop. ``window`` is how many connections it may have now; 0 is dead until ``dead_until_s`` (monotonic)."""

    next_hop: NextHop
    window: int
    queue: FairQueue[RelayGroup] = field(default_factory=FairQueue)
    in_flight: int = 0
    dead_until_s: float = 0.0
    last_failure: Outcome | None = None
    queued: int = 0
    """Recipients in ``queue``."""
    has_answered: bool = False
    stuck: int = 0
    """Attempts under way that got nowhere so far."""
    is_listed: bool = False

    @property
    def is_dead(self) -> bool:
        return self.window == 0

    @property
    def is_silent(self) -> bool:
        """True while it lets us wait and has said nothing yet."""
        return self.stuck > 0 and not self.has_answered

    @property
    def may_start(self) -> bool:
        # More than one connection tells nothing more of a server that may not be there, and takes the place of others' mail.
        return bool(self.queue) and self.in_flight < (self.window if self.has_answered else min(self.window, 1))


def is_connection_failure(outcomes: Sequence[Outcome]) -> bool:
    """True when an attempt says something about the server rather than the message.

    That is: every recipient was deferred, and for want of a route or a connection
    (RFC 3463 section 3.5, X.4.x) or because the server closes (RFC 5321 section 3.8, 421).
    """
    return bool(outcomes) and all(
        one.action is Action.DEFERRED and (one.status.startswith("4.4.") or one.diagnostic.startswith("421")) for one in outcomes
    )


class ActiveQueue:
    """What waits in memory for its turn."""

    def __init__(self, *, max_connections: int, max_per_destination: int, initial_per_destination: int, max_recipients: int) -> None:
        self._max_connections = max_connections
        self._max_window = max(1, max_per_destination)
        self._initial_window = min(max(1, initial_per_destination), self._max_window)
        self._max_recipients = max(1, max_recipients)
        self._local: deque[Slot] = deque()
        self.local_bytes = 0
        """Size of the messages in the local queue, counted for each recipient."""
        self._destinations: dict[NextHop, Destination] = {}
        self._turns: deque[Destination] = deque()
        self._new_turns: deque[Destination] = deque()
        """Those of destinations that have not answered yet."""
        self._in_flight = 0
        self._unanswered: dict[RelayGroup, None] = {}
        """Under way, oldest first, where nobody has answered yet."""
        self._stuck = 0
        self._prune_at = _PRUNE_AT

    # Local

    @property
    def local_count(self) -> int:
        return len(self._local)

    def add_local(self, slot: Slot) -> None:
        self._local.append(slot)
        self.local_bytes += slot.entry.size

    def take_local(self, limit: int, max_bytes: int) -> list[Slot]:
        """Return the local recipients that have waited longest: at most ``limit``, and of ``max_bytes`` together or one."""
        taken: list[Slot] = []
        size = 0
        local = self._local
        while local and len(taken) < limit and size < max_bytes:
            slot = local.popleft()
            size += slot.entry.size
            taken.append(slot)
        self.local_bytes -= size
        return taken

    # Relay

    def destination(self, next_hop: NextHop) -> Destination:
        found = self._destinations.get(next_hop)
        if found is None:
            found = self._destinations[next_hop] = Destination(next_hop, self._initial_window)
        return found

    @property
    def destinations(self) -> Sequence[Destination]:
        return tuple(self._destinations.values())

    def add_relay(self, next_hop: NextHop, slots: Sequence[Slot], now_s: float) -> Outcome | None:
        """Queue recipients of one message for a next hop; when it is dead, queue nothing and return why."""
        destination = self.destination(next_hop)
        if destination.is_dead:
            if now_s < destination.dead_until_s:
                return destination.last_failure
            # One connection probes whether the server is back.
            destination.window = 1
        for start in range(0, len(slots), self._max_recipients):
            some = list(slots[start : start + self._max_recipients])
            destination.queue.append(some[0].entry.sender, RelayGroup(destination, some), len(some))
        destination.queued += len(slots)
        self._list(destination)
        return None

    def take_relay(self, now_s: float = 0.0) -> RelayGroup | None:
        """Return the next group that may be attempted now, taking turns over the destinations; count it as in flight."""
        if self._in_flight >= self._max_connections:
            return None
        while (turns := self._next_turns()) is not None:
            destination = turns.popleft()
            destination.is_listed = False
            if not destination.may_start:
                continue
            group = destination.queue.popleft()
            destination.queued -= len(group.slots)
            destination.in_flight += 1
            self._in_flight += 1
            if not destination.has_answered:
                group.started_at_s = now_s
                self._unanswered[group] = None
            self._list(destination)
            return group
        return None

    def ended(self, group: RelayGroup, outcomes: Sequence[Outcome], now_s: float, dead_for_s: float) -> list[RelayGroup]:
        """Take an attempt's feedback; return the groups that must be deferred because their destination has died of it.

        Units: ``now_s`` monotonic; ``dead_for_s`` how long nothing is tried there.
        """
        destination = group.destination
        self._leave(group)
        stranded: list[RelayGroup] = []
        failed = is_connection_failure(outcomes)
        destination.has_answered = not failed
        if failed:
            destination.last_failure = outcomes[0]
            destination.window = max(0, min(destination.window, destination.in_flight + 1) - 1)
            if destination.window == 0:
                destination.dead_until_s = now_s + dead_for_s
                stranded = list(destination.queue)
                destination.queue.clear()
                destination.queued = 0
        elif not destination.is_dead:
            destination.window = min(destination.window + 1, self._max_window)
        else:
            destination.window = 1
        self._list(destination)
        self._forget(destination)
        if len(self._destinations) >= self._prune_at:
            self.prune(now_s)
            self._prune_at = max(_PRUNE_AT, 2 * len(self._destinations))
        return stranded

    def reached(self, group: RelayGroup) -> bool:
        """Take notice that the server of an attempt under way is there; True when more may be started because of that."""
        destination = group.destination
        self._unanswered.pop(group, None)
        if group.is_stuck:
            self._unstick(group)
            self._in_flight += 1
        if destination.has_answered or destination.is_dead:
            return False
        destination.has_answered = True
        self._list(destination)
        return destination.is_listed

    def skipped(self, group: RelayGroup) -> None:
        """Take back a group that was taken and not attempted: its message was held or deleted meanwhile."""
        self._leave(group)
        self._list(group.destination)
        self._forget(group.destination)

    def give_way(self, now_s: float) -> bool:
        """Let attempts that got nowhere leave the count of connections; True when that made room."""
        room = _STUCK_SHARE * self._max_connections - self._stuck
        waited: list[RelayGroup] = []
        for group in self._unanswered:
            if len(waited) >= room or now_s < group.started_at_s + STUCK_S:
                break
            waited.append(group)
        for group in waited:
            del self._unanswered[group]
            if not group.destination.has_answered:
                group.is_stuck = True
                group.destination.stuck += 1
                self._stuck += 1
                self._in_flight -= 1
        return bool(waited)

    @property
    def has_unanswered(self) -> bool:
        return bool(self._unanswered)

    def _leave(self, group: RelayGroup) -> None:
        """Count an attempt out that is over."""
        group.destination.in_flight -= 1
        self._unanswered.pop(group, None)
        if group.is_stuck:
            self._unstick(group)
        else:
            self._in_flight -= 1

    def _unstick(self, group: RelayGroup) -> None:
        group.is_stuck = False
        group.destination.stuck -= 1
        self._stuck -= 1

    def revive(self, next_hop: NextHop) -> None:
        """Let a dead destination be probed at once: somebody asked for it."""
        found = self._destinations.get(next_hop)
        if found is not None:
            found.dead_until_s = 0.0

    def prune(self, now_s: float) -> None:
        """Forget destinations that are idle and whose rest is over."""
        for destination in self.destinations:
            if destination.is_dead and destination.dead_until_s <= now_s:
                self._forget(destination, even_dead=True)

    # Inside

    def _list(self, destination: Destination) -> None:
        if not destination.is_listed and destination.may_start:
            destination.is_listed = True
            (self._turns if destination.has_answered else self._new_turns).append(destination)

    def _next_turns(self) -> deque[Destination] | None:
        """Return whose turn it is: servers that may not be there keep those that are from half the connections at most."""
        if self._new_turns and (not self._turns or 2 * len(self._unanswered) < self._max_connections):
            return self._new_turns
        return self._turns or None

    def _forget(self, destination: Destination, *, even_dead: bool = False) -> None:
        """Drop a destination with nothing to say: thousands of domains are mailed once."""
        if destination.queue or destination.in_flight or (destination.is_dead and not even_dead):
            return
        del self._destinations[destination.next_hop]
