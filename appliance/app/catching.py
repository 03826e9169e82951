"""The mail catcher of ``carteiro dev``, wired: store, engine, mailboxes, faults and what SMTP sessions see of them.

Owns which logins lead where: over SMTP a login is only remembered; over IMAP and
POP3 it opens the one account, or the inbox of that name.
"""

import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from appliance.app.logins import DevAccounts
from appliance.app.smtplogins import SenderLogins
from appliance.app.statussource import PartsStatus
from appliance.app.wiring import Parts, setting_up
from appliance.model.caught import CaughtSummary
from appliance.model.ids import AccountName
from appliance.model.routing import NextHop
from appliance.net.connection import Connection
from appliance.net.offload import OwnThread
from appliance.net.tls import client_context
from appliance.policy.caught_faults import Faults
from appliance.policy.caught_inbox import InboxRule, account_of_inbox
from appliance.policy.caught_release import ReleaseRules
from appliance.policy.caught_session import FaultBook
from appliance.policy.html_check import HtmlCheck
from appliance.services.catcher.bounces import Bouncer
from appliance.services.catcher.compare_api import CompareApi
from appliance.services.catcher.conversations import Conversations
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.engine import Catcher, Retention
from appliance.services.catcher.frame import Frame, Places
from appliance.services.catcher.inbox_api import InboxApi
from appliance.services.catcher.inboxes import Inboxes
from appliance.services.catcher.intake import CatcherIntake
from appliance.services.catcher.mailbox import MailboxKeeper
from appliance.services.catcher.mailhog import MailHogApi
from appliance.services.catcher.mailpit import MailpitApi
from appliance.services.catcher.mailpit_message import MailpitMessages
from appliance.services.catcher.mailpit_shapes import stored_form
from appliance.services.catcher.mailpit_shapes import summary_shape as mailpit_summary
from appliance.services.catcher.own_api import OwnApi
from appliance.services.catcher.pages import CatcherPages
from appliance.services.catcher.releasing import CaughtReports, Forwarder, Release, ReleaseRouter
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.sending import Sending
from appliance.services.catcher.service import Access, CatcherService
from appliance.services.catcher.steps import Steps
from appliance.services.catcher.trash import Trash
from appliance.services.catcher.tuning import Tuning
from appliance.services.catcher.verdicts import VerdictApi
from appliance.services.catcher.watching import Watching
from appliance.services.catcher.writing import Writing
from appliance.services.smtp.service import SmtpService
from appliance.services.web.service import WebService
from appliance.services.web.status import ListenerStatus
from appliance.storage.caught import CaughtStore, NewCaught

if TYPE_CHECKING:
    from appliance.services.catcher.webhook import Webhook, WebhookOptions

__all__ = ["CatcherOptions", "Catching", "RelayOptions", "html_check", "make_catching"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """Where mail leaves to; ``server``: that for people."""

    hop: NextHop
    server: str
    rules: ReleaseRules = field(default_factory=ReleaseRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatcherOptions:
    """What the command line says. ``inbox_by``: what names a message's inbox, ``""`` for one inbox for all."""

    keep: int = 0
    max_age_s: float = 0
    inbox_by: InboxRule = ""
    without: frozenset[str] = frozenset()
    """Extensions of SMTP that are switched off."""
    logins: tuple[tuple[str, str], ...] = ()
    tokens: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    root: str = "/"
    label: str = ""
    relay: RelayOptions | None = None
    webhook: "WebhookOptions | None" = None
    records: object = None
    """What DNS would answer where messages are judged; None: it is off."""


class _ReaderLogins(DevAccounts):
    """IMAP and POP3: any password, unless an inbox has one; what was caught so far is in the mailbox when the login succeeds."""

    def __init__(self, keeper: MailboxKeeper, inboxes: Inboxes) -> None:
        super().__init__()
        self._keeper = keeper
        self._inboxes = inboxes

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        await self._keeper.catch_up()
        return self._inboxes.account_of(login, password)


@cache
def html_check() -> HtmlCheck:
    """Return the rules of the HTML check, read once. Blocks: disk."""
    return HtmlCheck(json.loads(files("appliance.services.catcher").joinpath("caniemail.json").read_bytes()))


async def _judge(hostname: str, data: bytes, address: str, helo: str, reverse_path: str, records: object) -> dict[str, Any]:
    from appliance.app.verdicts import judge_caught  # with the first that is judged

    return await judge_caught(data, address, helo, reverse_path, records, hostname)


def caught_web(parts: Parts, catching: "Catching", statuses: Sequence[ListenerStatus]) -> Callable[[Connection], Awaitable[None]]:
    """Return what serves the catcher's port: its interfaces, its page, and the server's status at ``/status``."""
    options = catching.options
    access = Access(
        logins=options.logins, tokens=options.tokens, origins=options.origins, root=options.root, inbox_of_token=catching.inboxes.of_token
    )
    status = WebService(
        source=PartsStatus(parts, statuses),
        registry=parts.observed.registry,
        mail_log=parts.mail_log,
        language=parts.config.mail.language,
        home="/status",
        root=options.root,
        carries=False,
    )
    desk = Desk(catching.catcher)
    routes = Routes()
    release = catching.release
    mailpit = MailpitApi(
        desk,
        catching.faults,
        parts.started_at_s,
        relay=release.shown() if release is not None else None,
        label=options.label,
        server_metrics=status.metrics,
    )
    mailpit.add_to(routes)
    MailpitMessages(desk, mailpit, html_check, options.root).add_to(routes)
    OwnApi(desk, catching.faults).add_to(routes)
    CompareApi(desk).add_to(routes)
    InboxApi(desk, catching.inboxes).add_to(routes)
    VerdictApi(desk, partial(_judge, parts.config.effective_hostname), options.records).add_to(routes)
    sending = Sending(desk, release)
    sending.add_to(routes)
    addresses = {one.protocol.lower(): one.address for one in reversed(statuses)}
    places = Places(root=options.root, **{name: addresses[name] for name in ("smtp", "imap", "pop3") if name in addresses})
    add_views(routes, desk, sending, catching, html_check, places)
    mailhog = MailHogApi(desk, catching.faults, sending)
    mailhog.add_to(routes)
    service = CatcherService(
        routes,
        mailpit,
        mailhog,
        fallback=status.router,
        mail_log=parts.mail_log,
        access=access,
        max_message_bytes=parts.config.smtp.max_message_bytes,
    )
    return service.handle


def add_views(
    routes: Routes, desk: Desk, sending: Sending, catching: "Catching", html_check: Callable[[], HtmlCheck], places: Places
) -> None:
    """Add the page."""
    frame = Frame(desk, places, Trash(catching.catcher), lambda: sending.release.server if sending.release is not None else "")
    CatcherPages(frame, html_check).add_to(routes)
    Steps(frame, sending).add_to(routes)
    Writing(frame, sending).add_to(routes)
    Tuning(frame, catching.faults, catching.inboxes).add_to(routes)
    Watching(frame, catching.conversations).add_to(routes)


@dataclass(slots=True, kw_only=True)
class Catching:
    """Everything that belongs to the catcher."""

    options: CatcherOptions
    catcher: Catcher
    keeper: MailboxKeeper
    intake: CatcherIntake
    conversations: Conversations
    sender_logins: DevAccounts
    faults: Faults
    """What goes wrong with all mail."""
    fault_book: FaultBook
    inboxes: Inboxes
    release: Release | None = None
    background: Sequence[Callable[[], Awaitable[object]]] = ()
    """What runs beside, until the end."""

    async def handle_smtp(self, service: SmtpService, connection: Connection) -> None:
        """Serve one SMTP session, listening in."""
        connection.transcript = self.conversations.begin(connection.session_id, str(connection.peer))
        try:
            await service.handle(connection)
        finally:
            self.conversations.end(connection.session_id)


def _release(parts: Parts, catcher: Catcher, relay: RelayOptions | None) -> Release | None:
    """Let the queue send to the relay what is given to it, and give its reports to the catcher."""
    parts.local.current = CaughtReports(catcher)
    if relay is None:
        return None
    parts.addresses.router.current = ReleaseRouter(relay.hop)
    return Release(parts.committer, relay.server, relay.rules, parts.config.effective_hostname)


def _webhook(parts: Parts, catcher: Catcher, options: "WebhookOptions", own: Sequence[tuple[str, int]]) -> "Webhook":
    from appliance.services.catcher.webhook import Webhook  # and with it h11: 24 ms and 4 MB that nobody else needs at the start

    hostname = Desk(catcher).hostname

    def shape(summary: CaughtSummary) -> object:
        size = len(stored_form(summary, hostname, has_message_id=bool(summary.message_id))) + summary.size
        return mailpit_summary(summary, size, broadcast=True)

    return Webhook(options, catcher, shape, own, partial(client_context, verify=True, authorities_file=parts.config.relay.ca_file))


def make_catching(parts: Parts, options: CatcherOptions, own: Sequence[tuple[str, int]] = ()) -> Catching:
    """Return the catcher, its database open; readers' logins are put into ``parts``.

    ``own``: where this program listens. Blocks: disk. Raises SetupError.
    """
    store = CaughtStore(parts.data / "caught")
    with setting_up("open the store of caught mail", parts.data):
        store.open()
    catcher = Catcher(
        store,
        offload=parts.offload,
        commit_offload=OwnThread("catch"),
        clock=parts.clock,
        mail_log=parts.mail_log,
        retention=Retention(keep=options.keep, max_age_s=options.max_age_s),
    )
    make_faults = partial(Faults, chance=random.random, monotonic_s=parts.clock.monotonic_s)
    faults, inboxes = make_faults(), Inboxes(catcher, make_faults, options.inbox_by)
    faults.without = options.without
    inboxes.load()
    keeper = MailboxKeeper(catcher, parts.stores, parts.feed, account_of_inbox)
    conversations = Conversations()
    bouncer = Bouncer(catcher, parts.config.effective_hostname)
    release = _release(parts, catcher, options.relay)
    forwarder = Forwarder(catcher, release) if release is not None and release.rules.forward else None

    async def caught(new: NewCaught) -> None:
        await bouncer.caught(new)
        if forwarder is not None:
            await forwarder.caught(new)

    intake = CatcherIntake(
        catcher,
        parts.committer,
        conversation=conversations.take,
        inbox_of=inboxes.of_envelope,
        caught=caught,
    )
    parts.authenticator = _ReaderLogins(keeper, inboxes)
    return Catching(
        options=options,
        catcher=catcher,
        keeper=keeper,
        intake=intake,
        conversations=conversations,
        sender_logins=SenderLogins(),
        faults=faults,
        fault_book=FaultBook(faults, inboxes.profile),
        inboxes=inboxes,
        release=release,
        background=[
            keeper.run,
            inboxes.run,
            *([_webhook(parts, catcher, options.webhook, own).run] if options.webhook is not None else []),
        ],
    )
