"""``carteiro dkim check``: what the DNS says of the keys that outgoing mail is signed with.

Owns the questions and the words of the answers. Keys that sign, keys that follow and those that signed until lately must all
be published: mail on its way is verified by any of them.

Blocks: network, the time limit of the settings for each key.
Sources: RFC 6376 section 3.6.1.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import trio

from appliance.app.configfile import EX_OK, load_or_explain
from appliance.config.schema import DnsConfig
from appliance.net.resolver import ResolveError, Resolver
from appliance.policy.dkim_sign import is_published
from appliance.services.relay.rotation import TextLookup
from appliance.storage.dkim_keys import DkimKeys, DomainKeys

__all__ = ["Finding", "check", "look_at"]

EX_MISSING: Final = 1
_WORDS: Final = {
    "published": "is published",
    "missing": "is not in the DNS",
    "other": "is in the DNS with another key: what it signs fails",
    "unknown": "cannot be looked up now",
}


class Finding(NamedTuple):
    """``use``: current, following or retired; ``status``: published, missing, other or unknown; ``detail``: why it is unknown."""

    domain: str
    selector: str
    use: str
    status: str
    detail: str = ""


def check(args: argparse.Namespace, keys: DkimKeys, domains: Sequence[str]) -> int:
    """Print what is found and return 0 when every record is right. Raises what ``DkimKeys`` does."""
    config = None if args.data is not None and not Path(args.config).exists() else load_or_explain(args.config)
    dns = config.dns if config is not None else DnsConfig()
    resolver = Resolver(args.server or dns.servers, timeout_s=dns.timeout_s)
    found = [one for domain in domains for one in trio.run(look_at, keys, keys.load(domain), resolver)]
    for one in found:
        if args.json:
            print(json.dumps(one._asdict()))
        else:
            detail = f" ({one.detail})" if one.detail else ""
            print(f"{one.selector}._domainkey.{one.domain} ({one.use}) {_WORDS[one.status]}{detail}")
    if any(one.status != "published" for one in found):
        if not args.json:
            print("carteiro dkim list shows the records as they should be")
        return EX_MISSING
    return EX_OK


async def look_at(keys: DkimKeys, domain: DomainKeys, resolver: TextLookup) -> list[Finding]:
    """Return what the DNS says of each key of a domain. Blocks: disk, network."""
    pairs = [("current", domain.current), ("following", domain.following), *(("retired", one) for one in domain.retired)]
    found = []
    for use, pair in pairs:
        for key in keys.private_keys(domain.domain, pair):
            status, detail = await _status(resolver, f"{key.selector}._domainkey.{domain.domain}", key.public)
            found.append(Finding(domain.domain, key.selector, use, status, detail))
    return found


async def _status(resolver: TextLookup, name: str, public: bytes) -> tuple[str, str]:
    try:
        texts = await resolver.texts(name)
    except ResolveError as error:
        return "unknown", error.reason
    if is_published(texts, public):
        return "published", ""
    return ("other" if texts else "missing"), ""
