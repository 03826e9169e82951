"""Which ports are opened for which role, before anything else happens: they may need root.

Fails: ``ListenError`` with the reason and the fix; what was bound is closed again.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.config.schema import Config
from appliance.net.endpoints import ListenError, bind_endpoints

__all__ = ["Listener", "addresses_of", "bind_all", "plan", "socket_address"]


@dataclass(frozen=True, slots=True)
class Listener:
    """One line of the plan: ``name`` is systemd's FileDescriptorName too; ``tls``: from the first byte."""

    name: str
    role: str
    addresses: tuple[str, ...]
    tls: bool = False


def plan(config: Config) -> tuple[Listener, ...]:
    """Return every listener that the settings ask for."""
    wanted = (
        Listener("smtp", "mx", config.smtp.listen),
        Listener("submission", "submission", config.submission.listen),
        Listener("submissions", "submission", config.submission.listen_tls, tls=True),
        Listener("lmtp", "lmtp", config.lmtp.listen),
        Listener("imap", "imap", config.imap.listen),
        Listener("imaps", "imap", config.imap.listen_tls, tls=True),
        Listener("pop3", "pop3", config.pop3.listen),
        Listener("pop3s", "pop3", config.pop3.listen_tls, tls=True),
        Listener("http", "http", config.web.listen),
    )
    return tuple(listener for listener in wanted if listener.addresses)


def bind_all(listeners: Sequence[Listener], inherited: Mapping[str, list[socket.socket]]) -> dict[Listener, list[socket.socket]]:
    """Bind what systemd did not pass already. Raises ListenError; then nothing stays bound."""
    bound: dict[Listener, list[socket.socket]] = {}
    try:
        for listener in listeners:
            bound[listener] = inherited.get(listener.name) or bind_endpoints(listener.addresses)
    except ListenError:
        for sockets in bound.values():
            for sock in sockets:
                sock.close()
        raise
    return bound


def addresses_of(listener: Listener, bound: Sequence[socket.socket]) -> str:
    """Return where a listener listens, from the sockets themselves: a port may have been 0."""
    named = [address for address in listener.addresses if address.startswith("unix:")]
    # A unix socket under a long path was bound by another name.
    return ", ".join([socket_address(sock) for sock in bound if sock.family != socket.AF_UNIX] + named)


def socket_address(sock: socket.socket) -> str:
    """Return where a bound socket of the internet family listens, as the settings would name it."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
