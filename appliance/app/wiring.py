"""Settings to running parts: the one place where a port meets the class behind it.

Owns nothing at run time. ``assemble`` must be called inside the trio run (the
change feed takes its token) and makes directories, secrets and the certificate
that are missing.

Fails: ``SetupError`` with reason and fix, for what keeps the server from starting.
"""

import contextlib
import errno
import hashlib
import os
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import trio

from appliance.app.laterelay import LateRelay
from appliance.app.live import CatchAllDirectory, LiveDirectory, LiveLocal, LiveNetworks, LiveRouter, NoRoutes, live_parts
from appliance.app.logins import DEV_ACCOUNT, Accounts, DevAccounts
from appliance.app.tracing import Tracing
from appliance.config.effective import account_formats, account_quotas, folder_names, hidden_capabilities
from appliance.config.schema import Config
from appliance.model.errors import ApplianceError, InUseError, OutOfSpaceError
from appliance.model.ids import AccountName, MailboxName, QueueId
from appliance.model.mailbox import SpecialUse
from appliance.model.ports import Authenticator
from appliance.net.clock import SystemClock
from appliance.net.feed import TrioChangeFeed
from appliance.net.limits import ConnectionLimits
from appliance.net.localca import ensure_local_certificate
from appliance.net.offload import OwnThread, ThreadOffload
from appliance.net.processor import LinuxScheduler, OneProcessor
from appliance.net.tls import ServerTls, TlsSetupError
from appliance.observe.counters import MailCounters, Registry
from appliance.observe.maillog import Listener, MailLog
from appliance.observe.recent import DeliveryHistory, RecentEvents
from appliance.observe.trace import TraceGatherer
from appliance.policy.bearer import BearerTokens, KeyFileError
from appliance.policy.relay_access import TrustedNetworks
from appliance.policy.retry import next_attempt_s
from appliance.policy.srs import SenderRewriting
from appliance.protocols.sasl.mechanisms import CHECKED, MechanismSet
from appliance.services.delivery.local import LocalDeliveryService
from appliance.services.queue.admin import QueueControl
from appliance.services.queue.committer import Committer
from appliance.services.queue.manager import QueueManager
from appliance.services.queue.notices import DsnBuilder
from appliance.storage.atomic import replace_file
from appliance.storage.fileops import NO_SPACE
from appliance.storage.spool import Spool
from appliance.storage.stores import FileMailStores

if TYPE_CHECKING:
    from appliance.services.indexer.service import Indexer
    from appliance.services.reporting.service import Reporting

__all__ = ["DEV_ACCOUNT", "Parts", "SetupError", "assemble", "bearer_tokens", "setting_up"]

STORAGE_THREADS = 8
SECRET_BYTES = 32

MailFormat = Literal["maildir", "mbox"]


class SetupError(Exception):
    """The server cannot start; ``reason`` and ``fix`` are for the administrator."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}; {fix}")
        self.reason = reason
        self.fix = fix


@dataclass(kw_only=True)
class Observed:
    """Who listens to the mail log."""

    registry: Registry
    recent: RecentEvents
    history: DeliveryHistory
    mail_log: MailLog
    trace: TraceGatherer | None


@dataclass(kw_only=True)
class Parts:
    """Everything that services and the runtime need, wired.

    ``config``: what the server was started with; ``current``: what a reload
    brought, in use as far as ``app.reloading`` says. ``dev``: the catcher, which
    keeps all mail and knows nobody.
    """

    config: Config
    data: Path
    dev: bool
    observed: Observed
    clock: SystemClock
    offload: ThreadOffload
    processor: OneProcessor
    addresses: "_Addresses"
    authenticator: Authenticator
    stores: FileMailStores
    local: LiveLocal
    formats: "_Formats"
    feed: TrioChangeFeed
    tls: ServerTls
    spool: Spool
    committer: Committer
    manager: QueueManager
    admin: QueueControl
    relay: LateRelay
    started_at_s: float
    current: Config = field(init=False)
    hidden: Mapping[AccountName, tuple[str, ...]] = field(init=False)
    transcribed: LiveNetworks = field(init=False)
    """Whose conversations are logged."""
    balancers: LiveNetworks = field(init=False)
    """Who begins with a PROXY header."""
    xclients: LiveNetworks = field(init=False)
    """Who may say XCLIENT."""
    tracing: Tracing | None = field(init=False)
    """Keeps the life of messages; None when it is off, and for the catcher."""
    reporting: "Reporting | None" = field(init=False, default=None)
    """Sends reports to other domains; None when none are wanted, and for the catcher."""
    indexer: "Indexer | None" = field(init=False)
    """Fills the text index; None when it is off."""
    checks_changed: Callable[[], None] = lambda: None
    """Called when a reload brings other checks of strangers, or other names of ours."""
    limits: dict[str, ConnectionLimits] = field(default_factory=dict)
    """Of each role that is listened for."""

    def __post_init__(self) -> None:
        self.current = self.config
        self.hidden = hidden_capabilities(self.config)
        self.transcribed = LiveNetworks(TrustedNetworks(self.config.log.transcript))
        self.balancers = LiveNetworks(TrustedNetworks(self.config.proxies))
        self.xclients = LiveNetworks(TrustedNetworks(self.config.smtp.xclient_from))
        self.tracing = _tracing(self)
        self.indexer = _indexer(self)

    def limit(self, role: str) -> ConnectionLimits:
        """Return the connection limits of a role, the same for all its listeners."""
        if role not in self.limits:
            self.limits[role] = ConnectionLimits()
            self._set_limits(role)
        return self.limits[role]

    def _set_limits(self, role: str) -> None:
        config, limits = self.current, self.limits[role]
        is_web = role == "http"
        limits.max_total = config.web.max_connections if is_web else config.limits.max_connections
        limits.max_per_address = 0 if is_web else config.limits.max_connections_per_address

    @property
    def mechanisms(self) -> MechanismSet:
        """What who reads mail logs in with."""
        if not self.dev:
            return CHECKED
        from appliance.protocols.sasl.unchecked import UNCHECKED  # with the catcher alone

        return UNCHECKED

    @property
    def mail_log(self) -> MailLog:
        return self.observed.mail_log

    def reload(self, config: Config, tokens: BearerTokens | None) -> None:
        """Put in place what ``app.reloading.TAKEN_IN`` names. In memory. ``tokens``: what ``bearer_tokens`` makes of the settings."""
        before, self.current = self.current, config
        if any(getattr(before, name) != getattr(config, name) for name in ("checks", "address_lists", "local_domains")):
            self.checks_changed()
        directory, router, networks = live_parts(config)
        addresses = self.addresses
        self.formats.add(config)
        if addresses.accounts is not None:
            addresses.accounts.reload(config, directory)
            if addresses.accounts.tokens is not None and tokens is not None:
                addresses.accounts.tokens = tokens
        addresses.directory.current, addresses.router.current, addresses.networks.current = directory, router, networks
        self.stores.set_quotas(account_quotas(config))
        self.hidden = hidden_capabilities(config)
        self.transcribed.current = TrustedNetworks(config.log.transcript)
        self.balancers.current = TrustedNetworks(config.proxies)
        self.xclients.current = TrustedNetworks(config.smtp.xclient_from)
        for role in self.limits:
            self._set_limits(role)


@dataclass(slots=True)
class _Addresses:
    """What is known of addresses and logins, replaceable. ``accounts``: None for the catcher."""

    directory: LiveDirectory
    router: LiveRouter
    networks: LiveNetworks
    accounts: Accounts | None
    srs: SenderRewriting | None = None

    def account_of_names(self, names: Sequence[str], wanted: str) -> AccountName | None:
        """Return the account of the first of these names that has one; with ``wanted``, the account that this login has, too."""
        return self.accounts.account_of_names(names, wanted) if self.accounts is not None else None

    @property
    def token_check(self) -> Callable[[str, str, str], Awaitable[tuple[AccountName | None, str]]] | None:
        """What tells whose an access token is; None where they are not taken."""
        return self.accounts.check_token if self.accounts is not None and self.accounts.tokens is not None else None


def observe(clock: SystemClock, *, traces: bool) -> Observed:
    """Return the mail log with its listeners."""
    registry = Registry()
    recent, history = RecentEvents(clock), DeliveryHistory(clock)
    trace = TraceGatherer(clock.now_s) if traces else None
    listeners: list[Listener] = [MailCounters(registry), recent, history]
    if trace is not None:
        listeners.append(trace)
    return Observed(registry=registry, recent=recent, history=history, mail_log=MailLog(listeners=listeners), trace=trace)


def _prepare(data: Path) -> None:
    """Make the data directory and what must be in it."""
    with setting_up("make the data directory", data):
        for name in ("", "mail", "index", "queue", "keys"):
            (data / name).mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def setting_up(what: str, data: Path, *, otherwise: str = "check `data` in the settings and who owns that directory") -> Iterator[None]:
    """Turn a failure to do ``what`` into SetupError with the fix that fits the reason."""
    try:
        yield
    except (OSError, ApplianceError) as error:
        reason = error.detail or error.client_text if isinstance(error, ApplianceError) else str(error)
        cause = error.__cause__ if isinstance(error, ApplianceError) else error
        raise SetupError(f"cannot {what}: {reason}", _disk_fix(error, cause, data) or otherwise) from error


def _disk_fix(error: Exception, cause: BaseException | None, data: Path) -> str:
    """Return what helps against a disk that takes nothing; empty when it is not the disk."""
    number = cause.errno if isinstance(cause, OSError) else 0
    if isinstance(error, OutOfSpaceError) or number in NO_SPACE:
        return f"the disk is full: free some space on it (`df -h {data}`), then start again"
    if number == errno.EROFS:
        return f"that file system is read-only: mount it for writing (`findmnt -T {data}`)"
    return ""


def _server_secret(data: Path) -> bytes:
    """Return the secret behind the SCRAM keys of unknown users; it must survive restarts or it could be told apart."""
    path = data / "keys" / "server.secret"
    with setting_up("make the server's secret", data):
        found = path.read_bytes() if path.exists() else b""
        if len(found) != SECRET_BYTES:
            found = secrets.token_bytes(SECRET_BYTES)
            replace_file(path, found, 0o600)
        return found


def _in_child(work: Callable[[], object]) -> None:
    """Do something once in a forked child, whatever comes of it: the libraries that it loads (10 MB for a certificate) go with the child.

    Only before the first thread is started.
    """
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _certificate(config: Config, data: Path, clock: SystemClock, mail_log: MailLog) -> ServerTls:
    try:
        if config.tls.certificate_file:
            return ServerTls(
                config.tls.certificate_file,
                config.tls.key_file,
                mail_log=mail_log,
                client_authorities_file=config.imap.client_authorities_file,
            )
        return _local_certificate(config, data, clock, mail_log)
    except TlsSetupError as error:
        raise SetupError(error.reason, error.fix) from error


def _local_certificate(config: Config, data: Path, clock: SystemClock, mail_log: MailLog) -> ServerTls:
    """Use the certificate of our own authority; make what is missing of it."""
    with setting_up("make the certificate", data):
        names = [config.effective_hostname, *config.mail_domains]
        is_first = not (data / "keys" / "server.pem").exists()
        _in_child(partial(ensure_local_certificate, data / "keys", names, now_s=clock.now_s()))
        certificate, key = ensure_local_certificate(data / "keys", names, now_s=clock.now_s())
        if is_first:
            mail_log.notice(
                "certificate_made",
                file=str(certificate),
                authority=str(data / "keys" / "ca.pem"),
                fix="import the authority into mail programs, or set [tls]",
            )
        return ServerTls(str(certificate), str(key), mail_log=mail_log, client_authorities_file=config.imap.client_authorities_file)


def _open_spool(data: Path) -> Spool:
    spool = Spool(data / "queue")
    with setting_up("open the queue", data, otherwise=f"look at the disk that holds {data}"):
        try:
            spool.open()
        except InUseError as error:
            raise SetupError(
                f"cannot open the queue: {error.detail}", "stop the other carteiro, or give this one a data directory of its own"
            ) from error
    return spool


class _Formats:
    """Which format an account's mail has; a reload replaces the table, the format of known accounts does not change under them."""

    def __init__(self, config: Config, *, dev: bool) -> None:
        self._default: MailFormat = config.mail.format
        self._known: dict[AccountName, MailFormat] = {} if dev else account_formats(config)

    def __call__(self, account: AccountName) -> MailFormat:
        return self._known.get(account, self._default)

    def add(self, config: Config) -> None:
        """Take in the accounts that a reload brought."""
        self._known = account_formats(config) | self._known


def _mailboxes(config: Config, data: Path, offload: ThreadOffload, *, dev: bool) -> tuple[FileMailStores, TrioChangeFeed, _Formats]:
    """Return the stores and the feed that tells of their changes; the feed asks the stores what to watch."""
    formats = _Formats(config, dev=dev)
    made: list[FileMailStores] = []
    feed = TrioChangeFeed(offload=offload, paths=lambda account, mailbox: made[0].watch_paths(account, mailbox))  # noqa: PLW0108 - not made yet
    made.append(
        FileMailStores(
            data,
            feed,
            formats=formats,
            special_folders={use: MailboxName(name) for use, name in folder_names(config.mail).items()},
            quotas={} if dev else account_quotas(config),
            hostname=config.effective_hostname,
            trigrams=config.imap.full_text == "triples",
        )
    )
    return made[0], feed, formats


def _tracing(parts: Parts) -> Tracing | None:
    gatherer = parts.observed.trace
    if gatherer is None:
        return None
    return Tracing(parts.data / "trace", parts.config.trace, gatherer, OwnThread("trace"), ThreadOffload(1), parts.clock, parts.mail_log)


def _indexer(parts: Parts) -> "Indexer | None":
    """Return what fills the text index, in a thread of its own; None when it is off, and for the catcher."""
    imap = parts.config.imap
    if imap.full_text == "off" or parts.dev:
        return None
    from appliance.services.indexer.service import Indexer  # most servers never load it

    return Indexer(
        accounts=lambda: [AccountName(user.name) for user in parts.current.users],
        store=parts.stores.account,
        offload=ThreadOffload(1),
        mail_log=parts.mail_log,
        share_percent=imap.full_text_share_percent,
        max_bytes=imap.full_text_max_mib * 1_048_576,
        cpu_s=time.process_time,
    )


def _addresses(config: Config, data: Path, clock: SystemClock, processor: OneProcessor, *, dev: bool) -> _Addresses:
    configured, router, networks = live_parts(config)
    if dev:
        everywhere = TrustedNetworks(("0.0.0.0/0", "::/0"))
        return _Addresses(
            LiveDirectory(CatchAllDirectory(DEV_ACCOUNT, config.domain)), LiveRouter(NoRoutes()), LiveNetworks(everywhere), None
        )
    hashing = ThreadOffload(config.login.argon2_parallel, processor)
    secret = _server_secret(data)
    accounts = Accounts(config, configured, hashing, clock, secret, trio.sleep, bearer_tokens(config))
    srs = SenderRewriting(hashlib.sha256(b"srs\0" + secret).digest(), config.domain, clock.now_s)
    return _Addresses(LiveDirectory(configured, srs), LiveRouter(router), LiveNetworks(networks), accounts, srs)


def bearer_tokens(config: Config) -> BearerTokens | None:
    """Return the check of access tokens, None where they are off. Blocks: disk, once. Raises SetupError."""
    oauth = config.oauth
    if not oauth.issuer:
        return None
    try:
        return BearerTokens(Path(oauth.keys_file).read_bytes(), issuer=oauth.issuer, audience=oauth.audience, claim=oauth.claim)
    except (OSError, KeyFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SetupError(f"oauth.keys_file {oauth.keys_file}: {reason}", "give a PEM file with the issuer's public keys") from error


def _committer(config: Config, spool: Spool, clock: SystemClock, processor: OneProcessor, mail_log: MailLog) -> Committer:
    return Committer(
        spool,
        commit_offload=OwnThread("commit"),
        content_offload=ThreadOffload(4, processor),
        clock=clock,
        config=config.queue,
        log=mail_log,
    )


def _local_delivery(config: Config, stores: FileMailStores, directory: LiveDirectory, processor: OneProcessor) -> LocalDeliveryService:
    """One thread delivers while another flushes what was delivered before."""
    junk = MailboxName(folder_names(config.mail)[SpecialUse.JUNK])
    return LocalDeliveryService(stores, directory, OwnThread("deliver"), ThreadOffload(1, processor), junk)


def _notice_builder(config: Config) -> DsnBuilder:
    return DsnBuilder(hostname=config.effective_hostname, language=config.mail.language, random_token=lambda: secrets.token_hex(12))


def _tell_vanished(
    token: trio.lowlevel.TrioToken, mail_log: MailLog, account: AccountName, mailbox: MailboxName, queue_ids: Sequence[QueueId]
) -> None:
    with suppress(trio.RunFinishedError):
        token.run_sync_soon(mail_log.messages_vanished, account, mailbox, queue_ids)


async def assemble(config: Config, *, dev: bool = False, own_listeners: Collection[tuple[str, int]] = ()) -> Parts:
    """Return the wired parts. ``own_listeners``: where we take mail ourselves, so that the relay sends nothing there.

    Blocks: disk. Raises SetupError.
    """
    data = Path(config.data)
    _prepare(data)
    clock, processor = SystemClock(), OneProcessor(LinuxScheduler())
    offload = ThreadOffload(STORAGE_THREADS, processor)
    observed = observe(clock, traces=not dev and config.trace.keep_days > 0)
    addresses = _addresses(config, data, clock, processor, dev=dev)
    stores, feed, formats = _mailboxes(config, data, offload, dev=dev)
    tls = _certificate(config, data, clock, observed.mail_log)
    spool = await offload.run(_open_spool, data)
    committer = _committer(config, spool, clock, processor, observed.mail_log)
    way_out = (addresses.networks.contains, addresses.srs, processor)
    relay = LateRelay(lambda make: make(config, own_listeners, offload, clock, observed.mail_log, *way_out), offload)
    local = LiveLocal(_local_delivery(config, stores, addresses.directory, processor))
    manager = QueueManager(
        spool=spool,
        committer=committer,
        local=local,
        relay=relay,
        router=addresses.router,
        directory=addresses.directory,
        offload=offload,
        clock=clock,
        log=observed.mail_log,
        queue=config.queue,
        mail=config.mail,
        relay_config=config.relay,
        next_attempt_s=next_attempt_s,
        jitter=random.random,
        build_notice=_notice_builder(config),
    )
    # Called in a worker thread: an expunge waits until the queue has let go of what it deletes.
    token = trio.lowlevel.current_trio_token()
    stores.ensure_settled = lambda _queue_ids: trio.from_thread.run(manager.settle_visible, trio_token=token)
    stores.may_repeat = lambda: manager.may_repeat
    stores.vanished = partial(_tell_vanished, token, observed.mail_log)
    return Parts(
        config=config,
        data=data,
        dev=dev,
        observed=observed,
        clock=clock,
        offload=offload,
        processor=processor,
        addresses=addresses,
        authenticator=addresses.accounts or DevAccounts(),
        stores=stores,
        local=local,
        formats=formats,
        feed=feed,
        tls=tls,
        spool=spool,
        committer=committer,
        manager=manager,
        admin=QueueControl(manager, committer, spool, offload, clock, observed.mail_log),
        relay=relay,
        started_at_s=clock.now_s(),
    )
