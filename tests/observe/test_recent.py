"""Recent troubles and the last day's deliveries."""

import logging

from appliance.model.clock import ManualClock
from appliance.observe.recent import BUCKET_S, BUCKETS, DeliveryHistory, RecentEvents


def test_the_same_trouble_is_kept_once_with_its_count() -> None:
    """Repeats raise the count and move it to the front, with the last subject."""
    clock = ManualClock(1000.0)
    recent = RecentEvents(clock)
    recent("auth_finished", logging.WARNING, {"status": "failed", "service": "imap", "user": "a"})
    recent("disk_low", logging.ERROR, {"reason": "2 % left", "fix": "delete something"})
    clock.advance(60)
    recent("auth_finished", logging.WARNING, {"status": "failed", "service": "imap", "user": "b"})
    recent("fine", logging.INFO, {})
    first, second = recent.latest()
    assert ("auth_finished", 2, 1000.0, 1060.0) == (first.event, first.count, first.first_at_s, first.last_at_s)
    assert "Auth finished (imap, b)" == first.text
    assert ("disk_low", True, "delete something") == (second.event, second.is_error, second.fix)
    assert "Disk low: 2 % left" == second.text


def test_warnings_never_push_out_errors() -> None:
    """Both memories are bounded on their own."""
    recent = RecentEvents(ManualClock(), most=5)
    recent("broken", logging.ERROR, {"reason": "x"})
    for number in range(100):
        recent("odd", logging.WARNING, {"reason": str(number)})
    events = recent.latest()
    assert 6 == len(events)
    assert ["broken"] == [event.event for event in events if event.is_error]


def test_a_day_of_outcomes() -> None:
    """Outcomes fall into their quarter of an hour and leave after 24 hours."""
    clock = ManualClock(BUCKET_S * 1000.0)
    history = DeliveryHistory(clock)
    history("recipient_attempted", logging.INFO, {"status": "delivered"})
    history("recipient_attempted", logging.INFO, {"status": "sent"})
    history("recipient_attempted", logging.INFO, {"status": "expanded"})
    history("message_refused", logging.INFO, {})
    history("session_finished", logging.INFO, {})
    clock.advance(BUCKET_S)
    history("recipient_attempted", logging.INFO, {"status": "deferred"})
    history("recipient_attempted", logging.WARNING, {"status": "bounced"})
    buckets = history.buckets()
    assert BUCKETS == len(buckets)
    assert (2, 0, 0, 1) == (buckets[-2].delivered, buckets[-2].deferred, buckets[-2].bounced, buckets[-2].refused)
    assert (0, 1, 1, 0) == (buckets[-1].delivered, buckets[-1].deferred, buckets[-1].bounced, buckets[-1].refused)
    assert BUCKET_S * 1001 == buckets[-1].start_s
    clock.advance(BUCKET_S * (BUCKETS - 1))
    assert 2 == sum(bucket.delivered + bucket.deferred + bucket.bounced + bucket.refused for bucket in history.buckets())
    clock.advance(BUCKET_S * 2)
    assert 0 == sum(bucket.deferred for bucket in history.buckets())
