"""One HTTP or HTTPS request of ours that carries something: a webhook's.

Owns the way from addresses to the status of the answer; what the answer says is
not read further. Redirects are not followed: what was to be told to one server is
told to no other.

Fails: ``PostError``. Blocks: network; the whole takes ``timeout_s`` at most.
Sources: RFC 9110, RFC 9112.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import trio

from appliance.net.connection import Connection, ConnectionLostError, TlsFailedError, connect_tcp

__all__ = ["PostError", "Target", "post", "target_of"]

_MAX_HEADER_BYTES: Final = 16_384
_MAX_ADDRESSES: Final = 4


class PostError(Exception):
    """Nothing was told; the text says why."""


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
    return Target(parts.hostname, parts.port or (443 if is_secure else 80), path, parts.netloc, is_secure)


async def post(
    target: Target,
    body: bytes,
    *,
    addresses: Sequence[str],
    headers: Sequence[tuple[str, str]] = (),
    context: ssl.SSLContext | None = None,
    timeout_s: float = 5.0,
) -> int:
    """Send ``body`` and return the status. ``addresses``: where the host is; ``context``: for https. Raises PostError."""
    with trio.move_on_after(timeout_s):
        connection = await _connect(target, addresses, context)
        try:
            return await _exchange(connection, target, body, headers)
        except ConnectionLostError as error:
            raise PostError(f"{target.host} ended the connection: {error}") from error
        finally:
            await connection.aclose()  # noqa: ASYNC102 - it shields itself, with a deadline
    raise PostError(f"{target.host} took too long")


async def _connect(target: Target, addresses: Sequence[str], context: ssl.SSLContext | None) -> Connection:
    failure = PostError(f"{target.host} has no address")
    for address in addresses[:_MAX_ADDRESSES]:
        try:
            connection = await connect_tcp(address, target.port)
        except ConnectionLostError as error:
            failure = PostError(f"cannot connect to {target.host}: {error}")
            continue
        if not target.is_secure:
            return connection
        assert context is not None
        try:
            await connection.start_tls(context, server_hostname=target.host)
        except TlsFailedError as error:
            await connection.aclose()
            raise PostError(f"TLS with {target.host} failed: {error}") from error
        except BaseException:
            await connection.aclose()  # noqa: ASYNC102 - as above
            raise
        return connection
    raise failure


async def _exchange(connection: Connection, target: Target, body: bytes, headers: Sequence[tuple[str, str]]) -> int:
    import h11

    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEADER_BYTES)
    fields = [("Host", target.authority), *headers, ("Content-Length", str(len(body))), ("Connection", "close")]
    try:
        head = http.send(h11.Request(method="POST", target=target.path, headers=fields)) or b""
        await connection.send_all(head + (http.send(h11.Data(data=body)) or b"") + (http.send(h11.EndOfMessage()) or b""))
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await connection.receive_some())
            elif isinstance(event, h11.Response):
                return event.status_code
            elif not isinstance(event, h11.InformationalResponse):
                raise PostError(f"{target.host} ended the connection early")
    except (h11.LocalProtocolError, h11.RemoteProtocolError) as error:
        raise PostError(f"{target.host} does not speak HTTP: {error}") from error
