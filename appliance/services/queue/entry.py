"""A message in memory and its recipients: what the manager, the attempts and the bounces share.

Owns no behaviour beyond small questions. A ``Slot`` stands for one recipient
row that this process has in hand, from the moment it is taken until the commit
that removes or defers it; while it is there, the row is not taken again.

Sources: Postfix qmgr.h (QMGR_MESSAGE, QMGR_RCPT).
"""

import enum
from dataclasses import dataclass, field

from appliance.model.content import Content
from appliance.model.envelope import Envelope, EnvelopeRecipient, Notify
from appliance.model.ids import QueueId
from appliance.model.outcome import Outcome

__all__ = ["Entry", "Slot", "SlotState"]


class SlotState(enum.Enum):
    """``QUEUED`` waits for its turn, ``RUNNING`` is being attempted, ``UNSETTLED`` is delivered but not yet on
    stable storage, ``LEAVING`` waits for the commit that removes or defers its row.
    """

    QUEUED = "queued"
    RUNNING = "running"
    UNSETTLED = "unsettled"
    LEAVING = "leaving"


@dataclass(slots=True, eq=False)
class Slot:
    """One recipient in memory. ``attempts`` counts those that ended."""

    entry: "Entry"
    number: int
    recipient: EnvelopeRecipient
    attempts: int = 0
    delay_noticed: bool = False
    state: SlotState = SlotState.QUEUED
    started_at_s: float = 0.0

    def wants(self, kind: Notify) -> bool:
        """True if a DSN of this kind was asked for; silence asks for failure and delay (RFC 3461 section 4.1)."""
        notify = self.recipient.notify
        if notify is None:
            return kind is not Notify.SUCCESS
        return kind in notify


@dataclass(slots=True, eq=False)
class Entry:
    """One message in memory. Units: ``arrived_at_s`` and ``taken_at_s`` wall clock, seconds since the epoch."""

    queue_id: QueueId
    envelope: Envelope
    content: Content
    size: int
    arrived_at_s: float
    taken_at_s: float
    notice: int = 0
    crashes: int = 0
    kept_bytes: int = 0
    running: int = 0
    """Attempts under way; when the last one ends, a round of notifications is due."""
    is_held: bool = False
    is_deleted: bool = False
    slots: dict[int, Slot] = field(default_factory=dict)
    bounced: list[tuple[Slot, Outcome]] = field(default_factory=list)
    delayed: list[tuple[Slot, Outcome]] = field(default_factory=list)

    @property
    def sender(self) -> str:
        """Whose mail it is, where senders take turns: the account, else the reverse-path."""
        return self.envelope.client.account or self.envelope.reverse_path

    @property
    def starts_at_s(self) -> float:
        """Since when it is to be delivered: when it came, or when it was to be sent."""
        return max(self.arrived_at_s, self.envelope.release_at_s)

    @property
    def is_open(self) -> bool:
        """True while some recipient is neither delivered nor leaving."""
        return any(slot.state in {SlotState.QUEUED, SlotState.RUNNING} for slot in self.slots.values())
