"""What a reload takes in, and which changed settings wait for a restart. Pure.

Owns the list of keys that ``Parts.reload`` puts in place at once. A key that is
not on it waits, and the administrator is told so by name.
"""

from dataclasses import fields, is_dataclass
from typing import Any, Final

from appliance.config.schema import Config

__all__ = ["TAKEN_IN", "waiting_settings"]

TAKEN_IN: Final = frozenset(
    {
        "domain",
        "domains",
        "origin",
        "postmaster",
        "trusted_networks",
        "relay_domains",
        "relay_recipients",
        "aliases",
        "address_lists",
        "checks",
        "catch_all",
        "smarthost",
        "routes",
        "sender_routes",
        "relay.delivery",
        "relay.ladder_after",
        "users.password",
        "users.addresses",
        "users.quota_bytes",
        "users.hide_capabilities",
        "login.max_failures",
        "login.argon2_memory_kib",
        "oauth.issuer",
        "oauth.audience",
        "oauth.keys_file",
        "oauth.claim",
        "relay.port",
        "relay.tls",
        "limits.max_connections",
        "limits.max_connections_per_address",
        "web.max_connections",
        "log.transcript",
        "proxies",
        "smtp.xclient_from",
    }
)
"""Settings, or whole tables, that are in use from the moment of the reload on."""


def waiting_settings(running: Config, wanted: Config) -> list[str]:
    """Return the settings in which ``wanted`` differs from what the server was started with and that only a restart takes in."""
    found = [] if running.effective_hostname == wanted.effective_hostname else ["hostname"]
    for one in fields(Config):
        old, new = getattr(running, one.name), getattr(wanted, one.name)
        if one.name in TAKEN_IN or one.name == "hostname":
            continue
        if one.name == "users":
            found += _waiting_of_users(running, wanted)
        elif one.name == "oauth" and bool(running.oauth.issuer) != bool(wanted.oauth.issuer):
            found.append("oauth.issuer")  # whether OAUTHBEARER is offered at all
        elif is_dataclass(old):
            found += [f"{one.name}.{key}" for key in _differences(old, new) if f"{one.name}.{key}" not in TAKEN_IN]
        elif old != new:
            found.append(one.name)
    return found


def _waiting_of_users(running: Config, wanted: Config) -> list[str]:
    """Users may come and go; what stays as it is for one who was there is told with the name."""
    known = {user.name: user for user in running.users}
    return [
        f"users.{user.name}.{key}"
        for user in wanted.users
        if user.name in known
        for key in _differences(known[user.name], user)
        if f"users.{key}" not in TAKEN_IN
    ]


def _differences(old: Any, new: Any) -> list[str]:
    return [one.name for one in fields(old) if getattr(old, one.name) != getattr(new, one.name)]
