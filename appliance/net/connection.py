"""One connection of one session: bytes in, bytes out, TLS, one deadline, one way to end.

Owns the stream, its counters and its cancel scope. A session runs inside
``run``; it moves the deadline before it waits and never opens a scope per
command. Time-outs and shutdown end ``run`` from outside; the service then says
its last words with ``send_last`` and closes.

Fails: everything that trio, ssl and the kernel raise for a dead peer becomes
``ConnectionLostError``; a handshake that fails becomes ``TlsFailedError``.
Does not: buffer input. After STARTTLS the protocol core drops what it holds
(RFC 3207 section 4.2); bytes still in the kernel reach the handshake and break it.

Sources: trio.SSLStream, RFC 8446 section 6.1 (close_notify), Postfix
vstream/postscreen (lingering close so that the last reply is read).
"""

import enum
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import trio

from appliance.model.ids import SessionId
from appliance.net.deflate import DeflateStream
from appliance.net.stream import PlainStream
from appliance.observe.transcript import Transcript

__all__ = ["Address", "Connection", "ConnectionLostError", "End", "TlsFailedError", "connect_tcp", "new_session_id"]

_LAST_WORDS_S = 5.0
_CLOSE_S = 2.0
_LINGER_S = 1.0
_LINGER_BYTES = 262_144
_DEADLINE_STEP_S = 1.0


class ConnectionLostError(Exception):
    """The peer is gone or the connection broke; nothing more can be sent or received."""


class TlsFailedError(ConnectionLostError):
    """The TLS handshake failed; the text says why."""


class Address(NamedTuple):
    """Where a peer is: an IP address in text form and its port, or ``unix`` and 0."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}" if self.port else self.host


class End(enum.Enum):
    """How ``Connection.run`` ended; the value is what the log calls ``reason``."""

    FINISHED = "quit"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    LOST = "lost"


_NOWHERE = Address("", 0)


def new_session_id() -> SessionId:
    """Return a fresh identifier, ten hexadecimal digits."""
    return SessionId(secrets.token_hex(5))


def _address_of(name: object) -> Address:
    """Turn what getpeername/getsockname returned into an address."""
    if isinstance(name, tuple):
        return Address(str(name[0]), int(name[1]))
    return Address("unix", 0)


class Connection:
    """A stream with a peer, counters and one movable deadline.

    ``session_id`` stands on every log line; ``bytes_in`` and ``bytes_out`` count
    what the protocol saw (inside TLS). One task receives, one sends.
    """

    __slots__ = (
        "_deadline",
        "_draining",
        "_idle",
        "_lingers",
        "_pushed_back",
        "_scope",
        "_send_broken",
        "_stream",
        "bytes_in",
        "bytes_out",
        "local",
        "opened_at_s",
        "peer",
        "readmit",
        "session_id",
        "tls_info",
        "transcript",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        peer: Address = _NOWHERE,
        local: Address = _NOWHERE,
        session_id: SessionId | None = None,
    ) -> None:
        self._stream = stream
        self.peer = peer
        self.local = local
        self.session_id = session_id or new_session_id()
        self.bytes_in = 0
        self.bytes_out = 0
        self.tls_info: tuple[str, str] = ("", "")
        """Version and cipher, for example ``("TLSv1.3", "TLS_AES_256_GCM_SHA384")``; empty without TLS."""
        self.opened_at_s = trio.current_time()
        self.transcript: Transcript | None = None
        """Gets a copy of what is received and sent, as it is inside TLS and compression."""
        self.readmit: Callable[[str], bool] | None = None
        """Counts the connection among those of another address; False when that one has too many."""
        self._scope: trio.CancelScope | None = None
        self._deadline = float("inf")
        self._draining = False
        self._idle = False
        self._lingers = False
        self._send_broken = False
        self._pushed_back = b""

    @classmethod
    def from_socket(cls, sock: socket.socket, *, session_id: SessionId | None = None) -> "Connection":
        """Take over a connected stdlib socket. Raises ConnectionLostError when the peer is already gone."""
        try:
            peer, local = _address_of(sock.getpeername()), _address_of(sock.getsockname())
            if local.host != "unix":
                # Replies are short and sent whole: Nagle's wait for the client's delayed ACK would cost 40 ms each.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            raise ConnectionLostError(str(error)) from error
        return cls(PlainStream(sock), peer=peer, local=local, session_id=session_id)

    def stand_for(self, client: Address) -> bool:
        """Be a client's connection, told by a proxy that is trusted; False when the client has too many."""
        if self.readmit is not None and not self.readmit(client.host):
            return False
        self.peer = client
        return True

    # Input and output

    async def receive_some(self, max_bytes: int = 65_536, *, idle: bool = False) -> bytes:
        """Return what has arrived, ``b""`` when the peer ended its side.

        ``idle``: nothing is under way, so a shutdown may end the session here.
        Raises:   ConnectionLostError.
        """
        if self._pushed_back:
            data, self._pushed_back = self._pushed_back, b""
            return data
        if idle:
            if self._draining and self._scope is not None:
                self._scope.cancel()
            self._idle = True
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            if _is_ragged_end(error):
                return b""
            raise ConnectionLostError(_reason(error)) from error
        finally:
            self._idle = False
        self.bytes_in += len(data)
        if self.transcript is not None:
            self.transcript.received(data)
        return data

    def push_back(self, data: bytes) -> None:
        """Have received bytes come again with the next ``receive_some``; for who only wanted to know that something came."""
        self._pushed_back = data + self._pushed_back

    async def send_all(self, data: bytes) -> None:
        """Send everything. Raises ConnectionLostError, also after a send that a deadline cut in two."""
        if self.transcript is not None:
            self.transcript.sent(data)
        if self._send_broken:
            raise ConnectionLostError("An earlier send was cut off")
        self._send_broken = True
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise ConnectionLostError(_reason(error)) from error
        self._send_broken = False
        self.bytes_out += len(data)

    async def wait_input(self, delay_s: float) -> bool:
        """Return True when the peer sends something within ``delay_s``; what it sends stays to be received.

        With a delay of 0 only what is there already counts. Always False inside TLS.
        """
        stream = self._stream
        if isinstance(stream, PlainStream):
            try:
                if delay_s > 0:
                    with trio.move_on_after(delay_s):
                        await stream.wait_readable()
                return bool(stream.peek())
            except (trio.ClosedResourceError, OSError) as error:
                raise ConnectionLostError(_reason(error)) from error
        if delay_s > 0 and not isinstance(stream, trio.SSLStream):
            with trio.move_on_after(delay_s):
                self._pushed_back = await self.receive_some()
        return bool(self._pushed_back)

    # TLS

    @property
    def is_tls(self) -> bool:
        return bool(self.tls_info[0])

    async def start_tls(self, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        """Shake hands and continue inside TLS. As the server, unless ``server_hostname`` makes us the client.

        Blocks:   network; the caller's deadline applies.
        Raises:   TlsFailedError, with the reason in words.
        """
        # Standard mode sends close_notify at the end; not waiting for the peer's is trio's own behaviour.
        stream: trio.SSLStream[trio.abc.Stream] = trio.SSLStream(
            self._stream, context, server_hostname=server_hostname, server_side=server_hostname is None
        )
        self._send_broken = True
        try:
            await stream.do_handshake()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise TlsFailedError(_reason(error)) from error
        self._send_broken = False
        self._stream = stream
        cipher = stream.cipher()
        self.tls_info = (stream.version() or "", cipher[0] if cipher else "")

    # Compression

    @property
    def is_compressed(self) -> bool:
        return isinstance(self._stream, DeflateStream)

    def compress(self) -> None:
        """From here on everything is compressed, in both directions, inside TLS if there is TLS."""
        self._stream = DeflateStream(self._stream)

    def stop_compressing(self) -> None:
        """Go on without compression; what the peer sent behind the end of its compressed data comes next."""
        if isinstance(self._stream, DeflateStream):
            self._pushed_back += self._stream.rest
            self._stream = self._stream.transport

    def tls_peer_certificate(self) -> bytes:
        """Return the peer's certificate (DER), or ``b""``."""
        stream = self._stream
        if not isinstance(stream, trio.SSLStream):
            return b""
        found = stream.getpeercert(binary_form=True)
        return found if isinstance(found, bytes) else b""

    def tls_peer_chain(self) -> tuple[bytes, ...]:
        """Return the certificates that the peer has sent (DER), its own first, nothing of them verified."""
        stream = self._stream
        if not isinstance(stream, trio.SSLStream):
            return ()
        # Public as SSLObject.get_unverified_chain from Python 3.13 on; the object below has it since 3.10.
        inner: Any = stream._ssl_object  # noqa: SLF001 - see above
        found = inner._sslobj.get_unverified_chain() or ()  # noqa: SLF001 - see above
        return tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found)

    # Deadline, shutdown, end

    @property
    def draining(self) -> bool:
        """True once the server stops; finish what is under way and end."""
        return self._draining

    def set_deadline(self, at_s: float) -> None:
        """Move the moment (``trio.current_time()`` seconds) at which ``run`` ends with ``End.TIMEOUT``.

        Less than a second later than now set, it stays: a busy session calls this thousands of times a second.
        """
        if 0.0 <= at_s - self._deadline < _DEADLINE_STEP_S:
            return
        self._deadline = at_s
        if self._scope is not None:
            self._scope.deadline = at_s

    def drain(self) -> None:
        """End the session as soon as it is idle; called when the server stops."""
        self._draining = True
        if self._idle and self._scope is not None:
            self._scope.cancel()

    async def run(self, body: Callable[[], Awaitable[None]]) -> End:
        """Run a session's conversation until it returns, its deadline passes, the server stops or the peer is lost.

        Once per connection. Other exceptions pass: they are bugs, logged by ``net.listeners``.
        """
        with trio.CancelScope(deadline=self._deadline) as scope:
            self._scope = scope
            try:
                await body()
            except ConnectionLostError:
                return End.LOST
            except BaseExceptionGroup as group:
                others = group.split(ConnectionLostError)[1]
                if others is not None:
                    raise others from None
                return End.LOST
            finally:
                self._scope = None
        if not scope.cancelled_caught:
            return End.FINISHED
        return End.SHUTDOWN if self._draining and trio.current_time() < self._deadline else End.TIMEOUT

    async def send_last(self, data: bytes) -> None:
        """Send the words before a cut, for a few seconds at most; a lost connection is fine.

        ``aclose`` then reads on for a moment: closing with unread input would
        reset the connection and the peer would never see these words.
        """
        self._lingers = True
        with trio.move_on_after(_LAST_WORDS_S):
            try:
                await self.send_all(data)
            except ConnectionLostError:
                return

    async def aclose(self) -> None:
        """Close, inside TLS with close_notify, without ever hanging. Harmless when repeated."""
        if isinstance(self._stream, PlainStream) and not self._lingers:
            self._stream.close()  # the usual end of a session: nothing is left to say, nothing to wait for
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_S):
            try:
                if self._lingers and not self._send_broken:
                    await self._linger()
                if not self._send_broken:
                    await self._stream.aclose()
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                pass  # The peer went first.
        await trio.aclose_forcefully(self._stream)

    async def _linger(self) -> None:
        """End our side, then read until the peer has ended its own."""
        left = _LINGER_BYTES
        self.stop_compressing()
        with trio.move_on_after(_LINGER_S):
            if isinstance(self._stream, trio.SSLStream):
                await self._end_tls(self._stream)
            stream = self._stream
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            while left > 0:
                data = await stream.receive_some(65_536)
                if not data:
                    break
                left -= len(data)

    async def _end_tls(self, stream: trio.SSLStream[trio.abc.Stream]) -> None:
        """Send close_notify; what the peer still sends inside TLS is not wanted any more."""
        self._stream = stream.transport_stream
        with suppress(trio.BrokenResourceError):  # It sent something other than its own close_notify.
            await stream.unwrap()


def _is_ragged_end(error: BaseException) -> bool:
    """Tell an end of input without close_notify; every protocol here marks its own ends, so it is an end like any other."""
    cause = error.__cause__
    return isinstance(cause, ssl.SSLEOFError) or (isinstance(cause, ssl.SSLError) and cause.reason == "UNEXPECTED_EOF_WHILE_READING")


def _reason(error: BaseException) -> str:
    """Return the words of the innermost cause that has some."""
    cause: BaseException | None = error
    words = ""
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.strerror:
            words = cause.strerror
        cause = cause.__cause__
    return words or str(error) or type(error).__name__


async def connect_tcp(address: str, port: int, *, bind_address: str = "") -> Connection:
    """Connect to a numeric IP address.

    Blocks:   network; the caller's deadline applies.
    Raises:   ConnectionLostError with the kernel's words ("Connection refused").
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionLostError(_reason(error)) from error
    try:
        if bind_address:
            await sock.bind((bind_address, 0))
        await sock.connect((address, port))
    except OSError as error:
        sock.close()
        raise ConnectionLostError(_reason(error)) from error
    except BaseException:
        sock.close()
        raise
    return Connection.from_socket(socket.socket(fileno=sock.detach()))
