"""Reports that are posted: to whom, and to whom never."""

import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trustme

from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus
from appliance.net.connection import Connection, ConnectionLostError
from appliance.net.http_client import RequestError
from appliance.net.offload import InlineOffload
from appliance.services.reporting.posting import ReportPosting


class Zone:
    def __init__(self, address: str) -> None:
        self.address = address

    async def ask(self, question: DnsQuestion) -> DnsAnswer:
        await trio.lowlevel.checkpoint()
        is_there = (question.name, question.kind) == ("mail.example", "A")
        return DnsAnswer(DnsStatus.FOUND, (self.address,)) if is_there else DnsAnswer(DnsStatus.MISSING)


def posting(context: ssl.SSLContext, address: str = "127.0.0.1", **more: Any) -> ReportPosting:
    return ReportPosting(lambda: Zone(address), lambda: context, InlineOffload(), **more)  # type: ignore[arg-type, return-value]


@pytest.fixture(scope="module")
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of ``mail.example`` and of who trusts its authority."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("mail.example").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.fixture
async def web(nursery: trio.Nursery, certificates: Any) -> Callable[[bytes], Any]:
    """Start a web server of ``mail.example`` with one answer; return its port and what it was told."""

    async def start(answer: bytes) -> tuple[int, bytearray]:
        told = bytearray()

        async def handle(stream: trio.SocketStream) -> None:
            connection = Connection(stream)
            try:
                await connection.start_tls(certificates[0])
                while not told.endswith(b"packed"):
                    told.extend(await connection.receive_some())
                await connection.send_all(answer)
            except ConnectionLostError:
                return
            finally:
                await connection.aclose()

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        return listeners[0].socket.getsockname()[1], told

    return start


async def test_a_report_is_posted(web: Any, certificates: Any, nursery: trio.Nursery) -> None:
    """With its media type; any 2xx is good, everything else is not."""
    report = posting(certificates[1], is_forbidden=lambda _: False)
    port, told = await web(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    await report(f"https://mail.example:{port}/tls", b"packed")
    assert told.lower().startswith(b"post /tls http/1.1\r\n")
    assert b"content-type: application/tlsrpt+gzip\r\n" in told.lower()
    port, _told = await web(b"HTTP/1.1 302 Go\r\n\r\n")
    with pytest.raises(RequestError, match="answers 302"):
        await report(f"https://mail.example:{port}/tls", b"packed")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "fe80::1", "169.254.169.254"])
async def test_what_is_not_on_the_internet_is_told_nothing(certificates: Any, address: str) -> None:
    """A stranger's record leads nobody into our network; an address in place of a name is none either."""
    for host in ("mail.example", address if ":" not in address else f"[{address}]"):
        with pytest.raises(RequestError, match="public internet"):
            await posting(certificates[1], address)(f"https://{host}/", b"packed")
