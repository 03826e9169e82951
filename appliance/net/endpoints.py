"""Addresses to listen on: the words of the settings, bound sockets, sockets inherited from systemd.

Owns the parsing of ``HOST:PORT``, ``[v6]:PORT`` and ``unix:/path``, and what is
said when a port cannot be had.
Fails: ``ListenError`` with the reason and the fix in words.
Does not: resolve host names; an address to listen on is this machine's own.

Sources: bind(2), ipv6(7) (IPV6_V6ONLY), sd_listen_fds(3).
"""

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.net import unixsockets

__all__ = ["Endpoint", "ListenError", "bind_endpoint", "bind_endpoints", "inherited_sockets", "parse_endpoint"]

_BACKLOG = 1_024
_FIRST_INHERITED_FD = 3


class ListenError(Exception):
    """An address cannot be listened on; ``reason`` and ``fix`` are for the administrator."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}; {fix}")
        self.reason = reason
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of ours: ``host`` (an IP address) and ``port``, or ``path`` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Parse ``192.0.2.1:25``, ``[2001:db8::1]:25``, ``*:25``, ``localhost:25`` or ``unix:/path``. Raises ListenError."""
    example = 'write "0.0.0.0:25", "[::]:25" or "unix:/run/carteiro/lmtp"'
    if text.startswith("unix:"):
        if not text[5:].startswith("/"):
            raise ListenError(f"{text!r} has no absolute path", example)
        return Endpoint(path=text[5:])
    host, colon, port_text = text.rpartition(":")
    if not colon or not port_text.isascii() or not port_text.isdigit() or int(port_text) > 65_535:
        raise ListenError(f"{text!r} has no port", example)
    bracketed = host.startswith("[") and host.endswith("]")
    host = {"": "0.0.0.0", "*": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host[1:-1] if bracketed else host)  # noqa: S104 - the words mean all addresses
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        raise ListenError(f"{text!r} names no IP address", example) from None
    if (parsed.version == 6) != bracketed:
        raise ListenError(f"{text!r}: IPv6 addresses, and only they, stand in brackets", example)
    return Endpoint(host=host, port=int(port_text))


def bind_endpoint(endpoint: Endpoint) -> socket.socket:
    """Return a listening, non-blocking socket. Raises ListenError; for a missing IPv6 its ``__cause__`` says so."""
    if endpoint.path:
        return _bind_unix(endpoint)
    try:
        sock = socket.socket(socket.AF_INET6 if endpoint.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise _explain(endpoint, error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if endpoint.is_ipv6:
            # Both families are bound by name, so that the peer's address is never ::ffff:192.0.2.1.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((endpoint.host, endpoint.port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _explain(endpoint, error) from error
    sock.setblocking(False)
    return sock


def bind_endpoints(texts: Iterable[str]) -> list[socket.socket]:
    """Bind all, or none: on failure what was bound is closed again.

    ``[::]`` is left out on a machine without IPv6 as long as another address could be bound.
    """
    bound: list[socket.socket] = []
    missing: ListenError | None = None
    try:
        for endpoint in [parse_endpoint(text) for text in texts]:
            try:
                bound.append(bind_endpoint(endpoint))
            except ListenError as error:
                if endpoint.host != "::" or not _lacks_family(error.__cause__):
                    raise
                missing = error
        if missing is not None and not bound:
            raise missing
    except ListenError:
        for sock in bound:
            sock.close()
        raise
    return bound


def _lacks_family(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def _bind_unix(endpoint: Endpoint) -> socket.socket:
    """Bind a unix socket that this user's group may use; one that a dead process left behind is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(endpoint.path)
        unixsockets.bind(sock, Path(endpoint.path))
        os.chmod(endpoint.path, 0o660)  # noqa: PTH101 - the path is the socket's, as bound
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _explain(endpoint, error) from error
    sock.setblocking(False)
    return sock


def _remove_stale(path: str) -> None:
    """Remove a socket nobody listens on; anything else stays and bind says so."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            unixsockets.connect(probe, Path(path))
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - the path is the socket's, as probed


def _explain(endpoint: Endpoint, error: OSError) -> ListenError:
    """Return what is wrong with an address, in words, and what helps."""
    match error.errno:
        case errno.EADDRINUSE if endpoint.path:
            return ListenError(f"{endpoint} is used by another program", f"`ss -lxp | grep {endpoint.path}` shows which")
        case errno.EADDRINUSE:
            return ListenError(
                f"port {endpoint.port} is used by another program",
                f"`ss -ltnp 'sport = :{endpoint.port}'` shows which; stop it or listen elsewhere",
            )
        case errno.EACCES | errno.EPERM if not endpoint.path and 0 < endpoint.port < 1_024:
            return ListenError(
                f"port {endpoint.port} needs a privilege that this process has not",
                "start it through systemd, as root with `user` set, or with CAP_NET_BIND_SERVICE",
            )
        case errno.EADDRNOTAVAIL:
            return ListenError(f"{endpoint.host} is no address of this machine", "`ip address` lists those it has")
        case errno.EAFNOSUPPORT:
            return ListenError(f"this machine has no IPv6, which {endpoint} needs", "remove that address from listen")
        case errno.ENOENT:
            return ListenError(f"the directory of {endpoint} does not exist", "make it, or name another path")
        case _:
            return ListenError(f"cannot listen on {endpoint}: {error.strerror or error}", "see bind(2)")


def inherited_sockets(environment: dict[str, str], own_pid: int) -> dict[str, list[socket.socket]]:
    """Take over the sockets that systemd passed, by their FileDescriptorName.

    Sources: sd_listen_fds(3). The variables are removed from ``environment`` so that no child takes them for its own.
    """
    pid, count, names = (environment.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if not count.isdigit() or pid != str(own_pid):
        return {}
    found: dict[str, list[socket.socket]] = {}
    name_list: Sequence[str] = names.split(":") if names else ()
    for index in range(int(count)):
        descriptor = _FIRST_INHERITED_FD + index
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        found.setdefault(name_list[index] if index < len(name_list) else "", []).append(sock)
    return found
