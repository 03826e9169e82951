"""The catcher's engine: what was kept is seen at once, in order, and goes when it should."""

from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.model.caught import CaughtEnvelope
from appliance.model.clock import ManualClock
from appliance.model.content import MemoryContent
from appliance.model.errors import UnavailableError
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.services.catcher.engine import Catcher, Retention
from appliance.services.catcher.ids import ALPHABET, new_id
from appliance.storage.caught import CaughtStore, NewCaught

MESSAGE = b"From: Ana <ana@shop.test>\r\nTo: dev@app.test\r\nSubject: %b\r\n\r\nYour code is 482913.\r\n"


async def test_what_was_kept_is_listed_at_once(catching: Any) -> None:
    """A list asked for right after the 250 has the message, whatever is read later."""
    message_id = await catching.catch(MESSAGE % b"Reset", "dev@app.test", "hidden@app.test")
    await catching.catcher.settled()
    (summary,) = catching.catcher.store.latest()
    assert (message_id, "Reset", "Your code is 482913.") == (summary.id, summary.subject, summary.snippet)
    assert [("", "hidden@app.test")] == [tuple(person) for person in summary.bcc]


async def test_reading_waits_while_messages_keep_coming(catching: Any, autojump_clock: Any) -> None:
    """Nobody looks: the senders go first, and a moment later everything is read."""
    for number in range(5):
        await catching.catch(MESSAGE % b"%d" % number, "dev@app.test")
    assert [] != catching.catcher.store.unindexed(10)
    await trio.sleep(1)
    assert [] == catching.catcher.store.unindexed(10)


async def test_a_flood_is_kept_together(catching: Any) -> None:
    """Messages that wait for one flush share it, and each keeps its place."""
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(catching.catch, MESSAGE % b"%d" % number, "dev@app.test")
    assert 50 == len(set(await catching.subjects()))
    assert 50 == catching.catcher.statistics.accepted


async def test_anything_is_a_message(catching: Any) -> None:
    """No header, no body, nothing at all, octets of any kind: all are caught byte for byte."""
    odd = [b"", b"\r\n", b"no header at all", b"\x00\xff\r\r\n\x80", b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"]
    ids = [await catching.catch(data, "dev@app.test") for data in odd]
    await catching.catcher.settled()
    numbers = {summary.id: summary.number for summary in catching.catcher.store.latest()}
    assert odd == [catching.catcher.store.content(numbers[message_id]) for message_id in ids]


async def test_listeners_are_told(catching: Any) -> None:
    """New, changed and deleted messages are told in order."""
    with catching.catcher.hub.listen() as events:
        message_id = await catching.catch(MESSAGE % b"Told", "dev@app.test")
        await catching.catcher.set_read([message_id], read=True)
        await catching.catcher.set_tags([message_id], ["b", "a"])
        await catching.catcher.delete([message_id])
        await catching.catcher.delete(None)
        told = [events.receive_nowait() for _ in range(events.statistics().current_buffer_used)]
    assert ["new", "stats", "update", "stats", "update", "delete", "stats", "truncate", "stats"] == [event.kind for event in told]
    assert {"ID": message_id, "Tags": ["a", "b"]} == told[4].data


async def test_a_slow_listener_is_told_to_look_again(catching: Any) -> None:
    """Events that do not fit are lost, and the next one says so."""
    with catching.catcher.hub.listen() as events:
        for _ in range(1_001):
            catching.catcher.hub.tell("stats")
        events.receive_nowait()
        events.receive_nowait()
        catching.catcher.hub.tell("truncate")
        waiting = [events.receive_nowait() for _ in range(events.statistics().current_buffer_used)]
    assert ["prune", "truncate"] == [event.kind for event in waiting[-2:]]


async def test_the_oldest_go_beyond_the_count(catching: Any) -> None:
    """Retention by count keeps the latest."""
    catching.catcher.retention = Retention(keep=3)
    for number in range(5):
        await catching.catch(MESSAGE % b"%d" % number, "dev@app.test")
        await catching.catcher.settled()
    await trio.testing.wait_all_tasks_blocked()
    assert ["4", "3", "2"] == await catching.subjects()


async def test_old_messages_go(catching: Any, autojump_clock: Any) -> None:
    """Retention by age deletes while nothing happens."""
    catching.catcher.retention = Retention(max_age_s=60)
    await catching.catch(MESSAGE % b"old", "dev@app.test")
    catching.clock.advance(50)
    await catching.catch(MESSAGE % b"new", "dev@app.test")
    catching.clock.advance(20)
    await trio.sleep(40)
    assert ["new"] == await catching.subjects()


async def test_a_start_reads_what_the_last_run_left(tmp_path: Path, nursery: trio.Nursery) -> None:
    """A kill between the 250 and the reading costs nothing."""
    store = CaughtStore(tmp_path)
    store.open()
    store.add([NewCaught(id="a", inbox="", created_ms=1, envelope=CaughtEnvelope(), content=MemoryContent(MESSAGE % b"left"))])
    store.close()
    store.open()
    catcher = Catcher(store, offload=InlineOffload(), commit_offload=InlineOffload(), clock=ManualClock(), mail_log=MailLog())
    await nursery.start(catcher.run)
    await catcher.settled()
    assert ["left"] == [summary.subject for summary in store.latest()]
    nursery.cancel_scope.cancel()


async def test_a_store_that_fails_is_told_to_the_sender(catching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept is not acknowledged."""

    def fail(_messages: object) -> list[int]:
        raise UnavailableError("disk")

    monkeypatch.setattr(catching.catcher.store, "add", fail)
    with pytest.raises(UnavailableError):
        await catching.catch(MESSAGE % b"lost", "dev@app.test")


def test_ids_are_long_and_plain() -> None:
    """22 letters and digits, no two alike."""
    ids = {new_id() for _ in range(100)}
    assert 100 == len(ids)
    assert all(len(one) == 22 and set(one) <= set(ALPHABET) for one in ids)
