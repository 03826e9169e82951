"""Events of the mail log to lines of the journal, and back."""

import logging

import pytest

from appliance.model.ids import QueueId, SessionId
from appliance.model.outcome import Action, Outcome
from appliance.observe.maillog import MailLog
from appliance.observe.trace import MAX_GATHERED, TraceEvent, TraceGatherer, parse_line

NOW_S = 1_700_000_000.125


@pytest.fixture
def gatherer() -> TraceGatherer:
    return TraceGatherer(lambda: NOW_S)


def log_to(gatherer: TraceGatherer) -> MailLog:
    logger = logging.Logger("test")  # noqa: LOG001 - outside the tree: nothing is shared between tests
    logger.addHandler(logging.NullHandler())
    return MailLog(logger, [gatherer])


def events_of(gatherer: TraceGatherer) -> list[TraceEvent]:
    text = gatherer.lines(gatherer.take()).decode()
    found = [parse_line(line) for line in text.splitlines()]
    assert None not in found
    return [event for event in found if event is not None]


def accept(log: MailLog, subject: str = "Hello", message_id: str = "<1@x>") -> None:
    log.message_queued(
        queue_id=QueueId("Q1"), session_id=SessionId("s"), client="[192.0.2.1]", account="", sender="bob@far.example",
        recipients=2, size=1_234, message_id=message_id, subject=subject,
    )  # fmt: skip


def test_accepted_and_attempted(gatherer: TraceGatherer) -> None:
    """Everything that people ask for is in the line."""
    log = log_to(gatherer)
    accept(log, "=?utf-8?q?Ol=C3=A1?=")
    outcome = Outcome(Action.RELAYED, "2.0.0", "taken", "250 2.0.0 OK", "mx", "mx[192.0.2.9]:25", "TLSv1.3")
    log.recipient_attempted(queue_id=QueueId("Q1"), sender="b", recipient="ana@x", original=None, outcome=outcome, delay_s=1)
    accepted, sent = events_of(gatherer)
    assert (NOW_S, "Q1", "A", "Olá", "<1@x>", "2") == (
        accepted.at_s, accepted.queue_id, accepted.kind, accepted["subject"], accepted["message_id"], accepted["nrcpt"],
    )  # fmt: skip
    assert ("S", "ana@x", "250 2.0.0 OK", "TLSv1.3", "") == (sent.kind, sent["to"], sent["diagnostic"], sent["tls"], sent["orig_to"])


def test_what_the_checks_found_is_kept(gatherer: TraceGatherer) -> None:
    """A word for each check, in one field; nothing where nothing was checked."""
    log = log_to(gatherer)
    accept(log)
    log.message_queued(
        queue_id=QueueId("Q2"), session_id=SessionId("s"), client="c", account="", sender="a", recipients=1, size=1, message_id="",
        verdicts={"spf": "pass", "dkim": "pass:x.example", "dmarc": "pass", "arc": "none"},
    )  # fmt: skip
    assert ["", "spf=pass dkim=pass:x.example dmarc=pass arc=none"] == [event["verdicts"] for event in events_of(gatherer)]


def test_a_refusal_has_no_queue_id(gatherer: TraceGatherer) -> None:
    """It is kept under a dash."""
    log_to(gatherer).message_refused(session_id=SessionId("s"), client="c", stage="RCPT", sender="a", recipient="b", reply="550 no")
    (event,) = events_of(gatherer)
    assert ("-", "X", "550 no") == (event.queue_id, event.kind, event["reply"])


@pytest.mark.parametrize("evil", ["a\tb\nc", "x\r\n1\tQ2\tB\tana", "\u2028", "\x00", "y" * 10_000, "\ud800"])
def test_a_peer_cannot_write_lines(gatherer: TraceGatherer, evil: str) -> None:
    """Tabs and line ends of others become spaces, and no field is without end."""
    accept(log_to(gatherer), evil, evil)
    data = gatherer.lines(gatherer.take())
    assert 1 == data.count(b"\n") == len(data.decode().splitlines())
    assert len(data) < 4_000
    event = parse_line(data.decode())
    assert event is not None
    assert ("Q1", "1234") == (event.queue_id, event["size"])


def test_other_events_are_not_kept(gatherer: TraceGatherer) -> None:
    """Sessions and logins have the log."""
    log_to(gatherer).notice("settings_loaded", file="x")
    assert 0 == gatherer.count


def test_memory_is_bounded(gatherer: TraceGatherer) -> None:
    """What finds no room is counted."""
    for _ in range(MAX_GATHERED + 2):
        gatherer("message_queued", logging.INFO, {})
    assert (MAX_GATHERED, 2) == (gatherer.count, gatherer.lost)


def test_the_subject_stays_out_of_the_log(gatherer: TraceGatherer) -> None:
    """The log is read by many."""
    records: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger = logging.Logger("test")  # noqa: LOG001 - as above
    logger.addHandler(Keeper())
    accept(MailLog(logger, [gatherer]), "secret")
    assert "secret" not in repr(records[0].__dict__)


@pytest.mark.parametrize("line", ["", "x", "1\tQ", "nan\tQ1\tA", "1\tQ1\tZ\tx", "-1\tQ1\tA", "1\t\tA", "inf\tQ1\tA"])
def test_what_is_no_line(line: str) -> None:
    """It is no event, and no error."""
    assert parse_line(line) is None


def test_each_expunged_message_has_its_line(gatherer: TraceGatherer) -> None:
    """The log tells them together."""
    log_to(gatherer).messages_expunged(
        session_id=SessionId("s"), service="imap", client="192.0.2.1", account="ana", mailbox="INBOX", count=3,
        queue_ids=[QueueId("Q1"), QueueId("Q2")],
    )  # fmt: skip
    first, second = events_of(gatherer)
    assert (["Q1", "Q2"], ["G", "G"]) == ([first.queue_id, second.queue_id], [first.kind, second.kind])
    assert ("ana", "INBOX", "imap", "192.0.2.1") == (first["user"], first["mailbox"], first["service"], first["client"])


def test_what_another_program_took_away(gatherer: TraceGatherer) -> None:
    """A line for each, without a client: nobody asked us."""
    log_to(gatherer).messages_vanished("ana", "INBOX", [QueueId("Q1"), QueueId("Q2")])
    assert [("Q1", "V", "ana"), ("Q2", "V", "ana")] == [(one.queue_id, one.kind, one["user"]) for one in events_of(gatherer)]
