"""Which server takes mail for an address elsewhere."""

import pytest

from appliance.config.schema import Config, RelayConfig, RouteConfig, SmarthostConfig, UserConfig
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
