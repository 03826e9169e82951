"""What follows from an outcome: gone, once more later, given up, put aside. Pure decisions.

Owns the rules of lifetime and delay notices. The waits between attempts are
``policy.retry``.

Sources: RFC 5321 section 4.5.4.1 (retry, give-up time), RFC 3461 section 5.2.6 and 6.1
(when a delay is told), RFC 3463 section 3.5 (X.4.7), RFC 4865 section 5 (mail to be sent later), Postfix
maximal_queue_lifetime, bounce_queue_lifetime, delay_warning_time.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from appliance.config.schema import QueueConfig
from appliance.model.envelope import Notify
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.services.queue.entry import Entry, Slot
from appliance.storage.spool_schema import RecipientUpdate

__all__ = ["MAX_CRASHES", "RELEASE_REASON", "NextAttempt", "Schedule", "Step"]

MAX_CRASHES: Final = 2

NextAttempt = Callable[[int, QueueConfig, float], float]
"""``policy.retry.next_attempt_s``: attempts made, settings, jitter in 0..1 -> seconds to wait."""

_REASON_CHARACTERS: Final = 1_000
RELEASE_REASON: Final = "to be sent at this time, as its sender wished"


class Step(enum.Enum):
    DONE = "done"
    RETRY = "retry"
    RETRY_AND_NOTIFY = "retry and notify"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rules, with their settings and sources of chance."""

    config: QueueConfig
    next_attempt_s: NextAttempt
    jitter: Callable[[], float]
    is_backup: Callable[[str], bool] = lambda _address: False
    """Whether mail to an address is kept for another server (relay_domains)."""

    def step(self, slot: Slot, outcome: Outcome, now_s: float) -> Step:
        """Say what follows from an outcome. Units: ``now_s`` wall clock."""
        if outcome.action is Action.BOUNCED:
            return Step.FAIL
        if outcome.is_final:
            return Step.DONE
        age_s = now_s - slot.entry.starts_at_s
        if age_s >= self.lifetime_s(slot.entry):
            return Step.FAIL
        notice_s = self.config.delay_notice_s
        if notice_s and age_s >= notice_s and not slot.delay_noticed and slot.wants(Notify.DELAY) and slot.entry.envelope.reverse_path:
            return Step.RETRY_AND_NOTIFY
        return Step.RETRY

    def lifetime_s(self, entry: Entry) -> int:
        """Return how long an entry is tried; a message without a sender is never worth five days."""
        is_notice = entry.notice or not entry.envelope.reverse_path
        if is_notice:
            return min(self.config.notice_lifetime_s, self.config.lifetime_s)
        is_backup = any(self.is_backup(one.address) for one in entry.envelope.recipients)
        return self.config.backup_lifetime_s if is_backup else self.config.lifetime_s

    def expired(self, entry: Entry, outcome: Outcome) -> Outcome:
        """Return the final outcome of a recipient whose time is over."""
        days = self.lifetime_s(entry) / 86_400
        reason = f"Not delivered within {days:.3g} days; last try: {outcome.reason}"
        return replace(outcome, action=Action.BOUNCED, status="4.4.7", reason=reason)

    def update(self, slot: Slot, outcome: Outcome, now_s: float, *, delay_noticed: bool = False) -> RecipientUpdate:
        """Return the row of a recipient to be tried again.

        A wait never passes over the moment when the sender is told of the delay, nor over the end of the lifetime: it ends there.
        """
        attempts = slot.attempts + 1
        wait_s = self.next_attempt_s(attempts, self.config, self.jitter())
        next_s = now_s + wait_s
        for age_s in (self.lifetime_s(slot.entry), 0 if slot.delay_noticed or delay_noticed else self.config.delay_notice_s):
            if now_s < slot.entry.starts_at_s + age_s < next_s:
                next_s = slot.entry.starts_at_s + age_s
        return RecipientUpdate(
            queue_id=slot.entry.queue_id,
            number=slot.number,
            attempts=attempts,
            next_attempt_s=next_s,
            status=outcome.status,
            reason=outcome.reason[:_REASON_CHARACTERS],
            diagnostic=outcome.diagnostic[:_REASON_CHARACTERS],
            remote_mta=outcome.remote_mta,
            delay_noticed=slot.delay_noticed or delay_noticed,
        )

    @staticmethod
    def until_release(queue_id: QueueId, number: int, release_at_s: float) -> RecipientUpdate:
        """Return the row of a recipient whose message is to be sent at a time to come."""
        return RecipientUpdate(queue_id=queue_id, number=number, attempts=1, next_attempt_s=release_at_s, reason=RELEASE_REASON)

    def put_off(self, slot: Slot, now_s: float, seconds: float) -> RecipientUpdate:
        """Return the row of a recipient that was not attempted, only had no room in memory."""
        return RecipientUpdate(
            queue_id=slot.entry.queue_id,
            number=slot.number,
            attempts=max(1, slot.attempts),
            next_attempt_s=now_s + seconds * (0.5 + self.jitter()),
            reason="waits for others to the same destination",
            delay_noticed=slot.delay_noticed,
        )
