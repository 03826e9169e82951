"""The catcher's listener: every octet is kept, and what goes wrong on purpose."""

import base64
from collections.abc import Sequence
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
    """Goes wrong where the address says."""

    def at_login(self, login: str) -> Fault | None:
        return Fault(code=535, status="5.7.8", text="No") if login == "bad" else None

    def at_sender(self, reverse_path: str, client: str) -> Fault | None:
        return self._of(reverse_path, "mail")

    def at_recipient(self, reverse_path: str, recipient: str, client: str) -> Fault | None:
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
