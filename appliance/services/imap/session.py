"""One IMAP session: the loop between connection and core, and what every command handler may use.

Owns order (what a command says goes out before its tagged response, and that
before the next read), batching of output, the autologout deadline, and telling
the client at legal moments what other sessions changed. Commands are handled
one after another in one task. A second one listens to the change feed while a
mailbox is selected: it marks our knowledge as stale, so that a NOOP without
news needs no thread, and in IDLE it tells the news itself.

Fails:    a failed command is answered with NO or BAD; ConnectionLostError and
          cancellation end the session; any other exception is a bug and leaves ``run``.
Does not: know commands, ``families`` hands them in; greet, ``service`` has done that.
Sources:  RFC 3501 sections 5.2 to 5.5, RFC 9051 section 5.4 (autologout).
"""

import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import trio

from appliance.model.errors import ApplianceError, CorruptError
from appliance.model.mailbox import QuotaResource
from appliance.model.ports import MailStore
from appliance.net.connection import Connection
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.events import AppendAnnounced, CatenateBegan, CommandReceived, Event, NeedData, SessionEnded
from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.server import LITERAL_MINUS_BYTES, ImapServer
from appliance.protocols.imap.state import Condition, State
from appliance.services.imap.errors import RefusalError, Reply, reply_to
from appliance.services.imap.news import sync, tell_annotations
from appliance.services.imap.selection import Selected
from appliance.services.imap.shared import Shared
from appliance.services.imap.sync import is_aware, note_highest, with_highest
from appliance.services.imap.uidonly import require_uids
from appliance.services.imap.view import Update
from appliance.services.imap.visitor import Visitor

if TYPE_CHECKING:
    from appliance.services.imap.notify import Notifier

__all__ = ["AppendHandler", "Handler", "Session"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

NAMING = (commands.Create, commands.Delete, commands.Rename, commands.Subscribe, commands.Unsubscribe)
SEND_BYTES = 131_072
"""Output is joined up to here before it is sent."""


class Session(Visitor):
    """From the first command to the last response. ``reason`` is set when the conversation itself came to an end."""

    def __init__(
        self,
        shared: Shared,
        connection: Connection,
        handlers: "Mapping[type[Command], Handler]",
        append: "AppendHandler",
    ) -> None:
        super().__init__(shared, connection)
        self.core = ImapServer(
            max_command_bytes=shared.settings.max_command_bytes,
            max_literal_bytes=shared.settings.max_literal_bytes,
            max_append_bytes=shared.settings.max_append_bytes,
            max_bad_commands=shared.settings.max_bad_commands,
            max_unasked_bytes=LITERAL_MINUS_BYTES if shared.settings.literal_minus else None,
        )
        self.opened_store: MailStore | None = None
        self.opened: Selected | None = None
        self.reason = ""
        self.commands = 0
        self.messages = 0
        self.inside_literal = False
        """True while a literal is announced and not yet sent in full: nothing else may be said then."""
        self.is_idling = False
        self.is_listening = False
        """True between commands once NOTIFY was used."""
        self.notifier: Notifier | None = None
        self.is_identified = False
        """True once the log knows which program this is: told once a session, however often it says so."""
        self.annotations_seen = -1
        """How far this session knows what became of annotations; negative: it was never told."""
        self.quota_warnings: set[QuotaResource] = set()
        """What it was warned of and is still short of."""
        self._telling = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._handlers = handlers
        self._append = append
        self._pending = 0
        self._deadline_set_at_s = -math.inf

    # What handlers use

    @property
    def store(self) -> MailStore:
        """The account's mailboxes; the core lets no command that needs them through before login."""
        assert self.opened_store is not None
        return self.opened_store

    @property
    def selected(self) -> Selected:
        """The selected mailbox; the core lets no command that needs it through without one."""
        assert self.opened is not None
        return self.opened

    async def run_blocking(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call into the store, in a thread."""
        return await self.shared.offload.run(function, *args)

    def send(self, responses: bytes) -> None:
        """Queue untagged responses."""
        self.core.send(responses)
        self._pending += len(responses)

    async def checkpoint(self) -> None:
        """Give others their turn; send if enough has come together. Call it between batches."""
        if self._pending >= SEND_BYTES:
            await self.flush()
        else:
            await trio.lowlevel.checkpoint()

    def note(self, text: str, code: bytes = b"") -> None:
        """Queue an untagged OK, mostly for the sake of its response code."""
        self.core.send_untagged(Condition.OK, text, code)

    async def flush(self, *, touch: bool = True) -> None:
        """Send what is queued. ``touch``: sending counts as activity for the autologout."""
        data = self.core.data_to_send()
        self._pending = 0
        if touch:
            self.touch()
        if data:
            await self.connection.send_all(data)

    def touch(self) -> None:
        """Move the autologout deadline; the login deadline stands still. To the second: moving costs as much as a reply."""
        now_s = trio.current_time()
        if self.account is not None and now_s - self._deadline_set_at_s >= 1:
            self._deadline_set_at_s = now_s
            self.connection.set_deadline(now_s + self.shared.settings.idle_timeout_s)

    async def next_event(self, *, idle: bool = False, flush: bool = True) -> Event:
        """Return the next event, reading as needed. ``idle``: a shutdown may end the session here."""
        while isinstance(event := self.core.next_event(), NeedData):
            if flush:
                await self.flush()
            if idle and self.notifier is not None and not self.is_idling:
                await self._listen()
            self.core.receive_data(await self.connection.receive_some(idle=idle))
            if self.is_listening:
                # What is being told is told to its end before the command is looked at.
                self.is_listening = False
                async with self._telling:
                    pass
            self.touch()
        return event

    async def _listen(self) -> None:
        """From here to the next command NOTIFY may tell news; begin with what came meanwhile."""
        self.is_listening = True
        if (self.notifier is not None and self.notifier.has_news) or (self.opened is not None and self.opened.is_stale):
            await self.tell_news()

    async def replace_notifier(self, notifier: "Notifier | None") -> None:
        """Listen to all that a client wants to hear, or to nothing more."""
        if self.notifier is not None:
            self.notifier.stop()
        self.notifier = notifier
        if notifier is not None:
            assert self._nursery is not None
            await self._nursery.start(notifier.watch, self)

    async def select(self, selected: Selected) -> None:
        """Make a mailbox the selected one and listen to its changes."""
        assert self._nursery is not None
        await self._nursery.start(selected.watch, self)
        # What came between the look and the watch is looked for with the first command.
        selected.is_stale = True
        self.opened = selected

    def deselect(self) -> None:
        if self.opened is not None:
            self.opened.stop()
            self.opened = None

    def expect_more(self) -> None:
        """Start the clock of the state that begins now: for a login, or for the next command."""
        settings = self.shared.settings
        self._deadline_set_at_s = now_s = trio.current_time()
        self.connection.set_deadline(now_s + (settings.login_timeout_s if self.account is None else settings.idle_timeout_s))

    def forget_account(self) -> None:
        """Be nobody again, as before the login."""
        if self.account is not None:
            self.shared.dismiss(self.account)
        self.account = self.opened_store = None
        self.annotations_seen = -1
        self.quota_warnings.clear()
        self.expect_more()

    @property
    def enabled(self) -> Collection[Extension]:
        """What the client has switched on (RFC 5161)."""
        return self.core.enabled

    # The loop

    async def run(self) -> None:
        """Converse until the client logs out, is cut or is gone."""
        async with trio.open_nursery() as self._nursery:
            await self._converse()
            self.deselect()
            await self.replace_notifier(None)

    async def _converse(self) -> None:
        while True:
            event = await self.next_event(idle=True)
            if isinstance(event, SessionEnded):
                self.reason = event.reason
                data = self.core.data_to_send()
                if event.reason == "quit":
                    await self.connection.send_all(data)
                elif data:
                    await self.connection.send_last(data)
                return
            if isinstance(event, CommandReceived):
                self.commands += 1
                await self._answer(event.command)
            elif isinstance(event, AppendAnnounced | CatenateBegan):
                self.commands += 1
                await self._finish(await self._append(self, event), expunge=True)
            # What is left are rejections, which the core has answered.
            await self.checkpoint()

    async def _answer(self, command: Command) -> None:
        reply: Reply | None
        try:
            require_uids(self, command)
            reply = await self._handlers[type(command)](self, command)
            if self.notifier is not None and isinstance(command, NAMING):
                await self._look_again(self.notifier)
        except ApplianceError as error:
            reply = self.explain(error)
        except RefusalError as refusal:
            reply = refusal.reply
        await self._finish(reply, expunge=command.allows_expunge)

    async def _look_again(self, notifier: "Notifier") -> None:
        """Names changed by our own doing: NOTIFY may mean other mailboxes from now on."""
        try:
            await notifier.look(self)
        except ApplianceError as error:
            # What was asked for is done; the mailboxes meant before are still watched.
            self.explain(error)

    async def _finish(self, reply: Reply | None, *, expunge: bool) -> None:
        """Tell what changed meanwhile, then the tagged response. No reply: the handler or the core gave it."""
        if reply is None or self.core.state is State.LOGOUT:
            return
        if self.opened is not None:
            if self.notifier is None:
                await self.sync(expunge=expunge)
            else:
                await self.notifier.sync(self, expunge=expunge, asked=True)
            reply = with_highest(self, reply)
        tell_annotations(self)
        if self.core.is_answering:
            self.core.send_tagged(reply.condition, reply.text, reply.code)

    def explain(self, error: ApplianceError, *, creating: bool = False) -> Reply:
        """Return the answer to a resource failure; log what a person should know of."""
        if error.temporary or isinstance(error, CorruptError):
            self.shared.mail_log.warning(
                "imap_command_failed",
                session=self.connection.session_id,
                user=self.account or "",
                kind=type(error).__name__,
                reason=str(error),
            )
        return reply_to(error, creating=creating)

    # News

    async def tell_news(self) -> None:
        """Tell what changed, while IDLE lasts."""
        async with self._telling:
            notifier = self.notifier
            if self.is_idling or self.is_listening:
                if notifier is None:
                    await self.sync(expunge=True)
                else:
                    if notifier.tells_selected:
                        await notifier.sync(self, expunge=self.is_idling or notifier.expunges_at_once, asked=False)
                    await notifier.tell_others(self)
                if self.opened is not None and self.opened.owes_highest and is_aware(self):
                    note_highest(self)
                tell_annotations(self)
                # Our own words are no sign of life of the client.
                await self.flush(touch=False)
                if self.core.state is State.LOGOUT and self._nursery is not None:
                    # The mailbox is gone, BYE is said, and nobody will read DONE.
                    self.reason = "mailbox deleted"
                    self._nursery.cancel_scope.cancel()

    async def end_idling(self) -> None:
        """Stop telling; a send under way is waited for."""
        self.is_idling = False
        async with self._telling:
            pass

    async def sync(self, *, expunge: bool, amend: "Callable[[Update], None] | None" = None) -> None:
        """Tell the client what became of its mailbox; see ``news.sync``."""
        await sync(self, expunge=expunge, amend=amend)


Handler = Callable[[Session, Any], Awaitable[Reply | None]]
AppendHandler = Callable[[Session, AppendAnnounced | CatenateBegan], Awaitable[Reply | None]]
