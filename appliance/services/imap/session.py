"""One IMAP session: the loop between connection and core, and what every command handler may use.

Owns order (what a command says goes out before its tagged response, and that
before the next read), batching of output, the autologout deadline, and telling
the client at legal moments what other sessions changed. Commands are handled
one after another in one task. A second one listens to the change feed while a
mailbox is selected: it marks our knowledge as stale, so that a NOOP without
news needs no thread, and in IDLE it tells the news itself.

Fails:    a failed command is answered with NO or BAD; ConnectionLostError and
          cancellation end the session; any other exception is a bug and leaves ``run``.
Does not: know commands. ``service`` hands in the table of handlers.
Sources:  RFC 3501 sections 5.2 to 5.5, RFC 9051 section 5.4 (autologout).
"""

import math
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, TypeVarTuple

import trio

from appliance.config.schema import ImapConfig
from appliance.model.changes import NameChange
from appliance.model.errors import ApplianceError, CorruptError
from appliance.model.ids import AccountName
from appliance.model.mailbox import QuotaResource
from appliance.model.ports import AccountFeed, Authenticator, Clock, MailStore, MailStores, Offload
from appliance.net.connection import Connection
from appliance.net.tls import certificate_names
from appliance.observe.maillog import MailLog
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.events import AppendAnnounced, CatenateBegan, CommandReceived, Event, NeedData, SessionEnded
from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.server import ImapServer
from appliance.protocols.imap.state import Condition, State
from appliance.protocols.language import DEFAULT_LANGUAGE
from appliance.protocols.sasl.oauthbearer import NAME as OAUTHBEARER
from appliance.services.imap.capabilities import capability_line, list_capabilities
from appliance.services.imap.errors import RefusalError, Reply, reply_to
from appliance.services.imap.limits import limit_capabilities
from appliance.services.imap.news import sync, tell_annotations
from appliance.services.imap.selection import Selected
from appliance.services.imap.sync import is_aware, note_highest, with_highest
from appliance.services.imap.uidonly import require_uids
from appliance.services.imap.view import Update

if TYPE_CHECKING:
    from appliance.services.imap.notify import Notifier

__all__ = ["AppendHandler", "Handler", "Session", "Shared", "TokenCheck"]

TokenCheck = Callable[[str, str, str], Awaitable[tuple[AccountName | None, str]]]
"""From an access token, the login that is wanted or ``""``, and the client's address to an account and, without one, the reason for the log."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SEND_BYTES = 131_072
"""Output is joined up to here before it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the sessions of a service have in common; see ``service.ImapService``."""

    settings: ImapConfig
    hostname: str
    stores: MailStores
    authenticator: Authenticator
    offload: Offload
    feed: AccountFeed
    mail_log: MailLog
    clock: Clock
    spool: Callable[[], BinaryIO]
    tls_context: Callable[[], ssl.SSLContext] | None
    require_tls: bool
    mechanisms: tuple[str, ...]
    channel_binding: Callable[[], bytes] | None = None
    check_token: TokenCheck | None = None
    account_of_names: Callable[[Sequence[str], str], AccountName | None] | None = None
    """From the names of a client's certificate, and the login that is wanted or ``""``, to an account."""
    language: str = DEFAULT_LANGUAGE
    """What ``LANGUAGE default`` means."""
    name_change: Callable[[Command], NameChange | None] = lambda command: None
    """Says what a command that was done means for the names of the account."""
    hidden: Callable[[AccountName], Collection[str]] = lambda account: ()
    """Capabilities that this account's broken mail program must not see."""
    logged_in: Counter[AccountName] = field(default_factory=Counter)
    """Sessions by account."""

    def admit(self, account: AccountName) -> bool:
        """Count a session of an account in, unless it has too many; ``dismiss`` counts it out."""
        most = self.settings.max_connections_per_user
        if most and self.logged_in[account] >= most:
            return False
        self.logged_in[account] += 1
        return True

    def dismiss(self, account: AccountName) -> None:
        """Count a session out that ``admit`` counted in."""
        self.logged_in[account] -= 1
        if not self.logged_in[account]:
            del self.logged_in[account]


class Session:
    """From greeting to the last response. ``reason`` is set when the conversation itself came to an end."""

    def __init__(
        self, shared: Shared, connection: Connection, handlers: "Mapping[type[Command], Handler]", append: "AppendHandler"
    ) -> None:
        self.shared = shared
        self.connection = connection
        self.core = ImapServer(
            max_command_bytes=shared.settings.max_command_bytes,
            max_literal_bytes=shared.settings.max_literal_bytes,
            max_append_bytes=shared.settings.max_append_bytes,
            max_bad_commands=shared.settings.max_bad_commands,
        )
        self.account: AccountName | None = None
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
        self._certificate_names: tuple[str, ...] | None = None
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
    def start_tls_offered(self) -> bool:
        return self.shared.tls_context is not None and not self.connection.is_tls

    @property
    def login_allowed(self) -> bool:
        """Passwords travel inside TLS, or not beyond this machine, or as the settings say."""
        return self.connection.is_tls or not self.shared.require_tls or _is_loopback(self.connection.peer.host)

    @property
    def enabled(self) -> Collection[Extension]:
        """What the client has switched on (RFC 5161)."""
        return self.core.enabled

    @property
    def hidden(self) -> Collection[str]:
        """Capabilities that are not told in this session, in capitals."""
        shared = self.shared
        hidden = (
            shared.settings.hide_capabilities
            if self.account is None
            else (*shared.settings.hide_capabilities, *shared.hidden(self.account))
        )
        return frozenset(name.upper() for name in hidden)

    @property
    def channel_binding(self) -> Mapping[str, bytes]:
        """What SCRAM-SHA-256-PLUS can be bound to; empty outside TLS."""
        binding = self.shared.channel_binding() if self.shared.channel_binding is not None and self.connection.is_tls else b""
        return {"tls-server-end-point": binding} if binding else {}

    def certificate_names(self) -> tuple[str, ...]:
        """Whom the client's certificate names; nobody without one, or where it is no login."""
        if self.shared.account_of_names is None or not self.connection.is_tls:
            return ()
        if self._certificate_names is None:
            certificate = self.connection.tls_peer_certificate()
            self._certificate_names = certificate_names(certificate) if certificate else ()
        return self._certificate_names

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """SASL mechanisms, strongest first; -PLUS only inside a TLS whose certificate is known."""
        bound = bool(self.channel_binding)
        tokens = (OAUTHBEARER,) if self.shared.check_token is not None else ()
        external = ("EXTERNAL",) if self.certificate_names() else ()
        return (*external, *(name for name in self.shared.mechanisms if bound or not name.endswith("-PLUS")), *tokens)

    def capabilities(self) -> bytes:
        """Return ``CAPABILITY ...`` for the present state."""
        return capability_line(
            list_capabilities(
                hidden=self.hidden,
                logged_in=self.account is not None,
                start_tls=self.start_tls_offered,
                login_allowed=self.login_allowed,
                append_limit=self.shared.settings.max_append_bytes,
                limits=limit_capabilities(self.shared.settings),
                mechanisms=self.mechanisms,
            )
        )

    # The loop

    async def run(self) -> None:
        """Converse until the client logs out, is cut or is gone."""
        async with trio.open_nursery() as self._nursery:
            await self._converse()
            self.deselect()
            await self.replace_notifier(None)

    async def _converse(self) -> None:
        self.expect_more()
        self.send(b"* OK [%b] %b Carteiro ready\r\n" % (self.capabilities(), self.shared.hostname.encode("ascii", "replace")))
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
            await self._publish(command, reply)
        except ApplianceError as error:
            reply = self.explain(error)
        except RefusalError as refusal:
            reply = refusal.reply
        await self._finish(reply, expunge=command.allows_expunge)

    async def _publish(self, command: Command, reply: Reply | None) -> None:
        """Tell other sessions of the account of a name that changed; NOTIFY may mean other mailboxes then."""
        if self.account is not None and reply is not None and reply.condition is Condition.OK:
            change = self.shared.name_change(command)
            if change is not None:
                self.shared.feed.publish_name(self.account, change, self)
                await self._look_again()

    async def _look_again(self) -> None:
        if self.notifier is None:
            return
        try:
            await self.notifier.look(self)
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


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in {"::1", "::ffff:127.0.0.1", "unix"}
