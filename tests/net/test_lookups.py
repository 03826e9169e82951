"""Checks that ask a real name server: the suite for RFC 7208 over the wire, the cache, odd names."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus
from appliance.net.lookups import DnsLookups
from appliance.net.resolver import Resolver
from appliance.policy.spf import SpfRequest, check_spf
from tests.vectors.zone import Zone, ZoneServer

SUITE = json.loads((Path(__file__).parents[1] / "vectors" / "spf" / "rfc7208.json").read_text())
RECORDS = {
    ("example.com", "MX"): ["20 b.example.com.", "10 a.example.com.", "0 ."],
    ("example.com", "TXT"): ['"one" "two"', '"\\255"'],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["Host.Example.com."],
    ("a.example.com", "A"): ["192.0.2.1"],
    ("a.example.com", "AAAA"): ["2001:db8::1"],
}


class Clock:
    """A clock that stands until it is moved."""

    time_s = 0.0

    def now_s(self) -> float:
        return self.time_s

    def monotonic_s(self) -> float:
        return self.time_s


@pytest.mark.parametrize("scenario", SUITE, ids=[scenario["description"] for scenario in SUITE])
async def test_the_suite_of_rfc_7208_over_the_wire(scenario: Any, fake_dns: Any, nursery: trio.Nursery) -> None:
    """All cases of one scenario, asked of a server that was fed from the file."""
    server = fake_dns({})
    server.answer = ZoneServer(Zone(scenario["zonedata"])).answer
    address = await nursery.start(server.serve)
    lookups = DnsLookups(Resolver([address], timeout_s=5), Clock())
    wrong = []
    for name, case in scenario["tests"].items():
        request = SpfRequest(client_address=case["host"], helo=case["helo"], reverse_path=case["mailfrom"])
        found = await lookups.ask_all(check_spf(request))
        expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
        if found.result.value not in expected or case.get("explanation", "DEFAULT") not in {"DEFAULT", found.explanation}:
            wrong.append((name, expected, found))
    assert [] == wrong
    nursery.cancel_scope.cancel()


@pytest.fixture
async def server(fake_dns: Any, nursery: trio.Nursery) -> Any:
    """A running name server."""
    made = fake_dns(RECORDS, failing=frozenset({"broken.example"}), silent=frozenset({"silent.example"}))
    await nursery.start(made.serve)
    return made


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("example.com", "MX", DnsAnswer(DnsStatus.FOUND, ("", "a.example.com", "b.example.com"))),
        ("example.com", "TXT", DnsAnswer(DnsStatus.FOUND, ("onetwo", "\xff"))),
        ("1.2.0.192.in-addr.arpa", "PTR", DnsAnswer(DnsStatus.FOUND, ("Host.Example.com",))),
        ("a.example.com", "AAAA", DnsAnswer(DnsStatus.FOUND, ("2001:db8::1",))),
        ("example.com", "A", DnsAnswer(DnsStatus.EMPTY)),
        ("gone.example.com", "A", DnsAnswer(DnsStatus.MISSING)),
        ("broken.example", "A", DnsAnswer(DnsStatus.FAILED)),
        ("silent.example", "A", DnsAnswer(DnsStatus.FAILED)),
        ("a..example", "A", DnsAnswer(DnsStatus.MISSING)),
        ("x" * 64 + ".example", "A", DnsAnswer(DnsStatus.MISSING)),
        ('a b\\"(;$@.example', "A", DnsAnswer(DnsStatus.MISSING)),
    ],
)
async def test_records_become_texts(server: Any, nursery: trio.Nursery, name: str, kind: str, expected: DnsAnswer) -> None:
    """Of each kind, and each way of having none; the time limit is the resolver's."""
    lookups = DnsLookups(Resolver([server.address], timeout_s=0.3), Clock())
    found = await lookups.ask(DnsQuestion(name, kind))
    assert (expected.status, sorted(expected.records)) == (found.status, sorted(found.records))
    nursery.cancel_scope.cancel()


async def test_answers_are_kept_for_their_time(server: Any, nursery: trio.Nursery) -> None:
    """Failures, too, for a moment; the oldest goes when there are too many."""
    clock = Clock()
    lookups = DnsLookups(Resolver([server.address], timeout_s=1, cache_entries=1), clock, cache_entries=2)
    await lookups.ask(DnsQuestion("broken.example", "A"))
    await lookups.ask(DnsQuestion("Broken.example", "A"))
    before = len(server.asked)
    await lookups.ask(DnsQuestion("broken.example", "A"))
    assert before == len(server.asked)
    clock.time_s = 11
    await lookups.ask(DnsQuestion("broken.example", "A"))
    assert before < len(server.asked)
    for name in ("a.example.com", "b.example.com", "c.example.com"):
        await lookups.ask(DnsQuestion(name, "A"))
    before = len(server.asked)
    await lookups.ask(DnsQuestion("broken.example", "A"))
    assert before < len(server.asked)
    nursery.cancel_scope.cancel()
