"""The server of a storm: a real IMAP service over a real mail store, and other programs that change the files under it."""

import logging
import mailbox as stdlib_mailbox
import os
import random
import re
import tempfile
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import trio
import trio.testing

from appliance.config.schema import ImapConfig
from appliance.model.clock import ManualClock
from appliance.model.content import MemoryContent
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage
from appliance.model.ports import Offload, ScramKeys
from appliance.net.connection import Address, Connection
from appliance.net.feed import TrioChangeFeed
from appliance.net.offload import InlineOffload, ThreadOffload
from appliance.observe.maillog import MailLog
from appliance.protocols.sasl.scram import derive_scram_keys
from appliance.services.imap.service import ImapService
from appliance.storage.stores import FileMailStores

__all__ = ["BOXES", "House", "Outsider", "held", "open_files", "open_house"]

ANA = AccountName("ana")
BOXES = (b"INBOX", b"Lists")


class _Authenticator:
    """Knows ana, password ``secret``."""

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        await trio.lowlevel.checkpoint()
        return AccountName(login) if (login, password) == ("ana", "secret") else None

    def scram_keys(self, login: str) -> ScramKeys:
        return derive_scram_keys("secret", b"salt", 4_096)

    async def finish_scram(self, login: str, proven: bool, client_address: str) -> AccountName | None:
        await trio.lowlevel.checkpoint()
        return AccountName(login) if proven else None


@dataclass
class House:
    service: ImapService
    stores: FileMailStores
    nursery: trio.Nursery
    failures: list[str] = field(default_factory=list)
    sessions: int = 0
    _ended: trio.Event = field(default_factory=trio.Event)

    async def wait_empty(self) -> None:
        """Return when the last session is over."""
        while self.sessions:
            self._ended = trio.Event()
            await self._ended.wait()

    def connect(self) -> trio.abc.Stream:
        """Start a session and return the client's end of its stream."""
        client_end, server_end = trio.testing.memory_stream_pair()
        connection = Connection(server_end, peer=Address("127.0.0.1", 4711))

        async def run() -> None:
            self.sessions += 1
            try:
                await self.service.handle(connection)
                await connection.aclose()
            finally:
                self.sessions -= 1
                self._ended.set()

        self.nursery.start_soon(run)
        return client_end


@asynccontextmanager
async def open_house(directory: Path, mail_format: Literal["maildir", "mbox"], *, threads: bool) -> AsyncIterator[House]:
    """Serve an account in ``directory`` until the block ends."""
    offload: Offload = ThreadOffload(8) if threads else InlineOffload()
    made: list[FileMailStores] = []
    feed = TrioChangeFeed(offload=offload, paths=lambda account, name: made[0].watch_paths(account, name))  # noqa: PLW0108 - not made yet
    stores = FileMailStores(directory, feed, formats=mail_format, lock_wait_s=5.0)
    made.append(stores)
    stores.account(ANA).create_mailbox(MailboxName("Lists"))
    failures: list[str] = []

    def hear(event: str, _level: int, fields: dict[str, Any]) -> None:
        if event.endswith("_failed"):
            failures.append(f"{event} {fields}\n{traceback.format_exc()}")

    logger = logging.getLogger("storm")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    async with trio.open_nursery() as nursery:
        service = ImapService(
            settings=ImapConfig(max_connections_per_user=1_000),
            hostname="storm.example",
            stores=stores,
            authenticator=_Authenticator(),
            offload=offload,
            feed=feed,
            mail_log=MailLog(logger, [hear]),
            clock=ManualClock(),
            spool=tempfile.TemporaryFile,
        )
        nursery.start_soon(feed.run)
        yield House(service, stores, nursery, failures)
        nursery.cancel_scope.cancel()
    stores.close()


@dataclass
class Outsider:
    """Other programs at work on the mail: mutt, rm, procmail."""

    root: Path
    mail_format: str
    rnd: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    _number: int = 0

    def _message(self) -> bytes:
        self._number += 1
        return b"From: other@example.org\r\nSubject: storm from outside %d\r\n\r\nbody %d\r\n" % (self._number, self._number)

    def deliver(self, stores: FileMailStores) -> None:
        """Let the queue deliver."""
        stores.deliver(ANA, [(INBOX, NewMessage(MemoryContent(self._message()), 0.0))])
        self.counts["delivered"] += 1

    def act(self) -> None:
        """Change one thing."""
        if self.mail_format == "maildir":
            self._in_maildir(self.rnd.choice((self.root, self.root / ".Lists")))
        else:
            self._in_mbox(self.rnd.choice((self.root / "ana.mbox", self.root / "folders" / "Lists")))

    def _in_maildir(self, folder: Path) -> None:
        kind = self.rnd.choice(("add", "add", "remove", "flags", "flags"))
        files = sorted([*(folder / "cur").iterdir(), *(folder / "new").iterdir()])
        if kind == "add" or not files:
            self._number += 1
            temporary = folder / "tmp" / f"{1_700_000_000 + self._number}.out.storm"
            temporary.write_bytes(self._message().replace(b"\r\n", b"\n"))
            temporary.rename(folder / "new" / temporary.name)
        elif kind == "remove":
            self.rnd.choice(files).unlink(missing_ok=True)
        else:
            path = self.rnd.choice(files)
            letters = "".join(sorted(self.rnd.sample("FRST", self.rnd.randint(0, 3))))
            with suppress(FileNotFoundError):
                path.rename(folder / "cur" / (path.name.partition(":")[0] + ":2," + letters))
        self.counts[kind] += 1

    def _in_mbox(self, path: Path) -> None:
        if not path.exists():
            return
        box = stdlib_mailbox.mbox(path, create=False)
        try:
            box.lock()
        except stdlib_mailbox.ExternalClashError:
            self.counts["locked out"] += 1
            box.close()
            return
        try:
            kind = self.rnd.choice(("add", "add", "remove", "flags"))
            keys = box.keys()
            if kind == "add" or not keys:
                box.add(self._message().replace(b"\r\n", b"\n"))
            elif kind == "remove":
                box.remove(self.rnd.choice(keys))
            else:
                key = self.rnd.choice(keys)
                message = box[key]
                message.set_flags("RO" + "".join(self.rnd.sample("FA", self.rnd.randint(0, 2))))
                box[key] = message
            box.flush()
            self.counts[kind] += 1
        finally:
            box.unlock()
            box.close()

    def leftovers(self) -> list[str]:
        """Return locks and half-written files that nobody removed."""
        return [
            str(path)
            for path in self.root.rglob("*")
            if path.name.endswith((".lock", ".journal")) or (path.parent.name == "tmp" and path.is_file())
        ]


def _descriptors() -> list[str]:
    """Return what the descriptors of this process are, pipes and sockets without their numbers."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
    return [re.sub(r":\[\d+\]", "", path) for path in found]


def held() -> Counter[str]:
    """Count what the process holds: descriptors by what they are, record locks on files, tasks."""
    found = Counter(_descriptors())
    locks = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    found["locks"] = sum(words[4] == str(os.getpid()) for words in locks)
    found.pop("anon_inode:[eventfd]", None)  # those of work threads, which end with their object and no sooner
    found["tasks"] = trio.lowlevel.current_statistics().tasks_living
    return found


def open_files(directory: Path) -> list[str]:
    """Return the files under ``directory`` that this process has open."""
    return [path for path in _descriptors() if path.startswith(str(directory))]
