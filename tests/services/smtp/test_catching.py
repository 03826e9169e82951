"""The catcher's listener: every octet is kept, and what goes wrong on purpose."""

import base64
from collections.abc import Collection, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from appliance.model.caught import Fault

PLAIN = base64.b64encode(b"\0ana\0correct horse").decode()


async def test_the_catcher_changes_no_octet(make_house: Any) -> None:
    """No trace field, no header filter: what arrives is what was sent, a header section beyond every limit too."""
    house = make_house("catcher", max_header_bytes=100)
    sent = [b"", b"no header\r\n", b"X: " + b"y" * 900 + b"\r\nBcc: hidden@b.test\r\n\r\nb\x80dy\r\n"]
    async with house.talk() as talk:
        await talk.start()
        for data in sent:
            await talk.send("MAIL FROM:<> BODY=8BITMIME", "RCPT TO:<a@b.test>", "DATA", data + b".\r\n")
            assert ["250", "250", "354", "250"] == [(await talk.reply())[:3] for _ in range(4)]
    assert sent == [data for _, data in house.intake.accepted]


class Faults:
    """Goes wrong where the address says; source and session in one."""

    def __init__(self) -> None:
        self.without: Collection[str] = ()
        self.bytes_per_s = 0.0
        self.greeting: Fault | None = None
        self.closed = 0

    def begin(self, client: str) -> "Faults":
        return self

    def close(self) -> None:
        self.closed += 1

    def at_greeting(self) -> Fault | None:
        return self.greeting

    def at_tls(self) -> Fault | None:
        return None

    def at_login(self, login: str) -> Fault | None:
        return Fault(code=535, status="5.7.8", text="No") if login == "bad" else None

    def at_sender(self, reverse_path: str) -> Fault | None:
        return self._of(reverse_path, "mail")

    def at_recipient(self, reverse_path: str, recipient: str) -> Fault | None:
        return self._of(recipient, "rcpt")

    def at_data(self, recipients: Sequence[str]) -> Fault | None:
        return self._of(recipients[0], "data")

    def at_end(self, recipients: Sequence[str]) -> Fault | None:
        return self._of(recipients[0], "end")

    def _of(self, address: str, stage: str) -> Fault | None:
        known = {
            f"{stage}@b.test": Fault(code=451, status="4.3.0", text="Not now"),
            f"{stage}-slow@b.test": Fault(delay_s=30),
            f"{stage}-drop@b.test": Fault(hang_up=True),
            f"{stage}-421@b.test": Fault(code=421, status="4.3.2", text="Bye"),
        }
        return known.get(address)


async def test_what_goes_wrong_on_purpose(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Refused at MAIL, RCPT, DATA and the end; late; and a session goes on after it."""
    house = make_house("catcher")
    house.faults = Faults()
    async with house.talk() as talk:
        await talk.start()
        assert (await talk.ask("MAIL FROM:<mail@b.test>")).startswith("451 4.3.0 Not now")
        assert (await talk.ask("MAIL FROM:<a@b.test>")).startswith("250 ")
        assert (await talk.ask("RCPT TO:<rcpt@b.test>")).startswith("451 ")
        before = trio.current_time()
        assert (await talk.ask("RCPT TO:<rcpt-slow@b.test>")).startswith("250 ")
        assert 30 == trio.current_time() - before
        await talk.ask("RSET")
        for name, replies in (("data", ["250", "250", "451"]), ("end", ["250", "250", "354", "451"])):
            await talk.send("MAIL FROM:<a@b.test>", f"RCPT TO:<{name}@b.test>", "DATA")
            assert replies[:3] == [(await talk.reply())[:3] for _ in range(3)]
            if name == "end":
                await talk.send(b"hi\r\n.\r\n")
                assert (await talk.reply()).startswith("451 ")
            else:
                await talk.ask("RSET")
        assert (await talk.ask(f"AUTH PLAIN {PLAIN}")).startswith("235 ")
    assert [] == house.intake.accepted


@pytest.mark.parametrize(("recipient", "last"), [("rcpt-drop@b.test", ""), ("rcpt-421@b.test", "421")])
async def test_a_connection_that_ends_on_purpose(make_house: Any, recipient: str, last: str) -> None:
    """Without a word, or with the one word that allows it."""
    house = make_house("catcher")
    house.faults = Faults()
    async with house.talk() as talk:
        await talk.start()
        await talk.ask("MAIL FROM:<a@b.test>")
        await talk.send(f"RCPT TO:<{recipient}>")
        if last:
            assert (await talk.reply()).startswith(last)
        assert "<closed>" == await talk.reply()


async def test_a_slow_link_is_slow_both_ways(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Each octet takes its time, the client's and ours; the message is whole."""
    house = make_house("catcher")
    house.faults = Faults()
    house.faults.bytes_per_s = 100.0
    async with house.talk() as talk:
        await talk.start()
        await talk.send("MAIL FROM:<a@b.test>", "RCPT TO:<c@b.test>", "DATA")
        assert ["250", "250", "354"] == [(await talk.reply())[:3] for _ in range(3)]
        before = trio.current_time()
        await talk.send(b"x" * 998 + b"\r\n.\r\n")
        reply = await talk.reply()
        assert reply.startswith("250 ")
        assert trio.current_time() - before == pytest.approx((1_003 + len(reply) + 2) / 100, abs=0.5)
    assert [b"x" * 998 + b"\r\n"] == [data for _, data in house.intake.accepted]
    assert 1 == house.faults.closed


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        (Fault(code=421, status="4.7.0", text="Too many"), ["421 Too many", "<closed>"]),
        (Fault(hang_up=True), ["<closed>"]),
        (Fault(delay_s=20), ["220"]),
    ],
)
async def test_who_is_turned_away_at_the_door(
    make_house: Any, autojump_clock: trio.testing.MockClock, greeting: Fault, expected: list[str]
) -> None:
    """By 421, or without a word."""
    house = make_house("catcher")
    house.faults = Faults()
    house.faults.greeting = greeting
    async with house.talk() as talk:
        for line in expected:
            assert (await talk.reply()).startswith(line)


async def test_faults_where_the_message_comes_in_chunks(make_house: Any) -> None:
    """What is asked of DATA comes with the first BDAT, once its octets are read; the session goes on."""
    house = make_house("catcher")
    house.faults = Faults()
    async with house.talk() as talk:
        await talk.start()
        for name in ("data", "end"):
            await talk.send("MAIL FROM:<a@b.test>", f"RCPT TO:<{name}@b.test>", b"BDAT 4 LAST\r\nhi\r\n")
            assert ["250", "250", "451"] == [(await talk.reply())[:3] for _ in range(3)]
        await talk.send("MAIL FROM:<a@b.test>", "RCPT TO:<c@b.test>", b"BDAT 4 LAST\r\nhi\r\n")
        assert ["250", "250", "250"] == [(await talk.reply())[:3] for _ in range(3)]
        await talk.ask("MAIL FROM:<a@b.test>")
        await talk.ask("RCPT TO:<data-drop@b.test>")
        await talk.send(b"BDAT 4 LAST\r\nhi\r\n")
        assert "<closed>" == await talk.reply()
    assert [b"hi\r\n"] == [data for _, data in house.intake.accepted]


async def test_extensions_go_while_the_session_lasts(make_house: Any) -> None:
    """What is switched off with the login is not taken from then on, and not told to who asks again."""
    house = make_house("catcher")
    house.faults = Faults()
    async with house.talk() as talk:
        await talk.start()
        house.faults.without = {"SMTPUTF8", "ENHANCEDSTATUSCODES"}
        assert (await talk.ask(f"AUTH PLAIN {PLAIN}")).startswith("235 ")
        assert (await talk.ask("MAIL FROM:<a@b.test> SMTPUTF8")).startswith("555 ")
        assert "250 OK" == await talk.ask("RSET")
        assert "SMTPUTF8" not in await talk.ask("EHLO x")
        house.faults.without = {"EHLO"}
        assert (await talk.ask("EHLO x")).startswith("502 ")
