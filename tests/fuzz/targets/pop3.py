"""POP3: the server core under a service that agrees, refuses and challenges by what it is asked."""

import random
import re
import zlib
from collections.abc import Sequence

from appliance.protocols.pop3 import events
from appliance.protocols.pop3.server import Pop3Server
from appliance.protocols.pop3.surrogate import downgrade
from tests.fuzz.engine import Target, cut
from tests.fuzz.seeds import dialogue_inputs, messages

__all__ = ["TARGETS"]

_OUTPUT = re.compile(rb"(?:[^\r\n\0]*\r\n)*")


def _converse(chunks: Sequence[bytes], *, forced_tls: bool) -> tuple[list[str], bytes]:
    core = Pop3Server(
        mechanisms=("PLAIN", "SCRAM-SHA-256"), tls_available=True, login_allowed=not forced_tls, max_bad_commands=50, max_line_bytes=300
    )
    names: list[str] = []
    sent: list[bytes] = []
    for chunk in [*chunks, b""]:
        core.receive_data(chunk)
        while (event := core.next_event()) is not events.NeedData.NEED_DATA:
            names.append(type(event).__name__)
            draw = zlib.crc32(_said(event)) % 10
            match event:
                case events.SaslStarted(_, None):
                    core.send_challenge(b"")
                case events.SaslStarted() | events.SaslResponded() if draw < 4:
                    core.send_challenge(b"again")
                case events.LoginAttempted() | events.SaslStarted() | events.SaslResponded():
                    if draw < 7:
                        core.login_succeeded()
                    else:
                        core.login_failed("No\r\nway \xfc")
                case events.TlsRequested():
                    core.send(b"+OK\r\n")
                    core.tls_started()
                case events.QuitRequested():
                    core.updated(b"+OK\r\n")
                case events.ConnectionLost() | events.SessionEnded():
                    pass
                case _:
                    core.send(b"+OK\r\n")
        sent.append(core.data_to_send())
    assert {"ConnectionLost", "SessionEnded"} & set(names[-1:])
    return names, b"".join(sent)


def _said(event: events.Event) -> bytes:
    """Return what tells events apart; some hide it from their repr."""
    match event:
        case events.LoginAttempted(login, password):
            return f"{login} {password}".encode("utf-8", "surrogatepass")
        case events.SaslResponded(data):
            return data
        case _:
            return repr(event).encode()


def _check(data: bytes, rnd: random.Random) -> object:
    forced_tls = rnd.random() < 0.2
    chunks = cut(data, rnd)
    names, output = _converse(chunks, forced_tls=forced_tls)
    assert _OUTPUT.fullmatch(output), output[-100:]
    assert all(line.startswith((b"+", b"-ERR")) or b" " not in line[:1] for line in output.split(b"\r\n"))
    if len(chunks) > 1 and "TlsRequested" not in names:
        assert (names, output) == _converse([data], forced_tls=forced_tls)
    return tuple(dict.fromkeys(names))


def _check_downgrade(data: bytes, rnd: random.Random) -> object:
    downgraded = downgrade(data)
    if data.isascii():
        assert data == downgraded
    return data.isascii(), downgraded == data


_WORDS = [
    b"USER ana\r\n", b"PASS secret\r\n", b"STAT\r\n", b"LIST\r\n", b"LIST 2\r\n", b"UIDL\r\n", b"UIDL 1\r\n", b"RETR 1\r\n", b"TOP 1 2\r\n", b"DELE 1\r\n",
    b"RSET\r\n", b"NOOP\r\n", b"CAPA\r\n", b"AUTH\r\n", b"AUTH PLAIN\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"YQ==\r\n", b"*\r\n", b"=\r\n", b"UTF8\r\n",
    b"STLS\r\n", b"QUIT\r\n", b"\r\n", b"\n", b"\r", b" ", b"\0", b"\xc3\xbc", b"\xff", b"APOP x y\r\n", b"1", b"-", b"x" * 80,
]  # fmt: skip

TARGETS = [
    Target(
        "pop3_server",
        _check,
        [*dialogue_inputs("pop3"), b"USER a\r\nPASS b\r\nSTAT\r\nQUIT\r\n"],
        _WORDS,
        [(b"USER ana\r\nPASS secret\r\n", b"STAT\r\n", b"QUIT\r\n"), (b"", b"x", b""), (b"USER ", b"a", b"\r\n"), (b"", b"\n", b"")],
    ),
    Target("pop3_downgrade", _check_downgrade, messages(), [b"\xc3\xbc", b"\r\n", b": ", b"\t", b"\xff", b"=?", b"?=", b"Subject: "], [(b"Subject: ", b"\xc3\xbc ", b"\r\n\r\n")]),
]  # fmt: skip
