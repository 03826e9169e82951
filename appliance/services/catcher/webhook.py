"""Tells a web server of every caught message, as Mailpit does.

Owns the limits: so many messages wait at most, one request at a time, with a pause
between two where one is asked for; what cannot be told is tried again and given up
after a few tries. The catcher is never told of its own mail, and an address that
is not of the public internet only where it was named as one, or allowed.

Fails: never; what was given up is logged.
Sources: Mailpit's webhook (a POST of the MessageSummary), RFC 9110 section 10.2.3 (which answers are worth a new try).
"""

import socket
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import trio

from appliance import __version__
from appliance.model.caught import CaughtSummary
from appliance.net.http_client import RequestError, Target, post, target_of
from appliance.policy.link_check import is_private_address
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.gojson import dump

__all__ = ["Webhook", "WebhookOptions"]

_AGAIN_S: Final = (1.0, 5.0, 25.0)
_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """``pause_s``: between two requests; messages that come meanwhile are left out, 0 tells of all. ``private``: names may lead to private addresses."""

    url: str
    pause_s: float = 0
    private: bool = False
    label: str = ""


class Webhook:
    """``own``: where this program listens; ``shape`` makes what is told; ``make_context`` TLS of a client. ``run`` must run."""

    def __init__(
        self,
        options: WebhookOptions,
        catcher: Catcher,
        shape: Callable[[CaughtSummary], object],
        own: Collection[tuple[str, int]],
        make_context: Callable[[], ssl.SSLContext],
    ) -> None:
        """Raise ValueError for a URL that is none."""
        self._options = options
        self._target = target_of(options.url)
        self._catcher = catcher
        self._shape = shape
        self._own = own
        self._make_context = make_context
        self._context: ssl.SSLContext | None = None

    async def run(self) -> None:
        """Tell until cancelled."""
        with self._catcher.hub.listen() as events:
            async for event in events:
                if not isinstance(event.data, CaughtSummary):
                    continue
                await self._tell(event.data)
                if self._options.pause_s:
                    await trio.sleep(self._options.pause_s)
                    while events.statistics().current_buffer_used:
                        events.receive_nowait()

    async def _tell(self, summary: CaughtSummary) -> None:
        body = dump(self._shape(summary)).encode()
        for wait_s in (*_AGAIN_S, None):
            try:
                status = await self._post(body)
            except RequestError as error:
                reason = str(error)
            else:
                if status < 500 and status not in {408, 429}:
                    if status >= 400:
                        self._catcher.mail_log.warning("webhook_refused", id=summary.id, status=status)
                    return
                reason = f"{self._target.host} answers {status}"
            if wait_s is not None:
                await trio.sleep(wait_s)
        self._catcher.mail_log.warning("webhook_failed", id=summary.id, tries=len(_AGAIN_S) + 1, reason=reason)

    async def _post(self, body: bytes) -> int:
        target = self._target
        addresses = await self._addresses(target)
        if target.is_secure and self._context is None:
            self._context = await self._catcher.offload.run(self._make_context)
        headers = [("User-Agent", f"Carteiro/{__version__}"), ("Content-Type", "application/json")]
        if self._options.label:
            headers.append(("Mailpit-Label", self._options.label.encode("ascii", "replace").decode()))
        return await post(target, body, addresses=addresses, headers=headers, context=self._context, timeout_s=_TIMEOUT_S)

    async def _addresses(self, target: Target) -> list[str]:
        """Return where the server is, without the places that must not be told. Raises RequestError."""
        try:
            found = await self._catcher.offload.run(socket.getaddrinfo, target.host, target.port, 0, socket.SOCK_STREAM)
        except OSError as error:
            raise RequestError(f"{target.host} is not found: {error.strerror or error}") from error
        addresses = list(dict.fromkeys([str(one[4][0]) for one in found]))
        if not self._options.private and not _is_named_private(target.host):
            addresses = [one for one in addresses if not is_private_address(one)]
            if not addresses:
                raise RequestError(f"{target.host} leads to a private address; allow it with --webhook-private")
        addresses = [one for one in addresses if not self._is_own(one, target.port)]
        if not addresses:
            raise RequestError("the catcher tells nothing to itself")
        return addresses

    def _is_own(self, address: str, port: int) -> bool:
        return any(port == own and (address == host or host in {"0.0.0.0", "::"}) for host, own in self._own)  # noqa: S104 - compared


def _is_named_private(host: str) -> bool:
    return host == "localhost" or is_private_address(host)
