"""Commands on the session itself."""

import pytest

from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_session import Compress, Unauthenticate
from appliance.protocols.imap.events import CommandReceived, CommandRejected
from appliance.protocols.imap.server import ImapServer
from appliance.protocols.imap.state import Condition, State


def after_login() -> ImapServer:
    core = ImapServer()
    core.receive_data(b"a LOGIN ana secret\r\n")
    core.next_event()
    core.send_tagged(Condition.OK, "Logged in")
    return core


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"b COMPRESS DEFLATE\r\n", Compress("DEFLATE")),
        (b"b compress deflate\r\n", Compress("DEFLATE")),
        (b"b UNAUTHENTICATE\r\n", Unauthenticate()),
    ],
)
def test_commands(line: bytes, command: Command) -> None:
    """In any case of letters."""
    core = after_login()
    core.receive_data(line)
    assert CommandReceived(b"b", command) == core.next_event()


@pytest.mark.parametrize("line", [b"b COMPRESS\r\n", b'b COMPRESS "DEFLATE"\r\n', b"b UNAUTHENTICATE now\r\n"])
def test_rejections(line: bytes) -> None:
    """RFC 4978 section 5 wants an atom."""
    core = after_login()
    core.receive_data(line)
    assert isinstance(core.next_event(), CommandRejected)


def test_unauthenticate_leads_back() -> None:
    """A login may follow."""
    core = after_login()
    core.receive_data(b"b UNAUTHENTICATE\r\nc LOGIN bob secret\r\n")
    core.next_event()
    assert core.has_input
    core.send_tagged(Condition.OK, "Logged out")
    assert State.NOT_AUTHENTICATED is core.state
    assert isinstance(core.next_event(), CommandReceived)
    assert not core.has_input
