"""Fakes of the ports, and a client that talks to a session as a transcript reads."""

import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from appliance.config.schema import SmtpConfig, SubmissionConfig
from appliance.model.caught import FaultSource
from appliance.model.clock import ManualClock
from appliance.model.envelope import Envelope
from appliance.model.errors import ApplianceError
from appliance.model.ids import AccountName, QueueId
from appliance.model.ports import ScramKeys
from appliance.model.routing import Deliverable, LocalTarget, NotLocal, Refused, RemoteTarget, Resolution
from appliance.net.connection import Address, Connection
from appliance.observe.maillog import MailLog
from appliance.services.smtp.roles import SmtpRole, catcher_role, lmtp_role, mx_role, submission_role
from appliance.services.smtp.service import SmtpService
from appliance.services.smtp.shared import MakeChecks, RunQueue

PASSWORD = "correct horse"


@dataclass
class FakeWriter:
    queue_id: QueueId
    intake: "FakeIntake"
    data: bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        return len(self.data)

    async def write(self, chunk: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.intake.write_error is not None and len(self.data) + len(chunk) > self.intake.write_limit:
            raise self.intake.write_error
        self.data += chunk

    async def prepend(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.data[:0] = data

    async def discard(self) -> None:
        await trio.lowlevel.checkpoint()
        self.intake.discarded.append(self.queue_id)


@dataclass
class FakeIntake:
    """Keeps what it was given; errors and slowness as told."""

    accepted: list[tuple[Envelope, bytes]] = field(default_factory=list)
    discarded: list[QueueId] = field(default_factory=list)
    begin_error: ApplianceError | None = None
    write_error: ApplianceError | None = None
    write_limit: int = 0
    accept_error: ApplianceError | None = None
    accept_takes_s: float = 0
    bug: Exception | None = None
    begun: int = 0

    async def begin(self) -> FakeWriter:
        await trio.lowlevel.checkpoint()
        if self.begin_error is not None:
            raise self.begin_error
        self.begun += 1
        return FakeWriter(QueueId(f"Q{self.begun}"), self)

    async def accept(self, envelope: Envelope, writer: Any) -> QueueId:
        await trio.sleep(self.accept_takes_s)
        if self.bug is not None:
            raise self.bug
        if self.accept_error is not None:
            raise self.accept_error
        self.accepted.append((envelope, bytes(writer.data)))
        queue_id: QueueId = writer.queue_id
        return queue_id


class FakeDirectory:
    """ana, bob and the list team@ at example.com; partner.example is a relay domain."""

    def resolve(self, address: str) -> Resolution:
        local_part, _, domain = address.lower().rpartition("@")
        if domain == "partner.example":
            return NotLocal(relay_domain=True)
        if domain not in ("example.com", "example.org"):
            return NotLocal()
        base, _, detail = local_part.partition("+")
        if base in ("ana", "bob"):
            return Deliverable((LocalTarget(AccountName(base), detail),))
        if base == "postmaster":
            return Deliverable((LocalTarget(AccountName("ana")),))
        if base == "team":
            return Deliverable((LocalTarget(AccountName("ana")), LocalTarget(AccountName("bob")), RemoteTarget("carla@far.example")))
        return Refused(550, "5.1.1", f"No such address here: {address}")

    def mailbox_of(self, address: str) -> LocalTarget | None:
        found = self.resolve(address)
        return (
            next((target for target in found.targets if isinstance(target, LocalTarget)), None) if isinstance(found, Deliverable) else None
        )

    def may_send_as(self, account: AccountName, address: str) -> bool:
        return address.lower().partition("@")[0].partition("+")[0] == account

    def qualify(self, address: str) -> str:
        return address if not address or "@" in address else f"{address}@example.com"

    def primary_address(self, account: AccountName) -> str:
        return f"{account}@example.com"


class FakeAuthenticator:
    def __init__(self) -> None:
        self.error: ApplianceError | None = None

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return AccountName(login.partition("@")[0]) if password == PASSWORD and client_address else None

    def scram_keys(self, login: str) -> ScramKeys:
        import hashlib
        import hmac

        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), login.encode(), 4_096)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        return ScramKeys(login.encode(), 4_096, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))

    async def finish_scram(self, login: str, proven: bool, client_address: str) -> AccountName | None:
        await trio.lowlevel.checkpoint()
        return AccountName(login) if proven and client_address else None


@dataclass
class Talk:
    """A client's side of one session."""

    connection: Connection
    server: Connection
    context: ssl.SSLContext
    _buffer: bytes = b""

    async def send(self, *lines: str | bytes) -> None:
        """Send lines in one segment; text gets its CRLF, bytes go as they are."""
        await self.connection.send_all(b"".join(line if isinstance(line, bytes) else f"{line}\r\n".encode() for line in lines))

    async def reply(self) -> str:
        """Return the next reply, its lines joined by newlines."""
        lines: list[str] = []
        while True:
            while b"\r\n" not in self._buffer:
                data = await self.connection.receive_some()
                if not data:
                    return "<closed>"
                self._buffer += data
            line, self._buffer = self._buffer.split(b"\r\n", 1)
            lines.append(line.decode())
            if line[3:4] == b" ":
                return "\n".join(lines)

    async def ask(self, *lines: str | bytes) -> str:
        await self.send(*lines)
        return await self.reply()

    async def start(self, name: str = "client.example") -> str:
        """Take the greeting and say EHLO."""
        assert (await self.reply()).startswith("220 ")
        return await self.ask(f"EHLO {name}")

    async def start_tls(self) -> str:
        assert (await self.ask("STARTTLS")).startswith("220 ")
        await self.connection.start_tls(self.context, server_hostname="mail.example.com")
        return await self.ask("EHLO client.example")

    async def mail(self, *recipients: str, sender: str = "sender@far.example", content: bytes = b"Subject: x\r\n\r\nbody\r\n") -> str:
        """Send a message with DATA; return the first negative reply, or the last."""
        for command in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients), "DATA"):
            reply = await self.ask(command)
            if reply[0] in "45":
                return reply
        return await self.ask(content + b".\r\n")


@dataclass
class House:
    """One service with its fakes; ``talk`` starts a session."""

    role: SmtpRole
    smtp: SmtpConfig
    intake: FakeIntake
    authenticator: FakeAuthenticator
    certificates: tuple[ssl.SSLContext, ssl.SSLContext]
    certificate: bytes
    events: list[tuple[str, dict[str, Any]]]
    is_trusted: Callable[[str], bool] = lambda _address: False
    is_proxy: Callable[[str], bool] = lambda _address: False
    offers_tls: bool = True
    channel_binding: Callable[[], bytes] | None = None
    faults: FaultSource | None = None
    make_checks: MakeChecks | None = None
    run_queue: RunQueue | None = None

    def service(self) -> SmtpService:
        logger = logging.Logger("test")  # noqa: LOG001 - on purpose outside the tree: nothing is shared between tests
        logger.addHandler(logging.NullHandler())
        return SmtpService(
            self.role,
            settings=self.smtp,
            hostname="mail.example.com",
            intake=self.intake,
            directory=FakeDirectory(),
            authenticator=self.authenticator,
            clock=ManualClock(),
            mail_log=MailLog(logger, [lambda event, _level, fields: self.events.append((event, fields))]),
            is_trusted=self.is_trusted,
            is_proxy=self.is_proxy,
            tls_context=(lambda: self.certificates[0]) if self.offers_tls else None,
            channel_binding=self.channel_binding,
            faults=self.faults,
            make_checks=self.make_checks,
            run_queue=self.run_queue,
        )

    def limit(self, **changes: Any) -> None:
        self.smtp = replace(self.smtp, **changes)

    @asynccontextmanager
    async def talk(self, peer: str = "192.0.2.1") -> AsyncIterator[Talk]:
        """Run one session until the block ends."""
        left, right = trio.testing.memory_stream_pair()
        client = Connection(left)
        server = Connection(right, peer=Address(peer, 4_000), local=Address("192.0.2.2", 25))
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                await self.service().handle(server)
                await server.aclose()

            nursery.start_soon(serve)
            yield Talk(client, server, self.certificates[1])
            await client.aclose()

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]


@pytest.fixture(scope="session")
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext, bytes]:
    """Contexts of server and client and the server's certificate, made once."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = authority.issue_cert("mail.example.com")
    issued.configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client, ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())


_ROLES: dict[str, Callable[[SmtpConfig], SmtpRole]] = {
    "mx": mx_role,
    "submission": lambda _smtp: submission_role(SubmissionConfig()),
    "lmtp": lmtp_role,
    "catcher": catcher_role,
}


@pytest.fixture
def make_house(certificates: tuple[ssl.SSLContext, ssl.SSLContext, bytes]) -> Callable[..., House]:
    def make(role: str = "mx", **limits: Any) -> House:
        smtp = SmtpConfig(**limits)
        return House(_ROLES[role](smtp), smtp, FakeIntake(), FakeAuthenticator(), certificates[:2], certificates[2], [])

    return make


Talking = AbstractAsyncContextManager[Talk]
