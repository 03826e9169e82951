r"""IMAP4rev2 beside IMAP4rev1: what changes with ENABLE, and the table of what RFC 9051 changed."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.model.mailbox import Flag

House = Any
Make = Callable[..., House]
TESTS = Path(__file__).resolve().parents[2]

APPENDIX_E = {
    1: "protocols/imap/test_grammar.py::test_numbers_of_63_bits",
    2: "services/imap/test_rev2.py::test_what_was_folded_in_is_told",
    3: "services/imap/test_rev2.py::test_status_items",
    4: "services/imap/test_rev2.py::test_search_answers_with_esearch",
    5: "substring matching: services/imap/matching, for all keys that RFC 9051 section 6.4.4 names",
    6: "message/test_parameter.py::",
    7: "services/imap/test_imap_messages.py::",
    8: "services/imap/test_rev2.py::test_copy_makes_no_mailbox",
    9: "services/imap/test_rev2.py::test_select",
    10: "services/imap/test_rev2.py::test_select",
    11: "services/imap/test_rev2.py::test_select",
    12: "services/imap/test_rev2.py::test_nothing_is_recent",
    13: "PERMANENTFLAGS is told again with a new keyword, which is allowed",
    14: "grammar of extensions to come",
    15: "keywords of any name: PERMANENTFLAGS has \\*",
    16: "services/imap/test_rev2.py::test_names_are_utf8",
    17: "CHECK is kept for IMAP4rev1",
    18: "RFC822 and its parts are kept for IMAP4rev1",
    19: "LSUB is kept for IMAP4rev1",
    20: "nothing else is told in IDLE unless NOTIFY asks for it",
    21: "services/imap/test_rev2.py::test_news_have_their_uid",
    22: "for clients",
    23: "no text of ours is empty",
    24: "texts stay ASCII until LANGUAGE chooses another language",
    25: "net.tls: TLS 1.2 at least",
    26: "ALERT is never sent before the login, PREAUTH never",
    27: "services/imap/test_login.py::test_channel_binding",
    28: "services/imap/test_imap_session.py::test_autologout",
    29: "for the registry",
    30: "services/imap/test_imap_session.py::",
}
"""RFC 9051 Appendix E: the test of each change, or the sentence that says why it needs none."""
FOLDED_IN = "NAMESPACE UNSELECT UIDPLUS ESEARCH SEARCHRES ENABLE IDLE SASL-IR LIST-EXTENDED LIST-STATUS MOVE LITERAL+ BINARY SPECIAL-USE STATUS=SIZE"
"""Appendix E, 2; LITERAL+ allows all that LITERAL- does. A server of both revisions tells each by its own name, too (Appendix A)."""
APPENDIX_F = ("QRESYNC", "CONDSTORE")
"""Recommended beside; OBJECTID is the third, and is told once all of it is there."""


def test_the_table_is_whole() -> None:
    """Thirty changes, and each test that it names is there."""
    assert list(range(1, 31)) == list(APPENDIX_E)
    for entry in APPENDIX_E.values():
        path, found, name = entry.partition("::")
        if not found:
            continue
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not name or name in names, entry


async def test_select(make_house: Make, plain: bytes) -> None:
    """CLOSED for the mailbox before, LIST for the new one; neither RECENT nor UNSEEN."""
    async with make_house([plain]).session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* ENABLED IMAP4rev2", b"OK Enable completed"] == await client.ask(b"ENABLE IMAP4rev2")
        lines = await client.ask(b"SELECT Sent")
        assert b"* OK [CLOSED] Previous mailbox is closed" == lines[0]
        assert b'* LIST () "/" Sent' in lines
        lines = await client.ask(b"SELECT INBOX")
        assert b"* 1 EXISTS" in lines
        assert [] == [line for line in lines if b"RECENT" in line or b"UNSEEN" in line]


async def test_international_messages_inside(make_house: Make) -> None:
    """Are message/global in IMAP4rev2, whose grammar has it, and message/rfc822 before (RFC 9051 section 9, media-message)."""
    inner = b"Content-Type: message/global\r\n\r\nSubject: s\r\n\r\nx\r\n"
    async with make_house([inner]).session() as client:
        await client.log_in(select=b"INBOX")
        for item in (b"BODYSTRUCTURE", b"BODY"):
            assert item + b' ("message" "rfc822" NIL' in (await client.ask(b"FETCH 1 " + item))[0]
        await client.ask(b"ENABLE IMAP4rev2")
        for item in (b"BODYSTRUCTURE", b"BODY"):
            assert item + b' ("message" "global" NIL' in (await client.ask(b"FETCH 1 (" + item + b" ENVELOPE)"))[0]


async def test_nothing_is_recent(make_house: Make, plain: bytes) -> None:
    """Not after ENABLE with a mailbox selected, and not for new mail."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert b"* 1 FETCH (FLAGS (\\Recent))" in await client.ask(b"FETCH 1 FLAGS")
        await client.ask(b"ENABLE IMAP4rev2")
        assert b"* 1 FETCH (FLAGS ())" in await client.ask(b"FETCH 1 FLAGS")
        house.inbox.put(plain)
        assert [b"* 2 EXISTS", b"OK Nothing done"] == await client.ask(b"NOOP")
        assert b"* 2 FETCH (FLAGS ())" in await client.ask(b"FETCH 2 FLAGS")
    async with house.session() as client:
        await client.log_in()
        assert b"* 0 RECENT" in await client.ask(b"SELECT INBOX")


async def test_names_are_utf8(make_house: Make) -> None:
    """In both directions; modified UTF-7 is a name like any other then."""
    async with make_house().session() as client:
        await client.log_in()
        await client.ask(b"CREATE &AOk-")
        assert [b'* LIST (\\HasNoChildren) "/" &AOk-'] == (await client.ask(b'LIST "" &AOk-'))[:1]
        await client.ask(b"ENABLE IMAP4rev2")
        assert ['* LIST (\\HasNoChildren) "/" "é"'.encode()] == (await client.ask('LIST "" "é"'.encode()))[:1]
        assert ['* STATUS "é" (MESSAGES 0)'.encode()] == (await client.ask('STATUS "é" (MESSAGES)'.encode()))[:1]
        assert '* LIST () "/" "é"'.encode() in await client.ask('SELECT "é"'.encode())
        assert [b"BAD Quoted string is not UTF-8"] == await client.ask(b'SELECT "\xe9"')


async def test_news_have_their_uid(make_house: Make, plain: bytes) -> None:
    """Whoever changed the flags."""
    house = make_house([plain])
    async with house.session() as one, house.session() as two:
        await one.log_in(select=b"INBOX")
        await two.log_in(select=b"INBOX")
        await two.ask(b"ENABLE IMAP4rev2")
        await one.ask(b"STORE 1 +FLAGS (\\Seen)")
        assert [b"* 1 FETCH (UID 1 FLAGS (\\Seen))", b"OK Nothing done"] == await two.ask(b"NOOP")


async def test_copy_makes_no_mailbox(make_house: Make, plain: bytes) -> None:
    """TRYCREATE instead; COPYUID with MOVE as with UID MOVE."""
    async with make_house([plain, plain]).session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b"ENABLE IMAP4rev2")
        assert [b"NO [TRYCREATE] No such mailbox"] == await client.ask(b"COPY 1 nowhere")
        assert [b"NO [TRYCREATE] No such mailbox"] == await client.ask(b"MOVE 1 nowhere")
        assert [b"* OK [COPYUID 1000 1 1] Moved", b"* 1 EXPUNGE", b"OK Move completed"] == await client.ask(b"MOVE 1 Sent")
        assert [b"* OK [COPYUID 1000 2 2] Moved", b"* 1 EXPUNGE", b"OK Move completed"] == await client.ask(b"UID MOVE 2 Sent")


async def test_search_answers_with_esearch(make_house: Make, plain: bytes) -> None:
    """Whether something was found or not; a saved result is used by its name."""
    async with make_house([plain, plain]).session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* SEARCH 1 2", b"OK Search completed"] == await client.ask(b"SEARCH ALL")
        await client.ask(b"ENABLE IMAP4rev2")
        assert b" ALL 1:2" == (await client.ask(b"SEARCH ALL"))[0].partition(b")")[2]
        assert b" UID ALL 1:2" == (await client.ask(b"UID SEARCH ALL"))[0].partition(b")")[2]
        assert b"" == (await client.ask(b"SEARCH SEEN"))[0].partition(b")")[2]
        assert [b"OK Search completed"] == await client.ask(b"SEARCH RETURN (SAVE) 2")
        assert b"* 2 FETCH (UID 2)" in await client.ask(b"FETCH $ UID")


async def test_status_items(make_house: Make, plain: bytes) -> None:
    """SIZE and DELETED beside those of IMAP4rev1."""
    house = make_house([plain])
    house.inbox.records[1].flags = int(Flag.DELETED)
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"ENABLE IMAP4rev2")
        assert [b"* STATUS INBOX (MESSAGES 1 DELETED 1 SIZE 116)"] == (await client.ask(b"STATUS INBOX (MESSAGES DELETED SIZE)"))[:1]


async def test_what_was_folded_in_is_told(make_house: Make) -> None:
    """Under the old names, for clients of IMAP4rev1; and what Appendix F recommends."""
    async with make_house().session() as client:
        assert b"IMAP4rev2" in (await client.line()).split()
        await client.ask(b"LOGIN ana secret")
        told = (await client.ask(b"CAPABILITY"))[0].decode().split()
    assert set() == {*FOLDED_IN.split(), *APPENDIX_F} - {*told}
