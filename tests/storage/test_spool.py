"""The spool by itself: what goes in comes out, and what the rows say after each change."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.model.envelope import Body, Client, Envelope, EnvelopeRecipient, Notify, Ret
from appliance.model.errors import CorruptError, InUseError, NotFoundError, UnavailableError
from appliance.model.ids import AccountName, QueueId, SessionId
from appliance.storage.spool import Spool
from appliance.storage.spool_ids import QueueIds, queue_id_from_int, queue_id_to_int
from appliance.storage.spool_schema import Addition, Batch, MessageState, RecipientUpdate, Removal, StateChange

FULL_ENVELOPE = Envelope(
    reverse_path="ana@example.com",
    recipients=(
        EnvelopeRecipient("bia@example.com", Notify.SUCCESS | Notify.DELAY, "rfc822;sales@example.com", "sales@example.com"),
        EnvelopeRecipient("josé@exemplo.example", Notify.NEVER),
        EnvelopeRecipient("caio@example.net"),
    ),
    body=Body.EIGHT_BIT_MIME,
    smtputf8=True,
    requires_tls=True,
    is_junk=True,
    ret=Ret.FULL,
    envid="QQ314159",
    client=Client("192.0.2.1", 4711, "helo.example", "name.example", "ESMTPSA", AccountName("ana"), SessionId("s1")),
)
PLAIN = Envelope("", (EnvelopeRecipient("bia@example.com"), EnvelopeRecipient("caio@example.net")))
IDS = QueueIds(time.time, 5)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "queue")
    made.open()
    return made


def add(spool: Spool, envelope: Envelope = PLAIN, data: bytes = b"content") -> QueueId:
    """Put a small message in."""
    queue_id = IDS.next()
    spool.commit(Batch(additions=[Addition(queue_id, envelope, len(data), 1_000.0, data)]))
    return queue_id


def add_large(spool: Spool, data: bytes) -> QueueId:
    """Put a message with a content file in."""
    queue_id = IDS.next()
    spool.new_content_file(queue_id).finish([data])
    spool.commit(Batch(additions=[Addition(queue_id, PLAIN, len(data), 1_000.0, None)]))
    return queue_id


def test_an_envelope_survives_a_restart_whole(tmp_path: Path) -> None:
    """Every field of the envelope and of each recipient comes back as it went in."""
    spool = Spool(tmp_path / "queue")
    spool.open()
    queue_id = add(spool, FULL_ENVELOPE)
    spool.close()
    spool = Spool(tmp_path / "queue")
    spool.open()
    (message,) = spool.load([queue_id])
    assert FULL_ENVELOPE == message.envelope
    assert (queue_id, 7, 1_000.0, MessageState.NORMAL) == (message.queue_id, message.size, message.arrived_at_s, message.state)
    assert b"content" == spool.content(queue_id).open().read()
    spool.close()


def test_the_files_are_private(spool: Spool) -> None:
    """Nobody but the owner may look into content files."""
    queue_id = add_large(spool, b"x" * 70_000)
    assert 0o600 == (spool.directory / "content" / queue_id).stat().st_mode & 0o777
    assert 0o700 == (spool.directory / "content").stat().st_mode & 0o777
    spool.close()


def test_one_process_at_a_time(spool: Spool) -> None:
    """A second spool on the same directory is refused, until the first is closed."""
    second = Spool(spool.directory)
    with pytest.raises(InUseError):
        second.open()
    spool.close()
    second.open()
    second.close()


def test_a_message_goes_with_its_last_recipient(spool: Spool) -> None:
    """Removing recipients one by one removes the message at the end, and tells so."""
    queue_id = add(spool)
    assert () == spool.commit(Batch(removals=[Removal(queue_id, [0])])).gone
    assert ["caio@example.net"] == [one.recipient.address for one in spool.load([queue_id])[0].recipients]
    committed = spool.commit(Batch(removals=[Removal(queue_id, [1]), Removal(queue_id, [1])]))
    assert ((queue_id,), ()) == (committed.gone, committed.files)
    assert [] == spool.load([queue_id])
    assert () == spool.commit(Batch(removals=[Removal(queue_id)])).gone
    spool.close()


def test_files_to_remove_are_named_after_the_commit(spool: Spool) -> None:
    """A content file outlives its row by a moment, never the other way round."""
    queue_id = add_large(spool, b"x" * 70_000)
    small = add(spool)
    committed = spool.commit(Batch(removals=[Removal(queue_id), Removal(small)]))
    assert (queue_id,) == committed.files
    assert (spool.directory / "content" / queue_id).exists()
    spool.remove_files(committed.files)
    assert not (spool.directory / "content" / queue_id).exists()
    spool.remove_files(committed.files)
    spool.close()


def test_due_recipients_come_in_order_of_time(spool: Spool) -> None:
    """Due are those tried before whose time has come; held messages and the rest stay where they are."""
    early, late, held, fresh = add(spool), add(spool), add(spool), add(spool)
    updates = [RecipientUpdate(queue_id, 0, 1, when, "4.2.0", "busy") for queue_id, when in ((late, 50.0), (early, 20.0), (held, 30.0))]
    spool.commit(Batch(updates=[*updates, RecipientUpdate(early, 1, 2, 500.0)], changes=[StateChange(held, MessageState.HOLD, "why")]))
    messages, cursor = spool.due(100.0, 10)
    assert ([early, late], None) == ([message.queue_id for message in messages], cursor)
    assert [(0, 1, "busy")] == [(one.number, one.attempts, one.reason) for one in messages[0].recipients]
    assert 500.0 == spool.next_due(100.0)
    assert spool.next_due(500.0) is None
    assert [late, held, fresh] == spool.fresh()
    assert {held: MessageState.HOLD} == spool.aside()
    assert 4 == spool.count()
    spool.close()


def test_due_continues_where_it_stopped(spool: Spool) -> None:
    """The cursor walks through all that is due, whatever the limit."""
    ids = [add(spool) for _ in range(10)]
    spool.commit(Batch(updates=[RecipientUpdate(queue_id, 0, 1, float(number // 3)) for number, queue_id in enumerate(ids)]))
    found: list[QueueId] = []
    cursor: tuple[float, int, int] | None = (0.0, 0, 0)
    while cursor is not None:
        messages, cursor = spool.due(100.0, 4, cursor)
        found.extend(message.queue_id for message in messages)
    assert ids == found
    spool.close()


def test_release_makes_recipients_due(spool: Spool) -> None:
    """A state change may set the time of all recipients that were tried before, and clears crashes and reason."""
    queue_id = add(spool)
    spool.commit(Batch(updates=[RecipientUpdate(queue_id, 0, 3, 9e9)], changes=[StateChange(queue_id, MessageState.HOLD, "boom", 2)]))
    (message,) = spool.load([queue_id])
    assert (MessageState.HOLD, "boom", 2) == (message.state, message.reason, message.crashes)
    committed = spool.commit(Batch(changes=[StateChange(queue_id, MessageState.NORMAL, "", 0, 77.0)]))
    assert (queue_id,) == committed.changed
    (message,) = spool.load([queue_id])
    assert (MessageState.NORMAL, "", 0) == (message.state, message.reason, message.crashes)
    assert [77.0, 1_000.0] == [one.next_attempt_s for one in message.recipients]
    spool.close()


def test_move_corrupt_keeps_the_message(spool: Spool) -> None:
    """A corrupt message is aside with its reason, its content still there."""
    queue_id = add(spool)
    spool.move_corrupt(queue_id, "bits fell over")
    assert {queue_id: MessageState.CORRUPT} == spool.aside()
    assert "bits fell over" == spool.load([queue_id])[0].reason
    assert b"content" == spool.content(queue_id).open().read()
    spool.close()


def test_content_that_is_not_whole_is_told(spool: Spool) -> None:
    """A short or missing content file is CorruptError, an unknown id NotFoundError."""
    queue_id = add_large(spool, b"x" * 70_000)
    (spool.directory / "content" / queue_id).write_bytes(b"short")
    with pytest.raises(CorruptError, match="has 5 bytes"):
        spool.content(queue_id)
    (spool.directory / "content" / queue_id).unlink()
    with pytest.raises(CorruptError, match="missing"):
        spool.content(queue_id)
    with pytest.raises(NotFoundError):
        spool.content(queue_id_from_int(1))
    spool.close()


def test_a_row_that_makes_no_sense_is_corrupt(spool: Spool) -> None:
    """A row damaged from outside is told as corrupt instead of stopping the queue."""
    queue_id, other = add(spool), add(spool)
    spool._writer.execute("UPDATE message SET body='9BIT' WHERE id=?", (queue_id_to_int(queue_id),))
    bad, good = spool.load([queue_id, other])
    assert (MessageState.CORRUPT, MessageState.NORMAL) == (bad.state, good.state)
    assert "cannot be decoded" in bad.reason
    spool.close()


def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    """A file that is no database is CorruptError; it is not overwritten."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "spool.db").write_bytes(b"not a database" * 1_000)
    with pytest.raises(CorruptError):
        Spool(tmp_path / "queue").open()
    assert (tmp_path / "queue" / "spool.db").read_bytes().startswith(b"not a database")


def test_a_later_version_is_refused(spool: Spool) -> None:
    """An old program does not touch a spool that a newer one wrote."""
    spool._writer.execute("PRAGMA user_version=99")
    spool.close()
    with pytest.raises(CorruptError, match="later version"):
        Spool(spool.directory).open()


def test_closed_is_unavailable(spool: Spool) -> None:
    """Reading after close is refused, not a crash."""
    spool.close()
    spool.close()
    with pytest.raises(UnavailableError):
        spool.count()


def test_checkpoint_starts_the_log_over(spool: Spool) -> None:
    """The log grows with each commit and is empty after a checkpoint; SQLite never checkpoints by itself."""
    for _ in range(5):
        add(spool, data=b"x" * 60_000)
    assert 5 < spool.wal_pages
    spool.checkpoint()
    assert 0 == spool.wal_pages
    spool.close()


def test_the_largest_number_is_where_new_ids_start(spool: Spool) -> None:
    """Ids of a new process are above all that are in the spool, even when the clock was set back."""
    assert 0 == spool.largest_number()
    queue_id = add(spool)
    assert queue_id_to_int(queue_id) == spool.largest_number()
    assert queue_id < QueueIds(lambda: 0.0, 0, spool.largest_number()).next()
    spool.close()


@given(st.integers(min_value=0, max_value=(1 << 63) - 1))
def test_queue_ids_have_one_text_form(number: int) -> None:
    """Number and text are inverse, the text is 13 letters and digits and reads the same in lower case."""
    text = queue_id_from_int(number)
    assert (13, True, True) == (len(text), text.isalnum(), text.isascii())
    assert number == queue_id_to_int(text) == queue_id_to_int(text.lower())


@given(st.lists(st.integers(min_value=0, max_value=(1 << 63) - 1), min_size=2, max_size=5))
def test_queue_ids_sort_like_their_numbers(numbers: list[int]) -> None:
    """Text order is number order, and so order of arrival."""
    assert [queue_id_from_int(number) for number in sorted(numbers)] == sorted(map(queue_id_from_int, numbers))


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=1, max_size=50))
def test_queue_ids_grow_whatever_the_clock_does(times: list[float]) -> None:
    """Each id is larger than the one before, also when the clock stands still or jumps back."""
    remaining = iter(times)
    ids = QueueIds(lambda: next(remaining), 3)
    made = [ids.next() for _ in times]
    assert made == sorted(set(made))


@pytest.mark.parametrize("text", ["", "ABC", "0" * 14, "Z" * 13, "000000000000U", "../../../etc/", "00000000000é1"])
def test_what_is_no_queue_id(text: str) -> None:
    """Text that was never handed out is refused before it reaches a path or a query."""
    with pytest.raises(ValueError, match="not a queue id"):
        queue_id_to_int(text)
