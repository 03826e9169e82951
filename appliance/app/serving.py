"""From settings to a running server: what ``serve``, ``dev`` and ``selftest`` have in common.

Owns the roles behind the listeners, the reload and the order of the last steps.
"""

import ctypes
import gc
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from appliance import __version__
from appliance.app.listening import Listener
from appliance.app.reloading import waiting_settings
from appliance.app.runtime import Runtime
from appliance.app.tracing import Tracing, story_to_json
from appliance.app.wiring import DEV_ACCOUNT, Parts, SetupError, assemble, bearer_tokens, setting_up
from appliance.config.load import load
from appliance.config.problem import ConfigError
from appliance.config.schema import Config
from appliance.model.errors import ApplianceError
from appliance.model.ports import Authenticator, Intake
from appliance.net.connection import Connection
from appliance.net.listeners import Role
from appliance.net.offload import OwnThread
from appliance.net.sdnotify import ServiceManager
from appliance.net.ticks import kept_together, paced
from appliance.observe.logformat import LineHandler
from appliance.services.control.commands import Reloaded, queue_handlers, server_handlers, trace_handlers
from appliance.services.control.server import ControlServer, Handler
from appliance.services.queue.limits import DailyLimits, LimitedIntake
from appliance.services.smtp import service as smtp
from appliance.services.smtp.roles import SmtpRole, catcher_role, lmtp_role, mx_role, submission_role
from appliance.services.smtp.shared import MakeChecks, RunQueue
from appliance.storage.sentcounts import SentCounts

if TYPE_CHECKING:
    from appliance.app.catching import CatcherOptions, Catching
    from appliance.model.caught import FaultSource
    from appliance.services.smtp.gate import Gate
    from appliance.services.smtp.judging import Judge

__all__ = ["make_runtime", "serve_until_told"]

_GARBAGE_OBJECTS: Final = 10_000
"""So many more objects than were freed start the collector; the default of 700 is a tenth of what a message costs."""

_SWITCH_INTERVAL_S: Final = 0.0005
"""A thread that runs Python for a moment must not hold the loop up for the default 5 ms."""
_LOG_PAUSE_S: Final = 0.05
"""So much of the log a killed process may take along."""


def _temporary_file(directory: Path) -> BinaryIO:
    """Return a file without a name, for what a client uploads; its session closes it."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=directory))


@dataclass(frozen=True, slots=True)
class _Service:
    """What stands behind the listeners of one role."""

    handle: Callable[[Connection], Awaitable[None]]
    busy: bytes = b""
    crashed: bytes = b""


def _caught_smtp(parts: Parts, catching: "Catching") -> _Service:
    service = _smtp_service(parts, catcher_role(parts.config.smtp), catching.intake, catching.sender_logins, catching.fault_book)
    return _Service(partial(catching.handle_smtp, service), smtp.BUSY, smtp.CRASHED)


def _smtp(parts: Parts, role: SmtpRole) -> _Service:
    service = _smtp_service(parts, role, parts.committer, parts.authenticator)
    return _Service(service.handle, smtp.BUSY, smtp.CRASHED)


def _run_queue(parts: Parts) -> RunQueue | None:
    """Return what ETRN starts, where there is a domain that we keep mail for."""
    return parts.admin.run_domain if parts.config.relay_domains else None


def _submission(parts: Parts) -> _Service:
    submission, intake = parts.config.submission, parts.committer
    limits = DailyLimits(submission.max_messages_per_day, submission.max_new_recipients_per_day)
    limited = LimitedIntake(
        intake,
        SentCounts(parts.data / "sent.db"),
        limits,
        directory=parts.addresses.directory,
        offload=OwnThread("sent"),
        clock=parts.clock,
        mail_log=parts.mail_log,
        hostname=parts.config.effective_hostname,
        language=parts.config.mail.language,
    )
    service = _smtp_service(
        parts, submission_role(submission), limited if limits else intake, parts.authenticator, run_queue=_run_queue(parts)
    )
    return _Service(service.handle, smtp.BUSY, smtp.CRASHED)


def _smtp_service(
    parts: Parts,
    role: SmtpRole,
    intake: Intake,
    authenticator: Authenticator,
    faults: "FaultSource | None" = None,
    make_checks: MakeChecks | None = None,
    run_queue: RunQueue | None = None,
) -> smtp.SmtpService:
    return smtp.SmtpService(
        role,
        settings=parts.config.smtp,
        hostname=parts.config.effective_hostname,
        intake=intake,
        directory=parts.addresses.directory,
        authenticator=authenticator,
        clock=parts.clock,
        mail_log=parts.mail_log,
        is_trusted=parts.addresses.networks.contains,
        plus_separator=parts.config.mail.plus_separator,
        tls_context=parts.tls.context,
        channel_binding=parts.tls.channel_binding,
        faults=faults,
        is_proxy=parts.xclients.contains,
        make_checks=make_checks,
        run_queue=run_queue,
    )


def _mx(parts: Parts) -> _Service:
    config = parts.config
    checks = None if parts.dev else partial(_checks, parts)
    role = mx_role(config.smtp)
    service = _smtp_service(parts, role, parts.committer, parts.authenticator, make_checks=checks, run_queue=_run_queue(parts))
    parts.checks_changed = service.forget_checks
    return _Service(service.handle, smtp.BUSY, smtp.CRASHED)


def _checks(parts: Parts) -> "tuple[Callable[[], Judge] | None, Callable[[], Gate]]":
    from appliance.app.checking import make_checks  # with the first stranger

    return make_checks(parts)


def _pop3(parts: Parts) -> _Service:
    from appliance.services.pop3 import service as pop3

    service = pop3.Pop3Service(
        settings=parts.config.pop3,
        hostname=parts.config.effective_hostname,
        stores=parts.stores,
        authenticator=parts.authenticator,
        offload=parts.offload,
        mail_log=parts.mail_log,
        tls_context=parts.tls.context,
        channel_binding=parts.tls.channel_binding,
        clock=parts.clock,
        require_tls=not parts.dev,
        mechanisms=parts.mechanisms,
        # The catcher takes any login for its one account; what follows a plus means nothing there.
        plus_separator="" if parts.dev else parts.config.mail.plus_separator,
        language=parts.config.mail.language,
    )
    return _Service(service.handle, pop3.BUSY, pop3.CRASHED)


def _imap(parts: Parts) -> _Service:
    from appliance.services.imap import service as imap

    service = imap.ImapService(
        settings=parts.config.imap,
        hostname=parts.config.effective_hostname,
        stores=parts.stores,
        authenticator=parts.authenticator,
        offload=parts.offload,
        feed=parts.feed,
        mail_log=parts.mail_log,
        clock=parts.clock,
        spool=partial(_temporary_file, parts.data / "queue"),
        check_token=parts.addresses.token_check,
        account_of_names=parts.addresses.account_of_names if parts.config.imap.client_authorities_file else None,
        language=parts.config.mail.language,
        hidden=lambda account: parts.hidden.get(account, ()),
        tls_context=parts.tls.asking_context,
        channel_binding=parts.tls.channel_binding,
        require_tls=not parts.dev,
        mechanisms=parts.mechanisms,
    )
    return _Service(service.handle, imap.BUSY, imap.CRASHED)


def _web(parts: Parts, sockets: Mapping[Listener, Sequence[socket.socket]], catching: "Catching | None") -> _Service:
    from appliance.app.statussource import PartsStatus, listener_statuses
    from appliance.services.web.service import WebService

    if catching is not None:
        from appliance.app.catching import caught_web

        return _Service(caught_web(parts, catching, listener_statuses(sockets)))
    service = WebService(
        source=PartsStatus(parts, listener_statuses(sockets)),
        registry=parts.observed.registry,
        mail_log=parts.mail_log,
        language=parts.config.mail.language,
        find_stories=parts.tracing.find if parts.tracing is not None and parts.config.trace.page else None,
    )
    return _Service(service.handle)


def _roles(parts: Parts, sockets: Mapping[Listener, Sequence[socket.socket]], catching: "Catching | None") -> dict[Listener, Role]:
    """Return what is behind each listener: one service per role, made when it is listened for."""
    config = parts.config
    makers: dict[str, Callable[[], _Service]] = {
        "mx": lambda: _mx(parts) if catching is None else _caught_smtp(parts, catching),
        "submission": lambda: _submission(parts),
        "lmtp": lambda: _smtp(parts, lmtp_role(config.smtp)),
        "pop3": lambda: _pop3(parts),
        "imap": lambda: _imap(parts),
        "http": lambda: _web(parts, sockets, catching),
    }
    services: dict[str, _Service] = {}
    roles: dict[Listener, Role] = {}
    for listener in sockets:
        name = listener.role
        if name not in services:
            services[name] = makers[name]()
        service = services[name]
        own = parts.tls.asking_context if name == "imap" else parts.tls.context
        tls = own if listener.tls else None
        is_mail = name != "http"
        roles[listener] = Role(
            listener.name,
            service.handle,
            parts.limit(name),
            tls,
            service.busy,
            service.crashed,
            transcribes=parts.transcribed.contains if is_mail else None,
            is_balancer=parts.balancers.contains if is_mail else None,
        )
    return roles


async def _reload(parts: Parts, path: str) -> Reloaded:
    """Take the settings file up again; a bad file changes nothing and is told."""
    if not path:
        return Reloaded(problems=("there is no settings file to read again",))
    try:
        config = await parts.offload.run(load, path)
    except ConfigError as error:
        parts.mail_log.error("settings_rejected", file=path, reason=str(error), fix="carteiro check", consequence="the old settings stay")
        return Reloaded(problems=tuple(str(problem) for problem in error.problems))
    try:
        tokens = await parts.offload.run(bearer_tokens, config)
    except SetupError as error:
        parts.mail_log.error("settings_rejected", file=path, reason=error.reason, fix=error.fix, consequence="the old settings stay")
        return Reloaded(problems=(str(error),))
    parts.reload(config, tokens)
    await parts.offload.run(parts.tls.reload_if_changed)
    parts.mail_log.notice("settings_loaded", file=path, users=len(config.users))
    waiting = tuple(waiting_settings(parts.config, config))
    if waiting:
        parts.mail_log.warning(
            "settings_wait", settings=" ".join(waiting), reason="a reload does not take them in", fix="systemctl restart carteiro"
        )
    return Reloaded(waiting=waiting)


async def _close(parts: Parts, catching: "Catching | None" = None) -> None:
    """Put what was delivered on the disk and close every database."""
    if catching is not None:
        await parts.offload.run(catching.catcher.store.close)
    try:
        await parts.offload.run(parts.stores.close)
    except ApplianceError as error:
        # The spool still has what could not be flushed; it is delivered again at the next start.
        parts.mail_log.error("mailboxes_not_flushed", reason=error.client_text, detail=error.detail)
    await parts.offload.run(parts.spool.close)


def _mail_addresses(sockets: Mapping[Listener, Sequence[socket.socket]]) -> list[tuple[str, int]]:
    """Return where other servers' mail would come back to us."""
    names = [sock.getsockname() for listener, bound in sockets.items() if listener.role in {"mx", "submission"} for sock in bound]
    return [(name[0], name[1]) for name in names if not isinstance(name, str)]


def _control_handlers(parts: Parts, reload: Callable[[], Awaitable[Reloaded]]) -> dict[str, Handler]:
    def text_index() -> list[dict[str, object]] | None:
        return None if parts.indexer is None else [asdict(one) for one in parts.indexer.progress()]

    about_server = server_handlers(parts.admin, parts.clock, version=__version__, reload=reload, text_index=text_index)
    found = queue_handlers(parts.admin, parts.offload) | about_server
    return found if parts.tracing is None else found | trace_handlers(partial(_traced, parts.tracing))


async def _traced(tracing: Tracing, query: str, limit: int) -> list[dict[str, object]]:
    return [story_to_json(story) for story in await tracing.find(query, limit)]


def _preparations(parts: Parts) -> list[Callable[[], Awaitable[object]]]:
    """The catcher's one account is made at the start: its folders take longer than a test that reads what it has just sent."""
    return [partial(parts.offload.run, parts.stores.account, DEV_ACCOUNT)] if parts.dev else []


def _catching(parts: Parts, options: "CatcherOptions | None", sockets: Mapping[Listener, Sequence[socket.socket]]) -> "Catching | None":
    if not parts.dev:
        return None
    from appliance.app.catching import CatcherOptions, make_catching  # a mail server never loads it

    own = [sock.getsockname()[:2] for bound in sockets.values() for sock in bound if sock.family != socket.AF_UNIX]
    return make_catching(parts, options or CatcherOptions(), own)


def make_runtime(
    parts: Parts, sockets: Mapping[Listener, Sequence[socket.socket]], *, path: str = "", catcher: "CatcherOptions | None" = None
) -> Runtime:
    """Return everything that runs, not yet started. ``path``: the settings file, for SIGHUP. Raises SetupError."""
    catching = _catching(parts, catcher, sockets)
    control = ControlServer(parts.data / "control.sock", _control_handlers(parts, partial(_reload, parts, path)), parts.mail_log)
    with setting_up("make the control socket", parts.data):
        control.bind()
    background: list[Callable[[], Awaitable[object]]] = [
        parts.feed.run,
        parts.relay.run,
        partial(parts.tls.watch, parts.config.tls.reload_interval_s),
        *_preparations(parts),
    ]
    if parts.indexer is not None:
        background.append(parts.indexer.run)
    if parts.tracing is not None:
        background.append(parts.tracing.run)
    if parts.config.reports.addresses and not parts.dev:
        from appliance.app.reporting import make_receiving

        parts.local.current = make_receiving(parts)
    if (parts.config.reports.dmarc or parts.config.reports.tls) and not parts.dev:
        from appliance.app.reporting import make_reporting  # most servers send none

        parts.reporting = make_reporting(parts)
        background.append(parts.reporting.run)
    if catching is not None:
        background.extend(catching.background)
    return Runtime(
        mail_log=parts.mail_log,
        manager=ServiceManager(os.environ),
        grace_s=parts.config.limits.shutdown_grace_s,
        roles=_roles(parts, sockets, catching),
        started=(parts.committer.run, parts.manager.run, control.run, *((catching.catcher.run,) if catching is not None else ())),
        background=background,
        reload=partial(_reload, parts, path) if path else None,
        at_end=partial(_close, parts, catching),
    )


def _give_back_memory() -> None:
    """Return to the system what the start took and freed: half a MiB that nothing would need again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # the GNU library has it
        trim(0)


@contextmanager
def _gathered_log() -> Iterator[None]:
    """Write a line of the log at once, those that follow it closely together."""
    with ExitStack() as stack:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, LineHandler):
                handler.collect(paced(handler.flush, _LOG_PAUSE_S))
                stack.callback(handler.write_through)
        yield


async def serve_until_told(
    config: Config,
    sockets: Mapping[Listener, Sequence[socket.socket]],
    *,
    dev: bool = False,
    path: str = "",
    catcher: "CatcherOptions | None" = None,
    ready: Callable[[Parts, Runtime], None] = lambda _parts, _runtime: None,
) -> None:
    """Assemble, serve, and return after a clean stop. Raises SetupError."""
    parts = await assemble(config, dev=dev, own_listeners=_mail_addresses(sockets))
    runtime = make_runtime(parts, sockets, path=path, catcher=catcher)

    def is_ready() -> None:
        # What is there now stays to the end: the garbage collector need not look at it again and again, nor so often at the rest.
        _give_back_memory()
        gc.freeze()
        gc.set_threshold(_GARBAGE_OBJECTS, 10, 20)
        ready(parts, runtime)

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    if config.limits.one_processor:
        kept_together(parts.processor)
    with _gathered_log():
        await runtime.run(sockets, is_ready)
