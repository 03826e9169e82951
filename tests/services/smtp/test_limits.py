"""Time, patience and the end of the server."""

from typing import Any

import pytest
import trio
import trio.testing


async def test_idle_clients_are_ended(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A client that says nothing for too long hears 421 and is cut; each command gives it new time."""
    house = make_house(idle_timeout_s=300)
    async with house.talk() as talk:
        await talk.start()
        for _ in range(3):
            await trio.sleep(299)
            await talk.ask("NOOP")
        started = trio.current_time()
        assert (await talk.reply()).startswith("421 4.4.2")
        assert 300 == pytest.approx(trio.current_time() - started)
        assert "<closed>" == await talk.reply()
    (finished,) = house.logged("session_finished")
    assert "timeout" == finished["reason"]


async def test_a_session_has_an_end(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """However busy, no session lasts longer than the limit; the message under way is dropped."""
    house = make_house(session_timeout_s=1_000)
    async with house.talk() as talk:
        await talk.start()
        for command in ("MAIL FROM:<a@far.example>", "RCPT TO:<ana@example.com>", "DATA"):
            await talk.ask(command)
        for _ in range(9):
            await trio.sleep(110)
            await talk.send("line")
        assert (await talk.reply()).startswith("421 4.4.2")
        assert 1_000 == pytest.approx(trio.current_time() - talk.server.opened_at_s)
    assert ["Q1"] == house.intake.discarded


async def test_a_slow_disk_is_no_idle_client(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """While the queue works on a message the client's clock stands still."""
    house = make_house(idle_timeout_s=60)
    house.intake.accept_takes_s = 250
    async with house.talk() as talk:
        await talk.start()
        assert (await talk.mail("ana@example.com")).startswith("250 ")
        await trio.sleep(59)
        assert (await talk.ask("NOOP")).startswith("250 ")


async def test_many_errors_are_answered_slowly_and_then_no_more(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """From half the limit on each answer takes a second; at the limit the session ends."""
    house = make_house(max_errors=6)
    async with house.talk() as talk:
        await talk.start()
        times = []
        for _ in range(5):
            started = trio.current_time()
            assert (await talk.ask("WHAT")).startswith("500 ")
            times.append(round(trio.current_time() - started))
        assert [0, 0, 1, 1, 1] == times
        assert (await talk.ask("WHAT")).startswith("500 ")
        assert (await talk.reply()).startswith("421 4.7.0")
        assert "<closed>" == await talk.reply()
    (finished,) = house.logged("session_finished")
    assert "too many errors" == finished["reason"]


async def test_guessing_addresses_counts_as_errors(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Unknown recipients use a session up: nobody walks through a dictionary."""
    house = make_house(max_errors=4)
    async with house.talk() as talk:
        await talk.start()
        await talk.ask("MAIL FROM:<a@far.example>")
        replies = [await talk.ask(f"RCPT TO:<n{number}@example.com>") for number in range(4)]
        assert ["550"] * 4 == [reply[:3] for reply in replies]
        assert (await talk.reply()).startswith("421 4.7.0")


async def test_commands_without_mail(make_house: Any) -> None:
    """A client that never sends a message is ended."""
    house = make_house(max_commands_without_mail=5)
    async with house.talk() as talk:
        await talk.start()
        replies = [await talk.ask("NOOP") for _ in range(5)]
        assert ["250", "250", "250", "250", "421"] == [reply[:3] for reply in replies]


async def test_shutdown_ends_idle_sessions(make_house: Any) -> None:
    """A session between messages hears 421 at once."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        await trio.testing.wait_all_tasks_blocked()
        talk.server.drain()
        assert (await talk.reply()).startswith("421 4.3.2")
        assert "<closed>" == await talk.reply()
    (finished,) = house.logged("session_finished")
    assert "shutdown" == finished["reason"]


async def test_shutdown_lets_a_message_finish(make_house: Any) -> None:
    """A message under way is taken; then the session ends."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        await talk.ask("MAIL FROM:<a@far.example>")
        talk.server.drain()
        for command in ("RCPT TO:<ana@example.com>", "DATA"):
            await talk.ask(command)
        assert (await talk.ask(b"x\r\n.\r\n")).startswith("250 ")
        assert (await talk.reply()).startswith("421 4.3.2")
    assert 1 == len(house.intake.accepted)


async def test_clients_that_talk_first(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Who cannot wait for the greeting is a sender of spam; programs in trusted networks are forgiven."""
    house = make_house(greeting_delay_ms=2_000)
    async with house.talk() as talk:
        await talk.send("EHLO spam.example")
        assert (await talk.reply()).startswith("554 ")
        assert "<closed>" == await talk.reply()
    (finished,) = house.logged("session_finished")
    assert "talked before the greeting" == finished["reason"]
    assert [("CONNECT", "early_talk")] == [(each["stage"], each["check"]) for each in house.logged("message_refused")]
    async with house.talk() as talk:
        started = trio.current_time()
        assert (await talk.reply()).startswith("220 ")
        assert 2 == pytest.approx(trio.current_time() - started)
    house.is_trusted = lambda _address: True
    async with house.talk() as talk:
        await talk.send("EHLO script.example")
        assert (await talk.reply()).startswith("220 ")
        assert (await talk.reply()).startswith("250-")


async def test_a_bug_passes(make_house: Any) -> None:
    """A bug ends the session after its message was forgotten; the listener logs it and tells the client."""
    house = make_house()
    house.intake.bug = ValueError("bug")
    with pytest.RaisesGroup(ValueError, flatten_subgroups=True):
        async with house.talk() as talk:
            await talk.start()
            await talk.mail("ana@example.com")
    assert ["Q1"] == house.intake.discarded
    (finished,) = house.logged("session_finished")
    assert "failed" == finished["reason"]


async def test_web_browsers(make_house: Any) -> None:
    """An HTTP request ends the session: a web page must not send mail through its visitor."""
    house = make_house()
    async with house.talk() as talk:
        await talk.reply()
        assert (await talk.ask("POST / HTTP/1.1", "Host: mail.example.com")).startswith("554 ")
        assert "<closed>" == await talk.reply()


async def test_the_end_of_the_grace(make_house: Any) -> None:
    """A session that is cut in the middle of a message leaves nothing behind and a line in the log."""
    house = make_house()
    with trio.CancelScope() as scope:
        async with house.talk() as talk:
            await talk.start()
            for command in ("MAIL FROM:<a@far.example>", "RCPT TO:<ana@example.com>", "DATA"):
                await talk.ask(command)
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert ["Q1"] == house.intake.discarded
    assert ["shutdown"] == [line["reason"] for line in house.logged("session_finished")]
