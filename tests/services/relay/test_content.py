"""The content's way to the wire: large messages in little memory, damage, servers that do not wait for the end."""

import io
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import trio

from appliance.model.content import PrefixedContent
from appliance.model.errors import CorruptError, UnavailableError
from appliance.model.outcome import Action
from appliance.protocols.smtp.replies import Reply

ROOT = Path(__file__).resolve().parents[3]
LINE = b"." + b"x" * 76 + b"\r\n"


@dataclass(frozen=True)
class Lines:
    """Content made while it is read. ``cut``: bytes that are missing at the end."""

    count: int
    cut: int = 0

    @property
    def size(self) -> int:
        return self.count * len(LINE)

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Repeated(self.size - self.cut))


class _Repeated(io.RawIOBase):
    def __init__(self, left: int) -> None:
        self._left = left
        self._at = 0
        self._block = LINE * 1_000

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        taken = min(len(buffer), self._left, len(self._block) - self._at)
        buffer[:taken] = self._block[self._at : self._at + taken]
        self._at = (self._at + taken) % len(self._block)
        self._left -= taken
        return taken


class Unreadable:
    size = 100_000

    def open(self) -> BinaryIO:
        raise UnavailableError("input/output error")


async def test_a_large_message_arrives_whole(house: Any) -> None:
    """Chunks and dots at their ends."""
    peer = await house.peer()
    content = Lines(20_000)
    (outcome,) = await house.send(content=PrefixedContent(b"Received: here\r\n", content))
    assert Action.RELAYED is outcome.action
    assert b"Received: here\r\n" + LINE * 20_000 == peer.messages[0].content


@pytest.mark.parametrize("count", [10, 20_000])
async def test_a_message_cut_short_does_not_pass_for_a_whole_one(house: Any, count: int) -> None:
    """The file is shorter than the queue says: no final dot is sent, and the queue is told."""
    peer = await house.peer()
    with pytest.raises(CorruptError):
        await house.send(content=Lines(count, cut=5))
    with trio.fail_after(5):
        await peer.deserted.wait()
    assert ([], 0) == (peer.messages, house.relay._pool._in_use)


async def test_a_message_that_cannot_be_read_is_the_queues_affair(house: Any) -> None:
    """ApplianceError passes; the connection is closed."""
    peer = await house.peer()
    with pytest.raises(UnavailableError):
        await house.send(content=Unreadable())
    with trio.fail_after(5):
        await peer.deserted.wait()
    assert [] == peer.messages


async def test_a_server_that_does_not_wait_for_the_end(house: Any) -> None:
    """It says 552 in the middle and closes: its words are heard, not "Broken pipe"."""
    await house.peer(chunk=b"552 5.3.4 Message too big\r\n")
    (outcome,) = await house.send(content=Lines(200_000))
    assert (Action.BOUNCED, "552 5.3.4 Message too big") == (outcome.action, outcome.diagnostic)


async def test_a_server_that_goes_in_the_middle(house: Any) -> None:
    """Nothing was taken, so another host may be asked at once."""
    await house.peer(chunk="close")
    second = await house.peer("mx2.example", 20)
    assert [Action.RELAYED] == [outcome.action for outcome in await house.send(content=Lines(100_000))]
    assert 1 == len(second.messages)


async def test_a_server_that_stops_reading(house: Any) -> None:
    """The kernel's buffers fill, the deadline passes."""
    house.settings = {"data_timeout_s": 0.2}
    await house.peer(chunk="hang")
    (outcome,) = await house.send(content=Lines(400_000))
    assert (Action.DEFERRED, "4.4.2") == (outcome.action, outcome.status)
    assert "timed out" in outcome.reason
    assert "sending the message" in outcome.reason


async def test_an_early_421_defers(house: Any) -> None:
    """The server speaks of itself."""
    await house.peer(chunk=b"421 4.3.2 Shutting down\r\n")
    (outcome,) = await house.send(content=Lines(200_000))
    assert (Action.DEFERRED, "4.3.2") == (outcome.action, outcome.status)


async def test_a_refusal_after_the_content_keeps_the_connection(house: Any) -> None:
    """554 for the content is about this message alone."""
    peer = await house.peer(end=[Reply(554, "5.7.1", "Looks like spam"), None])
    assert [Action.BOUNCED] == [outcome.action for outcome in await house.send()]
    assert [Action.RELAYED] == [outcome.action for outcome in await house.send()]
    assert 1 == peer.connections


PROGRAM = """
import logging, resource, socket, sys, threading
import trio
from appliance.config.schema import RelayConfig
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ports import RelayJob
from appliance.model.routing import NextHop, TlsLevel
from appliance.net.offload import ThreadOffload
from appliance.observe.maillog import MailLog
from appliance.net.clock import SystemClock
from appliance.services.relay.security import RelaySecurity
from appliance.services.relay.service import RelayService
from appliance.storage.tls_state import TlsState
from appliance.storage.spool_content import FileContent
from pathlib import Path

path, size, port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
to = (EnvelopeRecipient("a@x.example"),)

def job(length):
    with path.open("wb") as file:
        file.truncate(length)
    return RelayJob("Q", Envelope("", to), to, FileContent(path, length), NextHop("127.0.0.1", port, use_mx=False, tls=TlsLevel.NONE))

class Names:
    async def addresses(self, host):
        return (host,)

async def main():
    log = MailLog(logging.Logger("x"))
    state = TlsState(path.with_name("tls.db"))
    security = RelaySecurity(sts=None, tlsa=None, state=state, offload=ThreadOffload(1), clock=SystemClock(), mail_log=log)
    relay = RelayService(RelayConfig(), hostname="us.example", own_names=(), resolver=Names(), tls=None,
                         security=security, offload=ThreadOffload(2), mail_log=log)
    print(*[outcome.action.value for outcome in await relay.deliver(job(1_000_000))])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(*[outcome.action.value for outcome in await relay.deliver(job(size))])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

trio.run(main)
"""


async def test_memory_does_not_grow_with_the_message(house: Any, tmp_path: Path) -> None:
    """50 MiB from a file, in a process of its own, and less than 8 MiB more at the peak."""
    peer = await house.peer()
    peer.keep_content = False
    peer.options = type(peer.options)(hostname="mx1.example", max_text_line=100 * 2**20, max_message_bytes=100 * 2**20)
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM).replace("127.0.0.1", "127.0.0.11"))
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "content"), str(50 * 2**20), str(house.port)]
    environment = {"PYTHONPATH": str(ROOT)}
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, env=environment, check=False)
    first, second, grown_kib = done.stdout.decode().split()
    assert ("relayed", "relayed", 2) == (first, second, len(peer.sizes)), done.stderr.decode()
    assert int(grown_kib) < 8 * 1024
