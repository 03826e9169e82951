"""Which server takes mail for an address elsewhere."""

from dataclasses import replace

import pytest

from appliance.config.schema import Config, RelayConfig, RouteConfig, SenderRouteConfig, SmarthostConfig, UserConfig
from appliance.model.routing import NextHop, TlsLevel
from appliance.policy.directory import ConfigDirectory
from appliance.policy.routing import ConfigRouter

CONFIG = Config(
    domain="example.com",
    users=(UserConfig(name="ana"),),
    relay=RelayConfig(port=2525, tls="encrypt"),
    routes=(
        RouteConfig(domain="Partner.example", host="mx.partner.example", port=26, tls="verify", username="u", password="p"),
        RouteConfig(domain=".partner.example", host="[192.0.2.5]"),
        RouteConfig(domain=".deep.partner.example", host="Deep.example", use_mx=True),
        RouteConfig(domain="köln.example", host="k.example"),
    ),
)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("a@partner.example", NextHop("mx.partner.example", 26, use_mx=False, tls=TlsLevel.VERIFY, username="u", password="p")),
        ("a@x.partner.EXAMPLE", NextHop("[192.0.2.5]", 25, use_mx=False)),
        ("a@x.deep.partner.example", NextHop("deep.example", 25, use_mx=True)),
        ("a@deep.partner.example", NextHop("[192.0.2.5]", 25, use_mx=False)),
        ("a@xn--kln-sna.example", NextHop("k.example", 25, use_mx=False)),
        ("a@Elsewhere.example", NextHop("elsewhere.example", 2525, use_mx=True, tls=TlsLevel.ENCRYPT)),
        ("a@[192.0.2.9]", NextHop("[192.0.2.9]", 2525, use_mx=False, tls=TlsLevel.ENCRYPT)),
        ("ana@example.com", None),
        ("nobody@example.com", None),
        ("ana@[127.0.0.1]", None),
        ("postmaster", None),
    ],
)
def test_the_nearest_route_wins_then_the_domain_itself(address: str, expected: NextHop | None) -> None:
    """An exact route, the nearest parent's, the MX records; ours stays here. Twice, since answers are kept."""
    router = ConfigRouter(CONFIG, ConfigDirectory(CONFIG))
    assert [expected, expected] == [router.next_hop(address), router.next_hop(address)]


def test_the_smart_host_takes_all_the_rest() -> None:
    """Routes go before it."""
    smarthost = SmarthostConfig(host="smtp.provider.example", username="u", password="p")
    config = Config(domain="example.com", routes=CONFIG.routes, smarthost=smarthost)
    router = ConfigRouter(config, ConfigDirectory(config))
    expected = NextHop("smtp.provider.example", 587, use_mx=False, tls=TlsLevel.VERIFY, username="u", password="p")
    assert expected == router.next_hop("a@elsewhere.example")
    assert expected == router.next_hop("a@[192.0.2.9]")
    assert NextHop("[192.0.2.5]", 25, use_mx=False) == router.next_hop("a@x.partner.example")


def test_the_cache_is_bounded() -> None:
    """Thousands of domains do not stay in memory."""
    router = ConfigRouter(CONFIG, ConfigDirectory(CONFIG))
    for number in range(5_000):
        assert router.next_hop(f"a@d{number}.example") == NextHop(f"d{number}.example", 2525, tls=TlsLevel.ENCRYPT)


# The smart host, the ladder, and senders with a way of their own

SMART = SmarthostConfig(host="smart.example", others=("Second.example",))
BY_SMART = NextHop("smart.example", 587, use_mx=False, tls=TlsLevel.VERIFY, others=("second.example",))
STRAIGHT = NextHop("elsewhere.example", 25, use_mx=True)


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        ("auto", BY_SMART),
        ("relay", BY_SMART),
        ("direct", STRAIGHT),
        ("ladder", NextHop("elsewhere.example", 25, fallback=BY_SMART, fallback_after=3)),
    ],
)
def test_delivery(delivery: str, expected: NextHop) -> None:
    """Whether the smart host is asked never, always, or when the straight way fails."""
    relay = RelayConfig(delivery=delivery, ladder_after=3)  # type: ignore[arg-type]
    config = Config(domain="example.com", users=(UserConfig(name="ana"),), smarthost=SMART, relay=relay)
    assert expected == ConfigRouter(config, ConfigDirectory(config)).next_hop("a@elsewhere.example")


def test_sender_routes() -> None:
    """The address, then the domain of the sender; behind a route of the recipient's domain, and never for our own mail."""
    config = replace(
        CONFIG,
        sender_routes=(
            SenderRouteConfig(sender="Ana@example.com", host="ana.example", tls="encrypt"),
            SenderRouteConfig(sender="example.com", host="all.example", tls="encrypt"),
        ),
    )
    router = ConfigRouter(config, ConfigDirectory(config))
    hosts = {
        ("a@elsewhere.example", "ana@EXAMPLE.com"): "ana.example",
        ("a@elsewhere.example", "eve@example.com"): "all.example",
        ("a@elsewhere.example", "eve@other.example"): "elsewhere.example",
        ("a@elsewhere.example", ""): "elsewhere.example",
        ("a@partner.example", "ana@example.com"): "mx.partner.example",
    }
    assert hosts == {paths: found.host for paths in hosts if (found := router.next_hop(*paths)) is not None}
    assert router.next_hop("ana@example.com", "ana@example.com") is None
