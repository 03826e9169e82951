"""Sessions as clients see them: login, mailboxes, news, ends."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
import trio

from appliance.config.schema import ImapConfig
from appliance.model.errors import DiskError, UnavailableError
from appliance.model.ids import MailboxName
from appliance.protocols.sasl.scram import ScramClient

House = Any
Make = Callable[..., House]


async def test_greeting_login_and_logout(make_house: Make) -> None:
    """Capabilities are told unasked, the log has one line per attempt and session."""
    house = make_house()
    async with house.session() as client:
        greeting = await client.line()
        assert greeting.startswith(
            b"* OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR ID ENABLE LANGUAGE LITERAL- AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN] mail.example"
        )
        assert [b"NO [AUTHENTICATIONFAILED] Login failed: wrong name or password"] == await client.ask(b"LOGIN ana wrong")
        assert (await client.ask(b"LOGIN ana secret"))[-1].startswith(b"OK [CAPABILITY IMAP4rev1")
        assert [b"* BYE Logging out", b"OK Logout completed"] == await client.ask(b"LOGOUT")
        assert b"" == await client.line()
    events = [(event, fields.get("status"), fields.get("reason")) for event, fields in house.logged]
    assert [("auth_finished", "failed", ""), ("auth_finished", "ok", ""), ("session_finished", None, "quit")] == events


async def test_no_password_in_the_clear(make_house: Make) -> None:
    """From another machine only inside TLS."""
    house = make_house()
    async with house.session(peer="192.0.2.7") as client:
        assert b"LOGINDISABLED" in await client.line()
        assert b"NO [PRIVACYREQUIRED]" in (await client.ask(b"LOGIN ana secret"))[0]
        assert b"NO [PRIVACYREQUIRED]" in (await client.ask(b"AUTHENTICATE PLAIN"))[0]


@pytest.mark.parametrize(
    ("command", "lines", "answer"),
    [
        (b"AUTHENTICATE PLAIN AGFuYQBzZWNyZXQ=", [], b"OK [CAPABILITY"),
        (b"AUTHENTICATE PLAIN", [b"AGFuYQBzZWNyZXQ="], b"OK [CAPABILITY"),
        (b"AUTHENTICATE LOGIN", [b"YW5h", b"c2VjcmV0"], b"OK [CAPABILITY"),
        (b"AUTHENTICATE PLAIN", [b"*"], b"BAD Authentication cancelled"),
        (b"AUTHENTICATE PLAIN", [b"AGFuYQB3cm9uZw=="], b"NO [AUTHENTICATIONFAILED]"),
        (b"AUTHENTICATE PLAIN", [b"Ym9iAGFuYQBzZWNyZXQ="], b"NO [AUTHORIZATIONFAILED]"),
        (b"AUTHENTICATE PLAIN", [b"eA=="], b"NO [AUTHENTICATIONFAILED]"),
        (b"AUTHENTICATE GSSAPI", [], b"NO [CANNOT]"),
        (b"AUTHENTICATE PLAIN", [b"?"], b"BAD Base64 expected"),
    ],
)
async def test_sasl(make_house: Make, command: bytes, lines: list[bytes], answer: bytes) -> None:
    """PLAIN and LOGIN, with initial response and without, and their failures."""
    async with make_house().session() as client:
        await client.line()
        await client.send(b"a " + command + b"\r\n")
        for line in lines:
            assert (await client.line()).startswith(b"+ ")
            await client.send(line + b"\r\n")
        assert (await client.line()).startswith(b"a " + answer)


async def test_scram(make_house: Make) -> None:
    """The server proves itself before its OK."""
    mechanism = ScramClient("ana", "secret", "clientnonce")
    async with make_house().session() as client:
        await client.line()
        first = mechanism.initial_response()
        assert first is not None
        await client.send(b"a AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(first) + b"\r\n")
        for _ in range(2):
            challenge = base64.b64decode((await client.line()).removeprefix(b"+ "))
            answer = mechanism.respond(challenge)
            assert answer is not None
            await client.send(base64.b64encode(answer) + b"\r\n")
        assert (await client.line()).startswith(b"a OK ")
        assert mechanism.is_complete


async def test_an_account_that_cannot_be_opened(make_house: Make) -> None:
    """The login is right, the disk is not: NO, and the session stays as it was."""
    house = make_house()
    house.store.broken = UnavailableError("disk is gone")
    async with house.session() as client:
        await client.line()
        assert [b"NO [UNAVAILABLE] Temporarily unavailable, try again later"] == await client.ask(b"LOGIN ana secret")
        assert (await client.ask(b"SELECT INBOX"))[0].startswith(b"BAD SELECT is not possible now")
    assert "disk is gone" == next(fields["reason"] for event, fields in house.logged if event == "imap_command_failed")


async def test_select_tells_everything(make_house: Make, plain: bytes) -> None:
    """The responses that RFC 3501 section 6.3.1 requires."""
    house = make_house([plain, plain])
    house.inbox.records[1].flags = 1
    async with house.session() as client:
        await client.log_in()
        assert [
            b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)",
            b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Flags that are kept",
            b"* 2 EXISTS",
            b"* 2 RECENT",
            b"* OK [UNSEEN 2] First unseen message",
            b"* OK [UIDVALIDITY 1000] UIDs are valid",
            b"* OK [UIDNEXT 3] Predicted next UID",
            b"* OK [MAILBOXID (id-0)] Stays with the mailbox",
            b"* OK [HIGHESTMODSEQ %d] Highest mailbox mod-sequence" % house.inbox.modseq,
            b"OK [READ-WRITE] Mailbox is open",
        ] == await client.ask(b"SELECT INBOX")
        lines = await client.ask(b"EXAMINE INBOX")
        assert b"* OK [CLOSED] Previous mailbox is closed" == lines[0]
        assert b"* OK [PERMANENTFLAGS ()] Flags that are kept" in lines
        assert b"* 0 RECENT" in lines
        assert b"OK [READ-ONLY] Mailbox is open for reading" == lines[-1]
        assert [b"* OK [CLOSED] Previous mailbox is closed", b"NO [NONEXISTENT] No such mailbox"] == await client.ask(b"SELECT nothing")
        assert (await client.ask(b"CHECK"))[0].startswith(b"BAD ")


async def test_mailbox_commands(make_house: Make) -> None:
    """Create, rename, delete, subscribe, list, status."""
    house = make_house()
    async with house.session() as client:
        await client.log_in()
        ask = client.ask
        assert [b"OK [MAILBOXID (id-2)] Mailbox created"] == await ask(b"CREATE Work/2026/")
        assert [b"NO [ALREADYEXISTS] Mailbox already exists"] == await ask(b"CREATE Work/2026")
        assert [b"OK [MAILBOXID (id-3)] Mailbox created"] == await ask(b"CREATE Lixo (USE (\\Trash))")
        assert [
            b'* LIST (\\HasNoChildren) "/" INBOX',
            b'* LIST (\\HasNoChildren \\Trash) "/" Lixo',
            b'* LIST (\\HasNoChildren \\Sent) "/" Sent',
            b'* LIST (\\Noselect \\HasChildren) "/" Work',
            b"OK List completed",
        ] == await ask(b'LIST "" %')
        assert [b'* LIST (\\HasNoChildren) "/" Work/2026', b"OK List completed"] == await ask(b'LIST "Work/" *')
        assert [b'* LIST (\\Noselect) "/" ""', b"OK List completed"] == await ask(b'LIST "" ""')
        assert [b"OK Subscribed"] == await ask(b"SUBSCRIBE Work/2026")
        assert [b"OK Subscribed"] == await ask(b"SUBSCRIBE Gone")
        assert [b'* LSUB () "/" Gone', b'* LSUB () "/" Work/2026', b"OK Lsub completed"] == await ask(b'LSUB "" *')
        assert [b'* LSUB () "/" Gone', b'* LSUB (\\Noselect) "/" Work', b"OK Lsub completed"] == await ask(b'LSUB "" %')
        assert [b"OK Unsubscribed"] == await ask(b"UNSUBSCRIBE Gone")
        assert [b"OK Mailbox renamed"] == await ask(b"RENAME Work/2026 Done")
        assert [b"OK Mailbox deleted"] == await ask(b"DELETE Done")
        assert [b"NO [NONEXISTENT] No such mailbox"] == await ask(b"DELETE Done")
        assert [b"NO [CANNOT] INBOX cannot be deleted"] == await ask(b"DELETE inbox")
        assert [b"* STATUS INBOX (MESSAGES 0 UIDNEXT 1 SIZE 0)", b"OK Status completed"] == await ask(
            b"STATUS INBOX (MESSAGES UIDNEXT SIZE)"
        )
        assert [b'* NAMESPACE (("" "/")) NIL NIL', b"OK Namespace completed"] == await ask(b"NAMESPACE")
        assert [b"* ENABLED", b"OK Enable completed"] == await ask(b"ENABLE X-NOTHING")
        assert (await ask(b'ID ("name" "test")'))[0].startswith(b'* ID ("name" "Carteiro" "version"')
        assert (await ask(b"CAPABILITY"))[0].startswith(b"* CAPABILITY IMAP4rev1 ")


async def test_list_extended(make_house: Make) -> None:
    """Selection and return options of RFC 5258, RFC 5819 and RFC 6154."""
    house = make_house()
    for name in ("Work/2026", "Play"):
        house.store.create_mailbox(MailboxName(name))
    house.store.subscribed |= {"Work/2026", "Gone/deep"}
    async with house.session() as client:
        await client.log_in()
        assert [b'* LIST (\\HasNoChildren \\Sent) "/" Sent', b"OK List completed"] == await client.ask(b'LIST (SPECIAL-USE) "" *')
        assert [
            b'* LIST (\\NonExistent \\Subscribed) "/" Gone/deep',
            b'* LIST (\\HasNoChildren \\Subscribed) "/" Work/2026',
            b"OK List completed",
        ] == await client.ask(b'LIST (SUBSCRIBED) "" *')
        assert [
            b'* LIST (\\NonExistent) "/" Gone ("CHILDINFO" ("SUBSCRIBED"))',
            b'* LIST (\\NonExistent \\HasChildren) "/" Work ("CHILDINFO" ("SUBSCRIBED"))',
            b"OK List completed",
        ] == await client.ask(b'LIST (SUBSCRIBED RECURSIVEMATCH) "" %')
        lines = await client.ask(b'LIST (SUBSCRIBED RECURSIVEMATCH) "" *')
        assert [] == [line for line in lines if b"CHILDINFO" in line]
        assert (await client.ask(b'LIST (SPECIAL-USE RECURSIVEMATCH) "" *'))[0].startswith(b"BAD RECURSIVEMATCH needs SUBSCRIBED")
        assert [
            b'* LIST (\\HasNoChildren) "/" INBOX',
            b"* STATUS INBOX (MESSAGES 0)",
            b'* LIST (\\HasNoChildren) "/" Play',
            b"* STATUS Play (MESSAGES 0)",
            b"OK List completed",
        ] == await client.ask(b'LIST "" (INBOX P*) RETURN (CHILDREN STATUS (MESSAGES))')


async def test_two_sessions_see_each_other(make_house: Make, plain: bytes) -> None:
    """Flags at once, EXPUNGE not while numbers count, EXISTS with the next command."""
    house = make_house([plain, plain, plain])
    async with house.session() as one, house.session() as two:
        await one.log_in(select=b"INBOX")
        await two.log_in(select=b"INBOX")
        assert [b"* 2 FETCH (UID 2 FLAGS (\\Deleted \\Recent))", b"OK Store completed"] == await one.ask(b"STORE 2 +FLAGS (\\Deleted)")
        assert [b"* 2 FETCH (UID 2 FLAGS (\\Deleted))", b"OK Nothing done"] == await two.ask(b"NOOP")
        assert [b"* 2 EXPUNGE", b"* 2 RECENT", b"OK Expunge completed"] == await one.ask(b"EXPUNGE")
        assert [
            b"* 1 FETCH (FLAGS ())",
            b"* 2 FETCH (FLAGS (\\Deleted))",
            b"* 3 FETCH (FLAGS ())",
            b"OK Fetch completed",
        ] == await two.ask(b"FETCH 1:3 FLAGS")
        lines = await two.ask(b"FETCH 1:3 RFC822.SIZE")
        assert [b"NO [EXPUNGEISSUED] Some messages are gone: deleted by another program"] == lines[-1:]
        assert [b"* 1 FETCH (RFC822.SIZE 116)", b"* 3 FETCH (RFC822.SIZE 116)"] == lines[:-1]
        assert [b"OK Store completed"] == await two.ask(b"STORE 2:3 +FLAGS.SILENT (\\Flagged)")
        assert [b"* 3 FETCH (UID 3 FLAGS (\\Flagged))", b"NO [EXPUNGEISSUED] Some of these messages are gone"] == await two.ask(
            b"STORE 2:3 +FLAGS (\\Flagged)"
        )
        assert [b"* 2 EXPUNGE", b"OK Fetch completed"] == [line for line in await two.ask(b"UID FETCH 1:* (UID)") if b"FETCH (" not in line]
        assert b"* 2 FETCH (UID 3 FLAGS (\\Flagged \\Recent))" in await one.ask(b"NOOP")


async def test_new_mail_is_told(make_house: Make, plain: bytes) -> None:
    """NOOP looks at the disk; the message is recent for the first who hears of it."""
    house = make_house()
    async with house.session() as one, house.session() as two:
        await one.log_in(select=b"INBOX")
        await two.log_in(select=b"INBOX")
        house.inbox.put(plain)
        assert [b"* 1 EXISTS", b"* 1 RECENT", b"OK Nothing done"] == await one.ask(b"NOOP")
        assert [b"* 1 EXISTS", b"* 0 RECENT", b"OK Nothing done"] == await two.ask(b"NOOP")


async def test_new_keywords_are_told_before_their_use(make_house: Make, plain: bytes) -> None:
    """FLAGS first, then the FETCH that shows one."""
    house = make_house([plain])
    async with house.session() as one, house.session() as two:
        await one.log_in(select=b"INBOX")
        await two.log_in(select=b"INBOX")
        lines = await one.ask(b"STORE 1 FLAGS ($Label1)")
        assert b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Label1)" == lines[0]
        assert b"* 1 FETCH (UID 1 FLAGS (\\Recent $Label1))" == lines[2]
        assert b"* 1 FETCH (UID 1 FLAGS ($Label1))" == (await two.ask(b"NOOP"))[2]


async def test_idle_tells_at_once(make_house: Make, plain: bytes) -> None:
    """New mail, flags and expunges of others arrive without a command; DONE ends it."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        await client.send(b"a IDLE\r\n")
        assert b"+ idling" == await client.line()
        house.inbox.put(plain)
        assert [b"* 2 EXISTS", b"* 2 RECENT"] == [await client.line(), await client.line()]
        house.inbox.expunge([1])
        assert [b"* 1 EXPUNGE", b"* 1 RECENT"] == [await client.line(), await client.line()]
        await client.send(b"DO")
        await trio.testing.wait_all_tasks_blocked()
        house.inbox.put(plain)
        assert b"* 2 EXISTS" == await client.line()
        await client.send(b"NE\r\nb NOOP\r\n")
        assert [b"* 2 RECENT", b"a OK Idle completed"] == await client.until(b"a")
        assert [b"b OK Nothing done"] == await client.until(b"b")


async def test_idle_without_mailbox_and_without_done(make_house: Make) -> None:
    """Both are answered."""
    async with make_house().session() as client:
        await client.log_in()
        await client.send(b"a IDLE\r\n")
        assert b"+ idling" == await client.line()
        await client.send(b"b NOOP\r\n")
        assert b"a BAD [CLIENTBUG] DONE expected" == await client.line()


async def test_a_deleted_mailbox_ends_the_session(make_house: Make) -> None:
    """Its numbers mean nothing any more."""
    house = make_house()
    async with house.session() as client:
        await client.log_in(select=b"Sent")
        house.store.delete_mailbox(MailboxName("Sent"))
        await client.send(b"a NOOP\r\n")
        assert b"* BYE The selected mailbox was deleted" == await client.line()
        assert b"" == await client.line()


async def test_a_mailbox_deleted_during_idle(make_house: Make) -> None:
    """BYE at once, without waiting for DONE."""
    house = make_house()
    async with house.session() as client:
        await client.log_in(select=b"Sent")
        await client.send(b"a IDLE\r\n")
        await client.line()
        await trio.testing.wait_all_tasks_blocked()
        house.store.delete_mailbox(MailboxName("Sent"))
        assert b"* BYE The selected mailbox was deleted" == await client.line()
        assert b"" == await client.line()
    assert "mailbox deleted" == house.logged[-1][1]["reason"]


async def test_unannounced_mail_is_found_within_a_second(make_house: Make, plain: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """Where the feed says nothing, the age of our last look decides."""
    house = make_house()
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        house.inbox.hide(plain)
        await client.ask(b"NOOP")
        await trio.sleep(1)
        assert b"* 1 EXISTS" in await client.ask(b"NOOP")


async def test_the_feed_is_left_with_the_mailbox(make_house: Make) -> None:
    """CLOSE, UNSELECT, another SELECT and LOGOUT end the watch."""
    house = make_house()
    watched = house.feed.subscriptions
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b"SELECT Sent")
        await trio.testing.wait_all_tasks_blocked()
        assert ["Sent"] == [name for name, _ in watched]
        await client.ask(b"UNSELECT")
        await trio.testing.wait_all_tasks_blocked()
        assert [] == watched
        await client.ask(b"SELECT Sent")
    assert [] == watched


async def test_autologout(make_house: Make, autojump_clock: trio.testing.MockClock) -> None:
    """Strangers get a minute, people half an hour."""
    house = make_house(settings=ImapConfig(login_timeout_s=60, idle_timeout_s=1800))
    async with house.session() as client:
        await client.line()
        assert b"* BYE Nothing heard for too long" == await client.line()
        assert 60 == round(trio.current_time())
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        start_s = trio.current_time()
        await trio.sleep(1000)
        await client.ask(b"NOOP")
        assert b"* BYE Nothing heard for too long" == await client.line()
        assert 2800 == round(trio.current_time() - start_s)
    assert ["timeout", "timeout"] == [fields["reason"] for event, fields in house.logged if event == "session_finished"]


async def test_shutdown_ends_idle_sessions(make_house: Make) -> None:
    """BYE, also in the middle of IDLE."""
    async with make_house().session() as client:
        await client.log_in(select=b"INBOX")
        await client.send(b"a IDLE\r\n")
        await client.line()
        await trio.testing.wait_all_tasks_blocked()
        client.connection.drain()
        assert (await client.line()).startswith(b"* BYE [UNAVAILABLE] Server is shutting down")


async def test_a_bug_ends_one_session(make_house: Make) -> None:
    """It is logged with its traceback, and the client is told."""
    house = make_house()

    def explode(name: object) -> None:
        raise ZeroDivisionError

    house.store.status = explode
    async with house.session() as client:
        await client.log_in()
        await client.send(b"a STATUS INBOX (MESSAGES)\r\n")
        assert b"* BYE [SERVERBUG] Internal error, try again later" == await client.line()
    assert ["imap_session_failed"] == [event for event, _ in house.logged if event.startswith("imap_")]
    assert "failed" == house.logged[-1][1]["reason"]


async def test_a_lost_client(make_house: Make) -> None:
    """Even in IDLE the session just ends."""
    house = make_house()
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        await client.send(b"a IDLE\r\n")
        await client.line()
    assert "lost" == house.logged[-1][1]["reason"]


async def test_pipelined_commands_are_answered_in_order(make_house: Make) -> None:
    """One write, all answers."""
    async with make_house().session() as client:
        await client.line()
        await client.send(b"a LOGIN ana secret\r\nb SELECT INBOX\r\nc UID SEARCH ALL\r\nd LOGOUT\r\n")
        lines = await client.until(b"d")
        assert [b"a OK", b"b OK", b"c OK", b"d OK"] == [line[:4] for line in lines if not line.startswith(b"*")]


async def test_what_the_administrator_has_to_mend(make_house: Make) -> None:
    """A disk that is broken or not ours is told as such, at a login and later (RFC 5530 section 3, CONTACTADMIN)."""
    told = b"NO [CONTACTADMIN] The server cannot get at this mail: tell the administrator"
    house = make_house()
    async with house.session() as client:
        await client.log_in()
        house.store.broken = DiskError("read-only")
        assert [told] == await client.ask(b"SELECT INBOX")
    async with house.session() as client:
        await client.line()
        assert [told] == await client.ask(b"LOGIN ana secret")
