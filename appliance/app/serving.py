"""From settings to a running server: what ``serve``, ``dev`` and ``selftest`` have in common.

Owns the roles behind the listeners, the reload and the order of the last steps.
"""

import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, cast

from appliance import __version__
from appliance.app.listening import Listener
from appliance.app.runtime import Runtime
from appliance.app.statussource import PartsStatus
from appliance.app.wiring import DEV_ACCOUNT, Parts, assemble
from appliance.config.load import load
from appliance.config.problem import ConfigError
from appliance.config.schema import Config
from appliance.model.errors import ApplianceError
from appliance.net.limits import ConnectionLimits
from appliance.net.listeners import Role
from appliance.net.sdnotify import ServiceManager
from appliance.services.control.commands import queue_handlers, server_handlers
from appliance.services.control.server import ControlServer, Handler
from appliance.services.smtp import service as smtp
from appliance.services.smtp.roles import SmtpRole, catcher_role, lmtp_role, mx_role, submission_role
from appliance.services.web.status import ListenerStatus

__all__ = ["make_runtime", "serve_until_told"]


def _smtp_service(parts: Parts, role: SmtpRole) -> smtp.SmtpService:
    return smtp.SmtpService(
        role,
        settings=parts.config.smtp,
        hostname=parts.config.effective_hostname,
        intake=parts.committer,
        directory=parts.addresses.directory,
        authenticator=parts.authenticator,
        clock=parts.clock,
        mail_log=parts.mail_log,
        is_trusted=parts.addresses.networks.contains,
        plus_separator=parts.config.mail.plus_separator,
        tls_context=parts.tls.context,
        channel_binding=parts.tls.channel_binding,
    )


def _temporary_file(directory: Path) -> BinaryIO:
    """Return a file without a name, for what a client uploads; its session closes it."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=directory))


def _role(parts: Parts, listener: Listener, limits: ConnectionLimits, statuses: Sequence[ListenerStatus]) -> Role:
    """Return what is behind a listener; protocols are imported when they are listened for."""
    config = parts.config
    tls = parts.tls.context if listener.tls else None
    match listener.role:
        case "mx" | "submission" | "lmtp":
            roles: dict[str, Callable[[], SmtpRole]] = {
                "mx": lambda: catcher_role(config.smtp) if parts.dev else mx_role(config.smtp),
                "submission": lambda: submission_role(config.submission),
                "lmtp": lambda: lmtp_role(config.smtp),
            }
            service = _smtp_service(parts, roles[listener.role]())
            return Role(listener.name, service.handle, limits, tls, smtp.BUSY, smtp.CRASHED)
        case "pop3":
            from appliance.services.pop3 import service as pop3

            pop3_service = pop3.Pop3Service(
                settings=config.pop3,
                hostname=config.effective_hostname,
                stores=parts.stores,
                authenticator=parts.authenticator,
                offload=parts.offload,
                mail_log=parts.mail_log,
                tls_context=parts.tls.context,
                require_tls=not parts.dev,
            )
            return Role(listener.name, pop3_service.handle, limits, tls, pop3.BUSY, pop3.CRASHED)
        case "imap":
            from appliance.services.imap import service as imap

            imap_service = imap.ImapService(
                settings=config.imap,
                hostname=config.effective_hostname,
                stores=parts.stores,
                authenticator=parts.authenticator,
                offload=parts.offload,
                feed=parts.feed,
                mail_log=parts.mail_log,
                clock=parts.clock,
                spool=partial(_temporary_file, parts.data / "queue"),
                tls_context=parts.tls.context,
                require_tls=not parts.dev,
            )
            return Role(listener.name, imap_service.handle, limits, tls, imap.BUSY, imap.CRASHED)
        case "http":
            from appliance.services.web.service import WebService

            web_service = WebService(
                source=PartsStatus(parts, statuses),
                registry=parts.observed.registry,
                stores=parts.stores,
                offload=parts.offload,
                mail_log=parts.mail_log,
                language=config.mail.language,
                dev_account=DEV_ACCOUNT if parts.dev else None,
            )
            return Role(listener.name, web_service.handle, ConnectionLimits(max_total=config.web.max_connections))
        case other:
            raise AssertionError(other)


async def _reload(parts: Parts, path: str) -> Sequence[str]:
    """Take the settings file up again and return its problems; a bad file changes nothing and is told."""
    if not path:
        return ["there is no settings file to read again"]
    try:
        config = await parts.offload.run(load, path)
    except ConfigError as error:
        parts.mail_log.error("settings_rejected", file=path, reason=str(error), fix="carteiro check", consequence="the old settings stay")
        return [str(problem) for problem in error.problems]
    parts.reload(config)
    await parts.offload.run(parts.tls.reload_if_changed)
    parts.mail_log.notice("settings_loaded", file=path, users=len(config.users))
    return []


async def _close(parts: Parts) -> None:
    """Put what was delivered on the disk and close every database."""
    try:
        await parts.offload.run(parts.stores.close)
    except ApplianceError as error:
        # The spool still has what could not be flushed; it is delivered again at the next start.
        parts.mail_log.error("mailboxes_not_flushed", reason=error.client_text, detail=error.detail)
    await parts.offload.run(parts.spool.close)


def _listener_statuses(sockets: Mapping[Listener, Sequence[socket.socket]]) -> list[ListenerStatus]:
    """Return what the page tells of each listener, from the sockets themselves: a port may have been 0."""
    found: list[ListenerStatus] = []
    for listener, bound in sockets.items():
        plain: Literal["none", "starttls"] = "none" if listener.role == "http" else "starttls"
        for sock in bound:
            name = sock.getsockname()
            address = f"unix:{name}" if isinstance(name, str) else f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
            found.append(ListenerStatus(listener.name, address, "implicit" if listener.tls else plain))
    return found


def _control_handlers(parts: Parts, reload: Callable[[], Awaitable[Sequence[str]]]) -> dict[str, Handler]:
    return queue_handlers(parts.admin, parts.offload) | server_handlers(parts.admin, parts.clock, version=__version__, reload=reload)


def make_runtime(parts: Parts, sockets: Mapping[Listener, Sequence[socket.socket]], *, path: str = "") -> Runtime:
    """Return everything that runs, not yet started. ``path``: the settings file, for SIGHUP."""
    limits = parts.config.limits
    statuses = _listener_statuses(sockets)
    roles = {
        listener: _role(
            parts,
            listener,
            ConnectionLimits(max_total=limits.max_connections, max_per_address=limits.max_connections_per_address),
            statuses,
        )
        for listener in sockets
    }
    control = ControlServer(parts.data / "control.sock", _control_handlers(parts, partial(_reload, parts, path)), parts.mail_log)
    background: list[Callable[[], Awaitable[None]]] = [
        parts.feed.run,
        parts.relay.run,
        partial(parts.tls.watch, parts.config.tls.reload_interval_s),
    ]
    return Runtime(
        mail_log=parts.mail_log,
        manager=ServiceManager(os.environ),
        grace_s=parts.config.limits.shutdown_grace_s,
        roles=roles,
        started=(parts.committer.run, parts.manager.run, control.run),
        background=background,
        reload=partial(_reload, parts, path) if path else None,
        at_end=partial(_close, parts),
    )


async def serve_until_told(
    config: Config,
    sockets: Mapping[Listener, Sequence[socket.socket]],
    *,
    dev: bool = False,
    path: str = "",
    ready: Callable[[Parts, Runtime], None] = lambda _parts, _runtime: None,
) -> None:
    """Assemble, serve, and return after a clean stop. Raises SetupError."""
    parts = await assemble(config, dev=dev)
    runtime = make_runtime(parts, sockets, path=path)
    await runtime.run(sockets, lambda: ready(parts, runtime))
