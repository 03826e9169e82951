"""``pop3.keep_deleted_days``: what POP3 deletes stays for IMAP, for a while."""

from collections.abc import Callable
from typing import Any

from appliance.config.schema import Pop3Config
from appliance.model.errors import LimitError

Make = Callable[..., Any]
MESSAGES = [b"Subject: one\r\n\r\nfirst\r\n", b"Subject: two\r\n\r\nsecond\r\n", b"Subject: three\r\n\r\nthird\r\n"]
KEPT = Pop3Config(keep_deleted_days=14)


async def test_deleted_mail_is_hidden_and_stays(make_house: Make) -> None:
    """QUIT marks, removes nothing, and the next session does not see what is marked."""
    house = make_house(MESSAGES, settings=KEPT)
    house.mailbox.arrived_at_s = dict.fromkeys(house.mailbox.messages, 99 * 86_400)
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"DELE 2")
        assert b"+OK Bye, 1 deleted here and kept for 14 days" == await client.ask(b"QUIT")
    assert ([], {11}, ("$POP3Deleted",)) == (house.mailbox.expunged, house.mailbox.marked, house.mailbox.keywords)
    async with house.session() as client:
        await client.log_in()
        assert b"+OK 2 " + str(len(MESSAGES[0] + MESSAGES[2])).encode() == await client.ask(b"STAT")
        assert b"+OK 2 000000650000000c" == await client.ask(b"UIDL 2")


async def test_what_is_old_goes_at_a_login(make_house: Make) -> None:
    """Days count from the arrival; only what a POP3 program deleted goes."""
    house = make_house(MESSAGES, settings=KEPT)
    house.mailbox.arrived_at_s = {10: 86 * 86_400, 11: 86 * 86_400 + 1, 12: 0}
    house.mailbox.keywords, house.mailbox.marked = ("$pop3deleted",), {10, 11}
    async with house.session() as client:
        await client.log_in()
        assert [10] == house.mailbox.expunged
        house.clock.now_day += 1
    async with house.session() as client:
        await client.log_in()
        assert [10, 11] == house.mailbox.expunged
        assert (await client.ask(b"STAT")).startswith(b"+OK 1 ")


async def test_setting_taken_away(make_house: Make) -> None:
    """Without the setting, what was kept under it goes with the next login instead of coming back."""
    house = make_house(MESSAGES)
    house.mailbox.keywords, house.mailbox.marked = ("$POP3Deleted",), {10}
    async with house.session() as client:
        await client.log_in()
        assert [10] == house.mailbox.expunged


async def test_no_keyword_left(make_house: Make) -> None:
    """A mailbox with no room for the keyword is told and loses nothing."""
    house = make_house(MESSAGES, settings=KEPT)
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"DELE 1")
        house.mailbox.broken = LimitError("no room for keyword")
        assert b"-ERR [SYS/TEMP] Some deleted messages were not removed" == await client.ask(b"QUIT")
    assert [] == house.mailbox.expunged
