"""Entry names, options and values."""

import pytest

from appliance.model.ids import MailboxName
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_mailboxes import ANY_DEPTH, GetMetadata, SetMetadata
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.metadata_grammar import VERBS

INBOX = MailboxName("INBOX")
SERVER = MailboxName("")
COMMENT = "/private/comment"


def read(verb: str, reader: Reader) -> Command:
    arguments = VERBS[verb].read
    assert arguments is not None
    return arguments(reader, False)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (b' "" /shared/Comment', GetMetadata(SERVER, ("/shared/comment",))),
        (b" inbox (/private/comment /shared/comment)", GetMetadata(INBOX, (COMMENT, "/shared/comment"))),
        (b" (MAXSIZE 1024 DEPTH infinity) INBOX /private", GetMetadata(INBOX, ("/private",), 1024, ANY_DEPTH)),
        (b' INBOX (depth 1) "/private/comment"', GetMetadata(INBOX, (COMMENT,), None, 1)),
        (b" INBOX /private/comment /shared/x", GetMetadata(INBOX, (COMMENT, "/shared/x"))),
        (b" (DEPTH 0) {5}\r\nINBOX {15}\r\n/shared/comment", GetMetadata(INBOX, ("/shared/comment",))),
    ],
)
def test_get(text: bytes, command: GetMetadata) -> None:
    """Options stand before the mailbox or behind it; entries alone, in parentheses, or in a row."""
    reader = Reader(text)
    assert command == read("GETMETADATA", reader)
    reader.read_end()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b' INBOX (/private/comment "x\xc3\xa9")', {COMMENT: "xé".encode()}),
        (b" INBOX (/private/comment NIL /private/vendor/kolab/x ~{3}\r\na\0b)", {COMMENT: None, "/private/vendor/kolab/x": b"a\0b"}),
        (b" INBOX (/private/comment {2}\r\n\r\n)", {COMMENT: b"\r\n"}),
        (b' INBOX (/private/comment "a" /PRIVATE/comment "b")', {COMMENT: b"b"}),
    ],
)
def test_set(text: bytes, values: dict[str, bytes | None]) -> None:
    """Strings, NIL and binary literals; the last value of an entry counts."""
    reader = Reader(text)
    assert SetMetadata(INBOX, tuple(values.items())) == read("SETMETADATA", reader)
    reader.read_end()


@pytest.mark.parametrize(
    "text",
    [
        b" INBOX comment", b" INBOX /comment", b" INBOX /private//x", b" INBOX /private/x/", b" INBOX (/private/a*)", b' INBOX "/private/a%"',
        b" INBOX /private/\xc3\xa9", b" INBOX ()", b" INBOX", b" (DEPTH 2) INBOX /private/x", b" (MAXSIZE x) INBOX /private/x", b" (DEPTH 1 X 1) INBOX /private/x",
        b" INBOX /private/" + b"x" * 300, b" INBOX (" + b" ".join(b"/private/%d" % n for n in range(102)) + b")", b" INBOX" + b" /private/x" * 102,
    ],
)  # fmt: skip
def test_broken_get(text: bytes) -> None:
    """Each is refused with a sentence."""
    with pytest.raises(ParseError, match=r"\w"):
        read("GETMETADATA", Reader(text))


@pytest.mark.parametrize(
    "text",
    [
        b" INBOX /private/comment x", b" INBOX ()", b" INBOX (/private/comment)", b" INBOX (/private NIL)", b" INBOX (/shared/vendor/x NIL)",
        b" INBOX (/private/comment {1}\r\n\0)", b" INBOX (/private/comment atom)", b" INBOX (/private/comment ~x)", b' INBOX (/private/comment "a"',
        b" INBOX (" + b" ".join(b"/private/%d NIL" % n for n in range(102)) + b")",
    ],
)  # fmt: skip
def test_broken_set(text: bytes) -> None:
    """Each is refused with a sentence."""
    with pytest.raises(ParseError, match=r"\w"):
        read("SETMETADATA", Reader(text))
