"""SMTP and LMTP: the server core under a service that answers by what it is asked, the client core under any server."""

import random
import re
import zlib
from collections.abc import Sequence

from appliance.model.envelope import Body, Envelope, EnvelopeRecipient, Notify, Ret
from appliance.protocols.sasl.plain import LoginClient, PlainClient
from appliance.protocols.sasl.scram import ScramClient
from appliance.protocols.smtp import replies
from appliance.protocols.smtp.client import SmtpClient
from appliance.protocols.smtp.client_events import (
    CLIENT_CLOSED,
    CLIENT_NEEDS_DATA,
    ContentWanted,
    HelloReplied,
    MessageEnded,
    RecipientReplied,
    ServerGreeted,
    TlsReplied,
)
from appliance.protocols.smtp.commands import format_mail, format_rcpt, parse_mail, parse_rcpt
from appliance.protocols.smtp.content import ContentReader
from appliance.protocols.smtp.events import (
    CLOSED,
    NEED_DATA,
    AuthRequested,
    AuthResponse,
    BdatChunkFinished,
    BdatStarted,
    DataChunk,
    DataFinished,
    DataRejected,
    MailRequested,
    RecipientRequested,
    Request,
    TlsRequested,
)
from appliance.protocols.smtp.grammar import GrammarError, decode_xtext, encode_xtext, parse_parameters
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.outgoing import DataWriter
from appliance.protocols.smtp.reply_reader import ReplyError, ReplyReader
from appliance.protocols.smtp.server import SmtpServer
from tests.fuzz.engine import Check, Target, cut
from tests.fuzz.seeds import dialogue_inputs, dialogue_outputs

__all__ = ["TARGETS"]

_REPLIES = re.compile(rb"(?:[2-5][0-9][0-9][ -][^\r\n\0]*\r\n)*")
_OPTIONS = [
    ServerOptions(
        hostname="mx", auth_mechanisms=("PLAIN", "LOGIN"), auth_needs_tls=False, starttls=True, binarymime=True, lmtp=lmtp,
        forbid_unauth_pipelining=forbid, max_message_bytes=3_000, max_recipients=5, max_command_line=400, max_text_line=1_000,
        unqualified=forbid, xclient=forbid, max_errors=200, max_commands_without_mail=2_000,
    )
    for lmtp in (False, True)
    for forbid in (False, True)
]  # fmt: skip


class _Service:
    """Answers each request by a number made of the request itself, so that the same input is always answered alike."""

    def __init__(self, options: ServerOptions) -> None:
        self.server = SmtpServer(options)
        self.names: list[str] = []
        self.output: list[bytes] = []
        self.content: list[bytes] = []
        self.messages: list[bytes] = []
        self.binary = False
        self.closed = False

    def run(self) -> None:
        while (event := self.server.next_event()) is not NEED_DATA:
            if event is CLOSED:
                self.closed = True
                break
            self.names.append(type(event).__name__)
            if isinstance(event, DataChunk):
                assert event.data
                self.content.append(event.data)
                self.names.pop()
            elif isinstance(event, (DataRejected, MailRequested, BdatStarted)):
                self._note(event)
            if isinstance(event, Request):
                self._answer(event)
        self.output.append(self.server.data_to_send())

    def _note(self, event: DataRejected | MailRequested | BdatStarted) -> None:
        if isinstance(event, MailRequested):
            self.binary = event.body is Body.BINARY_MIME
            self.content.clear()
        elif isinstance(event, DataRejected):
            self.content.clear()

    def _answer(self, event: Request) -> None:
        server = self.server
        draw = zlib.crc32(repr(event).encode("utf-8", "surrogatepass")) % 100
        if isinstance(event, MailRequested | RecipientRequested):
            _check_round_trip(event)
        if isinstance(event, DataFinished) or (isinstance(event, BdatChunkFinished) and event.last):
            self._take_message(event, draw)
        elif isinstance(event, AuthRequested | AuthResponse) and draw < 60:
            server.send_challenge(b"more")
        elif isinstance(event, AuthRequested | AuthResponse):
            server.send_reply(replies.AUTHENTICATED if draw < 90 else replies.AUTH_FAILED)
        elif draw < 3:
            server.send_reply(replies.TRY_LATER)
        elif draw < 6:
            server.send_reply(replies.NO_SUCH_ACCOUNT)
        else:
            server.accept()
            if isinstance(event, TlsRequested):
                self.output.append(server.data_to_send())
                server.tls_established()

    def _take_message(self, event: DataFinished | BdatChunkFinished, draw: int) -> None:
        content = b"".join(self.content)
        self.content.clear()
        assert event.size == len(content)
        if not self.binary:
            assert content.count(b"\n") == content.count(b"\r") == content.count(b"\r\n")
        if isinstance(event, DataFinished):
            assert not content or content.endswith(b"\r\n")
        self.messages.append(content)
        if draw < 50 and self.server.options.lmtp:
            self.server.send_replies([replies.QUEUED] * self.server.recipient_count)
        elif draw < 90:
            self.server.accept()
        else:
            self.server.send_reply(replies.TRY_LATER)


def _check_round_trip(event: MailRequested | RecipientRequested) -> None:
    wire = format_mail(event) if isinstance(event, MailRequested) else format_rcpt(event)
    argument = wire.decode().rstrip("\r\n").partition(" ")[2]
    again: MailRequested | RecipientRequested
    if isinstance(event, MailRequested):
        again = parse_mail(argument, _OPTIONS[1], b"")
    else:
        again = parse_rcpt(argument, _OPTIONS[1], b"", smtputf8=True)
    assert event == again, f"{event} {again}"


def _session(options: ServerOptions, chunks: Sequence[bytes]) -> _Service:
    service = _Service(options)
    service.server.send_greeting()
    for chunk in [*chunks, b""]:
        service.server.receive_data(chunk)
        service.run()
        if service.closed:
            break
    service.run()
    assert service.closed
    return service


def _check_server(*, lmtp: bool) -> Check:
    def check(data: bytes, rnd: random.Random) -> object:
        options = _OPTIONS[2 * lmtp + (rnd.random() < 0.3)]
        chunks = cut(data, rnd)
        service = _session(options, chunks)
        output = b"".join(service.output)
        assert _REPLIES.fullmatch(output), output[:200]
        # What follows STARTTLS in the same chunk is dropped, so cuts matter there.
        if len(chunks) > 1 and not options.forbid_unauth_pipelining and "TlsRequested" not in service.names:
            whole = _session(options, [data])
            assert b"".join(whole.output) == output
            assert whole.messages == service.messages
        return (*dict.fromkeys(service.names), len(service.messages) > 1)

    return check


def _check_client(data: bytes, rnd: random.Random) -> object:
    names: list[str] = []
    lmtp = rnd.random() < 0.3
    client = SmtpClient("me.example", lmtp=lmtp)
    envelopes = [
        Envelope("a@b", tuple(EnvelopeRecipient(f"c{n}@d", Notify.SUCCESS, "rfc822;x@y") for n in range(3)), ret=Ret.FULL, envid="x+y"),
        Envelope("ü@b", (EnvelopeRecipient("e@f"),), smtputf8=True),
        Envelope("", (EnvelopeRecipient("e@f"),), body=Body.BINARY_MIME),
    ]
    state = {"message": 0}
    for chunk in [*cut(data, rnd), b""]:
        client.receive_data(chunk)
        while (event := client.next_event()) is not CLIENT_NEEDS_DATA and event is not CLIENT_CLOSED:
            names.append(type(event).__name__)
            if isinstance(event, RecipientReplied):
                assert 0 <= event.index < 3
            elif isinstance(event, ServerGreeted):
                client.send_hello()
            elif isinstance(event, ContentWanted):
                client.send_data_chunk(b"Subject: x\r\n\r\n.dot\r\n")
                client.send_data_chunk(b"more")
                client.finish_data()
            elif client.is_idle:
                _say_something(client, event, state, envelopes, rnd)
        output = client.data_to_send()
        assert not output or output.endswith(b"\n") or b"BDAT" in output
    assert client.next_event() is CLIENT_CLOSED
    return tuple(dict.fromkeys(names))


def _say_something(client: SmtpClient, event: object, state: dict[str, int], envelopes: list[Envelope], rnd: random.Random) -> None:
    if isinstance(event, TlsReplied) and event.reply.is_positive:
        client.tls_established()
        client.send_hello()
    elif isinstance(event, HelloReplied) and rnd.random() < 0.5:
        draw = rnd.random()
        if draw < 0.2:
            client.send_starttls()
        elif draw < 0.4:
            client.send_auth(PlainClient("ana", "secret"))
        elif draw < 0.6:
            client.send_auth(LoginClient("ana", "secret"))
        else:
            client.send_auth(ScramClient("ana", "secret", "fyko+d2lbbFgONRv9qkxdawL"))
    elif isinstance(event, MessageEnded) and rnd.random() < 0.2:
        client.send_quit()
    else:
        client.send_message(envelopes[state["message"] % 3], size=100, use_bdat=rnd.random() < 0.5)
        state["message"] += 1


def _check_replies(data: bytes, rnd: random.Random) -> object:
    found = []
    for chunks in ([data], cut(data, rnd)):
        reader = ReplyReader()
        told: list[object] = []
        try:
            for chunk in chunks:
                reader.receive_data(chunk)
                while (reply := reader.take_reply()) is not None:
                    assert 200 <= reply.code <= 599
                    told.append(reply)
                    assert _REPLIES.fullmatch(reply.to_bytes())
        except ReplyError as error:
            told.append("a line is too long" if "too long" in str(error) else "error")
        found.append(told)
    assert found[0] == found[1]
    return len(found[0]), str(found[0][-1:])[:30]


def _check_content(data: bytes, rnd: random.Random) -> object:
    """What is stuffed comes back; content ends only at CRLF.CRLF; cuts do not matter."""
    outcomes = []
    for chunks in ([data], cut(data, rnd)):
        reader = ContentReader(_OPTIONS[0], by_data=True)
        handed, rest = b"", b""
        for at, chunk in enumerate(chunks):
            piece, rest = reader.feed_data(chunk)
            handed += piece
            if reader.ended:
                rest += b"".join(chunks[at + 1 :])
                break
        # Of several faults the one is told that is met first, and that depends on the cuts.
        outcomes.append((reader.ended, reader.fault is None, rest, b"" if reader.fault else handed, 0 if reader.fault else reader.size))
    assert outcomes[0] == outcomes[1], outcomes
    end = (b"\r\n" + data).find(b"\r\n.\r\n")
    assert outcomes[0][0] == (end >= 0)
    text = data.replace(b"\r", b"").replace(b"\n", b"\r\n")[:2_000].replace(b"\0", b"")
    text = text if text.endswith(b"\r\n") or not text else text.removesuffix(b"\r") + b"\r\n"
    writer = DataWriter()
    wire = b"".join([writer.feed(chunk) for chunk in cut(text, rnd)]) + writer.finish()
    reader = ContentReader(ServerOptions(hostname="x"), by_data=True)
    piece, rest = reader.feed_data(wire)
    assert (piece, rest, reader.ended, reader.fault) == (text, b"", True, None)
    return outcomes[0][:2]


def _told(error: GrammarError) -> str:
    """Return the words of a refusal, which goes over the wire as it is."""
    assert _REPLIES.fullmatch(error.reply.to_bytes())
    return error.reply.text


def _check_grammar(data: bytes, rnd: random.Random) -> object:
    text = data.decode("utf-8", "replace")
    outcome = []
    for parse in (
        lambda: _check_round_trip(parse_mail(text, _OPTIONS[1], b"")),
        lambda: _check_round_trip(parse_rcpt(text, _OPTIONS[1], b"", smtputf8=True)),
        lambda: parse_parameters(text, 0),
        lambda: decode_xtext(encode_xtext(decode_xtext(text))),
    ):
        try:
            parse()
            outcome.append("ok")
        except GrammarError as error:
            outcome.append(_told(error))
    return tuple(outcome)


_COMMANDS = [
    b"EHLO c.example\r\n", b"HELO c\r\n", b"LHLO c\r\n", b"MAIL FROM:<a@b>", b" SIZE=5", b" BODY=8BITMIME", b" BODY=BINARYMIME", b" SMTPUTF8",
    b" RET=HDRS", b" ENVID=a+2Bb", b" AUTH=<>", b"RCPT TO:<c@d>", b" NOTIFY=SUCCESS,DELAY", b" NOTIFY=NEVER", b" ORCPT=rfc822;c+40d", b"DATA\r\n",
    b".\r\n", b"\r\n.\r\n", b"..\r\n", b"RSET\r\n", b"NOOP\r\n", b"AUTH PLAIN\r\n", b"AUTH PLAIN AGFuYQBzZWNyZXQ=\r\n", b"AUTH LOGIN\r\n",
    b"AGFuYQBzZWNyZXQ=\r\n", b"*\r\n", b"=\r\n", b"BDAT 3\r\n", b"BDAT 0 LAST\r\n", b"BDAT 2 LAST\r\n", b"abc", b"\r\n", b"\n", b"\r", b"\0", b"QUIT\r\n",
    b"STARTTLS\r\n", b"GET / HTTP/1.1\r\n", b"VRFY x\r\n", b"EXPN x\r\n", b"HELP\r\n", b"\x16\x03", b"y" * 70, b"<", b">", b"@", b'"a\\"b"@', b"[127.0.0.1]",
    b"[IPv6:::1]", b"\xc3\xbc", b" ", b"@a,@b:", b"=", b"+", b":", b",",
]  # fmt: skip
_REPLY_WORDS = [
    b"220 mx\r\n", b"250-mx\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-DSN\r\n250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n250-STARTTLS\r\n250 CHUNKING\r\n",
    b"250 ok\r\n", b"550 5.1.1 no\r\n", b"354 go\r\n", b"421 bye\r\n", b"250-", b"\n", b"\r", b"x\r\n", b"503\r\n", b"334 \r\n", b"334 VXNlcm5hbWU6\r\n",
    b"235 2.7.0 in\r\n", b"451 4.3.0 later\r\n", b"502 what\r\n", b" ", b"5", b"2.1.0 ", b"250-BINARYMIME\r\n", b"250-SMTPUTF8\r\n", b"250-LIMITS RCPTMAX=1\r\n",
    b"221 bye\r\n", b"334 cj1meWtvK2QybGJiRmdPTlJ2OXFreGRhd0wsYQ==\r\n",
]  # fmt: skip
_START = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
_SHAPES = [
    (_START + b"DATA\r\n", b"line\r\n", b".\r\n"), (_START + b"DATA\r\n", b".\r\n.", b"\r\n.\r\n"), (_START, b"BDAT 1\r\nx", b"BDAT 0 LAST\r\n"),
    (b"EHLO x\r\n", b"MAIL FROM:<a@b>\r\nRSET\r\n", b""), (b"MAIL FROM:<", b"@a,", b":x@y>\r\n"), (b'MAIL FROM:<"', b"\\a", b'"@y>\r\n'),
    (b"EHLO x\r\nRCPT TO:<", b"a.", b"@b>\r\n"), (b"", b"x", b""), (b"EHLO x\r\nMAIL FROM:<a@b> ENVID=", b"+41", b"\r\n"),
]  # fmt: skip

TARGETS = [
    Target("smtp_server", _check_server(lmtp=False), [*dialogue_inputs("smtp"), _START + b"DATA\r\nSubject: x\r\n\r\n..x\r\n.\r\nQUIT\r\n"], _COMMANDS, _SHAPES),
    Target(
        "lmtp_server",
        _check_server(lmtp=True),
        [data.replace(b"EHLO", b"LHLO") for data in dialogue_inputs("smtp")],
        _COMMANDS,
        [(prefix.replace(b"EHLO", b"LHLO"), unit, suffix) for prefix, unit, suffix in _SHAPES],
    ),
    Target(
        "smtp_client",
        _check_client,
        [*dialogue_outputs("smtp"), b"".join(_REPLY_WORDS[:2] + [b"250 2.0.0 ok\r\n"] * 12), b"".join(_REPLY_WORDS[:2] + [b"354 go\r\n"] * 9)],
        _REPLY_WORDS,
        [(b"220 x\r\n", b"250-x\r\n", b"250 x\r\n"), (b"220 x\r\n250-", b"x", b"\r\n"), (_REPLY_WORDS[0] + _REPLY_WORDS[1], b"250 ok\r\n", b"")],
    ),
    Target("smtp_replies", _check_replies, dialogue_outputs("smtp"), _REPLY_WORDS, [(b"", b"250-x\r\n", b"250 x\r\n"), (b"250", b" x", b"\r\n")]),
    Target(
        "smtp_content",
        _check_content,
        [b"a\r\n..b\r\n.\r\nQUIT\r\n", b".\r\n", b"x" * 1_001 + b"\r\n.\r\n", b"a\r\n.\nb\r\n.\r\n", b"a\n.\r\nb"],
        [b"\r\n", b".", b"\r", b"\n", b"\r\n.\r\n", b"\r\n..", b"x", b"\0", b"\xe1", b"y" * 999],
        [(b"", b"\r\n.", b"\r\n.\r\n"), (b"", b"\r", b""), (b"", b".", b""), (b"", b"\r\n", b".\r\n")],
    ),
    Target(
        "smtp_grammar",
        _check_grammar,
        [b"FROM:<a@b> SIZE=5 RET=FULL ENVID=x+2By AUTH=<>", b'TO:<"a b"@[127.0.0.1]> NOTIFY=FAILURE ORCPT=utf-8;\xc3\xbc@x', b"FROM:<@a,@b:x@y>", b"TO:<x@y>"],
        [token for token in _COMMANDS if not token.endswith(b"\n")] + [b"FROM:", b"TO:", b"\\", b".", b"%", b"+C3+BC", b"+0A", b"utf-8;"],
        [(b'FROM:<"', b"\\a", b'"@y>'), (b"FROM:<", b"@a,", b":x@y>"), (b"FROM:<a@", b"b.", b">"), (b"FROM:<a@b> ", b"a=b ", b""), (b"", b"+41", b"")],
    ),
]  # fmt: skip
