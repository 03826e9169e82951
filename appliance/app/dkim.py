"""``carteiro dkim new|list|check|rotate|forget``: the keys that outgoing mail is signed with.

Owns the words and the DNS records that are printed. The running server sees changed keys within seconds.

Sources: RFC 6376 section 3.6.1, opendkim-genkey(8), sysexits(3).
"""

import argparse
import json
import sys
import time
from pathlib import Path

from appliance.app.configfile import EX_CONFIG, EX_OK, add_data_arguments, data_directory
from appliance.model.domain import canonical_domain, is_domain
from appliance.model.errors import ApplianceError
from appliance.policy.dkim_sign import key_record, zone_line
from appliance.storage.dkim_keys import DkimKeys, DomainKeys, KeyPair

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Make, show and change the keys that outgoing mail is signed with (DKIM)."

EX_USAGE = 64
EX_CANTCREAT = 73
DAY_S = 86_400
KEPT_DAYS = 14
"""Longer than any server keeps mail that it has not verified yet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="new|list|check|rotate|forget")
    texts = {
        "new": "make keys for a domain and print its DNS records",
        "list": "show the keys of a domain, or of all, and their DNS records",
        "check": "ask the DNS whether the records of a domain's keys, or of all, are there",
        "rotate": "sign with the keys that were prepared, and prepare others",
        "forget": f"remove keys that were retired {KEPT_DAYS} days ago",
    }
    for name, text in texts.items():
        each = actions.add_parser(name, help=text)
        each.add_argument("domain", nargs="?" if name in {"list", "check"} else None, default="", help="the domain of the senders")
        each.add_argument("--json", action="store_true", help="as one JSON object per domain")
        add_data_arguments(each)
        if name == "check":
            each.add_argument("--server", metavar="ADDRESS", action="append", help="name server, instead of those in the settings file")


def run(args: argparse.Namespace) -> int:
    """Do the action and return the exit code."""
    data = data_directory(args)
    if data is None:
        return EX_CONFIG
    domain = canonical_domain(args.domain) if args.domain else ""
    if domain and not is_domain(domain):
        print(f"carteiro: {args.domain} is not a domain", file=sys.stderr)
        return EX_USAGE
    keys = DkimKeys(Path(data) / "keys" / "dkim")
    try:
        return _do(args, keys, domain)
    except ApplianceError as error:
        print(f"carteiro: {error.detail or error.client_text}", file=sys.stderr)
    except OSError as error:
        print(f"carteiro: {error.filename or data}: {error.strerror}", file=sys.stderr)
    return EX_CANTCREAT


def _do(args: argparse.Namespace, keys: DkimKeys, domain: str) -> int:
    now_s = time.time()
    prefix = time.strftime("c%Y%m", time.gmtime(now_s))
    if args.action == "list":
        for one in [domain] if domain else keys.domains():
            _show(args, keys, keys.load(one))
    elif args.action == "check":
        from appliance.app.dkim_check import check  # and with it the resolver

        return check(args, keys, [domain] if domain else keys.domains())
    elif args.action == "new":
        _show(args, keys, keys.create(domain, prefix, now_s))
    elif args.action == "rotate":
        _show(args, keys, keys.rotate(domain, prefix, now_s))
    else:
        for pair in keys.forget(domain, now_s - KEPT_DAYS * DAY_S):
            print(f"removed {pair.rsa} and {pair.ed25519}; their DNS records may go, too")
    return EX_OK


def _show(args: argparse.Namespace, keys: DkimKeys, found: DomainKeys) -> None:
    lines = {name: _records(keys, found.domain, pair) for name, pair in (("current", found.current), ("following", found.following))}
    if args.json:
        retired = [{"rsa": one.rsa, "ed25519": one.ed25519, "until": one.until_s} for one in found.retired]
        print(json.dumps({"domain": found.domain, **lines, "retired": retired}))
        return
    print(f"; {found.domain}: mail is signed with these keys; publish them before anything else")
    print("\n".join(lines["current"]))
    print("; these follow: publish them, too, then `carteiro dkim rotate` can be run at any time")
    print("\n".join(lines["following"]))
    for one in found.retired:
        until = time.strftime("%Y-%m-%d", time.gmtime(one.until_s))
        print(f"; {one.rsa} and {one.ed25519} signed until {until}: keep their records {KEPT_DAYS} days from then")


def _records(keys: DkimKeys, domain: str, pair: KeyPair) -> list[str]:
    return [zone_line(key.selector, domain, key_record(key.kind, key.public)) for key in keys.private_keys(domain, pair)]
