"""Properties of the IMAP core: any chunking gives the same events, nothing raises, names and sets go both ways."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.model.ids import MailboxName
from appliance.protocols.imap.events import (
    NEED_DATA,
    AppendAnnounced,
    AppendDataReceived,
    AppendFinished,
    AuthenticateResponded,
    CommandReceived,
    Event,
    IdleFinished,
    SessionEnded,
)
from appliance.protocols.imap.sequence import SequenceSet, format_sequence_set
from appliance.protocols.imap.server import ImapServer
from appliance.protocols.imap.state import Condition
from appliance.protocols.imap.utf7 import decode_mailbox_name, encode_mailbox_name

LINES = (
    b"a NOOP\r\n",
    b"a LOGIN ana x\r\n",
    b"a LOGIN {3+}\r\nana {1}\r\nx\r\n",
    b"a SELECT INBOX\r\n",
    b"a CLOSE\r\n",
    b"a APPEND x (\\Seen) {5+}\r\nhello\r\n",
    b"a APPEND x {5}\r\nhello {2}\r\nzz\r\n",
    b"a APPEND x {500}\r\n",
    b"a FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (From)]<0.5>)\r\n",
    b'a SEARCH OR SUBJECT "x" NOT 1:3\r\n',
    b"a IDLE\r\nDONE\r\n",
    b"a AUTHENTICATE LOGIN\r\nYQ==\r\n",
    b"a FOO\r\n",
    b"a LOGIN {900+}\r\n" + b"z" * 900 + b"\r\n",
    b"\r\n",
    b"a LSUB " + b"x" * 300 + b"\r\n",
    b"GET / HTTP/1.1\r\n",
)


def answer(core: ImapServer, event: Event) -> None:
    """Play a session that agrees to everything but large messages."""
    if isinstance(event, AppendAnnounced):
        if event.size_bytes > 100:
            core.refuse_append(Condition.NO, "Too large", b"TOOBIG")
        else:
            core.accept_append()
    elif isinstance(event, CommandReceived):
        if event.command.verb == "IDLE":
            core.start_idle()
        elif event.command.verb == "AUTHENTICATE":
            core.send_challenge(b"")
        elif event.command.verb == "LOGOUT":
            core.send_logout()
        else:
            core.send_tagged(Condition.OK, "Done")
    elif isinstance(event, (IdleFinished, AppendFinished)):
        core.send_tagged(Condition.OK, "Done")
    elif isinstance(event, AuthenticateResponded):
        core.send_tagged(Condition.NO, "Failed")


def play(chunks: list[bytes]) -> tuple[list[Event], bytes]:
    """Return all events, adjoining message chunks joined, and all output."""
    core = ImapServer(max_command_bytes=200, max_literal_bytes=400, max_append_bytes=1_000, max_bad_commands=5)
    seen: list[Event] = []
    output = b""
    for chunk in [*chunks, b""]:
        core.receive_data(chunk)
        while (event := core.next_event()) != NEED_DATA:
            if isinstance(event, AppendDataReceived) and seen and isinstance(seen[-1], AppendDataReceived):
                seen[-1] = AppendDataReceived(seen[-1].data + event.data)
            else:
                seen.append(event)
            answer(core, event)
            if isinstance(event, SessionEnded):
                return seen, output + core.data_to_send()
        output += core.data_to_send()
    raise AssertionError("the end of the stream must end the session")


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [piece for low, high in itertools.pairwise(edges) if (piece := data[low:high])]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=8), st.lists(st.integers(0, 5_000), max_size=12))
def test_any_chunking_gives_the_same_session(lines: list[bytes], places: list[int]) -> None:
    """Events and output do not depend on how the input was cut."""
    data = b"".join(lines)
    whole = play([data] if data else [])
    assert whole == play(cut(data, places))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(LINES))
def test_byte_by_byte_gives_the_same_session(line: bytes) -> None:
    """The extreme of the above."""
    data = b"a LOGIN ana x\r\na SELECT x\r\n" + line
    assert play([data]) == play([data[at : at + 1] for at in range(len(data))])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=80), st.sampled_from(LINES)), max_size=6))
def test_no_input_raises(pieces: list[bytes]) -> None:
    """Whatever a peer sends, the core answers or ends."""
    play([piece for piece in pieces if piece])


TOKENS = st.sampled_from(
    [
        b" ",
        b"(",
        b")",
        b'"',
        b"{3}\r\n",
        b"FETCH",
        b"1:*",
        b"BODY[",
        b"]",
        b"<0.1>",
        b"SEARCH",
        b"OR",
        b"NOT",
        b"\\Seen",
        b"x",
        b"LIST",
        b"%",
        b"STATUS",
        b"UID",
        b"STORE",
        b"FLAGS",
        b"RETURN",
        b"APPEND",
        b"1-Jan-2000",
        b"&",
        b"\xff",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS, max_size=15))
def test_no_sentence_raises(words: list[bytes]) -> None:
    """The same with words that lead deeper into the grammar."""
    play([b"a LOGIN ana x\r\na SELECT x\r\nb " + b"".join(words) + b"\r\n"])


@given(st.text(max_size=30))
def test_mailbox_names_go_both_ways(name: str) -> None:
    """Encoding and decoding are inverse."""
    assert MailboxName(name) == decode_mailbox_name(encode_mailbox_name(name))


@given(st.sets(st.integers(1, 60)))
def test_sets_go_both_ways(numbers: set[int]) -> None:
    """Formatting and parsing are inverse, up to empty sets which do not exist."""
    ordered = sorted(numbers)
    if ordered:
        spans = SequenceSet.parse(format_sequence_set(ordered)).resolve(60)
        assert ordered == [number for low, high in spans for number in range(low, high + 1)]
