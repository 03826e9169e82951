"""What people are told of a message."""

from typing import Any

import pytest

from appliance.observe.trace import TraceEvent
from appliance.observe.tracetext import TRACE_TEXTS, Story, answer, headline, query_words, stories, timeline


def event(kind: str, at_s: float = 0.0, queue_id: str = "Q1", **fields: Any) -> TraceEvent:
    return TraceEvent(at_s, queue_id, kind, {name.rstrip("_"): str(value) for name, value in fields.items()})


ACCEPTED = event("A", 1, from_="bob@far.example", client="[192.0.2.1]", nrcpt=1, size=99, subject="Hi")
SENT = event("S", 2, to="ana@gmail.com", relay="gmail-smtp-in.l.google.com[192.0.2.9]:25", tls="TLSv1.3", diagnostic="250 2.0.0 OK")
WAITING = event("W", 3, to="eve@x.example", relay="mx.x.example[192.0.2.7]:25", diagnostic="451 4.7.1 later")
BOUNCED = event("B", 4, to="eve@x.example", relay="mx.x.example[192.0.2.7]:25", diagnostic="550 5.1.1 who?")
GONE = event("G", 7, user="ana", mailbox="INBOX", service="imap", client="192.0.2.5")
HELD = event("H", 5, state="hold", reason="delivery crashed")


def told(*events: TraceEvent, language: str = "en") -> str:
    return answer(Story("Q1", events), language, lambda at_s: f"10:3{at_s:.0f}")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([ACCEPTED, SENT], "Delivered to Gmail for ana@gmail.com at 10:32; they said 250 2.0.0 OK"),
        ([ACCEPTED], "Accepted at 10:31 and waiting in the queue for its first try"),
        ([ACCEPTED, WAITING], "Not delivered to eve@x.example yet, it will be tried again: mx.x.example said at 10:33: 451 4.7.1 later"),
        ([ACCEPTED, WAITING, BOUNCED], "Not delivered to eve@x.example, returned at 10:34: 550 5.1.1 who?"),
        ([ACCEPTED, HELD], "On hold since 10:35: delivery crashed"),
        (
            [ACCEPTED, event("D", 2, to="ana@x", reason="delivered to mailbox INBOX"), GONE],
            "Delivered to ana@x: delivered to mailbox INBOX at 10:32; deleted from INBOX of ana at 10:37",
        ),
        (
            [ACCEPTED, event("D", 2, to="ana@x", reason="delivered to mailbox INBOX"), event("V", 8, user="ana", mailbox="INBOX")],
            "Delivered to ana@x: delivered to mailbox INBOX at 10:32; another program took it out of INBOX of ana, seen at 10:38: deleted "
            "it, or put it into another folder",
        ),
        ([GONE], "Deleted from INBOX of ana at 10:37"),
        ([event("X", 6, from_="a@b", to="c@d", reply="550 no")], "Refused at 10:36: a@b to c@d was told 550 no"),
    ],
)
def test_the_answer(events: list[TraceEvent], expected: str) -> None:
    """What became of it, in the first line."""
    assert expected == told(*events)


def test_the_checks_are_told_with_the_acceptance() -> None:
    """Only where there were any."""
    checked = event("A", 1, client="c", size=9, nrcpt=1, verdicts="spf=pass dkim=none")
    steps = timeline(Story("Q1", (ACCEPTED, checked)), "en")
    assert [
        "accepted from [192.0.2.1] with 99 bytes for one recipient",
        "accepted from c with 9 bytes for one recipient; the checks found spf=pass dkim=none",
    ] == [text for _at, text in steps]


def test_several_recipients() -> None:
    """Trouble comes first; when there is none, all are counted."""
    accepted = event("A", 1, from_="b", nrcpt=2)
    other = event("D", 3, to="zoe@ours.example", reason="delivered to mailbox INBOX")
    assert "Delivered to all 2 recipients; the last one: " in told(accepted, SENT, other)
    assert told(accepted, SENT, BOUNCED).endswith("550 5.1.1 who? (1 of 2 recipients have it)")
    assert told(accepted, SENT).endswith("(1 of 2 recipients have it)")


@pytest.mark.parametrize("language", sorted(TRACE_TEXTS))
def test_every_kind_has_words(language: str) -> None:
    """In both languages, answer, headline and steps."""
    kinds = [ACCEPTED, SENT, WAITING, BOUNCED, HELD, event("C", 7, change="hold"), event("E", 8, to="l"), event("N", 9, about="Q1", to="b")]
    story = Story("Q1", tuple(kinds))
    assert len(kinds) == len(timeline(story, language))
    assert "bob@far.example" in headline(story, language)
    for one in kinds:
        assert told(one, language=language)


def test_both_languages_say_the_same() -> None:
    """The same keys, the same placeholders."""
    shapes = [
        {key: sorted(part.split("}")[0] for part in text.split("{")[1:]) for key, text in texts.items()} for texts in TRACE_TEXTS.values()
    ]
    assert shapes[0] == shapes[1]


def test_stories() -> None:
    """By message, the latest first; a notification is told with both messages, refusals each alone."""
    notice = event("N", 5, "Q2", about="Q1", to="b")
    refusals = [event("X", 6, "-"), event("X", 7, "-")]
    found = stories([ACCEPTED, BOUNCED, notice, *refusals])
    assert [("", 1), ("", 1), ("Q1", 3), ("Q2", 1)] == [(story.queue_id, len(story.events)) for story in found]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Ana@Example.COM", (["ana@example.com"], False)),
        ("<1@x>", (["1@x"], False)),
        ("0a1b2c3d", (["0a1b2c3d"], False)),
        ("Invoice for May", (["invoice", "for", "may"], True)),
        ("invoice", (["invoice"], True)),
        ("  ", ([], True)),
    ],
)
def test_queries(query: str, expected: tuple[list[str], bool]) -> None:
    """One thing is looked for everywhere, words in subjects."""
    assert expected == query_words(query)
