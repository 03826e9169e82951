"""A maildrop in memory, an Authenticator that knows ana, and a client on the other end of a stream."""

import io
import logging
import ssl
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

import pytest
import trio
import trio.testing

from appliance.config.schema import Pop3Config
from appliance.model.errors import ApplianceError, ExpungedError
from appliance.model.ids import INBOX, AccountName, MailboxName, ModSeq, QueueId, Uid, UidNext, UidValidity
from appliance.model.mailbox import KEYWORD_SHIFT, FlagAction, MailboxInfo, Snapshot, Summary
from appliance.model.ports import ScramKeys
from appliance.net.connection import Address, Connection
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.protocols.sasl.scram import derive_scram_keys
from appliance.services.pop3.service import Pop3Service

ANA = AccountName("ana")


@dataclass
class FakeMailbox:
    """Messages by uid. ``broken``: what ``expunge`` and ``summaries`` raise."""

    messages: dict[int, bytes]
    broken: ApplianceError | None = None
    keywords: tuple[str, ...] = ()
    marked: set[int] = field(default_factory=set)
    """Uids with the keyword that the service gave."""
    arrived_at_s: dict[int, int] = field(default_factory=dict)
    opened: list[int] = field(default_factory=list)
    expunged: list[int] = field(default_factory=list)
    name: MailboxName = INBOX

    def snapshot(self) -> Snapshot:
        count = len(self.messages)
        return Snapshot(
            UidValidity(0x65),
            UidNext(count + 1),
            ModSeq(1),
            array("I", sorted(self.messages)),
            array("Q", [1 << KEYWORD_SHIFT if uid in self.marked else 0 for uid in sorted(self.messages)]),
            array("Q", [1] * count),
            self.keywords,
        )

    def store_flags(self, uids: Sequence[Uid], action: FlagAction, flags: int, keywords: Sequence[str] = ()) -> None:
        if self.broken:
            raise self.broken
        assert (FlagAction.ADD, 0) == (action, flags)
        self.keywords = tuple(keywords)
        self.marked.update(uids)

    def summaries(self, uids: Sequence[Uid]) -> Sequence[Summary]:
        if self.broken:
            raise self.broken
        return [
            Summary(uid, len(self.messages[uid]), self.arrived_at_s.get(uid, 0), 0, b"", b"", b"") for uid in uids if uid in self.messages
        ]

    def open_message(self, uid: Uid) -> BinaryIO:
        self.opened.append(uid)
        if uid not in self.messages:
            raise ExpungedError
        return io.BytesIO(self.messages[uid])

    def origins(self, uids: Sequence[Uid]) -> Sequence[QueueId]:
        return [QueueId(f"Q{uid}") for uid in uids]

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        if self.broken:
            raise self.broken
        self.expunged.extend(uids)
        return tuple(uid for uid in uids if self.messages.pop(uid, None) is not None)


@dataclass
class FakeStores:
    """Every account has the same mailboxes. ``broken``: what opening one raises."""

    mailbox: FakeMailbox
    broken: ApplianceError | None = None
    others: dict[str, FakeMailbox] = field(default_factory=dict)

    def account(self, account: AccountName) -> "FakeStores":
        return self

    def open_mailbox(self, name: MailboxName) -> FakeMailbox:
        if self.broken:
            raise self.broken
        return self.mailbox if name == INBOX else self.others[name]

    def list_mailboxes(self) -> Sequence[MailboxInfo]:
        return [MailboxInfo(INBOX), MailboxInfo(MailboxName("Above"), selectable=False), *map(MailboxInfo, map(MailboxName, self.others))]


class FakeAuthenticator:
    """Knows ana and bob, password ``secret``."""

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        await trio.lowlevel.checkpoint()
        return AccountName(login) if login in {"ana", "bob"} and password == "secret" else None

    def scram_keys(self, login: str) -> ScramKeys:
        return derive_scram_keys("secret" if login == "ana" else "unknown", b"salt", 4096)

    async def finish_scram(self, login: str, proven: bool, client_address: str) -> AccountName | None:
        await trio.lowlevel.checkpoint()
        return AccountName(login) if proven else None


class FakeClock:
    """Stands still until it is moved. ``now_day``: days since the epoch."""

    now_day = 100

    def now_s(self) -> float:
        return self.now_day * 86_400.0

    def monotonic_s(self) -> float:
        return 0.0


class Client:
    """Speaks lines. ``stream`` may be wrapped in TLS half-way."""

    def __init__(self, stream: trio.abc.Stream, connection: Connection) -> None:
        self.stream = stream
        self.connection = connection
        self.rest = b""

    async def send(self, *lines: bytes) -> None:
        await self.stream.send_all(b"".join(line + b"\r\n" for line in lines))

    async def line(self) -> bytes:
        """Return the next line without CRLF; ``b""`` at the end."""
        while b"\n" not in self.rest:
            data = await self.stream.receive_some()
            if not data:
                return b""
            self.rest += bytes(data)
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    async def ask(self, line: bytes) -> bytes:
        await self.send(line)
        return await self.line()

    async def body(self) -> bytes:
        """Return a multi-line response up to its final dot, unstuffed."""
        lines = []
        while (line := await self.line()) != b".":
            lines.append(line.removeprefix(b"."))
        return b"".join(line + b"\r\n" for line in lines)

    async def log_in(self, login: bytes = b"ana") -> None:
        await self.line()
        await self.ask(b"USER " + login)
        reply = await self.ask(b"PASS secret")
        assert reply.startswith(b"+OK"), reply


@dataclass
class House:
    """A service, its mailbox and what it logged."""

    service: Pop3Service
    mailbox: FakeMailbox
    stores: FakeStores
    clock: FakeClock
    logged: list[tuple[str, dict[str, object]]]

    def session(self, peer: str = "127.0.0.1") -> AbstractAsyncContextManager[Client]:
        """Run one session on one end of a memory stream and give the other end."""
        return _session(self.service, peer)


@asynccontextmanager
async def _session(service: Pop3Service, peer: str) -> AsyncIterator[Client]:
    client_end, server_end = trio.testing.memory_stream_pair()
    connection = Connection(server_end, peer=Address(peer, 4711))
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await service.handle(connection)
            await connection.aclose()

        nursery.start_soon(run)
        client = Client(client_end, connection)
        yield client
        await client_end.aclose()


@pytest.fixture
def make_house() -> Callable[..., House]:
    """Return a function that builds a service over the given messages."""

    def make(
        messages: Sequence[bytes] = (), *, settings: Pop3Config | None = None, tls: ssl.SSLContext | None = None, binding: bytes = b""
    ) -> House:
        mailbox = FakeMailbox(dict(enumerate(messages, 10)))
        stores = FakeStores(mailbox)
        clock = FakeClock()
        logged: list[tuple[str, dict[str, object]]] = []
        service = Pop3Service(
            settings=settings or Pop3Config(),
            hostname="mail.example",
            stores=stores,  # type: ignore[arg-type]  # it has what POP3 needs
            authenticator=FakeAuthenticator(),
            offload=InlineOffload(),
            mail_log=MailLog(logging.getLogger("unheard"), [lambda event, _level, fields: logged.append((event, fields))]),
            tls_context=(lambda: tls) if tls else None,
            channel_binding=(lambda: binding) if binding else None,
            clock=clock,
            plus_separator="+",
            language="pt",
        )
        return House(service, mailbox, stores, clock, logged)

    return make
