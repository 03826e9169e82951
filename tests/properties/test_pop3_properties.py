"""What holds for the POP3 core whatever bytes arrive and however they are cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.protocols.pop3 import events
from appliance.protocols.pop3.replies import DotStuffer, stuff
from appliance.protocols.pop3.server import Pop3Server
from appliance.protocols.pop3.state import State
from appliance.protocols.pop3.surrogate import downgrade
from appliance.protocols.pop3.top import TopCutter

WORDS = st.sampled_from(
    b"USER ana,PASS x,STAT,LIST,LIST 2,UIDL,RETR 1,TOP 1 2,DELE 1,RSET,NOOP,CAPA,"
    b"AUTH PLAIN,AUTH PLAIN AGEAYg==,YQ==,*,UTF8,STLS,QUIT,AUTH,".split(b",")
)
LINES = st.lists(st.one_of(WORDS, st.binary(max_size=30)), max_size=30).map(lambda lines: b"\r\n".join(lines) + b"\r\n")
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=60)
TEXT = st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r", b"\n", b"..", b"\r\n\r\n"]), max_size=40).map(b"".join)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
        turn += 1
    return pieces


def converse(pieces: list[bytes]) -> tuple[list[events.Event], bytes]:
    """Run a core over the pieces with a service that says yes to everything."""
    core = Pop3Server(mechanisms=("PLAIN",), tls_available=False)
    seen: list[events.Event] = []
    sent = b""
    for piece in [*pieces, b""]:
        core.receive_data(piece)
        while (event := core.next_event()) is not events.NeedData.NEED_DATA:
            seen.append(event)
            match event:
                case events.SaslStarted(_, None):
                    core.send_challenge(b"")
                case events.LoginAttempted() | events.SaslStarted() | events.SaslResponded():
                    core.login_succeeded()
                case events.QuitRequested():
                    core.updated(b"+OK\r\n")
                case _:
                    core.send(b"+OK\r\n")
        sent += core.data_to_send()
    return seen, sent


@settings(max_examples=150)
@given(LINES, CUTS)
def test_any_cut_gives_the_same_session(data: bytes, sizes: list[int]) -> None:
    """Events and replies do not depend on how the bytes arrived, and nothing raises."""
    assert converse([data]) == converse(cut(data, sizes))


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_every_session_ends_by_the_end_of_input(data: bytes) -> None:
    """Whatever was sent, end of input is told last and exactly once, unless the session ended before."""
    seen, _ = converse([data] if data else [])
    assert isinstance(seen[-1], events.ConnectionLost | events.SessionEnded) or any(isinstance(e, events.SessionEnded) for e in seen)


@settings(max_examples=150)
@given(TEXT, CUTS)
def test_stuffing_in_chunks_is_stuffing_at_once(message: bytes, sizes: list[int]) -> None:
    """The chunked form equals the whole form."""
    stuffer = DotStuffer()
    chunked = b"".join([stuffer.feed(piece) for piece in cut(message, sizes)]) + stuffer.finish()
    assert stuff(message) == chunked


@settings(max_examples=150)
@given(TEXT)
def test_unstuffing_gives_the_message_back(message: bytes) -> None:
    """What a client makes of the reply is the message, with its last line ended."""
    body = stuff(message)
    assert body.endswith(b".\r\n")
    assert b"\r\n.\r\n" not in body[:-3][1:] or body.index(b"\r\n.\r\n") == len(body) - 5
    plain = (b"\r\n" + body[:-3]).replace(b"\r\n..", b"\r\n.")[2:]
    assert plain == message or plain == message + b"\r\n"


@settings(max_examples=150)
@given(TEXT, st.integers(0, 6), CUTS)
def test_top_in_chunks_is_top_at_once(message: bytes, lines: int, sizes: list[int]) -> None:
    """TOP gives a prefix of the message that does not depend on the chunks."""
    cutter = TopCutter(lines)
    chunked = b"".join([cutter.feed(piece) for piece in cut(message, sizes)])
    assert TopCutter(lines).feed(message) == chunked
    assert message.startswith(chunked)


@settings(max_examples=100)
@given(st.binary(max_size=200), st.binary(max_size=50))
def test_surrogate_headers_are_ascii(header: bytes, body: bytes) -> None:
    """A header section in UTF-8 comes out as ASCII, everything else as it was."""
    message = header + b"\r\n\r\n" + body
    downgraded = downgrade(message)
    end = message.find(b"\r\n\r\n")
    try:
        message[:end].decode()
    except UnicodeDecodeError:
        assert message == downgraded
    else:
        assert end == 0 or downgraded[: downgraded.find(b"\r\n\r\n")].isascii()
        assert downgraded.endswith(message[end:])


def test_states_without_events_are_never_asked() -> None:
    """The core asserts when a service forgets an outcome."""
    core = Pop3Server()
    core.receive_data(b"USER a\r\nPASS b\r\nNOOP\r\n")
    core.next_event()
    assert State.AUTHENTICATING is core.state
