"""A process that accepts mail is killed with SIGKILL; every acknowledgement it gave is kept."""

import signal
import subprocess
import sys
from pathlib import Path

from appliance.storage.spool import Spool

ACCEPTOR = """
import os, sys, trio
from pathlib import Path
from appliance.config.schema import QueueConfig
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.net.clock import SystemClock
from appliance.net.offload import ThreadOffload
from appliance.observe.maillog import MailLog
from appliance.services.queue.committer import Committer
from appliance.storage.spool import Spool

spool = Spool(Path(sys.argv[1]))
spool.open()
ENVELOPE = Envelope("ana@example.com", (EnvelopeRecipient("bia@example.com"),))

async def accept(committer, size):
    while True:
        writer = await committer.begin()
        await writer.write(writer.queue_id.encode() * (size // 13))
        queue_id = await committer.accept(ENVELOPE, writer)
        os.write(1, queue_id.encode() + b"\\n")

async def main():
    committer = Committer(
        spool, commit_offload=ThreadOffload(1), content_offload=ThreadOffload(2), clock=SystemClock(), config=QueueConfig(min_free_bytes=0),
        log=MailLog(),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(committer.run)
        for size in (1300, 1300, 1300, 130000):
            nursery.start_soon(accept, committer, size)

trio.run(main)
"""


def test_kill_9_keeps_every_acknowledged_message(tmp_path: Path) -> None:
    """Three times: accept as fast as possible, SIGKILL in the middle, and all that was acknowledged is there, whole."""
    acknowledged: set[str] = set()
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", ACCEPTOR, str(tmp_path / "queue")], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _line in range(150):
                acknowledged.add(process.stdout.readline().decode().strip())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().decode().split("\n")
            # The last line may have been cut off in the middle; what was written whole was acknowledged.
            acknowledged.update(rest[:-1])
        assert -signal.SIGKILL == process.returncode
    spool = Spool(tmp_path / "queue")
    spool.open()
    assert () == spool.sweep().corrupt
    messages = {str(message.queue_id): message for message in spool.messages(1_000_000)}
    assert set() == acknowledged - messages.keys()
    for queue_id, message in messages.items():
        with spool.content_of(message).open() as stream:
            assert queue_id.encode() * (message.size // 13) == stream.read()
    files = {path.name for path in (tmp_path / "queue" / "content").iterdir()}
    assert {name for name, message in messages.items() if message.is_in_file} == files
    spool.close()
