"""Commands from bytes."""

import datetime

import pytest

from appliance.model.ids import MailboxName
from appliance.model.mailbox import Flag, FlagAction
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import FlagList, ListReturn, ListSelect, StatusItem
from appliance.protocols.imap.commands_search import Returns, Search, SearchReturn
from appliance.protocols.imap.fetch_items import Attribute, BodySection, SectionText
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.search_keys import (
    AllKey,
    AndKey,
    Comparison,
    DateKey,
    DateKind,
    FilterKey,
    FlagKey,
    FuzzyKey,
    HeaderKey,
    KeywordKey,
    NotKey,
    OrKey,
    RecentKey,
    SearchKey,
    SequenceKey,
    SizeKey,
    TextKey,
    UidKey,
    WithinKey,
)
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.verbs import VERBS


def parse(line: bytes, *, uid: bool = False) -> commands.Command:
    """Parse one command without its tag."""
    verb, _, _ = line.partition(b" ")
    reader = Reader(line, len(verb))
    read = VERBS[verb.decode("ascii")].read
    assert read is not None
    command = read(reader, uid)
    reader.read_end()
    return command


def numbers(raw: bytes) -> SequenceSet:
    return SequenceSet.parse(raw)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"NOOP", commands.Noop()),
        (b"NOOP  ", commands.Noop()),
        (b"LOGIN ana geheim", commands.Login("ana", "geheim")),
        (b'LOGIN "an\\"a" {3}\r\na b', commands.Login('an"a', "a b")),
        (b'LOGIN ana "s\xc3\xa9"', commands.Login("ana", "sé")),
        (b"AUTHENTICATE plain", commands.Authenticate("PLAIN")),
        (b"AUTHENTICATE PLAIN =", commands.Authenticate("PLAIN", b"")),
        (b"AUTHENTICATE PLAIN AGEAYg==", commands.Authenticate("PLAIN", b"\0a\0b")),
        (b"ENABLE CONDSTORE utf8=accept", commands.Enable(("CONDSTORE", "UTF8=ACCEPT"))),
        (b"ID NIL", commands.Id()),
        (b'ID ("name" "x" "os" NIL)', commands.Id(((b"name", b"x"), (b"os", None)))),
        (b"SELECT inbox", commands.Select(MailboxName("INBOX"))),
        (b'EXAMINE "inbox/a b"', commands.Examine(MailboxName("INBOX/a b"))),
        (b"CREATE &AOk-", commands.Create(MailboxName("é"))),
        (b"CREATE x (USE (\\Sent))", commands.Create(MailboxName("x"), ("\\Sent",))),
        (b"CREATE x (USE (\\Sent \\x-odd))", commands.Create(MailboxName("x"), ("\\Sent", "\\x-odd"))),
        (b"CREATE x (USE ())", commands.Create(MailboxName("x"))),
        (b"DELETE {1}\r\nx", commands.Delete(MailboxName("x"))),
        (b"RENAME a b", commands.Rename(MailboxName("a"), MailboxName("b"))),
        (b"SUBSCRIBE a", commands.Subscribe(MailboxName("a"))),
        (b"UNSUBSCRIBE a", commands.Unsubscribe(MailboxName("a"))),
        (b'LIST "" %', commands.List("", ("%",))),
        (b'LIST "" ""', commands.List("", ("",))),
        (b"LSUB a/ *", commands.Lsub("a/", "*")),
        (
            b'LIST (SUBSCRIBED RECURSIVEMATCH) "" (a* "b%") RETURN (CHILDREN STATUS (MESSAGES UNSEEN))',
            commands.List(
                "",
                ("a*", "b%"),
                ListSelect.SUBSCRIBED | ListSelect.RECURSIVEMATCH,
                ListReturn.CHILDREN,
                (StatusItem.MESSAGES, StatusItem.UNSEEN),
                extended=True,
            ),
        ),
        (b'LIST () "" * RETURN ()', commands.List("", ("*",), extended=True)),
        (b"STATUS x (messages size)", commands.Status(MailboxName("x"), (StatusItem.MESSAGES, StatusItem.SIZE))),
        (b"EXPUNGE", commands.Expunge()),
        (b"STORE 1:2 +FLAGS (\\Seen kw KW)", commands.Store(numbers(b"1:2"), FlagAction.ADD, FlagList(Flag.SEEN, ("kw",)))),
        (
            b"STORE 1 -flags.silent \\Draft \\Flagged",
            commands.Store(numbers(b"1"), FlagAction.REMOVE, FlagList(Flag.DRAFT | Flag.FLAGGED), silent=True),
        ),
        (b"STORE 1 FLAGS x \\Seen ", commands.Store(numbers(b"1"), FlagAction.REPLACE, FlagList(Flag.SEEN, ("x",)))),
        (b"SEARCH ALL ", Search(AllKey())),
        (b"STORE 1 FLAGS ()", commands.Store(numbers(b"1"), FlagAction.REPLACE, FlagList())),
        (b"COPY * a", commands.Copy(numbers(b"*"), MailboxName("a"))),
        (b"MOVE 1 a", commands.Move(numbers(b"1"), MailboxName("a"))),
        (b"FETCH 1 fast", commands.Fetch(numbers(b"1"), (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE))),
        (b"FETCH 1 (UID FLAGS UID)", commands.Fetch(numbers(b"1"), (Attribute.UID, Attribute.FLAGS))),
        (b"FETCH 1 RFC822.SIZE", commands.Fetch(numbers(b"1"), (Attribute.SIZE,))),
        (b"SEARCH RETURN () ALL", Search(AllKey(), returns=Returns(SearchReturn.ALL))),
        (b"SEARCH RETURN (MIN COUNT) ALL", Search(AllKey(), returns=Returns(SearchReturn.MIN | SearchReturn.COUNT))),
    ],
)
def test_commands_are_read(line: bytes, expected: commands.Command) -> None:
    """Every verb, in the spellings that clients use."""
    assert expected == parse(line)


def test_uid_forms_are_read() -> None:
    """``UID`` before a verb sets a mark, and gives EXPUNGE its set."""
    assert commands.Expunge(numbers(b"4,5")) == parse(b"EXPUNGE 4,5", uid=True)
    assert commands.Copy(numbers(b"1"), MailboxName("a"), uid=True) == parse(b"COPY 1 a", uid=True)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"BODY[]", BodySection(b"BODY[]")),
        (b"body.peek[1.2.mime]", BodySection(b"BODY[1.2.MIME]", (1, 2), SectionText.MIME, peek=True)),
        (b"BODY[3]<5.10>", BodySection(b"BODY[3]<5>", (3,), partial=(5, 10))),
        (b"BODY[TEXT]<0.1>", BodySection(b"BODY[TEXT]<0>", (), SectionText.TEXT, partial=(0, 1))),
        (
            b'BODY.PEEK[HEADER.FIELDS (From "x y")]',
            BodySection(b'BODY[HEADER.FIELDS (From "x y")]', (), SectionText.HEADER_FIELDS, (b"From", b"x y"), peek=True),
        ),
        (
            b"BODY[2.HEADER.FIELDS.NOT (To)]",
            BodySection(b"BODY[2.HEADER.FIELDS.NOT (To)]", (2,), SectionText.HEADER_FIELDS_NOT, (b"To",)),
        ),
        (b"RFC822", BodySection(b"RFC822")),
        (b"RFC822.HEADER", BodySection(b"RFC822.HEADER", text=SectionText.HEADER, peek=True)),
        (b"RFC822.TEXT", BodySection(b"RFC822.TEXT", text=SectionText.TEXT)),
    ],
)
def test_sections_are_read(raw: bytes, expected: BodySection) -> None:
    """Labels are canonical, header field names as they came."""
    assert commands.Fetch(numbers(b"1"), (expected,)) == parse(b"FETCH 1 " + raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"UNSEEN", NotKey(FlagKey(Flag.SEEN))),
        (b"NEW", AndKey((RecentKey(), NotKey(FlagKey(Flag.SEEN))))),
        (b"1:3 uid 7", AndKey((SequenceKey(numbers(b"1:3")), UidKey(numbers(b"7"))))),
        (b"OR SEEN NOT (DELETED KEYWORD x)", OrKey(FlagKey(Flag.SEEN), NotKey(AndKey((FlagKey(Flag.DELETED), KeywordKey("x")))))),
        (b"UNKEYWORD x", NotKey(KeywordKey("x"))),
        (b'FROM "ana" SUBJECT {3}\r\na b', AndKey((HeaderKey("from", b"ana"), HeaderKey("subject", b"a b")))),
        (b'HEADER X-A ""', HeaderKey("x-a", b"")),
        (b"TEXT {2}\r\n\xc3\xa9", TextKey(b"\xc3\xa9", with_header=True)),
        (b"BODY x", TextKey(b"x", with_header=False)),
        (b"FUZZY (SUBJECT x SEEN)", FuzzyKey(AndKey((HeaderKey("subject", b"x"), FlagKey(Flag.SEEN))))),
        (b"FILTER on-the-road", FilterKey("on-the-road")),
        (b"UID $ $", AndKey((UidKey(numbers(b"$")), SequenceKey(numbers(b"$"))))),
        (b"LARGER 10 SMALLER 20", AndKey((SizeKey(10, larger=True), SizeKey(20, larger=False)))),
        (b"SENTSINCE 1-Feb-1994", DateKey(DateKind.SENT, Comparison.SINCE, datetime.date(1994, 2, 1))),
        (b'BEFORE "10-feb-2004"', DateKey(DateKind.INTERNAL, Comparison.BEFORE, datetime.date(2004, 2, 10))),
        (b"YOUNGER 60", WithinKey(60, younger=True)),
        (b"(ALL)", AllKey()),
    ],
)
def test_search_keys_are_read(raw: bytes, expected: SearchKey) -> None:
    """Keys become a tree of few kinds."""
    assert Search(expected) == parse(b"SEARCH " + raw)


@pytest.mark.parametrize(
    "line",
    [
        b"NOOP x",
        b"LOGIN ana",
        b'LOGIN "ana x',
        b"LOGIN ana {9}\r\nx",
        b"SELECT",
        b"SELECT a b",
        b"SELECT a&b",
        b"CREATE x (USE (Nothing))",
        b"STATUS x ()",
        b"STATUS x (FOO)",
        b'LIST (RECURSIVEMATCH) "" *',
        b"FETCH 0 FLAGS",
        b"FETCH 1 ()",
        b"FETCH 1 (FLAGS",
        b"FETCH 1 FOO",
        b"FETCH 1 BODY[MIME]",
        b"FETCH 1 BODY[1.FOO]",
        b"FETCH 1 BODY[]<0.0>",
        b"FETCH 1 BODY[HEADER.FIELDS]",
        b"STORE 1 FLAGS.LOUD (\\Seen)",
        b"STORE 1 FLAGS \\Recent",
        b"STORE 1 FLAGS (\\Foo)",
        b"SEARCH",
        b"SEARCH FOO",
        b"SEARCH NOT",
        b"SEARCH BEFORE 31-Feb-1994",
        b"SEARCH YOUNGER 0",
        b"SEARCH " + b"NOT " * 60 + b"SEEN",
        b"SEARCH " + b"SEEN " * 1200,
        b"SEARCH RETURN (FOO) ALL",
        b"ENABLE",
        b"ID x",
        b"AUTHENTICATE PLAIN ?",
        b"FETCH 1 (" + b"UID " * 1100 + b"UID)",
        b"FETCH 1 BODY[" + b"1." * 120 + b"1]",
        b"FETCH 1 BODY[1",
        b"FETCH 1 BODY[1.]",
        b"FETCH 1 BODY[HEADER.FIELDS x]",
        b"FETCH 1 BODY[HEADER.FIELDS (" + b"a " * 1100 + b"a)]",
        b"FETCH 1 BODY[HEADER.FIELDS ({1}\r\n\xff)]",
        b"FETCH 1 BODY[]<5>",
        b"FETCH x FLAGS",
        b"LOGIN {x ana",
        b"LOGIN {2}\r\na\x00 x",
        b"LOGIN ana {1}\r\n\xff",
        b'ID (x "y")',
        b'ID ("x" y)',
        b"ID (" + b'"a" NIL ' * 31 + b'"a" NIL)',
        b"SELECT " + b"x" * 1_001,
        b'LIST "" (',
        b'LIST "" (' + b"a " * 101 + b"a)",
        b'LIST (FOO) "" *',
        b'LIST "" * RETURN (FOO)',
        b"STATUS x MESSAGES",
        b"STATUS x (" + b"MESSAGES " * 1_100 + b"MESSAGES)",
        b"STORE 1 FLAGS (" + b"x" * 256 + b")",
        b"STORE 1 FLAGS (" + b" ".join(b"k%d" % number for number in range(1_100)) + b")",
        b"STORE 1 FLAGS (%)",
        b"SEARCH BEFORE yesterday",
        b"SEARCH LARGER x",
        b"SEARCH LARGER 99999999999999999999",
        b"CREATE x (USE (\\Sent \\Trash)",
    ],
)
def test_broken_commands_are_refused(line: bytes) -> None:
    """Each error says what was expected."""
    with pytest.raises(ParseError, match=r"\w"):
        parse(line)


def test_secrets_do_not_show() -> None:
    """A command in a crash log must not tell the password."""
    assert "geheim" not in repr(commands.Login("ana", "geheim"))
    assert "geheim" not in repr(commands.Authenticate("PLAIN", b"geheim"))


def test_charset_and_utf8_exclude_each_other() -> None:
    """RFC 6855 section 3."""
    reader = Reader(b"SEARCH CHARSET UTF-8 TEXT x", 6, utf8=True)
    read = VERBS["SEARCH"].read
    assert read is not None
    with pytest.raises(ParseError, match="CHARSET cannot be used"):
        read(reader, False)
