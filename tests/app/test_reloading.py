"""What a reload takes in, what it does not, and that it says so."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from appliance.app.reloading import TAKEN_IN, waiting_settings
from appliance.config.schema import Config, ImapConfig, LimitsConfig, MailConfig, OauthConfig, QueueConfig, UserConfig, WebConfig

RUNNING = Config(domain="example.com", users=(UserConfig(name="ana"), UserConfig(name="bob")))


def keys() -> set[str]:
    """Return every setting, and every whole table."""
    found = {f"users.{one.name}" for one in fields(UserConfig)}
    for one in fields(Config):
        found.add(one.name)
        value = getattr(Config(), one.name)
        if is_dataclass(value):
            found |= {f"{one.name}.{key.name}" for key in fields(value)}
    return found


def test_what_is_taken_in_exists() -> None:
    """The list names settings, not what was once one."""
    assert set() == TAKEN_IN - keys()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"trusted_networks": ("192.0.2.0/24",), "aliases": {"sales": ("ana",)}, "origin": "x.example"},
        {"limits": LimitsConfig(max_connections=5, max_connections_per_address=1), "web": WebConfig(max_connections=7)},
        {
            "users": (
                UserConfig(name="ana", password="x", quota_bytes=5, hide_capabilities=("IDLE",)),
                UserConfig(name="carla", format="mbox"),
            )
        },
        {"hostname": "mail.example.com"},
        {"oauth": OauthConfig(audience="x")},
    ],
)
def test_nothing_waits(changed: dict[str, Any]) -> None:
    """What is in use at once waits for nothing; neither does a name that was spelt out and is the same."""
    assert [] == waiting_settings(RUNNING, replace(RUNNING, **changed))


@pytest.mark.parametrize(
    ("changed", "waiting"),
    [
        ({"imap": ImapConfig(listen=(), max_bad_commands=3), "data": "/srv"}, ["data", "imap.listen", "imap.max_bad_commands"]),
        ({"queue": QueueConfig(max_active=5), "limits": LimitsConfig(shutdown_grace_s=1)}, ["queue.max_active", "limits.shutdown_grace_s"]),
        ({"users": (UserConfig(name="ana", format="mbox"),), "mail": MailConfig(language="pt")}, ["users.ana.format", "mail.language"]),
        ({"domain": "example.org"}, ["hostname"]),
        ({"oauth": OauthConfig(issuer="x", audience="y", keys_file="z")}, ["oauth.issuer"]),
    ],
)
def test_what_waits_is_named(changed: dict[str, Any], waiting: list[str]) -> None:
    """Each key that only a restart takes in is told by its name in the file; the host name also when it only follows the domain."""
    assert waiting == waiting_settings(RUNNING, replace(RUNNING, **changed))
