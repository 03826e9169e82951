"""SEARCH, SORT, THREAD and ESEARCH over real mail stores of both formats."""

import itertools
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config.schema import ImapConfig
from appliance.model.clock import ManualClock
from appliance.model.content import MemoryContent
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.services.imap.service import ImapService
from appliance.storage.stores import FileMailStores
from tests.services.imap.conftest import FakeAuthenticator, FakeFeed, House

ANA = AccountName("ana")
DAY_S = 86_400.0
NEW_YEAR_S = 1_767_225_600.0
LISTS, WORK = MailboxName("Lists"), MailboxName("Lists/Work")


def mail(subject: str, body: str = "text", *, sender: str = "Ana <ana@example.org>", to: str = "bob@example.org", extra: str = "") -> bytes:
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n{extra}\r\n{body}\r\n".encode()


class Office:
    """A service over stores on disk. Message ``n`` of ``put`` arrived on the nth day of 2026."""

    def __init__(self, directory: Path, mail_format: str) -> None:
        self.feed = FakeFeed()
        self.stores = FileMailStores(directory, self.feed, formats=mail_format)  # type: ignore[arg-type]
        logger = logging.getLogger("unheard")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        service = ImapService(
            settings=ImapConfig(),
            hostname="mail.example",
            stores=self.stores,
            authenticator=FakeAuthenticator(),
            offload=InlineOffload(),
            feed=self.feed,
            mail_log=MailLog(logger, []),
            clock=ManualClock(),
            spool=tempfile.TemporaryFile,
        )
        self.session = House(service, None, self.feed, []).session

    def put(self, *messages: bytes, mailbox: MailboxName = INBOX, flags: int = 0) -> None:
        store = self.stores.account(ANA)
        known = len(store.open_mailbox(mailbox).snapshot().uids)
        store.append(
            mailbox, [NewMessage(MemoryContent(data), NEW_YEAR_S + DAY_S * (at - 1), flags) for at, data in enumerate(messages, known + 1)]
        )


@pytest.fixture(params=["maildir", "mbox"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "data", request.param)
    yield made
    made.stores.close()


THREE = (mail("Ação da Câmara", "the cat sat"), mail("other", "a DOG", sender="bob@example.org"), mail("Re: third", "x" * 500))


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (b"CHARSET UTF-8 SUBJECT {6}\r\nA\xc3\x87\xc3\x83O", b" 1"),
        (b"CHARSET ISO-8859-1 SUBJECT {4}\r\na\xe7\xe3o", b" 1"),
        (b"CHARSET UTF-16 SUBJECT {6}\r\n\xff\xfet\x00h\x00", None),
        (b"CHARSET x-mac-roman SUBJECT {3}\r\nC\x89m", b" 1"),
        (b"OR (SUBJECT other FROM bob) NOT (BODY cat) ", b" 2 3"),
        (b"NOT NOT SUBJECT other", b" 2"),
        (b"HEADER To BOB", b" 1 2 3"),
        (b'HEADER X-None ""', b""),
        (b"TEXT dog", b" 2"),
        (b"BODY example.org", b""),
        (b"BEFORE 2-Jan-2026", b" 1"),
        (b"ON 2-Jan-2026", b" 2"),
        (b"LARGER 400", b" 3"),
        (b"SENTON 2-Jan-2026", b""),
        (b"UID 2:* UNSEEN 1:2", b" 2"),
        (b"4:9", b""),
        (b"FUZZY SUBJECT acao", b" 1"),
        (b"FUZZY SUBJECT thrid", b" 3"),
        (b"FUZZY BODY cats", b" 1"),
        (b"FUZZY SUBJECT nothing", b""),
        (b"FUZZY (SUBJECT othr NOT SEEN)", b" 2"),
    ],
)
async def test_search(office: Office, keys: bytes, found: bytes | None) -> None:
    """Keys, charsets and limits; asked twice, of which the first learns what the second knows."""
    office.put(*THREE)
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        for _ in range(2):
            lines = await client.ask(b"SEARCH " + keys)
            if found is None:
                assert lines[-1].startswith(b"BAD "), lines
            else:
                assert [b"* SEARCH" + found, b"OK Search completed"] == [line for line in lines if not line.startswith(b"+")]


async def test_an_unknown_charset_empties_what_was_to_be_saved(office: Office) -> None:
    """RFC 5182 section 2.2, example 5; BAD leaves the saved result alone."""
    office.put(*THREE)
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"OK Search completed"] == await client.ask(b"SEARCH RETURN (SAVE) SUBJECT other")
        assert (await client.ask(b"SEARCH RETURN (SAVE) NONSENSE"))[-1].startswith(b"BAD")
        assert [b"* SEARCH 2", b"OK Search completed"] == await client.ask(b"SEARCH $")
        assert (await client.ask(b"SEARCH RETURN (SAVE) CHARSET KLINGON TEXT x"))[0].startswith(b"NO [BADCHARSET (US-ASCII UTF-8 ")
        assert [b"* SEARCH", b"OK Search completed"] == await client.ask(b"SEARCH $")


@pytest.mark.parametrize(
    ("options", "answer", "saved"),
    [
        (b"SAVE", b"", b"1:3"),
        (b"SAVE MIN", b" MIN 1", b"1"),
        (b"SAVE MAX", b" MAX 3", b"3"),
        (b"SAVE MIN MAX", b" MIN 1 MAX 3", b"1,3"),
        (b"SAVE MIN COUNT", b" MIN 1 COUNT 3", b"1:3"),
        (b"SAVE MIN ALL", b" MIN 1 ALL 1:3", b"1:3"),
        (b"SAVE PARTIAL 2:2", b" PARTIAL (2:2 2)", b"2"),
        (b"SAVE PARTIAL 2:2 MAX", b" MAX 3 PARTIAL (2:2 2)", b"2:3"),
        (b"SAVE PARTIAL 2:2 COUNT", b" COUNT 3 PARTIAL (2:2 2)", b"1:3"),
        (b"PARTIAL -1:-2", b" PARTIAL (-1:-2 2:3)", None),
        (b"PARTIAL 9:10", b" PARTIAL (9:10 NIL)", None),
        (b"PARTIAL 3:1", b" PARTIAL (3:1 1:3)", None),
        (b"", b" ALL 1:3", None),
        (b"CONTEXT COUNT", b" COUNT 3", None),
    ],
)
async def test_returns(office: Office, options: bytes, answer: bytes, saved: bytes | None) -> None:
    """What RETURN tells and what SAVE keeps: RFC 5182 section 2.4, RFC 9394 sections 3.1 and 3.2."""
    office.put(*THREE)
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"UID SEARCH RETURN (" + options + b") ALL")
        told = [b'* ESEARCH (TAG "t3") UID' + answer] if answer else []
        assert [*told, b"OK Search completed"] == lines
        expected = [b'* ESEARCH (TAG "t4") ALL ' + saved] if saved else [b'* ESEARCH (TAG "t4")']
        assert [*expected, b"OK Search completed"] == await client.ask(b"SEARCH RETURN (ALL) $")


async def test_the_saved_result_serves_every_command(office: Office) -> None:
    """FETCH, STORE, COPY, MOVE and UID EXPUNGE take ``$``; what is expunged falls out; SELECT empties it."""
    office.put(*THREE)
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b"SEARCH RETURN (SAVE) OR SUBJECT other SUBJECT third")
        assert [b"* 2 FETCH (UID 2)", b"* 3 FETCH (UID 3)", b"OK Fetch completed"] == await client.ask(b"FETCH $ (UID)")
        assert [b"* 2 FETCH (UID 2)", b"* 3 FETCH (UID 3)", b"OK Fetch completed"] == await client.ask(b"UID FETCH $ (UID)")
        assert [b"OK Store completed"] == await client.ask(b"STORE $ +FLAGS.SILENT (\\Deleted)")
        assert (await client.ask(b"COPY $ Sent"))[-1].startswith(b"NO [TRYCREATE]")
        await client.ask(b"CREATE Sent")
        assert b"COPYUID" in (await client.ask(b"COPY $ Sent"))[-1]
        await client.ask(b"UID EXPUNGE 2")
        assert [b"* SEARCH 2", b"OK Search completed"] == await client.ask(b"SEARCH $")
        assert [b"* SEARCH 3", b"OK Search completed"] == await client.ask(b"UID SEARCH UID $")
        await client.ask(b"UID EXPUNGE $")
        assert [b"OK Fetch completed"] == await client.ask(b"FETCH $ (FLAGS)")
        await client.ask(b"SEARCH RETURN (SAVE) ALL")
        await client.ask(b"SELECT INBOX")
        assert [b"* SEARCH", b"OK Search completed"] == await client.ask(b"SEARCH $")


async def test_sort(office: Office) -> None:
    """Criteria, REVERSE, DISPLAY, the old answer and the extended one."""
    office.put(
        mail("b", sender="Zoe <ana@x.org>", extra="Date: 5 Jan 2020 00:00:00 +0000\r\n"),
        mail("Re: A", "longer text", sender="Alan <zed@x.org>", extra="Date: 4 Jan 2020 00:00:00 +0000\r\n"),
        mail("[list] b (fwd)", sender="bert@x.org", extra="Date: 5 Jan 2020 01:00:00 +0200\r\n"),
    )
    async with office.session() as client:
        await client.log_in(select=b"INBOX")

        async def order(criteria: bytes) -> bytes:
            lines = await client.ask(b"SORT (" + criteria + b") UTF-8 ALL")
            assert lines[-1] == b"OK Sort completed"
            return lines[0].removeprefix(b"* SORT ")

        assert b"2 1 3" == await order(b"SUBJECT")
        assert b"1 3 2" == await order(b"REVERSE SUBJECT")
        assert b"2 3 1" == await order(b"SUBJECT DATE")
        assert b"2 3 1" == await order(b"DATE")
        assert b"3 2 1" == await order(b"REVERSE ARRIVAL")
        assert b"1 3 2" == await order(b"FROM")
        assert b"2 3 1" == await order(b"DISPLAYFROM")
        assert b"1 2 3" == await order(b"TO CC DISPLAYTO")
        assert b"2" == (await order(b"REVERSE SIZE"))[:1]
        assert [b'* ESEARCH (TAG "t12") UID MIN 2 MAX 3 ALL 2,1,3 COUNT 3', b"OK Sort completed"] == await client.ask(
            b"UID SORT RETURN (MIN MAX ALL COUNT) (SUBJECT) US-ASCII ALL"
        )
        assert [b'* ESEARCH (TAG "t13") PARTIAL (-1:-2 1,3)', b"OK Sort completed"] == await client.ask(
            b"SORT RETURN (PARTIAL -1:-2) (SUBJECT) UTF-8 ALL"
        )
        assert [b"* SORT", b"OK Sort completed"] == await client.ask(b"SORT (SUBJECT) UTF-8 SUBJECT none")
        assert (await client.ask(b"SORT (SUBJECT) KLINGON ALL"))[-1].startswith(b"NO [BADCHARSET")
        assert (await client.ask(b"SORT (COLOUR) UTF-8 ALL"))[-1].startswith(b"BAD")
        assert (await client.ask(b"SORT (RELEVANCY) UTF-8 ALL"))[-1].startswith(b"BAD")
        assert [b'* ESEARCH (TAG "t18") ALL 1,3 RELEVANCY (100 100)', b"OK Sort completed"] == await client.ask(
            b"SORT RETURN (RELEVANCY ALL) (RELEVANCY) UTF-8 FUZZY SUBJECT b"
        )


async def test_thread(office: Office) -> None:
    """The three algorithms, in numbers and in uids."""
    office.put(
        mail("one", extra="Message-ID: <1@x>\r\n"),
        mail("Re: one", extra="Message-ID: <2@x>\r\nReferences: <1@x>\r\n"),
        mail("two", extra="Message-ID: <3@x>\r\n"),
        mail("Re: one"),
        mail("split", extra="In-Reply-To: <2@x>\r\n"),
    )
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* THREAD (1 (2 5)(4))(3)", b"OK Thread completed"] == await client.ask(b"THREAD REFERENCES UTF-8 ALL")
        assert [b"* THREAD (3)(4)(1 2 5)", b"OK Thread completed"] == await client.ask(b"UID THREAD REFS UTF-8 ALL")
        assert [b"* THREAD (1 (2)(4))(3)(5)", b"OK Thread completed"] == await client.ask(b"THREAD ORDEREDSUBJECT UTF-8 ALL")
        assert [b"* THREAD (2)", b"OK Thread completed"] == await client.ask(b"THREAD REFERENCES US-ASCII 2")
        assert [b"* THREAD", b"OK Thread completed"] == await client.ask(b"THREAD REFERENCES US-ASCII SUBJECT none")
        assert (await client.ask(b"THREAD MAGIC UTF-8 ALL"))[-1].startswith(b"BAD")


async def test_relevancy(office: Office) -> None:
    """RFC 6203 section 4: a score for each, in the order of the messages."""
    office.put(mail("hello"), mail("nothing"), mail("Helo world"), mail("help"))
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b'* ESEARCH (TAG "t3") ALL 1,3:4 RELEVANCY (60 100 60)', b"OK Search completed"] == await client.ask(
            b"SEARCH RETURN (RELEVANCY ALL) FUZZY SUBJECT Helo"
        )
        assert [b"* SORT 3 1 4", b"OK Sort completed"] == await client.ask(b"SORT (RELEVANCY) UTF-8 FUZZY SUBJECT helo")
        assert (await client.ask(b"SEARCH RETURN (RELEVANCY) ALL"))[-1].startswith(b"BAD")


async def test_multi_search(office: Office) -> None:
    """RFC 7377: each source, correlators, silence where nothing is found, and what is refused."""
    store = office.stores.account(ANA)
    store.create_mailbox(WORK)
    store.subscribe(LISTS)
    office.put(mail("cat one"))
    office.put(mail("dog"), mail("cat two"), mailbox=LISTS)
    office.put(mail("cat three"), mailbox=WORK)
    validity = {name: b"%d" % store.open_mailbox(name).snapshot().uid_validity for name in (INBOX, LISTS, WORK)}
    async with office.session() as client:
        await client.log_in()
        tags = itertools.count(2)

        async def ask(sources: bytes) -> list[bytes]:
            lines = await client.ask(b"ESEARCH IN (" + sources + b") SUBJECT cat")
            tag = b"t%d" % next(tags)
            assert lines[-1] == b"OK Search completed", lines
            return [line.removeprefix(b'* ESEARCH (TAG "' + tag + b'" MAILBOX ') for line in lines[:-1]]

        inbox = b"INBOX UIDVALIDITY " + validity[INBOX] + b") UID ALL 1"
        lists = b"Lists UIDVALIDITY " + validity[LISTS] + b") UID ALL 2"
        work = b"Lists/Work UIDVALIDITY " + validity[WORK] + b") UID ALL 1"
        assert [inbox, lists, work] == await ask(b"personal")
        assert [inbox, lists, work] == await ask(b"inboxes")
        assert [lists] == [line for line in await ask(b"subscribed") if line != inbox]
        assert [lists, work] == await ask(b"subtree Lists")
        assert [lists, work] == await ask(b"subtree-one Lists")
        assert [work, inbox] == sorted(await ask(b'mailboxes ("Lists/Work" INBOX None) mailboxes INBOX'), reverse=True)
        assert (await client.ask(b"ESEARCH SUBJECT cat"))[-1].startswith(b"BAD")
        assert (await client.ask(b"ESEARCH IN (personal) RETURN (SAVE) ALL"))[-1].startswith(b"BAD")
        assert (await client.ask(b"ESEARCH IN (selected-delayed) ALL"))[-1].startswith(b"BAD")
        await client.ask(b"SELECT Lists")
        lines = await client.ask(b"ESEARCH IN (selected personal) RETURN (COUNT MIN) SUBJECT cat")
        names = [line.split(b"MAILBOX ")[1].split(b" ")[0] for line in lines[:-1]]
        assert [b"Lists", b"INBOX", b"Lists/Work"] == names
        lines = await client.ask(b"ESEARCH RETURN (ALL SAVE) SUBJECT cat")
        assert lines[0].endswith(lists)
        assert [b"* SEARCH 2", b"OK Search completed"] == await client.ask(b"SEARCH $")


async def test_filters(office: Office) -> None:
    """RFC 5466 section 3.1: put in place, within each other, undefined, endless, and in no other charset."""
    filters = {b"cats": b"SUBJECT cat", b"both": b"OR FILTER cats FILTER DOGS", b"Dogs": b"SUBJECT dog", b"loop": b"FILTER loop"}
    office.put(mail("cat"), mail("dog"), mail("bird"))
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        assert b" FILTERS" in (await client.ask(b"CAPABILITY"))[0]
        for name, value in filters.items():
            assert [b"OK Setmetadata completed"] == await client.ask(b'SETMETADATA "" (/private/filters/values/%b "%b")' % (name, value))
        assert [b"* SEARCH 1 2", b"OK Search completed"] == await client.ask(b"SEARCH FILTER both")
        assert [b"* SEARCH 3", b"OK Search completed"] == await client.ask(b"SEARCH NOT FILTER both")
        for name in (b"none", b"loop"):
            assert (await client.ask(b"SEARCH FILTER " + name))[-1].startswith(b"NO [UNDEFINED-FILTER " + name + b"]")
        assert (await client.ask(b"SEARCH CHARSET ISO-8859-1 FILTER cats"))[-1].startswith(b"BAD [BADCHARSET")
        assert [b"* SEARCH 1", b"OK Search completed"] == await client.ask(b"SEARCH CHARSET US-ASCII FILTER cats")
        assert (await client.ask(b"SEARCH FILTER a/b"))[-1].startswith(b"BAD")
        await client.ask(b'SETMETADATA "" (/private/filters/values/cats NIL)')
        assert (await client.ask(b"SEARCH FILTER both"))[-1].startswith(b"NO [UNDEFINED-FILTER cats]")


async def test_what_filters_hold(office: Office) -> None:
    """RFC 5466 section 3.2: UTF-8, whole criteria alone; the account's own stand before shared ones; a broken one on disk is none."""
    office.put(mail("cat"), mail("dog"), mail("ação"))
    store = office.stores.account(ANA)
    values = {
        "/shared/filters/values/dogs": b"SUBJECT cat",
        "/shared/filters/values/cats": b"SUBJECT cat",
        "/private/filters/values/bad": b"OR ALL",
    }
    store.annotate(None, values, 100)
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        set_filter = b'SETMETADATA "" (/private/filters/values/'
        refused = [b"NO The value of a filter is a whole search criterion"]
        for value in (b'"OR SMALLER"', b'""', b'"ALL) x"', b'"NONSENSE"'):
            assert refused == await client.ask(set_filter + b"x " + value + b")")
        assert (await client.ask(b"SEARCH FILTER x"))[-1].startswith(b"NO [UNDEFINED-FILTER x]")
        assert (await client.ask(b"SEARCH FILTER bad"))[-1].startswith(b"NO [UNDEFINED-FILTER bad]")
        assert b"* SEARCH 1" == (await client.ask(b"SEARCH FILTER cats"))[0]
        assert b"* SEARCH 1" == (await client.ask(b"SEARCH FILTER dogs"))[0]
        await client.ask(set_filter + b'dogs "SUBJECT dog")')
        assert b"* SEARCH 2" == (await client.ask(b"SEARCH FILTER dogs"))[0]
        value = 'SUBJECT "ação"'.encode()
        assert [b"OK Setmetadata completed"] == await client.ask(set_filter + b"action {%d+}\r\n%b)" % (len(value), value))
        assert b"* SEARCH 3" == (await client.ask(b"SEARCH FILTER action"))[0]


async def test_filters_without_message_numbers(office: Office) -> None:
    """What a filter holds counts as if it stood there: UIDONLY allows no message numbers in it (RFC 9586 section 3.5)."""
    office.put(mail("cat"), mail("dog"))
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b'SETMETADATA "" (/private/filters/values/first "1:2 SEEN" /private/filters/values/cats "SUBJECT cat")')
        await client.ask(b"ENABLE UIDONLY")
        assert (await client.ask(b"UID SEARCH FILTER first"))[-1].startswith(b"BAD [UIDREQUIRED]")
        assert b"* SEARCH 1" == (await client.ask(b"UID SEARCH FILTER cats"))[0]


async def test_a_search_kept_true(office: Office) -> None:
    """RFC 5267 section 4.3: additions after EXISTS and FETCH, removals before EXPUNGE, until it is cancelled."""
    office.put(mail("cat"), mail("dog"))
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b'* ESEARCH (TAG "t3") UID COUNT 1', b"OK Search completed"] == await client.ask(
            b"UID SEARCH RETURN (UPDATE COUNT) SUBJECT cat"
        )
        assert [b'* ESEARCH (TAG "t4") COUNT 2', b"OK Search completed"] == await client.ask(b"SEARCH RETURN (UPDATE COUNT) UNSEEN 1:*")
        office.put(mail("cats"), mail("cows"))
        lines = await client.ask(b"NOOP")
        assert [b'* ESEARCH (TAG "t3") UID ADDTO (0 3)', b"OK"] == [
            line[: 40 if line.startswith(b"*") else 2] for line in lines if b"ESEARCH" in line or b"OK N" in line
        ]
        assert lines.index(b"* 4 EXISTS") < lines.index(b'* ESEARCH (TAG "t3") UID ADDTO (0 3)')
        lines = await client.ask(b"STORE 1 +FLAGS (\\Seen \\Deleted)")
        assert [b'* ESEARCH (TAG "t4") REMOVEFROM (0 1)'] == [line for line in lines if b"ESEARCH" in line]
        lines = await client.ask(b"EXPUNGE")
        assert lines.index(b'* ESEARCH (TAG "t3") UID REMOVEFROM (0 1)') < lines.index(b"* 1 EXPUNGE")
        assert [b"OK No further updates"] == await client.ask(b'CANCELUPDATE "t3"')
        assert (await client.ask(b'CANCELUPDATE "t3"'))[-1].startswith(b"BAD")
        office.put(mail("cat again"))
        assert [] == [line for line in await client.ask(b"NOOP") if b"ESEARCH" in line]


async def test_a_sort_kept_true(office: Office) -> None:
    """RFC 5267 section 4.3.3: what comes is told with its place."""
    office.put(mail("b"), mail("d"))
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b"UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 UNDELETED")
        office.put(mail("a"), mail("c"), mail("cc"), mail("e"))
        lines = await client.ask(b"NOOP")
        assert [b'* ESEARCH (TAG "t3") UID ADDTO (1 3 3 4:5 6 6)'] == [line for line in lines if b"ESEARCH" in line]
        lines = await client.ask(b"STORE 1,4 +FLAGS (\\Deleted)")
        assert [b'* ESEARCH (TAG "t3") UID REMOVEFROM (3 4 2 1)'] == [line for line in lines if b"ESEARCH" in line]


async def test_contexts_are_bounded(office: Office) -> None:
    """RFC 5267 section 4.3.1: the eleventh is answered, and told that it is not kept; a tag is used once."""
    office.put(mail("b"))
    async with office.session() as client:
        await client.log_in(select=b"INBOX")
        for _ in range(10):
            await client.ask(b"SEARCH RETURN (UPDATE COUNT) ALL")
        lines = await client.ask(b"SEARCH RETURN (UPDATE COUNT) ALL")
        assert [b'* ESEARCH (TAG "t13") COUNT 1', b'* NO [NOUPDATE "t13"] No updates for this search', b"OK Search completed"] == lines
        await client.send(b"t3 SEARCH RETURN (UPDATE COUNT) SEEN\r\n")
        assert (await client.until(b"t3"))[-1].startswith(b"t3 BAD")
