"""One HTTP request of ours: a page that is fetched, or something that is told to a web server.

Owns the way from a host's addresses to the answer: connecting, TLS, h11; a bounded size in a bounded time. Redirects are not
followed: who asks for a policy must get it from the very host that its name promises, and what was to be told to one server is
told to no other.

Fails: ``RequestError``; ``is_certificate`` tells a certificate that is not good.
Blocks: network; the whole takes ``timeout_s`` at most.
Does not: look up names, or choose which addresses may be spoken to.

Sources: RFC 9110, RFC 9112, RFC 8461 section 3.3 (what a policy fetch must check), RFC 9110 section 15.4.
"""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import h11
import trio

from appliance.net.connection import Connection, ConnectionLostError, TlsFailedError, connect_tcp

__all__ = ["HTTPS_PORT", "Page", "RequestError", "Target", "fetch", "post", "target_of"]

HTTPS_PORT: Final = 443
MAX_HEADER_BYTES: Final = 16_384
MAX_ADDRESSES: Final = 4

T = TypeVar("T")


class RequestError(Exception):
    """There is no answer, or not the one wanted; the text says why."""

    def __init__(self, reason: str, *, is_certificate: bool = False) -> None:
        super().__init__(reason)
        self.is_certificate = is_certificate


class Page(NamedTuple):
    """``kind``: the media type, without parameters, in lower case."""

    body: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Target:
    """What an address on the web says. ``authority``: the host as the Host field has it."""

    host: str
    port: int
    path: str
    authority: str
    is_secure: bool


def target_of(url: str) -> Target:
    """Return what a URL names. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        text = f"{url} is no http:// or https:// address"
        raise ValueError(text)
    if not url.isascii() or any(character <= " " for character in url) or parts.username is not None:
        text = f"{url}: a name, a port and a path in ASCII are wanted, without login"
        raise ValueError(text)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_secure = parts.scheme == "https"
    return Target(parts.hostname, parts.port or (HTTPS_PORT if is_secure else 80), path, parts.netloc, is_secure)


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
    """Return what a GET over HTTPS brings. ``addresses``: where the host is, tried in order. Raises RequestError."""

    async def exchange(connection: Connection) -> Page:
        headers = [("Host", host), ("User-Agent", "Carteiro"), ("Accept", "text/plain"), ("Connection", "close")]
        http = await _ask(connection, h11.Request(method="GET", target=path, headers=headers))
        kind = _checked_kind(await _response(connection, http, host), host)
        return Page(await _body(connection, http, host, max_bytes), kind)

    return await _requested(Target(host, port, path, host, is_secure=True), addresses, context, timeout_s, exchange)


async def post(
    target: Target,
    body: bytes,
    *,
    addresses: Sequence[str],
    headers: Sequence[tuple[str, str]] = (),
    context: ssl.SSLContext | None = None,
    timeout_s: float = 5.0,
) -> int:
    """Send ``body`` and return the status; what the answer says is not read. ``context``: for https. Raises RequestError."""

    async def exchange(connection: Connection) -> int:
        fields = [("Host", target.authority), *headers, ("Content-Length", str(len(body))), ("Connection", "close")]
        http = await _ask(connection, h11.Request(method="POST", target=target.path, headers=fields), body)
        return (await _response(connection, http, target.host)).status_code

    return await _requested(target, addresses, context, timeout_s, exchange)


async def _requested(
    target: Target,
    addresses: Sequence[str],
    context: ssl.SSLContext | None,
    timeout_s: float,
    exchange: Callable[[Connection], Awaitable[T]],
) -> T:
    with trio.move_on_after(timeout_s):
        connection = await _connect(target, addresses, context)
        try:
            return await exchange(connection)
        except ConnectionLostError as error:
            raise RequestError(f"{target.host} ended the connection: {error}") from error
        except (h11.LocalProtocolError, h11.RemoteProtocolError) as error:
            raise RequestError(f"{target.host} does not speak HTTP: {error}") from error
        finally:
            await connection.aclose()  # noqa: ASYNC102 - it shields itself, with a deadline
    raise RequestError(f"{target.host} took too long")


async def _connect(target: Target, addresses: Sequence[str], context: ssl.SSLContext | None) -> Connection:
    failure = RequestError(f"{target.host} has no address")
    for address in addresses[:MAX_ADDRESSES]:
        try:
            connection = await connect_tcp(address, target.port)
        except ConnectionLostError as error:
            failure = RequestError(f"cannot connect to {target.host}: {error}")
            continue
        if not target.is_secure:
            return connection
        assert context is not None
        try:
            await connection.start_tls(context, server_hostname=target.host)
        except TlsFailedError as error:
            await connection.aclose()
            is_certificate = str(error).startswith("certificate")
            raise RequestError(f"TLS with {target.host} failed: {error}", is_certificate=is_certificate) from error
        except BaseException:
            await connection.aclose()  # noqa: ASYNC102 - as above
            raise
        return connection
    raise failure


async def _ask(connection: Connection, request: h11.Request, body: bytes = b"") -> h11.Connection:
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
    parts = [request, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
    await connection.send_all(b"".join([http.send(part) or b"" for part in parts]))
    return http


async def _event(connection: Connection, http: h11.Connection) -> object:
    while (event := http.next_event()) is h11.NEED_DATA or isinstance(event, h11.InformationalResponse):
        if event is h11.NEED_DATA:
            http.receive_data(await connection.receive_some())
    return event


async def _response(connection: Connection, http: h11.Connection, host: str) -> h11.Response:
    event = await _event(connection, http)
    if not isinstance(event, h11.Response):
        raise RequestError(f"{host} ended the connection early")
    return event


async def _body(connection: Connection, http: h11.Connection, host: str, max_bytes: int) -> bytes:
    body = bytearray()
    while isinstance(event := await _event(connection, http), h11.Data):
        body += event.data
        if len(body) > max_bytes:
            raise RequestError(f"{host} sends more than {max_bytes} bytes")
    if not isinstance(event, h11.EndOfMessage):
        raise RequestError(f"{host} ended the connection early")
    return bytes(body)


def _checked_kind(response: h11.Response, host: str) -> str:
    """Return the media type of a good answer. Raises RequestError."""
    if response.status_code != 200:
        raise RequestError(f"{host} answers {response.status_code}")
    values = [value.decode("latin-1") for name, value in response.headers if name == b"content-type"]
    return values[0].partition(";")[0].strip().lower() if values else ""
