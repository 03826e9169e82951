"""Unix sockets under paths of any length.

The kernel takes 107 octets of a socket's path, which a data directory deep in
some home easily has. A longer one is reached through its open directory, as
``/proc/self/fd/N/name``: the same socket, and any other program that can name it may use it.

Fails: ``OSError`` as ``open`` and the socket call do; ENAMETOOLONG when the last name alone is too long.
Sources: unix(7) (sun_path), proc(5).
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

__all__ = ["bind", "connect"]

_MAX_PATH_BYTES = 107
_THROUGH_DIRECTORY = "/proc/self/fd/{}/{}"


def bind(sock: socket.socket, path: Path) -> None:
    """Bind a unix socket to ``path``, which must not exist."""
    with _short(path) as short:
        sock.bind(short)


def connect(sock: socket.socket, path: Path) -> None:
    """Connect a unix socket to the one at ``path``."""
    with _short(path) as short:
        sock.connect(short)


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = _THROUGH_DIRECTORY.format(directory, path.name)
        if len(os.fsencode(short)) > _MAX_PATH_BYTES:
            raise OSError(errno.ENAMETOOLONG, "the name of the socket is too long", str(path))
        yield short
    finally:
        os.close(directory)
