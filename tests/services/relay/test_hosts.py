"""From a next hop to addresses: preference, null MX, ourselves, and what DNS does not know."""

import random
import socket
from typing import Any

import pytest

from appliance.model.outcome import Action, Outcome
from appliance.model.routing import NextHop
from appliance.net.resolver import ResolveError
from appliance.services.relay.hosts import Ourselves, Target, find_targets

HOP = NextHop("far.example")
GONE = ResolveError("gone", temporary=False)
LATER = ResolveError("no answer", temporary=True)


async def targets(names: Any, next_hop: NextHop = HOP, ourselves: Ourselves | None = None) -> Any:
    found = await find_targets(next_hop, names, ourselves or Ourselves({"us.example"}), lambda _hosts: None)
    return found if isinstance(found, Outcome) else [(target.host, target.address) for target in found]


def failure(found: Any) -> tuple[Action, str]:
    assert isinstance(found, Outcome)
    return found.action, found.status


async def test_hosts_come_by_preference(names: Any) -> None:
    """RFC 5321 section 5.1: the lowest number first."""
    names.domains["far.example"] = [(20, "mx2.example"), (10, "mx1.example")]
    names.hosts |= {"mx1.example": ["192.0.2.1"], "mx2.example": ["192.0.2.2"]}
    assert [("mx1.example", "192.0.2.1"), ("mx2.example", "192.0.2.2")] == await targets(names)


async def test_equals_are_shuffled(names: Any) -> None:
    """RFC 5321 section 5.1: the load spreads over hosts of the same preference, and only over them."""
    names.domains["far.example"] = [(10, "a.example"), (10, "b.example"), (10, "c.example"), (5, "first.example")]
    names.hosts |= {f"{name}.example": ["192.0.2.1"] for name in ("a", "b", "c", "first")}
    chance = random.Random(1)
    orders = set()
    for _ in range(20):
        found = await find_targets(HOP, names, Ourselves(), chance.shuffle)
        assert not isinstance(found, Outcome)
        orders.add(tuple(target.host for target in found))
    assert {"first.example"} == {order[0] for order in orders}
    assert len(orders) > 2


async def test_address_families_take_turns(names: Any) -> None:
    """A machine without IPv6 reaches the IPv4 addresses before its tries are used up."""
    names.domains["far.example"] = [(10, "mx1.example")]
    names.hosts["mx1.example"] = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"]
    assert ["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"] == [address for _host, address in await targets(names)]


@pytest.mark.parametrize(
    ("host", "address"), [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:DB8::1]", "2001:db8::1"), ("[ipv6:2001:db8:0:0::1]", "2001:db8::1")]
)
async def test_literals_ask_nobody(names: Any, host: str, address: str) -> None:
    """RFC 5321 section 4.1.3."""
    assert [Target(address, address, 26)] == await find_targets(NextHop(host, 26, use_mx=False), names, Ourselves(), lambda _hosts: None)
    assert 0 == names.asked


async def test_a_null_mx_takes_no_mail(names: Any) -> None:
    """RFC 7505 section 4.1: bounced at once."""
    names.domains["far.example"] = []
    assert (Action.BOUNCED, "5.1.10") == failure(await targets(names))


@pytest.mark.parametrize(("error", "expected"), [(GONE, (Action.BOUNCED, "5.1.2")), (LATER, (Action.DEFERRED, "4.4.3"))])
async def test_a_domain_that_cannot_be_looked_up(names: Any, error: ResolveError, expected: tuple[Action, str]) -> None:
    """No such domain is final, no answer is not."""
    names.domains["far.example"] = error
    assert expected == failure(await targets(names))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(GONE, GONE, (Action.BOUNCED, "5.1.2")), (GONE, LATER, (Action.DEFERRED, "4.4.3")), (LATER, GONE, (Action.DEFERRED, "4.4.3"))],
)
async def test_hosts_without_addresses(names: Any, first: Any, second: Any, expected: tuple[Action, str]) -> None:
    """One host that may come back keeps the mail waiting."""
    names.domains["far.example"] = [(10, "mx1.example"), (20, "mx2.example")]
    names.hosts |= {"mx1.example": first, "mx2.example": second}
    assert expected == failure(await targets(names))


async def test_a_host_with_no_answer_does_not_hide_the_others(names: Any) -> None:
    """What can be tried is tried."""
    names.domains["far.example"] = [(10, "mx1.example"), (20, "mx2.example")]
    names.hosts |= {"mx1.example": LATER, "mx2.example": ["192.0.2.2"]}
    assert [("mx2.example", "192.0.2.2")] == await targets(names)


async def test_a_server_of_the_settings_that_is_not_there_waits(names: Any) -> None:
    """A misspelt smart host must not bounce the office's mail."""
    assert (Action.DEFERRED, "4.4.4") == failure(await targets(names, NextHop("smrthost.example", use_mx=False)))


async def test_the_list_ends_at_our_name(names: Any) -> None:
    """RFC 5321 section 5.1: as far as we are, or farther, is back to us."""
    names.domains["far.example"] = [(5, "best.example"), (10, "US.example"), (10, "same.example"), (20, "worse.example")]
    names.hosts |= {f"{name}.example": ["192.0.2.1"] for name in ("best", "same", "worse")}
    assert [("best.example", "192.0.2.1")] == await targets(names)


async def test_the_list_ends_at_our_listener(names: Any) -> None:
    """The same by address, whatever the name."""
    names.domains["far.example"] = [(5, "best.example"), (10, "same.example"), (10, "alias.example"), (20, "worse.example")]
    names.hosts |= {
        "best.example": ["192.0.2.1"],
        "same.example": ["192.0.2.2"],
        "alias.example": ["192.0.2.9"],
        "worse.example": ["192.0.2.3"],
    }
    assert [("best.example", "192.0.2.1")] == await targets(names, ourselves=Ourselves((), [("192.0.2.9", 25)]))


@pytest.mark.parametrize("host", ["us.example", "alias.example"])
async def test_mail_that_would_only_come_back_bounces(names: Any, host: str) -> None:
    """The MX is here, the domain is in no settings: say so."""
    names.domains["far.example"] = [(10, host)]
    names.hosts |= {"us.example": ["192.0.2.9"], "alias.example": ["192.0.2.9"]}
    assert (Action.BOUNCED, "5.4.6") == failure(await targets(names, ourselves=Ourselves({"us.example"}, [("192.0.2.9", 25)])))


@pytest.mark.parametrize("host", ["[127.0.0.1]", "alias.example"])
async def test_a_route_to_ourselves_waits_for_the_admin(names: Any, host: str) -> None:
    """A wrong route is mended in the settings; until then nothing goes round."""
    names.hosts["alias.example"] = ["127.0.0.1"]
    hop = NextHop(host, use_mx=False)
    assert (Action.DEFERRED, "4.4.6") == failure(await targets(names, hop, Ourselves((), [("0.0.0.0", 25)])))


async def test_another_port_of_this_machine_is_not_ourselves(names: Any) -> None:
    """A content filter beside us is a fine next hop."""
    hop = NextHop("[127.0.0.1]", 10_025, use_mx=False)
    assert [("127.0.0.1", "127.0.0.1")] == await targets(names, hop, Ourselves((), [("0.0.0.0", 25)]))


def test_wildcard_listeners_cover_the_addresses_of_this_machine_alone() -> None:
    """The kernel knows which they are."""
    ourselves = Ourselves((), [("::", 25)])
    assert ourselves.is_listener("127.0.0.1", 25)
    assert not ourselves.is_listener("192.0.2.1", 25)
    if socket.has_ipv6:
        assert not ourselves.is_listener("2001:db8::1", 25)
