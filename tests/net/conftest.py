"""What the tests of the net layer share: certificates, a log to read back, loopback pairs."""

import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from appliance.observe.maillog import MailLog


@dataclass
class Recorded:
    """The mail log of a test, and what it was told."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    log: MailLog = field(init=False)

    def __post_init__(self) -> None:
        logger = logging.Logger("test")  # noqa: LOG001 - on purpose outside the tree: nothing is shared between tests
        logger.addHandler(logging.NullHandler())
        self.log = MailLog(logger, [lambda event, _level, fields: self.events.append((event, fields))])

    def names(self) -> list[str]:
        return [name for name, _fields in self.events]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@dataclass
class Certificates:
    authority: trustme.CA
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """Contexts of both sides, made once: 50 ms of key generation."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mail.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Certificates(authority, server, client)


@pytest.fixture
def tcp_pair() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    """Make connected TCP sockets on the loopback."""
    opened: list[socket.socket] = []

    def make() -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _address = listener.accept()
        opened.extend((client, server))
        return client, server

    yield make
    for sock in opened:
        sock.close()
