"""Metrics and their text."""

import logging

from appliance.model.ids import QueueId, SessionId
from appliance.model.outcome import Action, Outcome
from appliance.observe.counters import MailCounters, Registry
from appliance.observe.maillog import MailLog


def test_text_format() -> None:
    """HELP and TYPE once per metric, labels escaped, buckets cumulative (text format 0.0.4)."""
    registry = Registry()
    counter = registry.counter("carteiro_things_total", "Things", ("kind",))
    counter.add('a"\\\n')
    counter.add("b", amount=2)
    registry.gauge("carteiro_level", "Level", (), lambda: {(): 1.5})
    histogram = registry.histogram("carteiro_wait_seconds", "Wait", (0.5, 1))
    for value in (0.1, 0.5, 0.7, 3):
        histogram.observe(value)
    expected = (
        "# HELP carteiro_level Level\n# TYPE carteiro_level gauge\ncarteiro_level 1.5\n"
        "# HELP carteiro_things_total Things\n# TYPE carteiro_things_total counter\n"
        'carteiro_things_total{kind="a\\"\\\\\\n"} 1\ncarteiro_things_total{kind="b"} 2\n'
        "# HELP carteiro_wait_seconds Wait\n# TYPE carteiro_wait_seconds histogram\n"
        'carteiro_wait_seconds_bucket{le="0.5"} 2\ncarteiro_wait_seconds_bucket{le="1"} 3\ncarteiro_wait_seconds_bucket{le="+Inf"} 4\n'
        "carteiro_wait_seconds_sum 4.3\ncarteiro_wait_seconds_count 4\n"
    )
    assert expected == registry.render()


def test_series_are_bounded() -> None:
    """Labels that a peer could invent end up in one series."""
    counter = Registry().counter("carteiro_x_total", "X", ("name",))
    for number in range(1_000):
        counter.add(str(number))
    assert 800 == counter.value("other")


def test_mail_log_is_counted(caplog: object) -> None:
    """Every event that matters moves its counter, with the labels of its fields."""
    registry = Registry()
    log = MailLog(logging.getLogger("unheard"), [MailCounters(registry)])
    log.session_finished(
        session_id=SessionId("s"), service="pop3", client="", account="", tls="", commands=1, messages=0, bytes_in=10, bytes_out=20,
        duration_s=1, reason="quit",
    )  # fmt: skip
    log.auth_finished(session_id=SessionId("s"), service="imap", client="", login="x", mechanism="PLAIN", succeeded=False)
    log.message_refused(session_id=SessionId("s"), client="", stage="RCPT", sender="", recipient="", reply="550", check="list")
    log.message_queued(
        queue_id=QueueId("q"), session_id=SessionId("s"), client="", account="", sender="", recipients=1, size=99, message_id=""
    )
    for action in (Action.DELIVERED, Action.DEFERRED):
        log.recipient_attempted(
            queue_id=QueueId("q"), sender="", recipient="", original=None, outcome=Outcome(action, "2.0.0", ""), delay_s=0.3
        )
    log.error("disk_full")
    lines = registry.render().splitlines()
    for line in (
        'carteiro_sessions_total{service="pop3"} 1',
        'carteiro_session_received_bytes_total{service="pop3"} 10',
        'carteiro_session_sent_bytes_total{service="pop3"} 20',
        'carteiro_logins_total{service="imap",status="failed"} 1',
        'carteiro_messages_refused_total{stage="RCPT"} 1',
        'carteiro_checks_refused_total{check="list"} 1',
        "carteiro_messages_queued_total 1",
        "carteiro_messages_queued_bytes_total 99",
        'carteiro_recipients_total{status="delivered"} 1',
        'carteiro_recipients_total{status="deferred"} 1',
        "carteiro_delivery_delay_seconds_count 1",
        'carteiro_log_events_total{level="error",event="disk_full"} 1',
        'carteiro_log_events_total{level="warning",event="auth_finished"} 1',
    ):
        assert line in lines
