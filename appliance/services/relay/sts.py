"""MTA-STS policies of the domains that get mail: found, fetched, kept, fetched again in time.

Owns when a policy file is asked for: when the TXT record names another one than
is kept, and once a day for those in use. A policy that was fetched counts until
it expires, whatever DNS and the web server say meanwhile: that is its point.

Fails: never; a domain whose policy cannot be had has none, and that is told once an hour at most.
Blocks: network, a minute at most for each domain and hour.
Sources: RFC 8461 sections 3.1, 3.3, 5.1 and 10.2, Postfix's postfix-mta-sts-resolver.
"""

import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import trio

from appliance.model.errors import ApplianceError
from appliance.model.ports import Clock, Offload
from appliance.net.resolver import ResolveError
from appliance.net.tls import TlsSetupError
from appliance.observe.maillog import MailLog
from appliance.policy.mtasts import MAX_POLICY_BYTES, StsPolicy, StsSyntaxError, parse_policy, parse_record
from appliance.storage.tls_state import StoredPolicy, TlsState

if TYPE_CHECKING:
    from appliance.net.http_client import Page

__all__ = ["FoundPolicy", "StsPolicies", "TextLookup"]

FETCH_S: Final = 60.0
AGAIN_S: Final = 3_600.0
"""After a failed fetch; RFC 8461 section 3.3 asks for restraint, five minutes at least."""
REFRESH_S: Final = 86_400.0
LOOK_S: Final = 600.0
MAX_KNOWN: Final = 10_000


class TextLookup(Protocol):
    """The part of the resolver that is needed here."""

    async def texts(self, name: str) -> tuple[bytes, ...]: ...

    async def addresses(self, host: str) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class FoundPolicy:
    """A policy, its text for reports, and what went wrong (a result type of RFC 8460 section 4.3.2.2) when there is none."""

    policy: StsPolicy | None = None
    text: str = ""
    failure: str = ""


@dataclass(slots=True)
class _Known:
    stored: StoredPolicy
    policy: StsPolicy
    used_at_s: float


_NO_POLICY: Final = FoundPolicy()


def _read(page: "Page") -> StsPolicy:
    """Return the policy of a page. Raises StsSyntaxError."""
    if page.kind != "text/plain":
        raise StsSyntaxError(f"the media type is {page.kind or 'missing'}, not text/plain")
    return parse_policy(page.body)


class StsPolicies:
    """Answers with the policy of a domain. ``run`` must run: it keeps policies fresh."""

    def __init__(
        self,
        resolver: TextLookup,
        make_context: Callable[[], ssl.SSLContext],
        state: TlsState,
        offload: Offload,
        clock: Clock,
        mail_log: MailLog,
        *,
        port: int = 443,
    ) -> None:
        """``make_context``: verifies certificates and names; raises TlsSetupError."""
        self._resolver = resolver
        self._make_context = make_context
        self._state = state
        self._offload = offload
        self._clock = clock
        self._log = mail_log
        self._port = port
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._failed: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._fetching: dict[str, trio.Event] = {}
        self._is_loaded = False

    async def policy(self, domain: str) -> FoundPolicy:
        """Return what holds for a domain (lower case, A-labels)."""
        if not self._is_loaded:
            await self._load()
        now_s = self._clock.now_s()
        known = self._known.get(domain)
        if known is not None and known.stored.expires_at_s <= now_s:
            del self._known[domain]
            known = None
        record = await self._record(domain)
        failure = ""
        if record is not None and (known is None or known.stored.policy_id != record):
            failure = await self._fetch_once(domain, record)
            known = self._known.get(domain)
        if known is None:
            return FoundPolicy(failure=failure) if failure else _NO_POLICY
        known.used_at_s = self._clock.now_s()
        return FoundPolicy(known.policy, known.stored.body.decode("utf-8", "replace"))

    async def _record(self, domain: str) -> str | None:
        try:
            texts = await self._resolver.texts(f"_mta-sts.{domain}")
        except ResolveError:
            return None
        return parse_record([text.decode("latin-1") for text in texts])

    async def _load(self) -> None:
        self._is_loaded = True
        try:
            stored = await self._offload.run(self._state.policies)
        except ApplianceError as error:
            self._log.warning("tls_state_unavailable", reason=error.detail)
            return
        for one in reversed(stored[:MAX_KNOWN]):
            try:
                self._known.setdefault(one.domain, _Known(one, parse_policy(one.body), 0.0))
            except StsSyntaxError:
                continue

    # Fetching

    async def _fetch_once(self, domain: str, record: str) -> str:
        """Fetch, or wait for who does it already; return the failure, ``""`` for none."""
        while (running := self._fetching.get(domain)) is not None:
            await running.wait()
        known = self._known.get(domain)
        if known is not None and known.stored.policy_id == record:
            return ""
        failed = self._failed.get(domain)
        if failed is not None and self._clock.monotonic_s() < failed[0] + AGAIN_S:
            return failed[1]
        done = self._fetching[domain] = trio.Event()
        try:
            return await self._fetch(domain, record)
        finally:
            del self._fetching[domain]
            done.set()

    async def _fetch(self, domain: str, record: str) -> str:
        """Fetch and keep; return the failure as RFC 8460 section 4.3.2.2 names it."""
        from appliance.net.http_client import RequestError, fetch  # 24 ms and 4 MB that only who follows policies needs

        host = f"mta-sts.{domain}"
        try:
            addresses = await self._resolver.addresses(host)
            context = self._make_context()
            page = await fetch(
                host,
                "/.well-known/mta-sts.txt",
                addresses=addresses,
                context=context,
                max_bytes=MAX_POLICY_BYTES,
                timeout_s=FETCH_S,
                port=self._port,
            )
            policy = _read(page)
        except (ResolveError, TlsSetupError) as error:
            return self._fetch_failed(domain, str(error), "sts-policy-fetch-error")
        except RequestError as error:
            return self._fetch_failed(domain, str(error), "sts-webpki-invalid" if error.is_certificate else "sts-policy-fetch-error")
        except StsSyntaxError as error:
            return self._fetch_failed(domain, str(error), "sts-policy-invalid")
        now_s = self._clock.now_s()
        stored = StoredPolicy(domain, record, now_s, now_s + policy.max_age_s, page.body)
        self._failed.pop(domain, None)
        await self._keep(stored, policy)
        return ""

    async def _keep(self, stored: StoredPolicy, policy: StsPolicy) -> None:
        former = self._known.pop(stored.domain, None)
        self._known[stored.domain] = _Known(stored, policy, former.used_at_s if former is not None else 0.0)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        try:
            await self._offload.run(self._state.keep_policy, stored)
        except ApplianceError as error:
            self._log.warning("tls_state_unavailable", reason=error.detail)

    def _fetch_failed(self, domain: str, reason: str, failure: str) -> str:
        self._failed[domain] = (self._clock.monotonic_s(), failure)
        if len(self._failed) > MAX_KNOWN:
            self._failed.popitem(last=False)
        kept = domain in self._known
        consequence = "the policy fetched before stays in force" if kept else "its mail is sent as if it had none"
        self._log.warning("mta_sts_unavailable", destination=domain, reason=reason, consequence=consequence)
        return failure

    async def run(self) -> None:
        """Fetch policies in use again once a day, for ever: one that is renewed in time cannot be cut off by an attack at its end."""
        while True:
            await trio.sleep(LOOK_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Fetch those again that are a day old and were used since."""
        now_s = self._clock.now_s()
        for domain, known in tuple(self._known.items()):
            if known.stored.fetched_at_s + REFRESH_S <= now_s and known.used_at_s > known.stored.fetched_at_s:
                record = await self._record(domain)
                failed = self._failed.get(domain)
                if record is not None and (failed is None or self._clock.monotonic_s() >= failed[0] + AGAIN_S):
                    await self._fetch(domain, record)
