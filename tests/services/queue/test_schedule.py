"""What follows from an outcome, at which age."""

from dataclasses import replace

import pytest

from appliance.config.schema import QueueConfig
from appliance.model.content import MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient, Notify
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.policy.retry import next_attempt_s
from appliance.services.queue.entry import Entry, Slot
from appliance.services.queue.schedule import Schedule, Step

CONFIG = QueueConfig()
SCHEDULE = Schedule(CONFIG, next_attempt_s, lambda: 0.5)
DEFERRED = Outcome(Action.DEFERRED, "4.2.0", "busy", "450 busy", "mx.example")
HOUR = 3_600


def slot(*, sender: str = "ana@here", notify: Notify | None = None, attempts: int = 0, notice: int = 0, told: bool = False) -> Slot:
    """Return a recipient of a message that arrived at second 0."""
    envelope = Envelope(sender, (EnvelopeRecipient("x@one.example", notify),))
    entry = Entry(QueueId("A"), envelope, MemoryContent(b""), 0, 0.0, 0.0, notice)
    return Slot(entry, 0, envelope.recipients[0], attempts, told)


@pytest.mark.parametrize(
    ("one", "outcome", "age_s", "expected"),
    [
        (slot(), replace(DEFERRED, action=Action.RELAYED), 0, Step.DONE),
        (slot(), replace(DEFERRED, action=Action.BOUNCED), 0, Step.FAIL),
        (slot(), DEFERRED, 0, Step.RETRY),
        (slot(), DEFERRED, 4 * HOUR - 1, Step.RETRY),
        (slot(), DEFERRED, 4 * HOUR, Step.RETRY_AND_NOTIFY),
        (slot(told=True), DEFERRED, 5 * HOUR, Step.RETRY),
        (slot(sender=""), DEFERRED, 5 * HOUR, Step.RETRY),
        (slot(notify=Notify.FAILURE), DEFERRED, 5 * HOUR, Step.RETRY),
        (slot(notify=Notify.DELAY), DEFERRED, 5 * HOUR, Step.RETRY_AND_NOTIFY),
        (slot(), DEFERRED, 5 * 24 * HOUR, Step.FAIL),
        (slot(sender=""), DEFERRED, 24 * HOUR, Step.FAIL),
        (slot(sender="", notice=1), DEFERRED, 24 * HOUR - 1, Step.RETRY),
    ],
)
def test_steps(one: Slot, outcome: Outcome, age_s: int, expected: Step) -> None:
    """Each outcome at each age leads to its step."""
    assert expected is SCHEDULE.step(one, outcome, float(age_s))


def test_no_delay_notice_when_switched_off() -> None:
    """``delay_notice_s = 0``: never."""
    schedule = replace(SCHEDULE, config=replace(CONFIG, delay_notice_s=0))
    assert Step.RETRY is schedule.step(slot(), DEFERRED, 5.0 * HOUR)


def test_an_update_says_when_and_why() -> None:
    """The row keeps the try's number, the time of the next one and the peer's words, cut to a length."""
    update = SCHEDULE.update(slot(attempts=1), replace(DEFERRED, reason="x" * 5_000), 300.0)
    assert (2, 1_200.0, "4.2.0", "450 busy", "mx.example") == (
        update.attempts,
        update.next_attempt_s,
        update.status,
        update.diagnostic,
        update.remote_mta,
    )
    assert 1_000 == len(update.reason)


def test_waits_end_at_the_notice_and_at_the_end() -> None:
    """No wait passes over the delay notice or the end of the lifetime."""
    assert 4.0 * HOUR == SCHEDULE.update(slot(attempts=9), DEFERRED, 3.0 * HOUR).next_attempt_s
    assert 7.0 * HOUR == SCHEDULE.update(slot(attempts=9, told=True), DEFERRED, 3.0 * HOUR).next_attempt_s
    assert 120.0 * HOUR == SCHEDULE.update(slot(attempts=9, told=True), DEFERRED, 119.0 * HOUR).next_attempt_s


def test_an_expired_recipient_says_so() -> None:
    """The final outcome keeps the last try's facts and has the status of RFC 3463 for expiry."""
    expired = SCHEDULE.expired(slot().entry, DEFERRED)
    assert (Action.BOUNCED, "4.4.7", "450 busy") == (expired.action, expired.status, expired.diagnostic)
    assert "Not delivered within 5 days; last try: busy" == expired.reason


def test_no_room_in_memory_is_not_an_attempt() -> None:
    """A recipient put off for want of room comes back in about a minute and no later for it."""
    update = SCHEDULE.put_off(slot(attempts=3), 0.0, 60.0)
    assert (3, 60.0) == (update.attempts, update.next_attempt_s)


def test_mail_kept_for_another_server_is_kept_longer() -> None:
    """A backup MX holds mail for ten days; a report among it is not worth more than any."""
    schedule = replace(SCHEDULE, is_backup=lambda address: address == "x@one.example")
    assert [864_000, 864_000, 86_400] == [schedule.lifetime_s(one.entry) for one in (slot(), slot(attempts=3), slot(sender=""))]
    assert 432_000 == SCHEDULE.lifetime_s(slot().entry)
