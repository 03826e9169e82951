"""Finding in mailboxes of both formats: what is known, learned, asked, forgotten, and what breaks."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.message.collation import casemap
from appliance.model.finding import HeaderContains, HeaderText, Measure, MeasureWithin, Question, SortCriterion, SortKey, TextContains
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage
from appliance.model.ports import Mailbox
from appliance.storage.finder import MAX_KEPT_TEXT, MailboxFinder
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
NewMessageMaker = Callable[..., NewMessage]
StoresMaker = Callable[..., FileMailStores]


def text(subject: str, body: str = "body", *, date: str = "", extra: str = "") -> bytes:
    when = f"Date: {date}\r\n" if date else ""
    return f"From: Ana <ana@example.org>\r\nSubject: {subject}\r\n{when}{extra}\r\n{body}\r\n".encode()


def fill(stores: FileMailStores, new_message: NewMessageMaker, *messages: bytes) -> Mailbox:
    """Append messages that arrived in 2001, 1000 seconds after each other."""
    store = stores.account(ANA)
    store.append(INBOX, [new_message(data=data, at_s=1_000_000_000.0 + 1_000 * number) for number, data in enumerate(messages, 1)])
    return store.open_mailbox(INBOX)


def learned(mailbox: Mailbox, *, texts: bool = False) -> MailboxFinder:
    finder = mailbox.finder
    assert isinstance(finder, MailboxFinder)
    uids = list(mailbox.snapshot().uids)
    finder.learn(finder.missing(uids))
    if texts:
        finder.learn_texts(finder.missing_texts(uids))
    return finder


def ask(mailbox: Mailbox, question: Question) -> tuple[list[int], list[int]]:
    """Return what matches and what is unknown."""
    answer = mailbox.finder.ask(question, list(mailbox.snapshot().uids))
    return list(answer.matching), list(answer.unknown)


def test_what_was_not_learned_is_unknown(stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """No answer is made up."""
    mailbox = fill(stores, new_message, text("one"), text("two"))
    question = HeaderContains(HeaderText.SUBJECT, b"ONE")
    assert ([], [1, 2]) == ask(mailbox, question)
    learned(mailbox)
    assert ([1], []) == ask(mailbox, question)
    assert ([], [1, 2]) == ask(mailbox, TextContains(b"BODY", with_header=False))


def test_questions(stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """Each kind of question, on messages that have what it asks for and on some that have not."""
    mailbox = fill(
        stores,
        new_message,
        text("Ação", "the cat", date="1 Jan 2020 23:00:00 -0800"),
        text("other", "a DOG", extra="Cc: x@y\r\n"),
        b"\r\nno header\r\n",
    )
    learned(mailbox, texts=True)
    assert ([1], []) == ask(mailbox, HeaderContains(HeaderText.SUBJECT, casemap("ação")))
    assert ([1, 2], []) == ask(mailbox, HeaderContains(HeaderText.SUBJECT, b""))
    assert ([2], []) == ask(mailbox, HeaderContains(HeaderText.CC, b""))
    assert ([2], []) == ask(mailbox, MeasureWithin(Measure.ARRIVED_S, 1_000_001_500, 1_000_002_500))
    assert ([1], []) == ask(mailbox, MeasureWithin(Measure.SENT_DAY, 737_425, 737_425))
    assert ([3], []) == ask(mailbox, MeasureWithin(Measure.SIZE_BYTES, 0, 20))
    assert ([2], []) == ask(mailbox, TextContains(b"DOG", with_header=False))
    assert ([1, 2], []) == ask(mailbox, TextContains(b"ANA@EXAMPLE", with_header=True))
    assert ([], []) == ask(mailbox, TextContains(b"ANA@EXAMPLE", with_header=False))
    assert {1: casemap("Ação"), 2: b"OTHER"} == mailbox.finder.header_texts(HeaderText.SUBJECT, [1, 2, 3])
    assert {3: b"\0NO HEADER\r\n"} == mailbox.finder.body_texts([3])


def test_orders(stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """Several criteria, reversed ones, ties in the order of the mailbox, and scores."""
    mailbox = fill(stores, new_message, text("b"), text("Re: A", "longer"), text("b"), text("", "x", date="1 Jan 2020 00:00:00 +0000"))
    finder = learned(mailbox)

    def order(*criteria: SortCriterion, scores: dict[int, int] | None = None) -> list[int]:
        return list(finder.sort(criteria, scores or {}, range(1, 5)))

    assert [4, 2, 1, 3] == order(SortCriterion(SortKey.SUBJECT))
    assert [1, 3, 2, 4] == order(SortCriterion(SortKey.SUBJECT, reverse=True))
    assert [3, 1, 2, 4] == order(SortCriterion(SortKey.SUBJECT, reverse=True), SortCriterion(SortKey.ARRIVAL, reverse=True))
    assert [1, 2, 3, 4] == order(SortCriterion(SortKey.DATE))  # without a Date the arrival counts
    assert [3, 1, 2, 4] == order(SortCriterion(SortKey.RELEVANCY), scores={3: 90, 1: 50})
    assert [2, 4, 1, 3] == order(SortCriterion(SortKey.RELEVANCY, reverse=True), scores={3: 90, 1: 50})
    assert [1, 2, 3, 4] == order(
        SortCriterion(SortKey.FROM), SortCriterion(SortKey.CC), SortCriterion(SortKey.TO), SortCriterion(SortKey.DISPLAYFROM)
    )


def test_thread_rows(stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """Identifiers are hashes, equal where the identifiers are; without a Date the arrival counts."""
    mailbox = fill(stores, new_message, text("x", extra="Message-ID: <a@b>\r\n"), text("Re: x", extra="In-Reply-To: <a@b>\r\n"))
    first, second = learned(mailbox).thread_rows([1, 2])
    assert [first.message_id] == list(second.parents)
    assert (1, 1_000_001_000, 1_000_001_000, b"X", False) == first[:5]
    assert second.is_reply


def test_a_restart_a_new_message_and_an_expunge(make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
    """What was learned is known after a restart; only what is new is missing, and what is gone is forgotten."""
    mailbox = fill(make_stores(), new_message, text("one"), text("two"))
    learned(mailbox)
    stores = make_stores()
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    assert [] == list(mailbox.finder.missing([1, 2]))
    stores.account(ANA).append(INBOX, [new_message(data=text("three"))])
    mailbox.expunge([1])  # type: ignore[list-item]
    uids = list(mailbox.snapshot().uids)
    assert [3] == list(mailbox.finder.missing(uids))
    learned(mailbox)
    assert ([2, 3], []) == ask(mailbox, HeaderContains(HeaderText.SUBJECT, b"T"))
    assert [2, 3] == list(mailbox.finder.sort([SortCriterion(SortKey.ARRIVAL)], {}, [2, 3]))


def test_other_mailboxes_and_other_names(stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """One mailbox's rows are not another's; they follow a rename and go with a deletion."""
    store = stores.account(ANA)
    old, new = MailboxName("Old"), MailboxName("New")
    fill(stores, new_message, text("one"))
    store.create_mailbox(old)
    store.append(old, [new_message(data=text("two"))])
    learned(store.open_mailbox(INBOX))
    learned(store.open_mailbox(old))
    store.rename_mailbox(old, new)
    mailbox = store.open_mailbox(new)
    assert [] == list(mailbox.finder.missing([1]))
    assert ([1], []) == ask(mailbox, HeaderContains(HeaderText.SUBJECT, b"TWO"))
    store.delete_mailbox(new)
    store.create_mailbox(new)
    store.append(new, [new_message(data=text("three"))])
    mailbox = store.open_mailbox(new)
    assert [1] == list(mailbox.finder.missing([1]))
    assert ([1], []) == ask(store.open_mailbox(INBOX), HeaderContains(HeaderText.SUBJECT, b"ONE"))


def test_text_that_is_too_long_is_not_kept(stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """Its message stays unknown, so that its file is looked into; it is not read again for the index."""
    mailbox = fill(stores, new_message, text("short", "cat"), text("long", "cat " * (MAX_KEPT_TEXT // 4)))
    finder = learned(mailbox, texts=True)
    assert ([1], [2]) == ask(mailbox, TextContains(b"CAT", with_header=False))
    assert [] == list(finder.missing_texts([1, 2]))


def test_the_file_is_deleted_while_in_use(make_stores: StoresMaker, new_message: NewMessageMaker, tmp_path: Path) -> None:
    """All of it is unknown then, and learned again."""
    mailbox = fill(make_stores(), new_message, text("one"))
    learned(mailbox)
    for path in (tmp_path / "data" / "index").glob("ana.text*"):
        path.unlink()
    assert [1] == list(mailbox.finder.missing([1]))
    learned(mailbox)
    assert ([1], []) == ask(mailbox, HeaderContains(HeaderText.SUBJECT, b"ONE"))


@pytest.mark.parametrize("damage", [b"", b"no database at all, only words", b"SQLite format 3\0" + bytes(200)])
def test_a_damaged_file_is_made_anew(make_stores: StoresMaker, new_message: NewMessageMaker, tmp_path: Path, damage: bytes) -> None:
    """Empty, foreign, or broken behind its first words."""
    stores = make_stores()
    learned(fill(stores, new_message, text("one")))
    stores.close()
    (tmp_path / "data" / "index" / "ana.text").write_bytes(damage)
    mailbox = make_stores().account(ANA).open_mailbox(INBOX)
    learned(mailbox)
    assert ([1], []) == ask(mailbox, HeaderContains(HeaderText.SUBJECT, b"ONE"))


def test_a_file_that_cannot_be_written_lives_in_memory(make_stores: StoresMaker, new_message: NewMessageMaker, tmp_path: Path) -> None:
    """A full or read-only disk costs the next start its knowledge, not this session its answers."""
    mailbox = fill(make_stores(), new_message, text("b"), text("a"))
    (tmp_path / "data" / "index" / "ana.text").mkdir(parents=True)
    learned(mailbox)
    assert ([2], []) == ask(mailbox, HeaderContains(HeaderText.SUBJECT, b"A"))
    assert [2, 1] == list(mailbox.finder.sort([SortCriterion(SortKey.SUBJECT)], {}, [1, 2]))


@pytest.mark.parametrize(
    "word", ["cat", "at", "Ação", "c't \"x", "the cat sat on the mat and the dog lay beside it while the rain fell on the roof tonight"]
)
def test_triples_find_what_a_scan_finds(make_stores: StoresMaker, new_message: NewMessageMaker, word: str) -> None:
    """The candidates of the trigram index are looked through, so that it answers as the scan does."""
    bodies = [f"so {word} is here", "a cta tac", "nothing", word.upper(), word[::-1]]
    mailbox = fill(make_stores(trigrams=True), new_message, *[text(f"s{number}", body) for number, body in enumerate(bodies)])
    learned(mailbox, texts=True)
    expected = [number for number, body in enumerate(bodies, 1) if casemap(word) in casemap(body)]
    assert (expected, []) == ask(mailbox, TextContains(casemap(word), with_header=False))
    assert (expected, []) == ask(mailbox, TextContains(casemap(word), with_header=True))
    mailbox.expunge([1])  # type: ignore[list-item]
    list(mailbox.finder.missing(list(mailbox.snapshot().uids)))
    assert (expected[1:], []) == ask(mailbox, TextContains(casemap(word), with_header=True))


def test_an_older_version_is_thrown_away(make_stores: StoresMaker, new_message: NewMessageMaker, tmp_path: Path) -> None:
    """It holds nothing that cannot be learned again."""
    stores = make_stores()
    learned(fill(stores, new_message, text("one")))
    stores.close()
    with sqlite3.connect(tmp_path / "data" / "index" / "ana.text") as connection:
        connection.execute("PRAGMA user_version=999")
    connection.close()
    assert [1] == list(make_stores().account(ANA).open_mailbox(INBOX).finder.missing([1]))
