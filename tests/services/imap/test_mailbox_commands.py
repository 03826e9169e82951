"""Mailbox commands of sessions over real stores: quota, annotations, names."""

from collections.abc import Callable
from typing import Any

import pytest
import trio.testing

from appliance.config.schema import ImapConfig
from appliance.model.ids import AccountName
from appliance.model.mailbox import QuotaLimits

House = Any
Make = Callable[..., House]
ANA = AccountName("ana")


def _told(level: str) -> str:
    return f"{len(level.encode())}-{len(level)}"


MESSAGE = b"Subject: x\r\n\r\n" + b"y" * 700 + b"\r\n"


async def append(client: Any, mailbox: bytes, message: bytes = MESSAGE) -> list[bytes]:
    lines: list[bytes] = await client.ask(b"APPEND %b {%d+}\r\n%b" % (mailbox, len(message), message))
    return lines


async def test_quota(stored_house: Make) -> None:
    """GETQUOTAROOT leads to GETQUOTA; SETQUOTA is the administrator's; beyond a limit there is OVERQUOTA."""
    house = stored_house(quotas={ANA: QuotaLimits(3_000, 3, 4)}, settings=ImapConfig(quota_warning_percent=0))
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"GETQUOTAROOT Nothing")
        assert [b'* QUOTAROOT Nothing "User quota"', b'* QUOTA "User quota" (STORAGE 0 2 MESSAGE 0 3 MAILBOX 3 4)'] == lines[:2]
        assert (await append(client, b"INBOX"))[-1].startswith(b"OK ")
        assert [b'* QUOTA "User quota" (STORAGE 1 2 MESSAGE 1 3 MAILBOX 3 4)', b"OK Getquota completed"] == await client.ask(
            b'GETQUOTA "User quota"'
        )
        assert b"NO [NONEXISTENT] No such quota root" == (await client.ask(b'GETQUOTA "#user/bob"'))[-1]
        assert b"NO [NOPERM] Quotas are set by" in (await client.ask(b'SETQUOTA "User quota" (STORAGE 5 MESSAGE 1)'))[-1]
        assert b"NO [NONEXISTENT] No such quota root" == (await client.ask(b"SETQUOTA x ()"))[-1]
        assert (await client.ask(b"SETQUOTA x STORAGE"))[-1].startswith(b"BAD ")
        assert (await client.ask(b"CREATE a/b"))[-1].startswith(b"NO [OVERQUOTA] You have as many mailboxes as you may")
        assert (await client.ask(b"CREATE a"))[-1].startswith(b"OK ")
        assert (await client.ask(b"COPY 1 a"))[-1].startswith(b"OK ")
        assert (await append(client, b"a", b"A: b\r\n\r\n"))[-1].startswith(b"OK ")
        assert (await client.ask(b"COPY 1 a"))[-1].startswith(b"NO [OVERQUOTA] You have as many messages as you may")
        assert (await append(client, b"a", MESSAGE * 3))[-1].startswith(b"NO [OVERQUOTA] Mailbox is over its quota")


async def test_no_quota_no_root(stored_house: Make) -> None:
    """An account without limits has no quota root."""
    async with stored_house().session() as client:
        await client.log_in()
        assert [b"* QUOTAROOT INBOX", b"OK Getquotaroot completed"] == await client.ask(b"GETQUOTAROOT INBOX")
        assert [b"NO [NONEXISTENT] No such quota root"] == await client.ask(b'GETQUOTA "User quota"')


async def test_warning_in_time(stored_house: Make) -> None:
    """Once when a quota is nearly used up, again only after there was room."""
    house = stored_house(quotas={ANA: QuotaLimits(messages=4)}, settings=ImapConfig(quota_warning_percent=75))
    warning = b"* NO [OVERQUOTA] Your number of messages has reached 75 % of what is allowed: delete what you can spare"
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert warning not in await append(client, b"INBOX")
        assert warning not in await append(client, b"INBOX")
        assert warning in await client.ask(b"COPY 1 Sent")
        assert b"* NO " not in b"".join(await append(client, b"INBOX"))
        await client.ask(b"STORE 1:3 +FLAGS (\\Deleted)")
        await client.ask(b"EXPUNGE")
        await append(client, b"INBOX")
        assert warning in await append(client, b"INBOX")


async def test_alert_of_a_full_mailbox(stored_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """Who logs in to a mailbox that takes no more is alerted, once an hour whatever his connections; one without limits never."""
    alert = b"* NO [ALERT] Your mailbox is full: until you delete something no new mail gets in"
    house = stored_house(quotas={ANA: QuotaLimits(messages=1)})
    for fills, pause_s, alerted in ((True, 0, False), (False, 1, True), (False, 3_000, False), (False, 600, True)):
        await trio.sleep(pause_s)
        async with house.session() as client:
            await client.line()
            assert alerted is (alert in await client.ask(b"LOGIN ana secret")), pause_s
            if fills:
                await append(client, b"INBOX")


async def test_annotations_are_news(stored_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """A session that enabled METADATA is told of what others change, without values; its own changes are none."""
    house = stored_house()
    async with house.session() as one, house.session() as two:
        await one.log_in(select=b"INBOX")
        await two.log_in()
        assert [b"* ENABLED METADATA", b"OK Enable completed"] == await one.ask(b"ENABLE METADATA")
        await two.ask(b'SETMETADATA Sent (/private/comment "x" /shared/comment "y")')
        assert [b"* METADATA Sent /private/comment /shared/comment", b"OK Nothing done"] == await one.ask(b"NOOP")
        assert [b"OK Setmetadata completed"] == await one.ask(b'SETMETADATA "" (/private/vendor/x/y "z")')
        assert [b"OK Nothing done"] == await two.ask(b"NOOP")
        await two.ask(b"CREATE Mail (USE (\\Sent))")
        assert [
            b"* METADATA Sent /private/specialuse",
            b"* METADATA Mail /private/specialuse",
            b"OK Nothing done",
        ] == await one.ask(b"NOOP")
        await one.send(b"i IDLE\r\n")
        assert b"+ " in await one.line()
        await two.ask(b"SETMETADATA INBOX (/private/comment NIL)")
        await two.ask(b'SETMETADATA INBOX (/private/comment "news")')
        assert b"* METADATA INBOX /private/comment" == await one.line()
        await one.send(b"DONE\r\n")
        await one.until(b"i")


async def test_a_value_may_be_too_long(stored_house: Make) -> None:
    """MAXSIZE says how long it may be."""
    async with stored_house(settings=ImapConfig(max_annotation_bytes=1_024)).session() as client:
        await client.log_in()
        text = b"x" * 1_025
        assert (
            b"NO [METADATA MAXSIZE 1024] A value has at most 1024 bytes"
            == (await client.ask(b"SETMETADATA INBOX (/private/comment {%d+}\r\n%b)" % (len(text), text)))[-1]
        )


async def test_a_renamed_mailbox_stays_selected(stored_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """A session in IDLE goes on under the new name, whoever takes the old one."""
    house = stored_house()
    async with house.session() as one, house.session() as two:
        await two.log_in()
        await two.ask(b"CREATE Work")
        await one.log_in(select=b"Work")
        await one.send(b"i IDLE\r\n")
        assert b"+ " in await one.line()
        assert [b"OK Mailbox renamed"] == await two.ask(b"RENAME Work Play")
        await trio.testing.wait_all_tasks_blocked()
        await append(two, b"Play")
        assert b"* 1 EXISTS" == await one.line()


ROOM = {"maildir": {"a": 246 - 1, "é": 91, "語": 91}, "mbox": {"a": 237, "é": 118, "語": 79}}
"""Most characters of a level: a Maildir has modified UTF-7 in one file name, an mbox UTF-8 and names beside it."""


@pytest.mark.parametrize("level", [letter * (size // len(letter.encode())) for size in (200, 240, 255) for letter in "aé語"], ids=_told)
async def test_long_names(stored_house: Make, level: str, request: pytest.FixtureRequest) -> None:
    """A level of up to 255 octets is a mailbox like any other, or is refused in words and leaves nothing behind."""
    refused = b"NO [CANNOT] This mailbox name is too long, or has too many levels"
    room = ROOM[request.node.callspec.params["stored_house"]][level[0]]
    name = f'"{level}"'.encode()
    list_all = b'LIST "" * RETURN (STATUS (MESSAGES))'
    async with stored_house().session() as client:
        await client.log_in()
        await client.ask(b"ENABLE UTF8=ACCEPT")
        before = await client.ask(list_all)
        await client.ask(b"CREATE short")
        if len(level) > room:
            for command in (b"CREATE " + name, b"RENAME short " + name):
                assert [refused] == await client.ask(command)
            assert (await append(client, name))[-1].startswith(b"NO [")
        else:
            assert (await client.ask(b"RENAME short " + name))[-1].startswith(b"OK ")
            assert (await append(client, name))[-1].startswith(b"OK ")
            assert (await client.ask(b"SETMETADATA " + name + b' (/private/comment "x")'))[-1].startswith(b"OK ")
            assert b"* 1 EXISTS" in await client.ask(b"SELECT " + name)
            assert (await client.ask(b"STORE 1 +FLAGS (\\Deleted kept)"))[-1].startswith(b"OK ")
            assert (await client.ask(b"EXPUNGE"))[-1].startswith(b"OK ")
            await client.ask(b"UNSELECT")
            assert any(level.encode() in line and line.startswith(b"* STATUS") for line in await client.ask(list_all))
            assert (await client.ask(b"RENAME " + name + b" short"))[-1].startswith(b"OK ")
        assert (await client.ask(b"DELETE short"))[-1].startswith(b"OK ")
        assert before == await client.ask(list_all)


@pytest.mark.parametrize(("letter"), ["a", "é", "語"])
async def test_the_longest_name(stored_house: Make, letter: str, request: pytest.FixtureRequest) -> None:
    """One character more is too long."""
    room = ROOM[request.node.callspec.params["stored_house"]][letter]
    async with stored_house().session() as client:
        await client.log_in()
        await client.ask(b"ENABLE UTF8=ACCEPT")
        for count, answer in ((room, b"OK "), (room + 1, b"NO [CANNOT] ")):
            assert (await client.ask(f'CREATE "{letter * count}"'.encode()))[-1].startswith(answer)
