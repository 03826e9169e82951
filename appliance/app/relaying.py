"""Settings to a relay: its resolver, TLS, and what it remembers of other servers' TLS.

Loaded with the relay itself, by the first message for elsewhere.
"""

import ssl
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from appliance.config.schema import Config
from appliance.model.domain import canonical_domain
from appliance.model.ports import Clock, Offload
from appliance.net.offload import OwnThread, ThreadOffload
from appliance.net.processor import OneProcessor
from appliance.net.resolver import Resolver
from appliance.net.tls import client_context
from appliance.observe.maillog import MailLog
from appliance.policy.srs import SenderRewriting
from appliance.services.relay.forwarding import Forwarding
from appliance.services.relay.ladder import Ladder, RunningRelay
from appliance.services.relay.rotation import KeyRotation
from appliance.services.relay.sealing import Sealing
from appliance.services.relay.security import RelaySecurity
from appliance.services.relay.service import RelayService
from appliance.services.relay.signers import Signers
from appliance.services.relay.signing import Signing
from appliance.services.relay.sts import StsPolicies
from appliance.storage.dkim_keys import DkimKeys
from appliance.storage.tls_state import TlsState

__all__ = ["make_relay"]


def _client_tls(config: Config) -> Callable[..., ssl.SSLContext]:
    """Return a maker of client contexts; each is loaded once (20 ms for the authorities)."""
    known: dict[bool, ssl.SSLContext] = {}

    def context(*, verify: bool) -> ssl.SSLContext:
        if verify not in known:
            known[verify] = client_context(verify=verify, authorities_file=config.relay.ca_file)
        return known[verify]

    return context


def make_relay(
    config: Config,
    own_listeners: Collection[tuple[str, int]],
    offload: Offload,
    clock: Clock,
    mail_log: MailLog,
    is_trusted: Callable[[str], bool],
    srs: SenderRewriting | None,
    processor: OneProcessor | None = None,
) -> RunningRelay:
    """Return the relay, not yet running. ``own_listeners``: where we take mail ourselves; ``is_trusted``: whose mail needs no login."""
    dns = config.dns
    resolver = Resolver(dns.servers, timeout_s=dns.timeout_s, cache_entries=dns.cache_entries, validating=dns.validating)
    make_context = _client_tls(config)
    state, in_order = TlsState(Path(config.data) / "tls.db"), OwnThread("tls")
    sts = StsPolicies(resolver, partial(make_context, verify=True), state, in_order, clock, mail_log) if config.relay.mta_sts else None
    tlsa = resolver if dns.validating else None
    relay = RelayService(
        config.relay,
        hostname=config.effective_hostname,
        own_names=frozenset({config.effective_hostname.lower()}),
        own_listeners=own_listeners,
        resolver=resolver,
        tls=make_context,
        security=RelaySecurity(sts=sts, tlsa=tlsa, state=state, offload=in_order, clock=clock, mail_log=mail_log),
        offload=offload,
        mail_log=mail_log,
    )
    keys = DkimKeys(Path(config.data) / "keys" / "dkim")
    ladder = Ladder(relay, clock, mail_log)
    # A signature by RSA takes most of a millisecond without the interpreter's lock: it may use another processor.
    signers, one_at_a_time = Signers(keys), ThreadOffload(1, processor)
    days = config.relay.dkim_rotate_days
    rotation = KeyRotation(keys, resolver, days=days, offload=one_at_a_time, clock=clock, mail_log=mail_log)
    signing = Signing(
        ladder,
        signers,
        offload=one_at_a_time,
        clock=clock,
        mail_log=mail_log,
        is_trusted=is_trusted,
        rotation=rotation.run if days else None,
    )
    if srs is None or not config.relay.srs:
        return signing
    own = frozenset(canonical_domain(domain) for domain in config.local_domains)
    sealing = Sealing(
        signers, hostname=config.effective_hostname, domain=config.domain, offload=one_at_a_time, clock=clock, mail_log=mail_log
    )
    return Forwarding(signing, srs, lambda domain: canonical_domain(domain) in own, sealing.sealed)
