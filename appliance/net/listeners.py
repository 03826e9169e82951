"""Accept loops, sessions in their nursery, and the drain at the end.

Owns which connections live, their limits, and that nothing that happens in one
session ends another. Accepting survives running out of descriptors and memory.
A load balancer's connection is its client's from the PROXY header on: limits, log and session see no other.

Fails: an exception of a handler is logged once, with its traceback; the peer
gets ``Role.crashed`` and is cut. Only cancellation leaves ``serve``.

Sources: trio.serve_listeners (errors of accept), RFC 5321 section 3.8 (421 at shutdown), accept(2).
"""

import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from appliance.net.connection import Address, Connection, ConnectionLostError
from appliance.net.limits import ConnectionLimits
from appliance.observe.maillog import MailLog
from appliance.observe.transcript import Transcript
from appliance.protocols.proxy import FIRST_BYTES, ProxyError, ProxyHeader, missing_bytes, parse_proxy_header

__all__ = ["Draining", "Role", "serve", "serve_connection"]

_TLS_HANDSHAKE_S = 30.0
_PROXY_HEADER_S = 5.0
_ACCEPTS_PER_WAKE = 16
_ACCEPT_RETRY_S = 0.1
_ACCEPT_WARNING_S = 60.0
_REFUSAL_S = 2.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Role:
    """What is served on a listener.

    ``handler`` drives one session and returns at its end; the connection is
    closed for it. ``tls_context`` makes TLS start with the first byte. ``busy``
    is sent to a client above the limits, ``crashed`` when the handler failed.
    ``transcribes`` tells of a client's address whether the conversation is to be logged;
    ``is_balancer`` tells of a peer's whether it begins with a PROXY header.
    """

    name: str
    handler: Callable[[Connection], Awaitable[None]]
    limits: ConnectionLimits
    tls_context: Callable[[], ssl.SSLContext] | None = None
    busy: bytes = b""
    crashed: bytes = b""
    transcribes: Callable[[str], bool] | None = None
    is_balancer: Callable[[str], bool] | None = None


class Draining:
    """The end of the server: every session is in here; ``begin`` tells them and sets the last moment."""

    def __init__(self) -> None:
        self._begun = trio.Event()
        self._connections: set[Connection] = set()
        self.deadline_s = float("inf")

    @property
    def begun(self) -> bool:
        return self._begun.is_set()

    @property
    def connections(self) -> int:
        return len(self._connections)

    def begin(self, grace_s: float) -> None:
        """Stop accepting, end idle sessions, give the others ``grace_s`` seconds."""
        self.deadline_s = trio.current_time() + grace_s
        self._begun.set()
        for connection in tuple(self._connections):
            connection.drain()

    async def wait(self) -> None:
        """Return when ``begin`` was called."""
        await self._begun.wait()

    def add(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self.begun:
            connection.drain()

    def remove(self, connection: Connection) -> None:
        self._connections.discard(connection)


async def serve(
    sockets: Sequence[socket.socket],
    role: Role,
    *,
    draining: Draining,
    mail_log: MailLog,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept on bound sockets and run a session per connection until ``draining`` begins and the sessions have ended.

    The sockets are closed at the end. ``task_status`` is told when accepting has started.
    """
    try:
        async with trio.open_nursery() as sessions:
            async with trio.open_nursery() as acceptors:
                for sock in sockets:
                    acceptors.start_soon(_accept_forever, sock, role, sessions, draining, mail_log)
                task_status.started()
                await draining.wait()
                acceptors.cancel_scope.cancel()
            _close(sockets)
            sessions.cancel_scope.deadline = draining.deadline_s
    finally:
        _close(sockets)


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        if sock.fileno() >= 0:
            trio.lowlevel.notify_closing(sock)
            sock.close()


async def _accept_forever(sock: socket.socket, role: Role, sessions: trio.Nursery, draining: Draining, mail_log: MailLog) -> None:
    warned_at_s = float("-inf")
    while True:
        await trio.lowlevel.wait_readable(sock)
        for _ in range(_ACCEPTS_PER_WAKE):
            try:
                accepted, _address = sock.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # The client was gone before we came (accept(2): treat like EAGAIN by retrying).
                if trio.current_time() - warned_at_s >= _ACCEPT_WARNING_S:
                    warned_at_s = trio.current_time()
                    mail_log.warning(
                        "accept_failed", service=role.name, reason=error.strerror, fix="raise LimitNOFILE or lower max_connections"
                    )
                await trio.sleep(_ACCEPT_RETRY_S)
                break
            try:
                connection = Connection.from_socket(accepted)
            except ConnectionLostError:
                continue
            sessions.start_soon(serve_connection, connection, role, draining, mail_log)


async def serve_connection(connection: Connection, role: Role, draining: Draining, mail_log: MailLog) -> None:
    """Run one session to its end and close its connection. Nothing but cancellation is raised."""
    if not await _take_client(connection, role, mail_log):
        return
    host = connection.peer.host
    if not role.limits.admit(host):
        if role.limits.is_worth_telling(host, trio.current_time()):
            mail_log.warning("connection_refused", service=role.name, client=str(connection.peer), reason="too many connections")
        await _refuse(connection, role)
        return
    _transcribe(connection, role, mail_log)
    draining.add(connection)
    client = str(connection.peer)
    admission = _Admission(role.limits, host)
    connection.readmit = admission.move
    try:
        if role.tls_context is not None:
            await _start_implicit_tls(connection, role.tls_context())
        await role.handler(connection)
    except ConnectionLostError as error:
        # Only from the handshake or a handler's last words: a session tells its own end.
        mail_log.notice("connection_lost", service=role.name, session=connection.session_id, client=client, reason=str(error))
    except BaseExceptionGroup as group:
        bugs, cancelled = group.split(Exception)
        if bugs is not None:
            mail_log.exception("session_failed", bugs, service=role.name, session=connection.session_id, client=client)
        if cancelled is not None:
            raise cancelled from None
        await connection.send_last(role.crashed)
    except Exception as error:  # noqa: BLE001 - told by MailLog.exception
        # The one place where a bug ends: escaped from here it would end every session.
        mail_log.exception("session_failed", error, service=role.name, session=connection.session_id, client=client)
        await connection.send_last(role.crashed)
    finally:
        draining.remove(connection)
        admission.end()
        await connection.aclose()


def _transcribe(connection: Connection, role: Role, mail_log: MailLog) -> None:
    if role.transcribes is not None and role.transcribes(connection.peer.host):
        connection.transcript = Transcript(partial(mail_log.transcribed, role.name, connection.session_id))


class _Admission:
    """A connection's place among those of its client; a proxy may tell later who that is."""

    __slots__ = ("_host", "_limits")

    def __init__(self, limits: ConnectionLimits, host: str) -> None:
        self._limits = limits
        self._host = host

    def move(self, host: str) -> bool:
        """Count it for another address; False when that has too many."""
        self._limits.release(self._host)
        is_admitted = self._limits.admit(host)
        if is_admitted:
            self._host = host
        else:
            self._limits.readmit(self._host)
        return is_admitted

    def end(self) -> None:
        self._limits.release(self._host)


async def _take_client(connection: Connection, role: Role, mail_log: MailLog) -> bool:
    """Read a load balancer's PROXY header; the client that it names is the peer from then on.

    False: there was none; that was told, and the connection closed.
    """
    balancer, reason = connection.peer, "no whole PROXY header in time"
    if role.is_balancer is None or not role.is_balancer(balancer.host):
        return True
    with trio.move_on_after(_PROXY_HEADER_S):
        try:
            header = await _read_proxy_header(connection)
        except (ConnectionLostError, ProxyError) as error:
            reason = str(error)
        else:
            connection.bytes_in = 0
            if header.source:
                connection.peer = Address(header.source, header.source_port)
                connection.local = Address(header.destination, header.destination_port)
            return True
    if role.limits.is_worth_telling(balancer.host, trio.current_time()):
        mail_log.warning("proxy_header_missing", service=role.name, client=str(balancer), reason=reason, fix="send-proxy-v2, or `proxies`")
    await connection.aclose()
    return False


async def _read_proxy_header(connection: Connection) -> ProxyHeader:
    """Read it, and no byte more. Raises ConnectionLostError, ProxyError."""
    data, wanted = b"", FIRST_BYTES
    while wanted:
        received = await connection.receive_some(wanted)
        if not received:
            raise ProxyError("the connection ended within the PROXY header")
        data += received
        wanted = missing_bytes(data)
    return parse_proxy_header(data)


async def _start_implicit_tls(connection: Connection, context: ssl.SSLContext) -> None:
    """Shake hands before the session begins. Raises ConnectionLostError, also when it takes too long."""
    with trio.move_on_after(_TLS_HANDSHAKE_S) as scope:
        await connection.start_tls(context)
    if scope.cancelled_caught:
        raise ConnectionLostError("TLS handshake timed out")


async def _refuse(connection: Connection, role: Role) -> None:
    """Tell a client above the limits why, in plain text only: a handshake would cost more than the session."""
    try:
        if role.tls_context is None:
            with trio.move_on_after(_REFUSAL_S):
                await connection.send_all(role.busy)
    except ConnectionLostError:
        pass
    finally:
        await connection.aclose()
