"""An account's mail in memory, a change feed, an Authenticator that knows ana and bob, and clients on streams."""

import io
import logging
import ssl
import tempfile
from array import array
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import pytest
import trio
import trio.testing

from appliance.config.schema import ImapConfig
from appliance.message.identity import identify
from appliance.message.mime import scan, summarise
from appliance.message.preview import make_preview
from appliance.model.changes import NameChange, NameChangeKind, NamePlaces
from appliance.model.clock import ManualClock
from appliance.model.errors import AlreadyExistsError, ApplianceError, ExpungedError, NotFoundError
from appliance.model.ids import INBOX, AccountName, MailboxId, MailboxName, ModSeq, QueueId, Uid, UidNext, UidValidity
from appliance.model.mailbox import (
    KEYWORD_SHIFT,
    AnnotationChange,
    AppendResult,
    CopyResult,
    Flag,
    FlagAction,
    MailboxInfo,
    MailboxStatus,
    MessageDetails,
    NewMessage,
    QuotaUse,
    Snapshot,
    SpecialUse,
    StoreResult,
    Summary,
    Told,
)
from appliance.model.ports import MailStores, ScramKeys
from appliance.model.uidranges import ranges_of
from appliance.net.connection import Address, Connection
from appliance.net.feed import _AccountSubscription, _Subscription, _Watched
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.protocols.sasl.scram import derive_scram_keys
from appliance.services.imap.service import ImapService
from appliance.services.imap.shared import TokenCheck
from appliance.storage.finder import MailboxFinder
from appliance.storage.stores import FileMailStores
from appliance.storage.text_index import TextIndex

PLAIN = b"From: Ana <ana@example.org>\r\nTo: bob@example.org\r\nSubject: Hello\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\nHi there\r\n"


@dataclass
class Record:
    uid: int
    data: bytes
    flags: int
    modseq: int
    date_s: int


class FakeMailbox:
    """See ``model.ports.Mailbox``. ``hidden``: deliveries that only ``refresh`` brings to light."""

    def __init__(self, store: "FakeStore", name: MailboxName) -> None:
        self.store = store
        self.name = name
        self.uid_validity = UidValidity(1_000)
        self.mailbox_id = MailboxId(f"id-{len(store.mailboxes)}")
        self.uid_next = 1
        self.modseq = 1
        self.keywords: list[str] = []
        self.records: dict[int, Record] = {}
        self.unclaimed: set[Uid] = set()
        self.hidden: list[NewMessage] = []
        self.opened: list[int] = []
        self.known_details: dict[Uid, MessageDetails] = {}
        self.broken: ApplianceError | None = None
        self.expunged: dict[int, int] = {}
        """Uid to the modseq of its expunge."""
        self._snapshot: Snapshot | None = None
        self.finder = MailboxFinder(store.texts, self)

    def _touch(self) -> int:
        self.modseq += 1
        self._snapshot = None
        self.store.changed(self.name)
        return self.modseq

    def add(self, message: NewMessage) -> Uid:
        with message.content.open() as stream:
            data = stream.read()
        assert message.content.size == len(data)
        uid = Uid(self.uid_next)
        self.uid_next += 1
        flags = message.flags | self._bits(message.keywords)
        self.records[uid] = Record(uid, data, flags, self._touch(), int(message.internal_date_s))
        self.unclaimed.add(uid)
        return uid

    def put(self, data: bytes, *, flags: int = 0, date_s: float = 0.0, keywords: tuple[str, ...] = ()) -> Uid:
        """Deliver a message."""
        return self.add(NewMessage(_Content(data), date_s, flags, keywords))

    def hide(self, data: bytes) -> None:
        """Deliver a message that nobody is told of."""
        self.hidden.append(NewMessage(_Content(data), 0.0))

    def _bits(self, keywords: Sequence[str]) -> int:
        bits = 0
        for keyword in keywords:
            if keyword not in self.keywords:
                self.keywords.append(keyword)
            bits |= 1 << (KEYWORD_SHIFT + self.keywords.index(keyword))
        return bits

    def refresh(self) -> bool:
        if self.name not in self.store.mailboxes:
            raise NotFoundError
        hidden, self.hidden = self.hidden, []
        for message in hidden:
            self.add(message)
        return bool(hidden)

    def is_fresh(self) -> bool:
        return False

    def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            records = list(self.records.values())
            self._snapshot = Snapshot(
                self.uid_validity,
                UidNext(self.uid_next),
                ModSeq(self.modseq),
                array("I", [record.uid for record in records]),
                array("Q", [record.flags for record in records]),
                array("Q", [record.modseq for record in records]),
                tuple(self.keywords),
            )
        return self._snapshot

    def vanished_since(self, modseq: ModSeq) -> Sequence[tuple[int, int]]:
        return ranges_of(uid for uid, expunged in self.expunged.items() if expunged > modseq)

    def claim_recent(self) -> frozenset[Uid]:
        claimed = frozenset(self.unclaimed)
        self.unclaimed.clear()
        return claimed

    def summaries(self, uids: Sequence[Uid]) -> Sequence[Summary]:
        if self.broken:
            raise self.broken
        found = []
        for uid in uids:
            if uid in self.records:
                record = self.records[uid]
                envelope, body, structure = summarise(record.data)
                found.append(Summary(uid, len(record.data), record.date_s, record.date_s, envelope, body, structure))
        return found

    def arrivals(self, uids: Sequence[Uid]) -> list[tuple[Uid, int, int]]:
        return [(uid, self.records[uid].date_s, len(self.records[uid].data)) for uid in uids if uid in self.records]

    def details(self, uids: Sequence[Uid], *, ids: bool, previews: bool) -> dict[Uid, MessageDetails]:
        found = {}
        for uid in uids:
            if uid in self.records:
                record = self.records[uid]
                known = self.known_details.get(uid, MessageDetails())
                stream = io.BytesIO(record.data)
                email_id, thread_id = identify(stream, record.date_s) if ids else (known.email_id, known.thread_id)
                preview = make_preview(stream, scan(record.data)) if previews else known.preview
                found[uid] = self.known_details[uid] = MessageDetails(email_id, thread_id, preview)
        return found

    def open_message(self, uid: Uid) -> BinaryIO:
        if uid not in self.records:
            raise ExpungedError
        self.opened.append(uid)
        return io.BytesIO(self.records[uid].data)

    def store_flags(
        self,
        uids: Sequence[Uid],
        action: FlagAction,
        flags: int,
        keywords: Sequence[str] = (),
        unchanged_since: ModSeq | None = None,
        told: Told | None = None,
        *,
        durable: bool = True,
    ) -> StoreResult:
        mask = flags | self._bits(keywords)
        changed: dict[Uid, int] = {}
        failed: list[Uid] = []
        modseq = self._touch()
        for uid in uids:
            if uid not in self.records:
                continue
            record = self.records[uid]
            if unchanged_since is not None and record.modseq > unchanged_since:
                failed.append(uid)
                continue
            old = record.flags
            record.flags = {FlagAction.ADD: old | mask, FlagAction.REMOVE: old & ~mask, FlagAction.REPLACE: mask}[action]
            if record.flags != old:
                record.modseq = modseq
                changed[uid] = record.flags
        return StoreResult(changed, tuple(failed), {uid: ModSeq(self.records[uid].modseq) for uid in changed})

    def origins(self, uids: Sequence[Uid]) -> Sequence[QueueId]:
        return [QueueId(f"Q{uid}") for uid in uids]

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        gone = tuple(uid for uid in uids if self.records.pop(uid, None) is not None)
        if gone:
            self.expunged |= dict.fromkeys(gone, self._touch())
        return gone

    def copy_to(self, uids: Sequence[Uid], destination: MailboxName) -> CopyResult:
        target = self.store.open_mailbox(destination)
        source = [uid for uid in uids if uid in self.records]
        copies = [
            target.put(self.records[uid].data, flags=self.records[uid].flags & 255, date_s=self.records[uid].date_s) for uid in source
        ]
        return CopyResult(target.uid_validity, tuple(source), tuple(copies))

    def move_to(self, uids: Sequence[Uid], destination: MailboxName) -> CopyResult:
        result = self.copy_to(uids, destination)
        self.expunge(result.source)
        return result


@dataclass(frozen=True)
class _Content:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)


@dataclass
class FakeStore:
    """See ``model.ports.MailStore``."""

    on_change: Callable[[MailboxName], None] = lambda name: None
    on_name: Callable[[NameChange], None] = lambda change: None
    mailboxes: dict[MailboxName, FakeMailbox] = field(default_factory=dict)
    uses: dict[MailboxName, tuple[SpecialUse, ...]] = field(default_factory=dict)
    subscribed: set[MailboxName] = field(default_factory=set)
    broken: ApplianceError | None = None

    def __post_init__(self) -> None:
        self.texts = TextIndex(Path("/dev/null/text"))  # where no file can be, it keeps in memory what it learns

    def changed(self, name: MailboxName) -> None:
        self.on_change(name)

    def list_mailboxes(self) -> Sequence[MailboxInfo]:
        names = sorted(self.mailboxes, key=lambda name: (name != INBOX, name))
        return [MailboxInfo(name, subscribed=name in self.subscribed, special_uses=self.uses.get(name, ())) for name in names]

    def exists(self, name: MailboxName) -> bool:
        return name in self.mailboxes

    def subscriptions(self) -> frozenset[MailboxName]:
        return frozenset(self.subscribed)

    def subscribe(self, name: MailboxName, origin: object = None) -> None:
        self.subscribed.add(name)
        self.on_name(NameChange(NameChangeKind.SUBSCRIPTION, name, origin=origin))

    def unsubscribe(self, name: MailboxName, origin: object = None) -> None:
        self.subscribed.discard(name)
        self.on_name(NameChange(NameChangeKind.SUBSCRIPTION, name, origin=origin))

    def name_places(self) -> NamePlaces:
        return NamePlaces()

    def quota(self) -> Sequence[QuotaUse]:
        return ()

    def annotations(self, name: MailboxName | None) -> Mapping[str, bytes]:
        return {}

    def annotate(
        self,
        name: MailboxName | None,
        changes: Mapping[str, bytes | None],
        max_entries: int,
        special_uses: Sequence[SpecialUse] | None = None,
        origin: object = None,
    ) -> None:
        raise NotImplementedError

    def annotation_news(self, since: int) -> tuple[int, Sequence[AnnotationChange]]:
        return 0, ()

    def create_mailbox(self, name: MailboxName, special_uses: Sequence[SpecialUse] = (), origin: object = None) -> MailboxId:
        if name in self.mailboxes:
            raise AlreadyExistsError
        self.mailboxes[name] = FakeMailbox(self, name)
        self.uses[name] = tuple(special_uses)
        self.on_name(NameChange(NameChangeKind.NAME, name, origin=origin))
        return self.mailboxes[name].mailbox_id

    def delete_mailbox(self, name: MailboxName, origin: object = None) -> None:
        if self.mailboxes.pop(name, None) is None:
            raise NotFoundError
        self.on_name(NameChange(NameChangeKind.NAME, name, origin=origin))
        self.changed(name)

    def rename_mailbox(self, old: MailboxName, new: MailboxName, origin: object = None) -> None:
        if old not in self.mailboxes:
            raise NotFoundError
        if new in self.mailboxes:
            raise AlreadyExistsError
        self.mailboxes[new] = self.mailboxes.pop(old)
        self.mailboxes[new].name = new
        self.on_name(NameChange(NameChangeKind.NAME, new, old, origin))

    def status(self, name: MailboxName, *, sizes: bool = True) -> MailboxStatus:
        mailbox = self.open_mailbox(name)
        records = mailbox.records.values()
        return MailboxStatus(
            len(mailbox.records),
            len(mailbox.unclaimed),
            sum(1 for record in records if not record.flags & Flag.SEEN),
            UidNext(mailbox.uid_next),
            mailbox.uid_validity,
            ModSeq(mailbox.modseq),
            sum(len(record.data) for record in records),
            mailbox.mailbox_id,
            sum(1 for record in records if record.flags & Flag.DELETED),
            sum(len(record.data) for record in records if record.flags & Flag.DELETED),
        )

    def open_mailbox(self, name: MailboxName) -> FakeMailbox:
        if self.broken:
            raise self.broken
        if name not in self.mailboxes:
            raise NotFoundError
        self.mailboxes[name].refresh()
        return self.mailboxes[name]

    def append(self, name: MailboxName, messages: Sequence[NewMessage], replaced_bytes: int = 0) -> AppendResult:
        mailbox = self.open_mailbox(name)
        return AppendResult(mailbox.uid_validity, tuple(mailbox.add(message) for message in messages))


class FakeStores:
    """Both accounts share one store."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store

    def account(self, account: AccountName) -> FakeStore:
        if self.store.broken:
            raise self.store.broken
        return self.store

    def deliver(self, account: AccountName, messages: Sequence[tuple[MailboxName, NewMessage]]) -> Sequence[ApplianceError | None]:
        raise NotImplementedError

    def settle(self) -> None:
        raise NotImplementedError


class FakeFeed:
    """See ``model.ports.ChangeFeed``."""

    def __init__(self) -> None:
        self.subscriptions: list[tuple[MailboxName, _Subscription]] = []
        self.watchers: list[_AccountSubscription] = []

    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        for name, subscription in self.subscriptions:
            if name == mailbox:
                subscription.mark()

    def publish_name(self, account: AccountName, change: NameChange) -> None:
        for watcher in self.watchers:
            watcher.note(change)

    def look_on_disk(self) -> None:
        """Say that names changed on disk, as inotify does."""
        for watcher in self.watchers:
            watcher.mark(MailboxName(""))

    @contextmanager
    def watch_account(self, account: AccountName, mailboxes: Collection[MailboxName], places: NamePlaces) -> Iterator[_AccountSubscription]:
        watcher = _AccountSubscription()
        entries = [(mailbox, _Watched(watcher, mailbox)) for mailbox in mailboxes]
        self.subscriptions += entries
        self.watchers.append(watcher)
        try:
            yield watcher
        finally:
            self.watchers.remove(watcher)
            for entry in entries:
                self.subscriptions.remove(entry)

    @contextmanager
    def subscribe(self, account: AccountName, mailbox: MailboxName) -> Iterator[_Subscription]:
        entry: tuple[MailboxName, _Subscription] = (mailbox, _Subscription())
        self.subscriptions.append(entry)
        try:
            yield entry[1]
        finally:
            self.subscriptions.remove(entry)


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


class Client:
    """Speaks lines; literals in responses come back inside their line."""

    def __init__(self, stream: trio.abc.Stream, connection: Connection) -> None:
        self.stream = stream
        self.connection = connection
        self.rest = b""
        self._number = 0

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def _more(self) -> bool:
        data = bytes(await self.stream.receive_some())
        self.rest += data
        return bool(data)

    async def line(self) -> bytes:
        """Return the next response without its final CRLF, literals included; ``b""`` at the end."""
        response = b""
        while True:
            while b"\r\n" not in self.rest:
                if not await self._more():
                    return b""
            line, _, self.rest = self.rest.partition(b"\r\n")
            response += line
            if not line.endswith(b"}") or b"{" not in line:
                return response
            length = int(line[line.rindex(b"{") + 1 : -1])
            while len(self.rest) < length:
                assert await self._more()
            response += b"\r\n" + self.rest[:length]
            self.rest = self.rest[length:]

    async def until(self, tag: bytes) -> list[bytes]:
        lines = [await self.line()]
        while not lines[-1].startswith(tag + b" "):
            assert lines[-1], lines
            lines.append(await self.line())
        return lines

    async def ask(self, command: bytes) -> list[bytes]:
        """Send a command and return its responses, the tagged one last and without its tag."""
        self._number += 1
        tag = b"t%d" % self._number
        await self.send(tag + b" " + command + b"\r\n")
        lines = await self.until(tag)
        return [*lines[:-1], lines[-1].removeprefix(tag + b" ")]

    async def log_in(self, login: bytes = b"ana", *, select: bytes = b"") -> None:
        await self.line()
        lines = await self.ask(b"LOGIN " + login + b" secret")
        assert lines[-1].startswith(b"OK "), lines
        if select:
            lines = await self.ask(b"SELECT " + select)
            assert lines[-1].startswith(b"OK "), lines


@dataclass
class House:
    """A service, its mail and what it logged."""

    service: ImapService
    store: Any
    feed: FakeFeed
    logged: list[tuple[str, dict[str, Any]]]

    @property
    def inbox(self) -> FakeMailbox:
        inbox: FakeMailbox = self.store.mailboxes[INBOX]
        return inbox

    def session(self, peer: str = "127.0.0.1") -> AbstractAsyncContextManager[Client]:
        """Run one session on one end of a memory stream and give the other end."""
        return _session(self.service, peer)


@asynccontextmanager
async def _session(service: ImapService, peer: str) -> AsyncIterator[Client]:
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
    """Return a function that builds a service over an INBOX with the given messages, and a mailbox Sent."""

    def make(
        messages: Sequence[bytes] = (),
        *,
        settings: ImapConfig | None = None,
        tls: ssl.SSLContext | None = None,
        spool: Callable[[], BinaryIO] = tempfile.TemporaryFile,
        check_token: TokenCheck | None = None,
        account_of_names: Callable[[Sequence[str], str], AccountName | None] | None = None,
        hidden: Mapping[str, Sequence[str]] = MappingProxyType({}),
        stores: MailStores | None = None,
    ) -> House:
        feed = FakeFeed()
        ana = AccountName("ana")
        store = FakeStore(on_change=lambda name: feed.publish(ana, name), on_name=lambda change: feed.publish_name(ana, change))
        store.create_mailbox(INBOX)
        store.create_mailbox(MailboxName("Sent"), [SpecialUse.SENT])
        for message in messages:
            store.mailboxes[INBOX].put(message)
        logged: list[tuple[str, dict[str, Any]]] = []
        service = ImapService(
            settings=settings or ImapConfig(),
            hostname="mail.example",
            stores=stores or FakeStores(store),
            authenticator=FakeAuthenticator(),
            offload=InlineOffload(),
            feed=feed,
            mail_log=MailLog(_quiet_logger(), [lambda event, _level, fields: logged.append((event, fields))]),
            clock=ManualClock(),
            spool=spool,
            check_token=check_token,
            account_of_names=account_of_names,
            hidden=lambda account: hidden.get(account, ()),
            tls_context=(lambda: tls) if tls else None,
            channel_binding=lambda: b"end point",
        )
        return House(service, store, feed, logged)

    return make


@pytest.fixture(params=["maildir", "mbox"])
def stored_house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Return a function that builds a service over an account on disk, in either format; called again: after a restart."""
    made = []

    def make(*, settings: ImapConfig | None = None, **store_settings: Any) -> House:
        feed = FakeFeed()
        uses = {SpecialUse.SENT: MailboxName("Sent"), SpecialUse.DRAFTS: MailboxName("Drafts")}
        defaults: dict[str, Any] = {"formats": request.param, "special_folders": uses, "lock_wait_s": 0.1}
        stores = FileMailStores(tmp_path, feed, **(defaults | store_settings))
        made.append(stores)
        logged: list[tuple[str, dict[str, Any]]] = []
        service = ImapService(
            settings=settings or ImapConfig(),
            hostname="mail.example",
            stores=stores,
            authenticator=FakeAuthenticator(),
            offload=InlineOffload(),
            feed=feed,
            mail_log=MailLog(_quiet_logger(), [lambda event, _level, fields: logged.append((event, fields))]),
            clock=ManualClock(),
            spool=tempfile.TemporaryFile,
        )
        return House(service, stores.account(AccountName("ana")), feed, logged)

    yield make
    for stores in made:
        stores.close()


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("unheard")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


@pytest.fixture
def plain() -> bytes:
    """A small message."""
    return PLAIN
