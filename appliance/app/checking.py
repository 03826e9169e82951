"""From settings to the gate and the judge of incoming mail. Loaded with the first stranger, and made
anew for the first one after a reload that changes them.

Owns the one resolver of all checks; the relay has another, whose cache is for mail hosts.
"""

from collections.abc import Callable

from appliance.app.wiring import Parts
from appliance.config.schema import ChecksConfig
from appliance.net.lookups import DnsLookups
from appliance.net.resolver import Resolver
from appliance.policy.client_checks import AddressList, parse_answers
from appliance.policy.judgement import Rules
from appliance.services.smtp.gate import Gate
from appliance.services.smtp.judging import Judge
from appliance.storage.knownsenders import KnownSenders

__all__ = ["LateLookups", "make_checks", "rules_of"]


def rules_of(checks: ChecksConfig) -> Rules:
    """Return what the settings want done with what is found."""
    forwarders = frozenset(domain.lower() for domain in checks.trusted_forwarders)
    return Rules(dmarc=checks.dmarc, spf_fail=checks.spf_fail, forwarders=forwarders)


class LateLookups:
    """The one resolver, made at the first question."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made: DnsLookups | None = None

    def __call__(self) -> DnsLookups:
        if self._made is None:
            dns = self._parts.config.dns
            resolver = Resolver(dns.servers, timeout_s=dns.timeout_s, cache_entries=dns.cache_entries)
            self._made = DnsLookups(resolver, self._parts.clock, cache_entries=dns.cache_entries)
        return self._made


def make_gate(parts: Parts, lookups: Callable[[], DnsLookups]) -> Gate:
    """Return the gate before DATA."""
    config, checks = parts.current, parts.current.checks
    remembers = checks.greylist or checks.max_recipients_unknown > 0
    return Gate(
        checks,
        [AddressList(each.zone, each.weight, parse_answers(each.answers)) for each in config.address_lists],
        lookups=lookups,
        senders=KnownSenders(parts.data / "senders.db", remember_days=checks.greylist_remember_days) if remembers else None,
        clock=parts.clock,
        mail_log=parts.mail_log,
        own_names=[name.lower() for name in (parts.config.effective_hostname, *config.local_domains)],
    )


def make_checks(parts: Parts) -> tuple[Callable[[], Judge] | None, Callable[[], Gate]]:
    """Return what makes the judge, where mail is judged, and the gate; both share the answers of the DNS."""
    lookups = LateLookups(parts)
    return (lambda: make_judge(parts, lookups())) if parts.current.checks.authenticate else None, lambda: make_gate(parts, lookups)


def make_judge(parts: Parts, lookups: DnsLookups) -> Judge:
    """Return the judge of mail from other servers."""
    config = parts.current
    return Judge(
        lookups,
        rules_of(config.checks),
        parts.clock,
        hostname=parts.config.effective_hostname,
        timeout_s=config.checks.timeout_s,
        listen=parts.reporting.noted if parts.reporting is not None else None,
    )
