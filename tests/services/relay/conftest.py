"""A scripted SMTP server on the loopback, driven by the project's own core, and a relay that talks to it."""

import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from appliance.config.schema import RelayConfig
from appliance.model.content import Content, MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ids import QueueId
from appliance.model.outcome import Outcome
from appliance.model.ports import RelayJob
from appliance.model.routing import NextHop, TlsLevel
from appliance.net.clock import SystemClock
from appliance.net.connection import Connection, ConnectionLostError, TlsFailedError
from appliance.net.offload import InlineOffload
from appliance.net.resolver import MailHosts, MxHost, ResolveError
from appliance.observe.maillog import MailLog
from appliance.policy.tlspolicy import TlsaAnswer
from appliance.protocols.smtp import events
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply
from appliance.protocols.smtp.server import SmtpServer
from appliance.services.relay.security import RelaySecurity
from appliance.services.relay.service import RelayService
from appliance.storage.tls_state import TlsState

HANG = "hang"
CLOSE = "close"
Act = Reply | bytes | str | None
"""What to do at a stage: a reply; bytes in place of one; HANG or CLOSE; None: what an ordinary server does."""


@dataclass
class Taken:
    """One message that a peer has taken."""

    sender: events.MailRequested
    recipients: list[events.RecipientRequested]
    content: bytes

    @property
    def addresses(self) -> list[str]:
        return [recipient.forward_path for recipient in self.recipients]


@dataclass
class Peer:
    """A server for one loopback address. ``script``: stage to acts, one per occurrence, the last for all that follow.

    Stages: greeting, hello, starttls, handshake, auth, mail, rcpt, ``rcpt ADDRESS``, data, chunk, end, quit.
    """

    options: ServerOptions
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    script: dict[str, Sequence[Act]] = field(default_factory=dict)
    messages: list[Taken] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    clients: list[str] = field(default_factory=list)
    deserted: trio.Event = field(default_factory=trio.Event)
    """Set once nobody is connected any more."""
    sizes: list[int] = field(default_factory=list)
    keep_content: bool = True
    fates: list[Reply] = field(default_factory=list)
    """What an LMTP server says at the end, one for each recipient."""
    passwords: dict[str, str] = field(default_factory=dict)

    def act(self, stage: str) -> Act:
        """Take the next act of a stage."""
        self.said.append(stage)
        acts = self.script.get(stage, ())
        if len(acts) > 1:
            self.script[stage] = acts[1:]
        return acts[0] if acts else None

    async def serve(self, listener: trio.SocketListener) -> None:
        await trio.serve_listeners(self._session, [listener])

    async def _session(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.open += 1
        self.clients.append(stream.socket.getpeername()[0])
        connection = Connection(stream)
        try:
            await _PeerSession(self, connection).run()
        except (ConnectionLostError, TlsFailedError):
            return
        finally:
            self.open -= 1
            if not self.open:
                self.deserted.set()
            await connection.aclose()


class _CloseNow(Exception):
    pass


class _PeerSession:
    def __init__(self, peer: Peer, connection: Connection) -> None:
        self.peer = peer
        self.connection = connection
        self.core = SmtpServer(peer.options, tls_active=peer.implicit)
        self.recipients: list[events.RecipientRequested] = []
        self.sender = events.MailRequested("")
        self.content = bytearray()
        self.login = ""

    async def run(self) -> None:
        try:
            if self.peer.implicit:
                await self._shake_hands()
            await self._act("greeting", self.core.send_greeting, self.core.send_greeting)
            while True:
                event = self.core.next_event()
                if event is events.CLOSED:
                    await self._flush()
                    return
                if event is events.NEED_DATA:
                    await self._flush()
                    self.core.receive_data(await self.connection.receive_some())
                else:
                    await self._handle(event)
        except _CloseNow:
            return

    async def _flush(self) -> None:
        if data := self.core.data_to_send():
            await self.connection.send_all(data)

    async def _act(self, stage: str, usual: Callable[[], None], reply: Callable[[Reply], None] | None = None) -> None:
        match self.peer.act(stage):
            case None:
                usual()
            case Reply() as told:
                (reply or self.core.send_reply)(told)
            case bytes() as wire:
                await self._flush()
                await self.connection.send_all(wire)
                raise _CloseNow
            case "hang":
                await self._flush()
                await trio.sleep_forever()
            case _:
                await self._flush()
                raise _CloseNow

    async def _handle(self, event: events.Event) -> None:
        accept = self.core.accept
        match event:
            case events.Greeted():
                await self._act("hello", accept)
            case events.MailRequested():
                self.sender, self.recipients, self.content = event, [], bytearray()
                await self._act("mail", accept)
            case events.RecipientRequested(address):
                await self._recipient(event, address)
            case events.DataRequested():
                await self._act("data", accept)
            case events.DataChunk(data):
                if self.peer.keep_content:
                    self.content += data
                if self.peer.script.get("chunk"):
                    await self._act("chunk", lambda: None)
            case _:
                await self._handle_rest(event)

    async def _handle_rest(self, event: events.Event) -> None:
        accept = self.core.accept
        match event:
            case events.DataFinished(size):
                self.peer.sizes.append(size)
                await self._act("end", self._take)
            case events.BdatChunkFinished(size, last):
                if last:
                    self.peer.sizes.append(size)
                await self._act("end" if last else "chunk", self._take if last else accept)
            case events.TlsRequested():
                await self._start_tls()
            case events.AuthRequested(mechanism, initial):
                self.peer.said.append(f"auth {mechanism} {'tls' if self.connection.is_tls else 'clear'}")
                ok = initial is not None and initial.decode().split("\0")[1:] in [list(pair) for pair in self.peer.passwords.items()]
                verdict = Reply(235, "2.7.0", "Welcome") if ok else Reply(535, "5.7.8", "Wrong user name or password")
                await self._act("auth", lambda: self.core.send_reply(verdict))
            case events.QuitRequested() | events.ConnectionLost():
                self.peer.said.append("quit" if isinstance(event, events.QuitRequested) else "lost")
            case _:
                pass

    async def _recipient(self, event: events.RecipientRequested, address: str) -> None:
        def accept() -> None:
            self.recipients.append(event)
            self.core.accept()

        stage = f"rcpt {address}"
        await self._act(stage if stage in self.peer.script else "rcpt", accept)

    def _take(self) -> None:
        self.peer.messages.append(Taken(self.sender, self.recipients, bytes(self.content)))
        if self.peer.fates:
            self.core.send_replies(self.peer.fates)
            return
        self.core.send_reply(Reply(250, "2.0.0", f"Ok: queued as {len(self.peer.messages)}"))

    async def _start_tls(self) -> None:
        await self._act("starttls", self.core.accept)
        await self._flush()
        if self.core.state.name == "TLS":
            await self._shake_hands()
            self.core.tls_established()

    async def _shake_hands(self) -> None:
        await self._act("handshake", lambda: None)
        assert self.peer.tls is not None
        await self.connection.start_tls(self.peer.tls)


@dataclass
class FakeNames:
    """Domains to hosts, hosts to addresses; an error in place of either is raised."""

    domains: dict[str, Sequence[tuple[int, str]] | ResolveError] = field(default_factory=dict)
    hosts: dict[str, Sequence[str] | ResolveError] = field(default_factory=dict)
    records: dict[str, TlsaAnswer] = field(default_factory=dict)
    asked: int = 0
    is_secure: bool = False

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        await trio.lowlevel.checkpoint()
        return self.records.get(host, TlsaAnswer())

    async def mail_hosts(self, domain: str) -> MailHosts:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        found = self.domains.get(domain, ResolveError(f"the domain {domain} does not exist", temporary=False))
        if isinstance(found, ResolveError):
            raise found
        return MailHosts(tuple(MxHost(*one) for one in found), is_null=not found, is_secure=self.is_secure)

    async def addresses(self, host: str) -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        found = self.hosts.get(host, ResolveError(f"the host {host} has no address", temporary=False))
        if isinstance(found, ResolveError):
            raise found
        return tuple(found)


@pytest.fixture
def names() -> FakeNames:
    return FakeNames()


@dataclass
class Certificates:
    authority: trustme.CA
    server: ssl.SSLContext
    other: ssl.SSLContext
    client: ssl.SSLContext
    blind: ssl.SSLContext
    server_der: bytes
    server_with_root: ssl.SSLContext

    def make(self, *, verify: bool) -> ssl.SSLContext:
        return self.client if verify else self.blind


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """Of mx1 to mx3.example by a known authority, and one that nobody knows; made once: key generation takes 50 ms."""
    authority = trustme.CA()
    server, other, with_root = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(3))
    issued = authority.issue_cert("mx1.example", "mx2.example", "mx3.example")
    issued.configure_cert(server)
    own = issued.cert_chain_pems[0].bytes()
    chain = issued.private_key_pem.bytes() + own + authority.cert_pem.bytes()
    with trustme.Blob(chain).tempfile() as path:
        with_root.load_cert_chain(path)
    trustme.CA().issue_cert("mx1.example").configure_cert(other)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    return Certificates(authority, server, other, client, blind, ssl.PEM_cert_to_DER_cert(own.decode()), with_root)


@dataclass
class House:
    """Peers by host name, all on one port, and a relay with short deadlines."""

    port: int
    names: FakeNames
    nursery: trio.Nursery
    certificates: Certificates
    warnings: list[tuple[str, dict[str, Any]]]
    peers: dict[str, Peer] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    relay: RelayService | None = None
    security: RelaySecurity = field(init=False)
    directory: Path = field(default_factory=Path)

    def mail_log(self) -> MailLog:
        """Return a log whose events go to ``warnings``."""
        logger = logging.Logger("test")  # noqa: LOG001 - outside the tree: nothing is shared between tests
        logger.addHandler(logging.NullHandler())
        return MailLog(logger, [lambda event, _level, fields: self.warnings.append((event, fields))])

    async def peer(
        self, host: str = "mx1.example", preference: int = 10, *, tls: bool = False, implicit: bool = False, **script: Any
    ) -> Peer:
        """Start a server as ``host``, one more MX of ``far.example``; ``script`` has one act, or a list of them, per stage."""
        address = f"127.0.0.{len(self.peers) + 11}"
        options = ServerOptions(hostname=host, starttls=tls and not implicit)
        acts: dict[str, Sequence[Act]] = {stage: act if isinstance(act, list) else [act] for stage, act in script.items()}
        peer = Peer(options, self.certificates.server if tls or implicit else None, implicit, acts)
        listener = socket.create_server((address, self.port))
        self.nursery.start_soon(peer.serve, trio.SocketListener(trio.socket.from_stdlib_socket(listener)))
        self.absent(host, preference, address)
        self.peers[host] = peer
        return peer

    def absent(self, host: str, preference: int, address: str) -> None:
        """Make an address known where nobody may be."""
        self.names.hosts[host] = [address]
        known = self.names.domains.setdefault("far.example", [])
        assert not isinstance(known, ResolveError)
        self.names.domains["far.example"] = [*known, (preference, host)]

    def start(self, **more: Any) -> RelayService:
        """Make the relay, once; ``more``: settings, and arguments of the service."""
        if self.relay is None:
            fields = RelayConfig.__dataclass_fields__
            settings = {"connect_timeout_s": 2, "greeting_timeout_s": 2, "command_timeout_s": 2, "data_timeout_s": 2}
            self.security = RelaySecurity(
                sts=more.pop("sts", None),
                tlsa=self.names if more.pop("dane", False) else None,
                state=TlsState(self.directory / "tls.db"),
                offload=InlineOffload(),
                clock=SystemClock(),
                mail_log=self.mail_log(),
            )
            arguments = {name: more.pop(name) for name in list(more) if name not in fields}
            self.relay = RelayService(
                RelayConfig(**settings | self.settings | more),
                hostname="us.example",
                own_names=frozenset({"us.example"}),
                resolver=self.names,
                tls=arguments.pop("make_tls", self.certificates.make),
                security=self.security,
                offload=InlineOffload(),
                mail_log=self.mail_log(),
                shuffle=lambda _hosts: None,
                **arguments,
            )
            self.nursery.start_soon(self.relay.run)
        return self.relay

    def hop(self, **changes: Any) -> NextHop:
        return replace(NextHop("far.example", self.port, tls=TlsLevel.NONE), **changes)

    async def send(
        self,
        *addresses: str,
        content: Content | bytes = b"Subject: x\r\n\r\nHello\r\n",
        recipients: Sequence[EnvelopeRecipient] = (),
        next_hop: NextHop | None = None,
        **envelope: Any,
    ) -> Sequence[Outcome]:
        """Relay one message."""
        found = tuple(recipients) or tuple(EnvelopeRecipient(address) for address in addresses or ("ana@far.example",))
        held = MemoryContent(content) if isinstance(content, bytes) else content
        job = RelayJob(
            QueueId("Q1"),
            Envelope(**{"reverse_path": "bob@us.example", "recipients": found} | envelope),
            found,
            held,
            next_hop or self.hop(),
        )
        with trio.fail_after(20):
            return await self.start().deliver(job)


@pytest.fixture
async def house(names: FakeNames, nursery: trio.Nursery, certificates: Certificates, tmp_path: Path) -> AsyncIterator[House]:
    with socket.create_server(("127.0.0.10", 0)) as probe:
        port = probe.getsockname()[1]
    found = House(port, names, nursery, certificates, [], directory=tmp_path)
    yield found
    nursery.cancel_scope.cancel()
