"""Runs a wired server from ready to the end: infrastructure, listeners, signals, reload, drain.

Owns the order. Infrastructure (queue, feed, relay) starts before the first
connection is taken and ends after the last session. A failed infrastructure
task ends the process with a non-zero code; the spool is crash-safe and the
service manager starts us again. SIGTERM and SIGINT drain, a second one ends at
once, SIGHUP reloads.

Sources: systemd.service(5), design note 10 (process), Postfix master(8).
"""

import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from appliance.app.listening import Listener
from appliance.net.listeners import Draining, Role, serve
from appliance.net.sdnotify import ServiceManager
from appliance.observe.maillog import MailLog
from appliance.services.control.commands import Reloaded

__all__ = ["Runtime"]


@dataclass
class Runtime:
    """Everything that runs. ``started``: tasks that say when they are ready, in order; ``background``: tasks that just run."""

    mail_log: MailLog
    manager: ServiceManager
    grace_s: float
    roles: Mapping[Listener, Role]
    started: Sequence[Callable[..., Awaitable[None]]] = ()
    background: Sequence[Callable[[], Awaitable[object]]] = ()
    reload: Callable[[], Awaitable[Reloaded]] | None = None
    at_end: Callable[[], Awaitable[None]] | None = None
    draining: Draining = field(default_factory=Draining)

    async def run(self, sockets: Mapping[Listener, Sequence[socket.socket]], ready: Callable[[], None] = lambda: None) -> None:
        """Serve until told to stop. ``ready`` is called when every listener accepts."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as infrastructure:
                for task in self.started:
                    await infrastructure.start(task)
                for background in self.background:
                    infrastructure.start_soon(background)
                infrastructure.start_soon(self.manager.heartbeat)
                infrastructure.start_soon(self._obey, signals, infrastructure.cancel_scope)
                await self._listen(sockets, ready)
                infrastructure.cancel_scope.cancel()
        if self.at_end is not None:
            await self.at_end()
        self.mail_log.notice("server_stopped")

    async def _listen(self, sockets: Mapping[Listener, Sequence[socket.socket]], ready: Callable[[], None]) -> None:
        async with trio.open_nursery() as listeners:
            for listener, bound in sockets.items():
                await listeners.start(self._serve, bound, self.roles[listener])
            ready()
            self.mail_log.notice("server_started", listeners=" ".join(listener.name for listener in sockets))
            self.manager.ready("accepting mail")

    async def _serve(self, bound: Sequence[socket.socket], role: Role, task_status: trio.TaskStatus[None]) -> None:
        await serve(bound, role, draining=self.draining, mail_log=self.mail_log, task_status=task_status)

    async def _obey(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                await self._reload()
            elif self.draining.begun:
                self.mail_log.warning("server_cut", reason="told to stop twice", sessions=self.draining.connections)
                everything.cancel()
            else:
                self.stop()

    def stop(self) -> None:
        """Begin the drain; ``run`` returns when the sessions have ended or the grace is over."""
        self.mail_log.notice("server_stopping", sessions=self.draining.connections, grace_s=self.grace_s)
        self.manager.stopping("finishing sessions")
        self.draining.begin(self.grace_s)

    async def _reload(self) -> None:
        if self.reload is None:
            return
        self.manager.reloading()
        reloaded = await self.reload()
        remark = "; the settings file has errors, the old settings stay" if reloaded.problems else ""
        if reloaded.waiting:
            remark = f"; a restart is needed for {', '.join(reloaded.waiting)}"
        self.manager.ready("accepting mail" + remark)
