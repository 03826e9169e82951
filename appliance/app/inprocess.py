"""A catcher inside of another program: what a test starts for itself, without settings, certificate or mailboxes.

Owns the smallest composition that takes mail and answers for it: SMTP on a free
loopback port, the store in a directory that goes at the end, and, when it is asked
for, the interfaces over HTTP. ``open_mailbox`` runs in a trio program's own loop;
``MailboxThread`` runs one in a thread, for everybody else.

Does not: IMAP, POP3, TLS, the page. ``carteiro dev`` has them.
"""

import random
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from appliance.app.live import CatchAllDirectory
from appliance.app.logins import DEV_ACCOUNT
from appliance.app.smtplogins import SenderLogins
from appliance.config.schema import SmtpConfig
from appliance.message.extract import find_codes
from appliance.message.reading import Reading, read_message
from appliance.model.caught import CaughtSummary
from appliance.model.content import Content, MemoryContent
from appliance.model.ids import QueueId
from appliance.net.clock import SystemClock
from appliance.net.limits import ConnectionLimits
from appliance.net.listeners import Draining, Role, serve
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.policy.caught_faults import Faults
from appliance.policy.caught_session import FaultBook
from appliance.policy.link_check import find_links
from appliance.services.catcher.bounces import Bouncer
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.inboxes import Inboxes
from appliance.services.catcher.intake import CatcherIntake
from appliance.services.smtp import service as smtp
from appliance.services.smtp.roles import catcher_role
from appliance.storage.caught import CaughtStore

__all__ = ["CaughtMail", "Mailbox", "MailboxThread", "MissingMailError", "open_mailbox"]

HOSTNAME: Final = "carteiro.localhost"
_START_S: Final = 10.0
T = TypeVar("T")


class MissingMailError(AssertionError):
    """The mail that was expected did not come, or one came that should not."""


@dataclass(frozen=True)
class CaughtMail:
    """One caught message, for assertions. Addresses without names; ``recipients`` of the envelope."""

    id: str
    subject: str
    sender: str
    to: Sequence[str]
    cc: Sequence[str]
    recipients: Sequence[str]
    reverse_path: str
    username: str
    raw: bytes = field(repr=False)
    reading: Reading = field(repr=False)

    @property
    def text(self) -> str:
        return self.reading.text()

    @property
    def html(self) -> str:
        return self.reading.html()

    @property
    def codes(self) -> list[str]:
        """The one-time codes in it, the likeliest first."""
        return list(find_codes(self.text, self.subject))

    @property
    def links(self) -> list[str]:
        """The web addresses in it, in order."""
        return list(find_links(self.html, self.text if self.reading.texts else ""))

    @property
    def attachments(self) -> dict[str, bytes]:
        """What is attached, by name."""
        return {leaf.name: self.reading.content(leaf.part) for leaf in self.reading.attachments}

    def header(self, name: str) -> str:
        """Return the decoded value of a field, ``""`` when there is none."""
        return self.reading.value(name.lower().encode("ascii"))

    def match(self, pattern: str) -> str:
        """Return what a regular expression finds in text, HTML or subject (its first group if it has one). Raises MissingMailError."""
        for where in (self.text, self.html, self.subject):
            found = re.search(pattern, where)
            if found:
                return str(found[1] if found.re.groups else found[0])
        raise MissingMailError(f"{pattern!r} is not in the message {self.subject!r}")


def _query(to: str, sender: str, subject: str, query: str) -> str:
    named = (("recipient", to), ("from", sender), ("subject", subject))
    return " ".join([f'{key}:"{value}"' for key, value in named if value] + [query]).strip()


class _MemoryWriter:
    """A message on its way in, in memory; the session bounds its size."""

    def __init__(self) -> None:
        self.queue_id = QueueId("")
        self._data = bytearray()

    @property
    def size(self) -> int:
        return len(self._data)

    async def write(self, chunk: bytes) -> None:
        self._data += chunk

    async def prepend(self, data: bytes) -> None:
        self._data[:0] = data

    async def discard(self) -> None:
        """Do nothing: it goes with its last reference."""

    async def finish(self) -> Content:
        return MemoryContent(bytes(self._data))


class _MemorySpool:
    async def begin(self) -> _MemoryWriter:
        return _MemoryWriter()


@dataclass(kw_only=True)
class Mailbox:
    """What a trio program knows of its catcher. ``faults``: what goes wrong on purpose."""

    catcher: Catcher
    faults: Faults
    inboxes: Inboxes
    host: str
    port: int
    nursery: trio.Nursery
    draining: Draining = field(default_factory=Draining)
    url: str = ""

    @property
    def _desk(self) -> Desk:
        return Desk(self.catcher, HOSTNAME)

    async def messages(self, query: str = "") -> list[CaughtMail]:
        """Return what was caught, oldest first; ``query`` in the search language."""
        desk = self._desk
        found = await desk.latest(desk.terms(query), limit=0)
        return [await self._mail(summary) for summary in reversed(found)]

    async def _mail(self, summary: CaughtSummary) -> CaughtMail:
        raw = await self._desk.data(summary)
        return CaughtMail(
            id=summary.id,
            subject=summary.subject,
            sender=summary.sender.address if summary.sender else "",
            to=[person.address for person in summary.to],
            cc=[person.address for person in summary.cc],
            recipients=list(summary.envelope.recipients),
            reverse_path=summary.envelope.reverse_path,
            username=summary.envelope.username,
            raw=raw,
            reading=read_message(raw),
        )

    async def wait(self, query: str = "", *, count: int = 1, within: float = 5.0) -> list[CaughtMail]:
        """Return the matching messages as soon as there are so many. Raises MissingMailError."""
        with self.catcher.hub.listen() as events, trio.move_on_after(within):
            while True:
                found = await self.messages(query)
                if len(found) >= count:
                    return found
                await events.receive()
        everything = await self.messages()
        came = ", ".join([f"{mail.subject!r} to {', '.join(mail.recipients)}" for mail in everything[-10:]]) or "nothing"
        raise MissingMailError(f"not {count} for {query or 'any mail'} within {within:g} s; caught: {came}")

    async def expect(self, *, to: str = "", sender: str = "", subject: str = "", query: str = "", within: float = 5.0) -> CaughtMail:
        """Return the newest message that fits. Raises MissingMailError when none comes in time."""
        return (await self.wait(_query(to, sender, subject, query), within=within))[-1]

    async def expect_none(self, *, to: str = "", sender: str = "", subject: str = "", query: str = "", within: float = 0.2) -> None:
        """Raise MissingMailError when such a message is there or comes within the time."""
        wanted = _query(to, sender, subject, query)
        try:
            (found, *_) = await self.wait(wanted, within=within)
        except MissingMailError:
            return
        raise MissingMailError(f"{found.subject!r} to {', '.join(found.recipients)} came for {wanted or 'any mail'}")

    async def clear(self) -> None:
        """Forget what was caught."""
        await self.catcher.delete(None)

    async def serve_http(self) -> str:
        """Answer over HTTP as well, and return where: the interfaces of Mailpit, MailHog, and our own."""
        if not self.url:
            from appliance.app.inprocess_web import web_handler

            sock = _listening()
            handler = web_handler(self.catcher, self.faults, self.inboxes, self._desk)
            await self.nursery.start(_serve, sock, Role("http", handler, ConnectionLimits()), self.draining, self.catcher.mail_log)
            self.url = f"http://{self.host}:{sock.getsockname()[1]}"
        return self.url


def _listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0), backlog=128)
    sock.setblocking(False)
    return sock


async def _serve(sock: socket.socket, role: Role, draining: Draining, mail_log: MailLog, task_status: trio.TaskStatus[None]) -> None:
    await serve([sock], role, draining=draining, mail_log=mail_log, task_status=task_status)


def _smtp_role(catcher: Catcher, faults: Faults, inboxes: Inboxes, mail_log: MailLog) -> Role:
    bouncer = Bouncer(catcher, HOSTNAME)
    settings = SmtpConfig(max_commands_without_mail=0)
    service = smtp.SmtpService(
        catcher_role(settings),
        settings=settings,
        hostname=HOSTNAME,
        intake=CatcherIntake(catcher, _MemorySpool(), inbox_of=inboxes.of_envelope, caught=bouncer.caught),
        directory=CatchAllDirectory(DEV_ACCOUNT, HOSTNAME),
        authenticator=SenderLogins(),
        clock=catcher.clock,
        mail_log=mail_log,
        is_trusted=lambda _address: True,
        faults=FaultBook(faults, inboxes.profile),
    )
    return Role("smtp", service.handle, ConnectionLimits(), busy=smtp.BUSY, crashed=smtp.CRASHED)


@asynccontextmanager
async def open_mailbox() -> AsyncIterator[Mailbox]:
    """Give a running catcher in this loop, on a port of its own; it ends with the block."""
    directory = Path(tempfile.mkdtemp(prefix="carteiro-test-"))
    store, mail_log, clock, here = CaughtStore(directory, durable=False), MailLog(), SystemClock(), InlineOffload()
    store.open()
    catcher = Catcher(store, offload=here, commit_offload=here, clock=clock, mail_log=mail_log)
    make_faults = partial(Faults, chance=random.random, monotonic_s=clock.monotonic_s)
    faults, inboxes = make_faults(), Inboxes(catcher, make_faults)
    sock = _listening()
    try:
        async with trio.open_nursery() as nursery:
            mailbox = Mailbox(
                catcher=catcher, faults=faults, inboxes=inboxes, host="127.0.0.1", port=sock.getsockname()[1], nursery=nursery
            )
            await nursery.start(catcher.run)
            nursery.start_soon(inboxes.run)
            await nursery.start(_serve, sock, _smtp_role(catcher, faults, inboxes, mail_log), mailbox.draining, mail_log)
            yield mailbox
            nursery.cancel_scope.cancel()
    finally:
        store.close()
        shutil.rmtree(directory, ignore_errors=True)


class MailboxThread:
    """A catcher in a thread of its own, for tests that are plain functions or run under another loop. Every method blocks."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._mailbox: Mailbox | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._end: trio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="carteiro-mailbox", daemon=True)

    def start(self) -> "MailboxThread":
        """Return when mail is taken."""
        self._thread.start()
        if not self._ready.wait(_START_S) or self._failure is not None:
            raise RuntimeError("the catcher does not start") from self._failure
        return self

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except Exception as error:  # noqa: BLE001 - told to who waits for the start
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        async with open_mailbox() as mailbox:
            self._mailbox, self._token, self._end = mailbox, trio.lowlevel.current_trio_token(), trio.Event()
            self._ready.set()
            await self._end.wait()

    def stop(self) -> None:
        """End it, and with it every connection."""
        if self._token is not None and self._end is not None and self._thread.is_alive():
            self._token.run_sync_soon(self._end.set)
        self._thread.join(_START_S)

    def _call(self, work: Callable[..., Awaitable[T]]) -> T:
        assert self._token is not None
        return trio.from_thread.run(work, trio_token=self._token)

    @property
    def _there(self) -> Mailbox:
        assert self._mailbox is not None
        return self._mailbox

    @property
    def host(self) -> str:
        return self._there.host

    @property
    def port(self) -> int:
        """The port of SMTP."""
        return self._there.port

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        return self._there.faults

    @property
    def url(self) -> str:
        """Where the interfaces over HTTP are; they answer from the first look on."""
        return self._call(self._there.serve_http)

    def messages(self, query: str = "") -> list[CaughtMail]:
        """Return what was caught, oldest first."""
        return self._call(partial(self._there.messages, query))

    def wait(self, query: str = "", *, count: int = 1, within: float = 5.0) -> list[CaughtMail]:
        """See ``Mailbox.wait``."""
        return self._call(partial(self._there.wait, query, count=count, within=within))

    def expect(self, **wanted: Any) -> CaughtMail:
        """See ``Mailbox.expect``."""
        return self._call(partial(self._there.expect, **wanted))

    def expect_none(self, **unwanted: Any) -> None:
        """See ``Mailbox.expect_none``."""
        self._call(partial(self._there.expect_none, **unwanted))

    def clear(self) -> None:
        """Forget what was caught."""
        self._call(self._there.clear)
