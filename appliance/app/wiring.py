"""Settings to running parts: the one place where a port meets the class behind it.

Owns nothing at run time. ``assemble`` must be called inside the trio run (the
change feed takes its token) and makes directories, secrets and the certificate
that are missing.

Fails: ``SetupError`` with reason and fix, for what keeps the server from starting.
"""

import random
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from appliance.app.live import CatchAllDirectory, LiveDirectory, LiveNetworks, LiveRouter, NoRoutes, live_parts
from appliance.app.logins import Accounts, DevAccounts
from appliance.config.effective import account_formats, account_quotas, folder_names
from appliance.config.schema import Config
from appliance.model.errors import ApplianceError
from appliance.model.ids import AccountName, MailboxName
from appliance.model.ports import Authenticator
from appliance.net.clock import SystemClock
from appliance.net.feed import TrioChangeFeed
from appliance.net.localca import ensure_local_certificate
from appliance.net.offload import ThreadOffload
from appliance.net.resolver import Resolver
from appliance.net.tls import ServerTls, TlsSetupError, client_context
from appliance.observe.counters import MailCounters, Registry
from appliance.observe.maillog import MailLog
from appliance.observe.recent import DeliveryHistory, RecentEvents
from appliance.policy.relay_access import TrustedNetworks
from appliance.policy.retry import next_attempt_s
from appliance.services.delivery.local import LocalDeliveryService
from appliance.services.queue.admin import QueueControl
from appliance.services.queue.committer import Committer
from appliance.services.queue.manager import QueueManager
from appliance.services.queue.notices import DsnBuilder
from appliance.services.relay.service import RelayService
from appliance.storage.atomic import replace_file
from appliance.storage.spool import Spool
from appliance.storage.stores import FileMailStores

__all__ = ["DEV_ACCOUNT", "Parts", "SetupError", "assemble"]

DEV_ACCOUNT = AccountName("dev")
STORAGE_THREADS = 8
SECRET_BYTES = 32


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


@dataclass(kw_only=True)
class Parts:
    """Everything that services and the runtime need, wired. ``dev``: the catcher, which keeps all mail and knows nobody."""

    config: Config
    data: Path
    dev: bool
    observed: Observed
    clock: SystemClock
    offload: ThreadOffload
    directory: LiveDirectory
    router: LiveRouter
    networks: LiveNetworks
    accounts: Accounts | None
    authenticator: Authenticator
    stores: FileMailStores
    feed: TrioChangeFeed
    tls: ServerTls
    spool: Spool
    committer: Committer
    manager: QueueManager
    admin: QueueControl
    relay: RelayService
    started_at_s: float

    @property
    def mail_log(self) -> MailLog:
        return self.observed.mail_log


def observe(clock: SystemClock) -> Observed:
    """Return the mail log with its listeners."""
    registry = Registry()
    recent, history = RecentEvents(clock), DeliveryHistory(clock)
    return Observed(
        registry=registry, recent=recent, history=history, mail_log=MailLog(listeners=(MailCounters(registry), recent, history))
    )


def _prepare(data: Path) -> None:
    """Make the data directory and what must be in it."""
    try:
        for name in ("", "mail", "index", "queue", "keys"):
            (data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"cannot make {error.filename}: {error.strerror}", "check `data` in the settings and who owns that directory"
        ) from error


def _server_secret(data: Path) -> bytes:
    """Return the secret behind the SCRAM keys of unknown users; it must survive restarts or it could be told apart."""
    path = data / "keys" / "server.secret"
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) != SECRET_BYTES:
        found = secrets.token_bytes(SECRET_BYTES)
        replace_file(path, found, 0o600)
    return found


def _certificate(config: Config, data: Path, clock: SystemClock, mail_log: MailLog) -> ServerTls:
    try:
        if config.tls.certificate_file:
            return ServerTls(config.tls.certificate_file, config.tls.key_file, mail_log=mail_log)
        names = [config.effective_hostname, *config.mail_domains]
        is_first = not (data / "keys" / "server.pem").exists()
        certificate, key = ensure_local_certificate(data / "keys", names, now_s=clock.now_s())
        if is_first:
            mail_log.notice(
                "certificate_made",
                file=str(certificate),
                authority=str(data / "keys" / "ca.pem"),
                fix="import the authority into mail programs, or set [tls]",
            )
        return ServerTls(str(certificate), str(key), mail_log=mail_log)
    except TlsSetupError as error:
        raise SetupError(error.reason, error.fix) from error
    except OSError as error:
        raise SetupError(f"cannot make the certificate: {error}", "check who owns the data directory") from error


def _client_tls(config: Config) -> Callable[..., ssl.SSLContext]:
    """Return a maker of client contexts; each is loaded once (20 ms for the authorities)."""
    known: dict[bool, ssl.SSLContext] = {}

    def context(*, verify: bool) -> ssl.SSLContext:
        if verify not in known:
            known[verify] = client_context(verify=verify, authorities_file=config.relay.ca_file)
        return known[verify]

    return context


def _open_spool(data: Path) -> Spool:
    spool = Spool(data / "queue")
    try:
        spool.open()
    except ApplianceError as error:
        raise SetupError(
            f"cannot open the queue: {error.detail or error.client_text}", "is another carteiro running on this data directory?"
        ) from error
    return spool


def _stores(config: Config, data: Path, feed: TrioChangeFeed, *, dev: bool) -> FileMailStores:
    special = {use: MailboxName(name) for use, name in folder_names(config.mail).items()}
    return FileMailStores(
        data,
        feed,
        formats=config.mail.format if dev else account_formats(config),
        special_folders=special,
        quotas={} if dev else account_quotas(config),
        hostname=config.effective_hostname,
    )


async def assemble(config: Config, *, dev: bool = False) -> Parts:
    """Return the wired parts. Blocks: disk. Raises SetupError."""
    data = Path(config.data)
    _prepare(data)
    clock, offload = SystemClock(), ThreadOffload(STORAGE_THREADS)
    observed = observe(clock)
    configured, router, networks = live_parts(config)
    accounts: Accounts | None = None
    if dev:
        directory = LiveDirectory(CatchAllDirectory(DEV_ACCOUNT, config.domain))
        live_router, live_networks = LiveRouter(NoRoutes()), LiveNetworks(TrustedNetworks(("0.0.0.0/0", "::/0")))
    else:
        directory, live_router, live_networks = LiveDirectory(configured), LiveRouter(router), LiveNetworks(networks)
        accounts = Accounts(config, configured, ThreadOffload(config.login.argon2_parallel), clock, _server_secret(data), trio.sleep)
    feed_paths: list[FileMailStores] = []
    feed = TrioChangeFeed(offload=offload, paths=lambda account, mailbox: feed_paths[0].watched_paths(account, mailbox))
    stores = _stores(config, data, feed, dev=dev)
    feed_paths.append(stores)
    tls = _certificate(config, data, clock, observed.mail_log)
    spool = await offload.run(_open_spool, data)
    committer = Committer(
        spool, commit_offload=ThreadOffload(1), content_offload=ThreadOffload(4), clock=clock, config=config.queue, log=observed.mail_log
    )
    relay = RelayService(
        config.relay,
        hostname=config.effective_hostname,
        own_names=frozenset({config.effective_hostname.lower()}),
        resolver=Resolver(config.dns.servers, timeout_s=config.dns.timeout_s, cache_entries=config.dns.cache_entries),
        tls=_client_tls(config),
        offload=offload,
        mail_log=observed.mail_log,
    )
    manager = QueueManager(
        spool=spool,
        committer=committer,
        local=LocalDeliveryService(stores=stores, directory=directory, offload=ThreadOffload(2)),
        relay=relay,
        router=live_router,
        directory=directory,
        offload=offload,
        clock=clock,
        log=observed.mail_log,
        queue=config.queue,
        mail=config.mail,
        relay_config=config.relay,
        next_attempt_s=next_attempt_s,
        jitter=random.random,
        build_notice=DsnBuilder(
            hostname=config.effective_hostname, language=config.mail.language, random_token=lambda: secrets.token_hex(12)
        ),
    )
    return Parts(
        config=config,
        data=data,
        dev=dev,
        observed=observed,
        clock=clock,
        offload=offload,
        directory=directory,
        router=live_router,
        networks=live_networks,
        accounts=accounts,
        authenticator=accounts or DevAccounts(),
        stores=stores,
        feed=feed,
        tls=tls,
        spool=spool,
        committer=committer,
        manager=manager,
        admin=QueueControl(manager, committer, spool, offload, clock),
        relay=relay,
        started_at_s=clock.now_s(),
    )
