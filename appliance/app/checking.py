"""From settings to the judge of incoming mail. Loaded with the first message from a stranger.

Owns the one resolver of all checks; the relay has another, whose cache is for mail hosts.
"""

from appliance.app.wiring import Parts
from appliance.config.schema import ChecksConfig, Config
from appliance.net.lookups import DnsLookups
from appliance.net.resolver import Resolver
from appliance.policy.judgement import Rules
from appliance.services.smtp.judging import Judge

__all__ = ["make_judge", "make_lookups", "rules_of"]


def rules_of(checks: ChecksConfig) -> Rules:
    """Return what the settings want done with what is found."""
    forwarders = frozenset(domain.lower() for domain in checks.trusted_forwarders)
    return Rules(dmarc=checks.dmarc, spf_fail=checks.spf_fail, forwarders=forwarders)


def make_lookups(config: Config, parts: Parts) -> DnsLookups:
    """Return what answers the questions of checks."""
    dns = config.dns
    resolver = Resolver(dns.servers, timeout_s=dns.timeout_s, cache_entries=dns.cache_entries)
    return DnsLookups(resolver, parts.clock, cache_entries=dns.cache_entries)


def make_judge(parts: Parts) -> Judge:
    """Return the judge of mail from other servers."""
    config = parts.config
    return Judge(
        make_lookups(config, parts),
        rules_of(config.checks),
        parts.clock,
        hostname=config.effective_hostname,
        timeout_s=config.checks.timeout_s,
    )
