"""One HTTPS request of ours: a page of a bounded size in a bounded time, from a server with a valid certificate.

Owns the way from a URL's host to the bytes of the answer: connecting, TLS, h11.
Redirects are not followed: who asks for a policy must get it from the very host
that its name promises.

Fails: ``FetchError``; ``is_certificate`` tells a certificate that is not good.
Blocks: network; the whole takes ``timeout_s`` at most.
Sources: RFC 9112, RFC 8461 section 3.3 (what a policy fetch must check), RFC 9110 section 15.4.
"""

import ssl
from collections.abc import Sequence
from typing import Final, NamedTuple

import trio

from appliance.net.connection import Connection, ConnectionLostError, TlsFailedError, connect_tcp

__all__ = ["FetchError", "Page", "fetch"]

HTTPS_PORT: Final = 443
MAX_HEADER_BYTES: Final = 16_384
MAX_ADDRESSES: Final = 4


class FetchError(Exception):
    """There is no page; the text says why."""

    def __init__(self, reason: str, *, is_certificate: bool = False) -> None:
        super().__init__(reason)
        self.is_certificate = is_certificate


class Page(NamedTuple):
    """``kind``: the media type, without parameters, in lower case."""

    body: bytes
    kind: str


async def fetch(
    host: str,
    path: str,
    *,
    addresses: Sequence[str],
    context: ssl.SSLContext,
    max_bytes: int,
    timeout_s: float,
    port: int = HTTPS_PORT,
) -> Page:
    """Return what a GET brings. ``addresses``: where the host is, tried in order. Raises FetchError."""
    with trio.move_on_after(timeout_s):
        connection = await _connect(host, addresses, port, context)
        try:
            return await _get(connection, host, path, max_bytes)
        except ConnectionLostError as error:
            raise FetchError(f"{host} ended the connection: {error}") from error
        finally:
            await connection.aclose()  # noqa: ASYNC102 - it shields itself, with a deadline
    raise FetchError(f"{host} took too long")


async def _connect(host: str, addresses: Sequence[str], port: int, context: ssl.SSLContext) -> Connection:
    failure = FetchError(f"{host} has no address")
    for address in addresses[:MAX_ADDRESSES]:
        try:
            connection = await connect_tcp(address, port)
        except ConnectionLostError as error:
            failure = FetchError(f"cannot connect to {host}: {error}")
            continue
        try:
            await connection.start_tls(context, server_hostname=host)
        except TlsFailedError as error:
            await connection.aclose()
            raise FetchError(f"TLS with {host} failed: {error}", is_certificate=str(error).startswith("certificate")) from error
        except BaseException:
            await connection.aclose()  # noqa: ASYNC102 - as above
            raise
        return connection
    raise failure


async def _get(connection: Connection, host: str, path: str, max_bytes: int) -> Page:
    import h11  # 24 ms and 4 MB that only who follows policies needs

    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
    headers = [("Host", host), ("User-Agent", "Carteiro"), ("Accept", "text/plain"), ("Connection", "close")]
    request = http.send(h11.Request(method="GET", target=path, headers=headers)) or b""
    await connection.send_all(request + (http.send(h11.EndOfMessage()) or b""))
    kind = ""
    body = bytearray()
    while True:
        try:
            event = http.next_event()
        except h11.RemoteProtocolError as error:
            raise FetchError(f"{host} does not speak HTTP: {error}") from error
        if event is h11.NEED_DATA:
            http.receive_data(await connection.receive_some())
        elif isinstance(event, h11.Response):
            kind = _checked_kind(event, host)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > max_bytes:
                raise FetchError(f"{host} sends more than {max_bytes} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Page(bytes(body), kind)
        elif not isinstance(event, h11.InformationalResponse):
            raise FetchError(f"{host} ended the connection early")


def _checked_kind(response: object, host: str) -> str:
    """Return the media type of a good answer. Raises FetchError."""
    import h11

    assert isinstance(response, h11.Response)
    if response.status_code != 200:
        raise FetchError(f"{host} answers {response.status_code}")
    values = [value.decode("latin-1") for name, value in response.headers if name == b"content-type"]
    return values[0].partition(";")[0].strip().lower() if values else ""
