"""``carteiro send``: sendmail's options, the message made whole, and every way it can be refused."""

import io
import itertools
import mailbox
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.app import handover, send
from appliance.app.composed import MAX_HEADER_BYTES, LoneDot, MessageError, Originator, header_recipients, read_message
from appliance.app.deadletter import DeadLetterError, append_dead_letter
from appliance.app.sendmail_options import Mode, SendOptions, Trouble, UsageError, parse_send_options
from appliance.app.stdio_smtp import pass_session
from appliance.model.envelope import Notify, Ret

# A server that answers by a script


USUAL: Final = {
    "EHLO": "250-mail.fake.example\r\n250-PIPELINING\r\n250-DSN\r\n250-SMTPUTF8\r\n250 8BITMIME", "DATA": "354 go on", "QUIT": "221 bye",
}  # fmt: skip


@dataclass
class FakeServer:
    """One listening socket and a thread; ``replies`` maps the start of a command to its reply, the longest match counts."""

    replies: Mapping[str, str] = field(default_factory=dict)
    greeting: str = "220 mail.fake.example ESMTP"
    commands: list[str] = field(default_factory=list)
    content: bytes = b""
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def reply_to(self, command: str) -> str:
        """Return the scripted reply; 250 to everything else."""
        replies = USUAL | dict(self.replies)
        matching = [start for start in replies if command.upper().startswith(start.upper())]
        return replies[max(matching, key=len)] if matching else "250 2.0.0 Ok"

    def serve(self) -> None:
        """Serve one session after the other until the socket is closed."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock, sock.makefile("rb") as lines:
                self.session(sock, lines)

    def session(self, sock: socket.socket, lines: io.BufferedReader) -> None:
        """Answer until QUIT, or until a reply is empty: then hang up."""
        sock.sendall(self.greeting.encode() + b"\r\n")
        while line := lines.readline():
            command = line.decode().rstrip("\r\n")
            self.commands.append(command)
            reply = self.reply_to(command)
            if not reply:
                return
            sock.sendall(reply.encode() + b"\r\n")
            if reply.startswith("221"):
                return
            if command == "DATA" and reply.startswith("354"):
                self.content = b"".join(iter(lines.readline, b".\r\n"))
                end = self.reply_to(".")
                if not end:
                    return
                sock.sendall(end.encode() + b"\r\n")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A fake server that takes everything until told otherwise."""
    made = FakeServer()
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()
    thread.join(5)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, no settings, no patience."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CARTEIRO_CONFIG", raising=False)
    monkeypatch.delenv("NAME", raising=False)
    monkeypatch.setattr(send, "DEFAULT_PATH", str(tmp_path / "missing.toml"))
    monkeypatch.setattr(send, "_MAILNAME", tmp_path / "mailname")
    monkeypatch.setattr(send, "PATIENCE_S", 0.0)
    return tmp_path


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> "Run":
    """Run the command with a text on its standard input."""
    return Run(home, monkeypatch)


@dataclass
class Run:
    """Calls ``main`` with a file as standard input."""

    home: Path
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, text: str | bytes, *arguments: str) -> int:
        path = self.home / "stdin"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        with path.open() as stdin:
            self.monkeypatch.setattr("sys.stdin", stdin)
            return send.main(arguments)


# Options


def test_options_as_programs_give_them() -> None:
    """cron, PHP, mutt, git and mailx are understood."""
    cron = parse_send_options(["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"])
    assert (["root"], True, "CronDaemon", True) == (cron.recipients, cron.ignore_dots, cron.full_name, cron.is_8bit)
    php = parse_send_options(["-t", "-i", "-fwww@example.com"])
    assert (True, True, "www@example.com") == (php.from_header, php.ignore_dots, php.sender)
    mutt = parse_send_options(["-oem", "-oi", "-f", "ana@example.com", "--", "bob@example.com", "-odd@example.com"])
    assert (["bob@example.com", "-odd@example.com"], True) == (mutt.recipients, mutt.ignore_dots)
    permuted = parse_send_options(["bob@example.com", "-f", "ana@example.com", "eva@example.com"])
    assert (["bob@example.com", "eva@example.com"], "ana@example.com") == (permuted.recipients, permuted.sender)
    assert parse_send_options(["-ti"]) == SendOptions(from_header=True, ignore_dots=True)


def test_options_of_other_programs_are_ignored() -> None:
    """What steers Sendmail's or Postfix' own files changes nothing."""
    words = [
        "-Am",
        "-C/etc/mail/submit.cf",
        "-G",
        "-h10",
        "-Llabel",
        "-m",
        "-n",
        "-O",
        "DeliveryMode=b",
        "-oA/etc/aliases",
        "-o7",
        "-odi",
        "-U",
    ]
    assert parse_send_options([*words, "-X", "/tmp/log", "-x", "-p", "smtp:host", "ana"]) == SendOptions(recipients=["ana"])


@pytest.mark.parametrize(
    ("word", "mode"),
    [("-bm", Mode.DELIVER), ("-bs", Mode.SPEAK_SMTP), ("-bp", Mode.LIST_QUEUE), ("-bi", Mode.REBUILD_ALIASES), ("-I", Mode.REBUILD_ALIASES),
     ("-bv", Mode.VERIFY), ("-bt", Mode.VERIFY), ("-q", Mode.RETRY_QUEUE), ("-q30m", Mode.RETRY_QUEUE), ("-qRexample.com", Mode.RETRY_QUEUE)],
)  # fmt: skip
def test_modes(word: str, mode: Mode) -> None:
    """Each -b, and the queue run."""
    assert mode is parse_send_options([word]).mode


def test_dsn_options() -> None:
    """-N, -R, -V are RFC 3461's; an empty -f is the null reverse-path."""
    options = parse_send_options(["-N", "success,delay", "-R", "hdrs", "-V", "id-1", "-f", "<>", "-oeq", "-v"])
    assert (Notify.SUCCESS | Notify.DELAY, Ret.HEADERS, "id-1", "") == (options.notify, options.ret, options.envid, options.sender)
    assert (Trouble.NOTHING, True) == (options.trouble, options.verbose)
    assert parse_send_options(["-N", "never"]).notify is Notify.NEVER


@pytest.mark.parametrize(
    "words", [["-bd"], ["-bz"], ["-N", "often"], ["-R", "some"], ["-B", "9BIT"], ["-ex"], ["-Z"], ["-f"], ["--nonsense"]]
)
def test_options_that_make_no_sense(words: Sequence[str]) -> None:
    """They are refused in words, and exit 64."""
    with pytest.raises(UsageError):
        parse_send_options(words)
    assert 64 == send.main(words)


def test_help_and_aliases(capsys: pytest.CaptureFixture[str]) -> None:
    """--help explains, newaliases has nothing to do."""
    assert 0 == send.main(["--help"])
    assert "usage: carteiro send" in capsys.readouterr().out
    assert 0 == send.main(["-bi"])


# The end of the message, and its header

PIECES: Final = st.lists(st.sampled_from([b".", b"\n", b"\r\n", b"a", b"..", b"\r", b"line\n"]), max_size=12)


def by_lines(data: bytes) -> bytes:
    """What LoneDot does, in the obvious way."""
    kept = []
    for line in re.findall(rb"[^\n]*\n|[^\n]+$", data):
        if line in {b".\n", b".\r\n", b".", b".\r"}:
            break
        kept.append(line)
    return b"".join(kept)


@given(PIECES, st.lists(st.integers(0, 30), max_size=4))
def test_lone_dot_however_the_input_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    """Chunks give the same as lines do."""
    data = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    dots, kept = LoneDot(), b""
    for start, end in itertools.pairwise(edges):
        found, ended = dots.feed(data[start:end])
        kept += found
        if ended:
            break
    assert by_lines(data) == kept


ANA: Final = Originator("ana@example.com", "Ana Lima", "example.com", b"Tue, 3 Mar 2026 10:11:12 +0000", b"<1@example.com>")


def composed(data: bytes, *, chunk: int = 65_536, ignore_dots: bool = False) -> bytes:
    """Return the whole message as it would be sent."""
    source, spool = io.BytesIO(data), io.BytesIO()
    message = read_message(lambda size: source.read(min(size, chunk)), spool, ignore_dots=ignore_dots)
    message.complete(ANA)
    whole = message.header + spool.getvalue()
    assert abs(message.wire_size - len(re.sub(rb"\r?\n", b"\r\n", whole))) <= 1
    return whole


ADDED: Final = b"From: Ana Lima <ana@example.com>\r\nDate: Tue, 3 Mar 2026 10:11:12 +0000\r\nMessage-ID: <1@example.com>\r\n"
NOBODY: Final = b"To: undisclosed-recipients:;\r\n"


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        (b"", ADDED + NOBODY + b"\r\n"),
        (b"hello\n", ADDED + NOBODY + b"\r\nhello\n"),
        (b"\nhello\n", ADDED + NOBODY + b"\nhello\n"),
        (b"Subject: x\n\nbody\n", b"Subject: x\n" + ADDED + NOBODY + b"\nbody\n"),
        (b"Subject: x", b"Subject: x\n" + ADDED + NOBODY + b"\r\n"),
        (b"Subject: x\r\nTo: b@c.example\r\n\r\nbody", b"Subject: x\r\nTo: b@c.example\r\n" + ADDED + b"\r\nbody"),
        (b"From ana Tue Mar  3 10:11:12 2026\nSubject: x\n\nbody\n", b"Subject: x\n" + ADDED + NOBODY + b"\nbody\n"),
        (b"Bcc: s@c.example,\n t@c.example\nTo: b@c.example\n\n", b"To: b@c.example\n" + ADDED + b"\n"),
        (
            b"Subject: x\nnot a field\nTo: b@c.example\n\nbody\n",
            b"Subject: x\n" + ADDED + NOBODY + b"\r\nnot a field\nTo: b@c.example\n\nbody\n",
        ),
        (b"From: root (Cron Daemon)\nTo: bob\n\n", b"From: Cron Daemon <root@example.com>\r\nTo: bob@example.com\r\n" + ADDED[34:] + b"\n"),
        (b"To: undisclosed-recipients:;\n\n", b"To: undisclosed-recipients:;\n" + ADDED + b"\n"),
        (b"To: team: bob, eva@c.example;\n\n", b"To: team: bob@example.com, eva@c.example;\r\n" + ADDED + b"\n"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 65_536])
def test_header_is_completed(given_text: bytes, expected: bytes, chunk: int) -> None:
    """What is missing is added, what is there stays, Bcc goes; however the input is cut."""
    assert expected == composed(given_text, chunk=chunk)


def test_resent_messages_get_resent_fields() -> None:
    """RFC 5322 section 3.6.6: the first author's fields are not touched."""
    whole = composed(b"Resent-To: bob@c.example\nFrom: eva@c.example\nTo: old@c.example\n\nbody\n")
    assert b"\r\nResent-Date: Tue" in whole
    assert b"Resent-From: Ana Lima" in whole
    assert b"\r\nDate:" not in whole


def test_recipients_come_from_the_header() -> None:
    """To, Cc and Bcc with groups; the Resent- ones alone where there are any."""

    def named(header: bytes) -> list[str]:
        return header_recipients(read_message(io.BytesIO(header).read, io.BytesIO(), ignore_dots=True))

    assert ["a@x.example", "b@x.example", "c@x.example", "d"] == named(
        b"To: A <a@x.example>\nCc: team: b@x.example, c@x.example;\nBcc: d\n\n"
    )
    assert ["b@x.example"] == named(b"To: a@x.example\nResent-To: b@x.example\n\n")
    assert [] == named(b"Subject: nobody\n\n")


def test_header_without_end_is_refused() -> None:
    """A megabyte of header is an accident; a megabyte of text is a message."""
    with pytest.raises(MessageError):
        composed(b"A: %s\n" % (b"b" * 500) * (MAX_HEADER_BYTES // 500))
    assert composed(b"text\n" * (MAX_HEADER_BYTES // 5 + 2)).endswith(b"text\n")


# Handing over


def test_message_is_handed_over(run: Run, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Envelope, DSN parameters and content arrive; -v says what the server answered."""
    words = (
        "-t",
        "-i",
        "-v",
        "-N",
        "never",
        "-R",
        "hdrs",
        "-V",
        "id-1",
        "-F",
        "Cron",
        "-f",
        "root@example.com",
        "--server",
        server.address,
    )
    assert 0 == run("To: ana@example.com\nBcc: bob@example.com\nSubject: x\n\nline\n.\nolá\n", *words)
    assert "MAIL FROM:<root@example.com> BODY=8BITMIME RET=HDRS ENVID=id-1" in server.commands
    assert [
        "RCPT TO:<ana@example.com> NOTIFY=NEVER",
        "RCPT TO:<bob@example.com> NOTIFY=NEVER",
    ] == [command for command in server.commands if command.startswith("RCPT")]
    assert server.content.startswith(b"To: ana@example.com\r\nSubject: x\r\nFrom: Cron <root@example.com>\r\nDate: ")
    assert server.content.endswith("\r\n\r\nline\r\n..\r\nolá\r\n".encode())
    assert b"Bcc" not in server.content
    assert "ana@example.com: 250 2.0.0 Ok" in capsys.readouterr().out


def test_large_messages_go_through_a_file(run: Run, server: FakeServer) -> None:
    """More than is kept in memory arrives whole; two recipients in one argument are two."""
    body = b"0123456789abcde\n" * 200_000
    assert 0 == run(b"Subject: large\n\n" + body, "--server", server.address, "a@example.com, b@example.com")
    assert server.content.endswith(body.replace(b"\n", b"\r\n"))
    assert 2 == sum(command.startswith("RCPT") for command in server.commands)


def test_bare_names_are_left_to_a_server_that_takes_them(run: Run, server: FakeServer) -> None:
    """Without settings: a server that trusts us completes addresses; its name stands in the header."""
    assert 0 == run("x\n", "-f", "root", "--server", server.address, "ana")
    assert "RCPT TO:<ana>" in server.commands
    assert b"<root@mail.fake.example>\r\n" in server.content


def test_bare_names_get_the_name_of_a_server_that_refuses_them(run: Run, server: FakeServer) -> None:
    """A server that does not trust us still has its own name among its domains."""
    server.replies = {"MAIL FROM:<root>": "501 5.1.8 no domain"}
    assert 0 == run("x\n", "-f", "root", "--server", server.address, "ana")
    assert "MAIL FROM:<root@mail.fake.example>" in server.commands
    assert "RCPT TO:<ana@mail.fake.example>" in server.commands


def test_settings_give_server_and_domain(run: Run, server: FakeServer, home: Path) -> None:
    """-c names where the server listens and which domain is ours; /etc/mailname helps who cannot read it."""
    (home / "office.toml").write_text(f'domain = "office.example"\n[smtp]\nlisten = ["{server.address}"]\n')
    assert 0 == run("x\n", "-f", "root", "-c", str(home / "office.toml"), "ana")
    assert "RCPT TO:<ana@office.example>" in server.commands
    (home / "mailname").write_text("named.example\n")
    assert 0 == run("x\n", "-f", "root", "--server", server.address, "ana")
    assert b"<root@named.example>\r\n" in server.content


def test_addresses_that_loopback_reaches_come_first(home: Path) -> None:
    """All addresses are reached by the loopback, which may be trusted more than the LAN; LMTP is the last resort."""
    (home / "office.toml").write_text(
        'domain = "office.example"\n[smtp]\nlisten = ["192.0.2.1:25", "[::]:26", "0.0.0.0:27"]\n[lmtp]\nlisten = ["unix:/run/lmtp"]\n'
    )
    options = SendOptions(config=str(home / "office.toml"))
    found = send._targets(options, send._settings(options))
    assert ["[::1]:26", "127.0.0.1:27", "192.0.2.1:25", "unix:/run/lmtp"] == [str(target) for target in found]
    assert [False, False, False, True] == [target.lmtp for target in found]


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ({"RCPT TO:<b@": "550 5.1.1 who?"}, 67),
        ({"RCPT TO:<b@": "554 5.7.1 no relaying"}, 69),
        ({"RCPT TO:<b@": "451 4.2.0 later"}, 69),
        ({"RCPT": "450 4.2.1 later"}, 75),
        ({"MAIL FROM:<r": "452 4.3.1 full"}, 75),
        ({"MAIL FROM:<r": "553 5.7.1 not you"}, 69),
        ({"DATA": "451 4.3.0 not now"}, 75),
        ({".": "554 5.6.0 bad content"}, 69),
        ({".": "452 4.3.1 full"}, 75),
        ({".": ""}, 75),
        ({"EHLO": "", "HELO": ""}, 75),
        ({"EHLO": "550 5.7.1 go away", "HELO": "550 5.7.1 go away"}, 69),
    ],
)
def test_refusals(
    replies: Mapping[str, str], code: int, run: Run, server: FakeServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has its code, its words, and leaves the message in dead.letter."""
    server.replies = replies
    (home / "office.toml").write_text('domain = "office.example"\n')
    words = ("-f", "root@office.example", "-c", str(home / "office.toml"), "--server", server.address)
    assert code == run("Subject: kept\n\nFrom here\n", *words, "a@example.com", "b@example.com")
    said = capsys.readouterr().err
    refused = next(reply for reply in replies.values() if reply) if any(replies.values()) else ""
    assert refused in said
    assert ("b@example.com: " in said) or "no server takes" in said
    kept = mailbox.mbox(home / "dead.letter")
    assert ["kept"] == [message["Subject"] for message in kept]
    assert ">From here" in (home / "dead.letter").read_text()
    kept.close()


def test_failures_are_told_as_asked(run: Run, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-oep says it only, -oeq says nothing; the code is there in any case."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = f"127.0.0.1:{unused.getsockname()[1]}"
    assert 75 == run("x\n", "-oep", "--server", closed, "ana")
    assert "no server takes the message" in capsys.readouterr().err
    assert 75 == run("x\n", "-oeq", "--server", closed, "ana")
    assert "" == capsys.readouterr().err
    assert not (home / "dead.letter").exists()


def test_server_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is tried again while patience lasts."""
    attempts: list[str] = []

    def opened(_: object) -> socket.socket:
        attempts.append("again")
        if len(attempts) < 3:
            raise ConnectionRefusedError(111, "refused")
        return socket.socket()

    monkeypatch.setattr(handover, "_open", opened)
    monkeypatch.setattr(handover, "RETRY_S", 0.0)
    sock, _ = handover.connect([send._USUAL], patience_s=30)
    sock.close()
    assert 3 == len(attempts)


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ("x\n", (), 64),
        ("Subject: nobody\n\n", ("-t",), 64),
        ('To: "a\x01"@b.example\n\n', ("-t",), 65),
        ("x\n", ("ana, b@-.example",), 64),
        ("x\n", ("-f", "a@x.example, b@x.example", "ana"), 64),
        ("x\n", ("-f", '"a\nRSET"@x.example', "ana"), 64),
        ("x\n", ("-c", "/nonexistent.toml", "ana"), 78),
        ("x\n", ("--server", "nowhere", "ana"), 64),
    ],
)
def test_input_that_cannot_be_sent(text: str, words: Sequence[str], code: int, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Mistakes are told before anybody is asked; nothing gets into an SMTP command that is no address."""
    assert code == run(text, *words)
    assert capsys.readouterr().err.startswith("carteiro send: ")


def test_verify_sends_nothing(run: Run, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """-bv says what would be done with each recipient."""
    server.replies = {"RCPT TO:<b@": "550 5.1.1 who?"}
    assert 67 == run("", "-bv", "--server", server.address, "a@example.com", "b@example.com")
    assert "a@example.com: 250 2.0.0 Ok\nb@example.com: 550 5.1.1 who?\n" == capsys.readouterr().out
    assert "DATA" not in server.commands


# SMTP on standard input


def test_piped_session_waits_for_each_reply(server: FakeServer) -> None:
    """A script that does not wait is made to; content and BDAT pass, TLS is not offered."""
    server.replies = {"EHLO": "250-mail.fake.example\r\n250-STARTTLS\r\n250 8BITMIME"}
    script = b"EHLO x\nSTARTTLS\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\nDATA\n..dot\nline\n.\nQUIT\n"
    sink = io.BytesIO()
    with socket.create_connection(server.listener.getsockname()) as sock:
        pass_session(sock, io.BytesIO(script), sink)
    assert ["EHLO x", "MAIL FROM:<a@x.example>", "RCPT TO:<b@x.example>", "DATA", "QUIT"] == server.commands
    assert b"..dot\r\nline\r\n" == server.content
    codes = [line[:4] for line in sink.getvalue().splitlines()]
    assert [b"220 ", b"250-", b"250 ", b"454 ", b"250 ", b"250 ", b"354 ", b"250 ", b"221 "] == codes


# dead.letter


def test_dead_letter_is_a_mailbox_that_others_can_read(tmp_path: Path) -> None:
    """Messages are appended; the file is the user's alone."""
    path = tmp_path / "dead.letter"
    for number in range(2):
        append_dead_letter(path, "ana@example.com", [b"Subject: %d\r\n\r\nFrom" % number, b" him\r\nend"], now_s=0)
    assert 0o600 == path.stat().st_mode & 0o777
    box = mailbox.mbox(path)
    assert [("0", ">From him\nend\n"), ("1", ">From him\nend\n")] == [(message["Subject"], message.get_payload()) for message in box]
    box.close()


def test_dead_letter_follows_no_link(tmp_path: Path) -> None:
    """A link that somebody laid there is not written through."""
    (tmp_path / "dead.letter").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeadLetterError):
        append_dead_letter(tmp_path / "dead.letter", "", [b"x\n"], now_s=0)
    assert ["dead.letter"] == [path.name for path in tmp_path.iterdir()]
