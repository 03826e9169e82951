"""IMAP on messages: APPEND and CATENATE, URLs, BINARY sections, previews and identifiers."""

import io
import random
import tempfile

from appliance.message.binary import BinaryConverter
from appliance.message.decode import leaf_parts
from appliance.message.identity import identify
from appliance.message.mime import scan
from appliance.message.preview import MAX_CHARACTERS, make_preview
from appliance.model.errors import UnknownEncodingError
from appliance.model.ids import MailboxName
from appliance.protocols.imap.append_grammar import AppendReader, LiteralKind, MessageBegun, Milestone, UrlNamed
from appliance.protocols.imap.fetch_items import BinarySection
from appliance.protocols.imap.frames import find_literal
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.url import parse_url
from appliance.services.imap.binary import decode_section
from tests.fuzz.engine import Target, cut
from tests.fuzz.seeds import messages

__all__ = ["TARGETS"]


def _check_append(data: bytes, rnd: random.Random) -> object:
    """Every line of the input is a piece; what is read is well ordered, and reading it again is the same."""
    replaces = rnd.random() < 0.3
    reader = AppendReader(replaces=replaces, uid=False)
    kinds: list[str] = []
    is_open = False
    command = b""
    for line in data.splitlines(keepends=True)[:50]:
        command += line
        literal = find_literal(command)
        piece = command[: -literal.length] if literal is not None else command.rstrip(b"\r\n")
        try:
            steps = reader.read(Reader(piece), literal)
        except ParseError as error:
            kinds.append(str(error)[:12])
            kinds.append("broken")
            break
        if steps is None:
            kinds.append("string")
            continue
        command = b""
        for step in steps:
            if isinstance(step, MessageBegun):
                assert not is_open
                is_open = step.is_catenated
                kinds.append("message")
            elif isinstance(step, UrlNamed):
                assert is_open
                kinds.append("url")
            elif step is Milestone.MESSAGE_ENDED:
                is_open = False
            elif step is LiteralKind.TEXT:
                assert is_open
        assert steps[-1] is Milestone.COMMAND_ENDED or isinstance(steps[-1], LiteralKind)
        if steps[-1] is Milestone.COMMAND_ENDED:
            assert reader.replaced is not None or not replaces
            kinds.append("end")
            break
    return tuple(dict.fromkeys(kinds)), replaces


def _check_url(data: bytes, rnd: random.Random) -> object:
    base = MailboxName(rnd.choice(("", "INBOX", "a/b")))
    try:
        url = parse_url(data, base or None)
    except ParseError as error:
        return str(error)[:20]
    assert 1 <= url.uid <= 0xFFFF_FFFF
    assert url.uid_validity is None or 1 <= url.uid_validity <= 0xFFFF_FFFF
    assert url.section.peek
    assert not set("\r\n\0") & set(url.mailbox + url.user + url.host)
    return bool(url.mailbox), bool(url.host), url.section.text, url.section.partial is not None, bool(url.section.part)


def _check_binary(data: bytes, rnd: random.Random) -> object:
    """A partial is a slice of the whole, the size is its length, and large ones come from a file all the same."""
    seen: list[object] = []
    for part in list(leaf_parts(scan(data)))[:4]:
        stream = io.BytesIO(data)
        try:
            whole = decode_section(stream, part, BinarySection(b"", (1,)), tempfile.TemporaryFile)
        except UnknownEncodingError:
            seen.append("unknown")
            continue
        assert whole.data is not None
        assert decode_section(stream, part, BinarySection(b"", (1,), size_only=True), tempfile.TemporaryFile).length == len(whole.data)
        offset, length = rnd.randrange(len(whole.data) + 3), 1 + rnd.randrange(len(whole.data) + 3)
        some = decode_section(stream, part, BinarySection(b"", (1,), (offset, length)), tempfile.TemporaryFile)
        assert some.data == whole.data[offset : offset + length]
        assert some.length == len(some.data)
        seen.append((part.encoding, b"\0" in whole.data))
    return tuple(seen)


def _check_converter(data: bytes, rnd: random.Random) -> object:
    """Whatever the cuts, and what is converted has no line ends that are none."""
    outputs = []
    for chunks in ([data], cut(data, rnd)):
        converter = BinaryConverter()
        outputs.append(b"".join([converter.feed(chunk) for chunk in chunks]) + converter.finish())
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") == outputs[0].count(b"\r\n") == outputs[0].count(b"\r")
    return len(outputs[0]) > len(data), b"base64" in outputs[0]


def _check_details(data: bytes, rnd: random.Random) -> object:
    stream = io.BytesIO(data)
    identity = identify(stream, 5)
    assert identity.email_id.isalnum()
    assert identity.thread_id.isalnum()
    assert identity == identify(io.BytesIO(data), 5)
    preview = make_preview(stream, scan(data))
    assert len(preview) <= MAX_CHARACTERS
    assert preview == " ".join(preview.split())
    return bool(preview), identity.thread_id[1:] == identity.email_id[1:]


_WORDS = [
    b" ", b"\r\n", b"(", b")", b"{1}\r\n", b"{1+}\r\n", b"~{1+}\r\n", b"{310}\r\n", b"CATENATE (", b"UTF8 (~{1}\r\n", b"TEXT ", b"URL ", b'"/i/;UID=1"', b"/i/;UID=1",
    b"Sent ", b"1 ", b"1:2 ", b"* ", b"(\\Seen $x) ", b'"17-Jul-1996 02:44:25 -0700" ', b'"', b"\\", b"\0", b"\xff",
]  # fmt: skip
_URL_WORDS = [
    b"imap:", b"//", b"/", b"ana@", b"host", b":143", b"INBOX", b"a/b", b";UIDVALIDITY=", b";UID=", b"/;SECTION=", b"/;PARTIAL=", b"0.1024", b"1", b"4294967296", b"1.2.MIME", b"HEADER",
    b"HEADER.FIELDS%20(Subject)", b"%20", b"%C3%A1", b"%", b"%00", b"]", b"[", b"[::1]", b"?", b";URLAUTH=", b";AUTH=*", b"\xe1", b" ",
]  # fmt: skip
_MESSAGE_WORDS = [
    b"\r\n", b"\r\n\r\n", b"--b", b"--", b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: binary\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n", b"Content-Transfer-Encoding: x\r\n", b"Content-Type: message/rfc822\r\n", b"Content-Type: text/html\r\n", b"SGVsbG8=", b"=E1", b"=\r\n",
    b"\0", b"\r", b"\n", b"<b>", b"> ", b"-- \r\n", b"References: <1@x>\r\n", b"Message-ID: <1@x>\r\n", b"<", b"\xe2\x80\x8b", b"\xff", b" ",
]  # fmt: skip
_BINARY_SEED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\xff\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n"

TARGETS = [
    Target(
        "imap_append", _check_append,
        [b' Sent (\\Seen) "17-Jul-1996 02:44:25 -0700" {3}\r\n\r\n', b" Sent CATENATE (URL /i/;UID=1 TEXT {3+}\r\n URL {9}\r\n/i/;UID=2)\r\n", b" 1 Sent UTF8 (~{1}\r\n)\r\n", b" Sent ~{1+}\r\n (x) {2}\r\n\r\n"],
        _WORDS, [(b" x CATENATE (", b"URL a ", b")\r\n"), (b" x (", b"k ", b") {1}\r\n"), (b" ", b"(", b"\r\n"), (b"", b" x {1}\r\n", b"\r\n")], 16_384,
    ),
    Target(
        "imap_url", _check_url,
        [b"/INBOX;UIDVALIDITY=3/;UID=20/;SECTION=1.2.MIME/;PARTIAL=0.1024", b"imap://ana;AUTH=*@mail.example:143/a/b/;UID=1", b";UID=1/;section=HEADER.FIELDS%20(Subject)"],
        _URL_WORDS, [(b"/", b"a", b"/;UID=1"), (b"/", b"%20", b"/;UID=1"), (b"/", b"/", b";UID=1"), (b"//", b"a@", b"/x/;UID=1"), (b"/x/;UID=1/;SECTION=", b"1.", b"1"), (b"", b";", b"")], 4_096,
    ),
    Target("binary_sections", _check_binary, [*messages(), _BINARY_SEED], _MESSAGE_WORDS, [(b"Content-Transfer-Encoding: base64\r\n\r\n", b"A=", b""), (b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"=", b"")]),
    Target("binary_converter", _check_converter, [*messages(), _BINARY_SEED], _MESSAGE_WORDS, [(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"\r\n--b\r\n", b""), (b"Content-Transfer-Encoding: binary\r\n\r\n", b"\r", b"")]),
    Target("message_details", _check_details, messages(), _MESSAGE_WORDS, [(b"\r\n", b"> ", b""), (b"\r\n", b"-- \r\n", b""), (b"References: ", b"<", b"\r\n\r\n"), (b"", b"\r\n", b""), (b"Content-Type: text/html\r\n\r\n", b"<b>", b"")]),
]  # fmt: skip
