"""The sample file and the settings in effect."""

import re
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from appliance.config.decode import decode
from appliance.config.effective import (
    account_formats,
    account_quotas,
    banner,
    folder_names,
    hidden_capabilities,
    postmaster_address,
    user_addresses,
)
from appliance.config.render import sample, show
from appliance.config.schema import Config, ListConfig, MailConfig, RouteConfig, SenderRouteConfig, SmarthostConfig, UserConfig
from appliance.model.mailbox import QuotaLimits, SpecialUse

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_sample_is_the_generated_one() -> None:
    """Whoever changes the schema writes the sample anew: carteiro config sample > sample.toml."""
    assert sample() == (ROOT / "sample.toml").read_text(encoding="utf-8")


def test_the_sample_is_a_valid_file() -> None:
    """It can be copied as it is."""
    assert decode(sample(), "sample.toml") == Config(domain="example.com", users=(UserConfig(name="ana"),))


def test_every_default_in_the_sample_is_the_default() -> None:
    """With each mark taken away the file still decodes, to the same settings and the examples."""
    text = re.sub(r'(?m)^# (?=[a-z_]+ = |"example|\[\[)', "", sample())
    expected = Config(
        domain="example.com",
        users=(UserConfig(name="ana"),),
        aliases={"sales": ("ana", "partner@elsewhere.example")},
        catch_all={"example.com": "ana"},
        address_lists=(ListConfig(zone="dnsbl.example.org"),),
        routes=(RouteConfig(domain="partner.example", host="mx.partner.example"),),
        sender_routes=(SenderRouteConfig(sender="ana@example.com", host="smtp.provider.example"),),
    )
    assert expected == decode(text, "sample.toml")


def _tables(kind: Any, seen: dict[str, Any]) -> dict[str, Any]:
    seen[kind.__name__] = kind
    for hint in get_type_hints(kind).values():
        for inner in (hint, *get_args(hint)):
            if isinstance(inner, type) and is_dataclass(inner) and inner.__name__ not in seen:
                _tables(inner, seen)
    return seen


def test_every_setting_has_its_sentence_and_stands_in_the_sample() -> None:
    """Nothing can be set that is not told."""
    text = sample()
    for kind in _tables(Config, {}).values():
        for field in fields(kind):
            assert field.metadata["doc"].endswith(".")
            assert re.search(rf"(?m)^(# )?({field.name} = |\[+{field.name}\])", text), field.name


def test_show_hides_every_secret_and_fills_defaults_in() -> None:
    """What is in effect can be sent to a helper."""
    config = Config(
        domain="example.com",
        users=(UserConfig(name="ana", password="{PLAIN}secret1"),),
        smarthost=SmarthostConfig(host="h.example", username="u", password="secret2"),
        routes=(RouteConfig(domain="a.example", host="b.example", username="u", password="secret3"),),
        mail=MailConfig(language="pt", junk="Lixo"),
    )
    text = show(config)
    raw = tomllib.loads(text)
    assert "secret" not in text
    assert [raw["users"][0]["password"], raw["smarthost"]["password"], raw["routes"][0]["password"]] == ["(hidden)"] * 3
    assert [raw["hostname"], raw["origin"], raw["postmaster"]] == ["mail.example.com", "example.com", "ana"]
    assert [raw["mail"]["sent"], raw["mail"]["junk"]] == ["Enviados", "Lixo"]


def test_what_show_prints_decodes() -> None:
    """Without secrets it is a settings file again."""
    config = decode('domain = "example.com"\n[[users]]\nname = "ana"\n[aliases]\n"a.b@example.com" = "ana"\n', "f")
    again = decode(show(config), "shown")
    assert (again.users, again.aliases, again.smtp) == (config.users, config.aliases, config.smtp)


def test_effective_values_follow_language_and_defaults() -> None:
    """Folder names, addresses, formats."""
    ana, bob = (
        UserConfig(name="ana"),
        UserConfig(name="bob", addresses=("b@example.com",), format="mbox", quota_bytes=5, quota_messages=7, hide_capabilities=("IDLE",)),
    )
    config = Config(domain="example.com", domains=("example.org",), users=(ana, bob), origin="example.org")
    assert folder_names(config.mail)[SpecialUse.JUNK] == "Junk"
    assert folder_names(MailConfig(language="pt"))[SpecialUse.JUNK] == "Spam"
    assert user_addresses(config, ana) == ("ana@example.com", "ana@example.org")
    assert user_addresses(config, bob) == ("b@example.com",)
    assert account_formats(config) == {"ana": "maildir", "bob": "mbox"}
    assert account_quotas(config) == {"ana": QuotaLimits(), "bob": QuotaLimits(5, 7, 0)}
    assert hidden_capabilities(config) == {"bob": ("IDLE",)}
    assert postmaster_address(config) == "postmaster@example.org"
    assert banner(config) == "mail.example.com ESMTP Carteiro"
    assert config.local_domains == ("example.com", "example.org", "mail.example.com", "localhost")
