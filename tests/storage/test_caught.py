"""The store of caught messages: lists, searches, tags, retention, large messages and old files."""

from pathlib import Path
from typing import Any

import pytest

from appliance.message.reading import index_message
from appliance.model.caught import CaughtEnvelope
from appliance.model.content import MemoryContent
from appliance.model.errors import UnavailableError
from appliance.policy.caught_search import parse_query
from appliance.storage.caught import CaughtStore, NewCaught
from appliance.storage.caught_sql import condition
from appliance.storage.spool_content import FileContent

DATA = (
    b"From: Ana Souza <ana@shop.test>\r\nTo: dev+blue@app.test\r\nCc: copy@app.test\r\nReply-To: back@shop.test\r\n"
    b"Subject: Password =?utf-8?q?reset_=E2=9C=93?=\r\nMessage-ID: <m1@x.test>\r\nX-Tags: One, two\r\n\r\nYour CODE is 482913.\r\n"
)
ENVELOPE = CaughtEnvelope(reverse_path="bounces@shop.test", recipients=("dev+blue@app.test", "copy@app.test", "hidden@app.test"))


def put(store: CaughtStore, name: str, data: bytes = DATA, *, created_ms: int = 1_000, inbox: str = "") -> None:
    (number,) = store.add([NewCaught(id=name, inbox=inbox, created_ms=created_ms, envelope=ENVELOPE, content=MemoryContent(data))])
    store.index([(number, index_message(data, ENVELOPE), "[]")])


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = CaughtStore(tmp_path / "caught")
    made.open()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("password", True), ("482913", True), ("nothing", False), ("-nothing", True), ("subject:reset", True), ("subject:482913", False),
        ("from:souza", True), ("to:blue@", True), ("to:hidden", False), ("bcc:hidden", True), ("cc:copy", True), ("reply-to:back", True),
        ("addressed:back@shop", True), ("message-id:m1@x", True), ("tag:ONE", True), ("tag:blue", True), ("tag:on", False),
        ("is:unread", True), ("is:read", False), ("is:tagged", True), ("is:nonsense", False), ("has:attachment", False),
        ("larger:10", True), ("larger:1m", False), ("smaller:1k", True), ("after:1969-01-01", True), ("before:1969-01-01", False),
        ("envelope:bounces@", True), ("inbox:x", False), ("id:a", True), ('"your code"', True), ("âù", False), ("100%", False),
    ],
)  # fmt: skip
def test_each_term_finds_what_it_says(store: CaughtStore, query: str, found: bool) -> None:
    """One message, every kind of term."""
    put(store, "a")
    terms = parse_query(query, now_s=0)
    assert (["a"] if found else []) == store.find(terms)
    assert int(found) == store.matching(terms).total


def test_values_never_become_sql() -> None:
    """A quote in a search is a quote."""
    where, values = condition(parse_query("subject:x');DELETE", now_s=0))
    assert "DELETE" not in where
    assert ["x');delete"] == values


def test_the_list_is_newest_first_and_in_pages(store: CaughtStore) -> None:
    """Start and limit, and what came before a moment."""
    for number in range(5):
        put(store, f"m{number}", created_ms=number)
    assert ["m4", "m3"] == [summary.id for summary in store.latest(limit=2)]
    assert ["m2", "m1"] == [summary.id for summary in store.latest(start=2, limit=2)]
    assert ["m1", "m0"] == [summary.id for summary in store.latest(before_ms=2)]
    assert 5 == len(store.latest(limit=0))


def test_tags_keep_the_case_that_came_first(store: CaughtStore) -> None:
    """Set, rename, delete; only messages that are there."""
    put(store, "a")
    put(store, "b", b"To: dev+blue@app.test\r\n\r\n")
    assert {"blue": 2, "One": 1, "two": 1} == store.tags()
    store.set_tags(["b", "nope"], ["ONE", "three"])
    assert {"blue": 1, "One": 3, "three": 2, "two": 1} == store.tags()
    assert ["a", "b"] == store.rename_tag("one", "First")
    assert ["a"] == store.delete_tag("blue")
    assert {"First": 3, "three": 2, "two": 1} == store.tags()


def test_the_oldest_are_pruned(store: CaughtStore) -> None:
    """Beyond the count, and before a time."""
    for number in range(5):
        put(store, f"m{number}", created_ms=number)
    assert ["m0", "m1"] == [gone.id for gone in store.prune(keep=3, before_ms=0)]
    assert ["m2"] == [gone.id for gone in store.prune(keep=0, before_ms=3)]
    assert 2 == store.counts().total


def test_a_large_message_lies_in_a_file(store: CaughtStore, tmp_path: Path) -> None:
    """The spool's file is taken over by a link and goes with the message."""
    source = tmp_path / "spooled"
    source.write_bytes(DATA * 1_000)
    store.add([NewCaught(id="big", inbox="", created_ms=1, envelope=ENVELOPE, content=FileContent(source, len(DATA) * 1_000))])
    source.unlink()
    stored = store.stored("big")
    assert stored is not None
    assert DATA * 1_000 == store.content(stored.number)
    assert DATA[:20] == store.content(stored.number, 20)
    store.delete(["big"])
    assert [] == list((tmp_path / "caught").glob("*.eml"))
    assert None is store.content(stored.number)


def test_everything_survives_closing(store: CaughtStore) -> None:
    """Read state, tags and numbers are in the file."""
    put(store, "a", inbox="run")
    store.set_read(["a"], read=True)
    before = store.summary("a")
    store.close()
    store.open()
    assert before == store.summary("a")
    assert [("run", 1, 0)] == store.inboxes()


def test_a_database_of_another_version_is_put_aside(tmp_path: Path) -> None:
    """What is not understood is not touched."""
    import apsw

    connection = apsw.Connection(str(tmp_path / "caught.db"))
    connection.execute("PRAGMA user_version=99; CREATE TABLE message(x)")
    connection.close()
    store = CaughtStore(tmp_path)
    store.open()
    assert 0 == store.counts().total
    assert (tmp_path / "caught.old").exists()
    store.close()


def arrive(store: CaughtStore, name: str, number: int | None = None) -> list[int]:
    return store.add([NewCaught(id=name, inbox="", created_ms=1_000, envelope=ENVELOPE, content=MemoryContent(DATA), number=number)])


def test_what_has_arrived_is_there_for_whoever_looks(store: CaughtStore) -> None:
    """It is listed, counted, delivered and read out, although nothing was read out of it yet."""
    assert [1, 2] == arrive(store, "a") + arrive(store, "b")
    assert ["b", "a"] == [summary.id for summary in store.latest()]
    assert [1, 2] == [number for number, _envelope in store.unindexed(10)]
    assert ENVELOPE == store.undelivered(10)[0][2]
    assert [3] == arrive(store, "c")
    assert 3 == store.counts().total


def test_what_had_arrived_when_the_program_was_killed_is_there_again(store: CaughtStore) -> None:
    """Opened a second time, the store has it, and gives nobody its number."""
    arrive(store, "a")
    store.close()
    store.open()
    assert [2] == arrive(store, "b")
    store.delete(None)
    store.close()
    store.open()
    assert [3] == arrive(store, "c")
    assert ["c"] == [summary.id for summary in store.latest()]


def test_a_message_comes_back_to_its_old_place_once(store: CaughtStore) -> None:
    """The second time it is told to be there, and what has arrived meanwhile is not touched."""
    arrive(store, "a")
    arrive(store, "b")
    store.delete(["a"])
    arrive(store, "c")
    assert [1] == arrive(store, "a", number=1)
    arrive(store, "d")
    with pytest.raises(UnavailableError):
        arrive(store, "a", number=1)
    assert ["d", "c", "b", "a"] == [summary.id for summary in store.latest()]


def test_a_full_disk_hides_only_what_has_arrived(store: CaughtStore) -> None:
    """Lists work without it until there is room, then they have it."""
    arrive(store, "first")
    assert ["first"] == store.find(())
    for number in range(100):
        arrive(store, f"more{number}")
    connection = store._connection
    connection.pragma("max_page_count", connection.pragma("page_count"))
    assert ["first"] == store.find(())
    connection.pragma("max_page_count", 100_000)
    assert 101 == len(store.find(()))


def test_counts_and_lists_follow_each_change(store: CaughtStore) -> None:
    """What was counted and read before is not told again after a change."""
    put(store, "a")
    put(store, "b")
    assert (2, 2) == (store.counts().total, store.counts().unread)
    assert [False, False] == [summary.read for summary in store.latest()]
    store.set_read(["a"], read=True)
    store.set_tags(["a", "b"], ["Uno"])
    assert (2, 1) == (store.counts().total, store.counts().unread)
    assert {"Uno": 2} == store.tags()
    assert [("b", False, ["Uno"]), ("a", True, ["Uno"])] == [(one.id, one.read, list(one.tags)) for one in store.latest()]
    store.delete(["a"])
    assert (1, {"Uno": 1}) == (store.counts().total, store.tags())
    arrive(store, "c")
    assert 2 == store.counts().total


def test_the_log_is_moved_when_no_250_waits_for_it(store: CaughtStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives only grows the log, until it is very large; the write that follows the 250 moves it into the database."""
    monkeypatch.setattr("appliance.storage.caught._LOG_PAGES", 1)
    before = store.path.stat().st_size
    store.add([NewCaught(id="a", inbox="", created_ms=1, envelope=ENVELOPE, content=MemoryContent(DATA))])
    assert before == store.path.stat().st_size
    store.index([])
    moved = store.path.stat().st_size
    assert before < moved
    monkeypatch.setattr("appliance.storage.caught._MOST_LOG_PAGES", 1)
    store.add([NewCaught(id="b", inbox="", created_ms=1, envelope=ENVELOPE, content=MemoryContent(bytes(100_000)))])
    assert moved < store.path.stat().st_size


def test_more_messages_than_one_statement_takes(store: CaughtStore) -> None:
    """All messages of a large batch are kept, in their order."""
    new = [NewCaught(id=f"id{at}", inbox="", created_ms=at, envelope=ENVELOPE, content=MemoryContent(b"%d" % at)) for at in range(70)]
    numbers = store.add(new)
    assert list(range(1, 71)) == numbers
    assert [b"%d" % at for at in range(70)] == [store.content(number) for number in numbers]
    assert [f"id{at}" for at in range(70)] == store.find([])
