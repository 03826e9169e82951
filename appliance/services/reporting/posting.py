"""Reports over HTTPS, to web servers that TLSRPT records name.

Owns which of them may be told: the name comes from a stranger's record, so only hosts on the public internet with a valid certificate.

Fails: ``RequestError``. Blocks: network, a minute at most; disk once, for the authorities.
Does not: read what the answer says.

Sources: RFC 8460 section 5.4 (POST of the report, media type), RFC 9110 section 15.3.
"""

import ssl
from collections.abc import Callable
from typing import Final

import trio

from appliance.model.dns import DnsQuestion
from appliance.model.ports import DnsLookup, Offload
from appliance.net.http_client import RequestError, post, target_of
from appliance.net.tls import TlsSetupError
from appliance.policy.link_check import is_private_address

__all__ = ["ReportPosting"]

_POST_S: Final = 60.0
_DNS_S: Final = 20.0


class ReportPosting:
    """Posts packed TLS reports."""

    def __init__(
        self,
        lookups: Callable[[], DnsLookup],
        make_context: Callable[[], ssl.SSLContext],
        offload: Offload,
        *,
        is_forbidden: Callable[[str], bool] = is_private_address,
    ) -> None:
        """``make_context``: verifies certificates and names; raises TlsSetupError. ``is_forbidden``: addresses that are never spoken to."""
        self._lookups = lookups
        self._make_context = make_context
        self._offload = offload
        self._is_forbidden = is_forbidden
        self._context: ssl.SSLContext | None = None

    async def __call__(self, url: str, packed: bytes) -> None:
        """Post a report. Raises RequestError."""
        try:
            target = target_of(url)
        except ValueError as error:
            raise RequestError(str(error)) from error
        addresses = [one for one in await self._addresses(target.host) if not self._is_forbidden(one)]
        if not addresses:
            raise RequestError(f"{target.host} has no address on the public internet")
        if self._context is None:
            try:
                self._context = await self._offload.run(self._make_context)
            except TlsSetupError as error:
                raise RequestError(str(error)) from error
        headers = [("User-Agent", "Carteiro"), ("Content-Type", "application/tlsrpt+gzip")]
        status = await post(target, packed, addresses=addresses, headers=headers, context=self._context, timeout_s=_POST_S)
        if not 200 <= status < 300:
            raise RequestError(f"{target.host} answers {status}")

    async def _addresses(self, host: str) -> list[str]:
        found: list[str] = []
        with trio.move_on_after(_DNS_S):
            for kind in ("A", "AAAA"):
                found.extend((await self._lookups().ask(DnsQuestion(host, kind))).records)
        return found
