"""Properties of the SMTP cores: cuts do not matter, nothing raises, inverses hold."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.protocols.smtp.client import SmtpClient
from appliance.protocols.smtp.client_events import CLIENT_CLOSED, CLIENT_NEEDS_DATA, ContentWanted, HelloReplied, ServerGreeted
from appliance.protocols.smtp.events import DataChunk, DataRejected
from appliance.protocols.smtp.grammar import GrammarError, decode_xtext, encode_xtext, format_path, parse_path
from appliance.protocols.smtp.options import ServerOptions


def _service_module() -> ModuleType:
    """Load the little service that the dialogues use."""
    name = "smtp_little_service"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "protocols" / "smtp" / "conftest.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


COMMANDS = [
    b"EHLO c.example\r\n", b"HELO c\r\n", b"MAIL FROM:<a@b> SIZE=5\r\n", b"RCPT TO:<c@d>\r\n", b"RCPT TO:<nobody@d>\r\n", b"DATA\r\n", b"x\r\n", b"..\r\n",
    b".\r\n", b"RSET\r\n", b"NOOP\r\n", b"AUTH PLAIN\r\n", b"AUTH PLAIN AGFuYQBzZWNyZXQ=\r\n", b"AGFuYQBzZWNyZXQ=\r\n", b"*\r\n", b"BDAT 3\r\n",
    b"BDAT 2 LAST\r\n", b"abc", b"\r\n", b"\n", b"\r", b"\0", b"QUIT\r\n", b"GET /\r\n", b"VRFY x\r\n", b"HELP\r\n", b"\x16\x03", b"y" * 70,
]  # fmt: skip
inputs = st.lists(st.sampled_from(COMMANDS) | st.binary(max_size=5), max_size=25).map(lambda parts: b"EHLO x\r\n" + b"".join(parts))


def _run(data: bytes, cuts: list[int], **options: Any) -> tuple[list[Any], bytes]:
    module = _service_module()
    service = module.LittleService(
        ServerOptions(hostname="mx", auth_mechanisms=("PLAIN",), auth_needs_tls=False, max_command_line=60, **options)
    )
    service.server.send_greeting()
    for cut in [*cuts, len(data)]:
        if data[:cut]:
            service.feed(data[:cut])
        data = data[cut:]
    service.feed(b"")
    output = service.server.data_to_send()
    return _merged(service.events), output


def _merged(events: list[Any]) -> list[Any]:
    """Join neighbouring chunks; drop those of a message that was rejected, which may or may not have been told."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, DataChunk) and found and isinstance(found[-1], DataChunk):
            found[-1] = DataChunk(found[-1].data + event.data)
        elif isinstance(event, DataRejected) and found and isinstance(found[-1], DataChunk):
            found[-1] = event
        else:
            found.append(event)
    return found


@settings(max_examples=150, deadline=None)
@given(inputs, st.lists(st.integers(1, 12), max_size=60), st.booleans())
def test_split_invariance(data: bytes, cuts: list[int], lmtp: bool) -> None:
    """Any chunking of a client's bytes gives the same events and the same output."""
    if lmtp:
        data = data.replace(b"EHLO", b"LHLO")
    assert _run(data, [], forbid_unauth_pipelining=False, lmtp=lmtp) == _run(data, cuts, forbid_unauth_pipelining=False, lmtp=lmtp)


@settings(max_examples=100, deadline=None)
@given(inputs | st.binary(max_size=300), st.lists(st.integers(1, 30), max_size=20))
def test_server_never_raises(data: bytes, cuts: list[int]) -> None:
    """Whatever comes, the server has events and replies for it."""
    _run(data, cuts)


REPLIES = [
    b"220 mx\r\n",
    b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
    b"250 ok\r\n",
    b"550 5.1.1 no\r\n",
    b"354 go\r\n",
    b"421 bye\r\n",
    b"250-",
    b"\n",
    b"x\r\n",
    b"503\r\n",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(REPLIES) | st.binary(max_size=6), max_size=20), st.integers(1, 10), st.booleans(), st.booleans())
def test_client_never_raises(parts: list[bytes], cut: int, lmtp: bool, use_bdat: bool) -> None:
    """Whatever a server says, the client has an event for it."""
    data = b"220 mx\r\n" + b"".join(parts)
    client = SmtpClient("me", lmtp=lmtp)
    envelope = Envelope("a@b", (EnvelopeRecipient("c@d"), EnvelopeRecipient("e@f")))
    for start in range(0, len(data), cut):
        client.receive_data(data[start : start + cut])
        while (event := client.next_event()) is not CLIENT_NEEDS_DATA and event is not CLIENT_CLOSED:
            if isinstance(event, ServerGreeted):
                client.send_hello()
            elif isinstance(event, HelloReplied):
                client.send_message(envelope, use_bdat=use_bdat)
            elif isinstance(event, ContentWanted):
                client.send_data_chunk(b".x\r\n")
                client.finish_data()
        client.data_to_send()


@given(st.text(max_size=40))
def test_xtext_round_trip(text: str) -> None:
    """What can be told in xtext comes back; what cannot is refused, not mangled."""
    try:
        decoded = decode_xtext(encode_xtext(text))
    except GrammarError:
        assert not text.isprintable()
    else:
        assert text == decoded


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=30) | st.from_regex(r'\A<("[ -~]{0,9}"|[a-z.]{1,9})@[a-z.\-]{1,12}>\Z'))
def test_path_round_trip(text: str) -> None:
    """A path that is taken is canonical: formatting and parsing give it back."""
    try:
        path, _ = parse_path(text)
    except GrammarError:
        return
    assert (path, len(path) + 2) == parse_path(format_path(path))
