"""The gate before DATA, through whole sessions: who is refused, in which words, and what is remembered."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.config.schema import ChecksConfig
from appliance.model.clock import ManualClock
from appliance.net.lookups import DnsLookups
from appliance.net.resolver import ResolveError
from appliance.observe.maillog import MailLog
from appliance.policy.client_checks import AddressList
from appliance.services.smtp.gate import Gate
from appliance.storage.knownsenders import KnownSenders
from tests.services.smtp.conftest import House

RECORDS: Mapping[tuple[str, str], Sequence[str]] = {
    ("2.2.0.192.bad.example", "A"): ["127.0.0.2"],
    ("2.2.0.192.bad.example", "TXT"): ["see https://bad.example/why"],
    ("3.2.0.192.bad.example", "A"): ["127.0.0.2"],
    ("3.2.0.192.good.example", "A"): ["127.0.1.1"],
    ("4.2.0.192.bad.example", "A"): ["127.255.255.254"],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["a.far.example"],
    ("a.far.example", "A"): ["192.0.2.1"],
    ("2.2.0.192.in-addr.arpa", "PTR"): ["liar.far.example"],
}
LISTS = (AddressList("bad.example", 1), AddressList("good.example", -2))


class Resolver:
    """Answers from the table above."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def records(self, name: str, kind: str) -> tuple[list[Any] | None, float]:
        await trio.lowlevel.checkpoint()
        self.asked.append(name)
        if name.startswith("9.2.0.192."):
            raise ResolveError("broken", temporary=True)
        found = RECORDS.get((name, kind))
        if found is None:
            return None, 0.0
        name_of = type("Name", (), {"to_text": lambda self, omit_final_dot: self.text})
        made = []
        for text in found:
            target = name_of()
            target.text = text
            made.append(type("Record", (), {"strings": [text.encode()], "address": text, "target": target})())
        return made, 60.0


def make_gate(checks: ChecksConfig, lookups: Any, *, lists: Sequence[AddressList] = (), senders: Any = None, clock: Any = None) -> Gate:
    return Gate(
        checks,
        lists,
        lookups=lambda: lookups,
        senders=senders,
        clock=clock or ManualClock(),
        mail_log=MailLog(),
        own_names=("mail.example.com", "localhost"),
    )


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


@pytest.fixture
def guard(house: House) -> Callable[..., ManualClock]:
    """Set the house's gate up; return the clock."""

    def make(*, lists: Sequence[AddressList] = (), senders: KnownSenders | None = None, **settings: Any) -> ManualClock:
        clock = ManualClock()
        lookups = DnsLookups(Resolver(), ManualClock())  # type: ignore[arg-type]
        gate = make_gate(ChecksConfig(**settings), lookups, lists=lists, senders=senders, clock=clock)
        house.make_checks = lambda: (None, lambda: gate)
        return clock

    return make


async def send(house: House, *recipients: str, peer: str = "192.0.2.1", helo: str = "client.example", sender: str = "s@far.example") -> str:
    async with house.talk(peer) as talk:
        await talk.start(helo)
        return await talk.mail(*(recipients or ("ana@example.com",)), sender=sender)


@pytest.mark.parametrize(
    ("setting", "helo", "expected"),
    [
        ("own", "MAIL.example.com.", "550 5.7.1 You are not mail.example.com; that is this server"),
        ("own", "short", "250 2.0.0"),
        ("full", "short", "550 5.7.1 Short is no full host name"),
        ("full", "[192.0.2.1]", "250 2.0.0"),
        ("full", "192.0.2.1", "550 5.7.1 192.0.2.1 is no full host name"),
        ("off", "mail.example.com", "250 2.0.0"),
    ],
)
async def test_the_name_said_in_ehlo(house: House, guard: Callable[..., ManualClock], setting: str, helo: str, expected: str) -> None:
    """Our own name is a lie of everybody else's."""
    guard(helo=setting)
    assert (await send(house, helo=helo)).startswith(expected)


@pytest.mark.parametrize(
    ("setting", "peer", "expected"),
    [
        ("named", "192.0.2.1", "250 "),
        ("named", "192.0.2.2", "250 "),
        ("named", "192.0.2.8", "550 5.7.25 Client refused: 192.0.2.8 has no name in the reverse DNS"),
        ("named", "192.0.2.9", "450 4.7.25 "),
        ("confirmed", "192.0.2.1", "250 "),
        ("confirmed", "192.0.2.2", "550 5.7.25 Client refused: the name liar.far.example of 192.0.2.2 does not lead back to it"),
    ],
)
async def test_the_reverse_dns(house: House, guard: Callable[..., ManualClock], setting: str, peer: str, expected: str) -> None:
    """No name is final, a name server that is down is not."""
    guard(reverse_dns=setting)
    assert (await send(house, peer=peer)).startswith(expected)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("192.0.2.1", "250 "),
        ("192.0.2.2", "550 5.7.1 Client 192.0.2.2 refused: it is on bad.example (see https://bad.example/why)"),
        ("192.0.2.3", "250 "),
        ("192.0.2.4", "250 "),
        ("192.0.2.9", "250 "),
    ],
)
async def test_lists_of_addresses(house: House, guard: Callable[..., ManualClock], peer: str, expected: str) -> None:
    """Bad and good add up; what a list says when it does not want to answer counts for nothing."""
    guard(lists=LISTS)
    assert (await send(house, peer=peer)).startswith(expected)


async def test_refusals_are_told_with_their_check(house: House, guard: Callable[..., ManualClock]) -> None:
    """For the counters; postmaster gets his mail all the same."""
    guard(lists=LISTS)
    assert (await send(house, "postmaster@example.com", peer="192.0.2.2")).startswith("250 ")
    await send(house, peer="192.0.2.2")
    fields = [fields for name, fields in house.events if name == "message_refused"]
    assert [("list", "RCPT", "ana@example.com")] == [(each["check"], each["stage"], each["to"]) for each in fields]


async def test_what_policy_refuses_asks_nobody(house: House, guard: Callable[..., ManualClock]) -> None:
    """A relay attempt from a listed client is refused as such."""
    guard(lists=LISTS)
    assert "Relaying denied" in await send(house, "x@elsewhere.example", peer="192.0.2.2")


async def test_trusted_networks_pass(house: House, guard: Callable[..., ManualClock]) -> None:
    """Whatever lists say of them."""
    guard(lists=LISTS)
    house.is_trusted = lambda _address: True
    assert (await send(house, peer="192.0.2.2")).startswith("250 ")


async def test_greylisting_remembers(house: House, guard: Callable[..., ManualClock], tmp_path: Path) -> None:
    """Who comes back after the delay is taken, and from then on at once, also after a restart and from a neighbour."""
    senders = KnownSenders(tmp_path / "senders.db", remember_days=35)
    clock = guard(greylist=True, senders=senders)
    assert (await send(house)).startswith("451 4.7.1 Greylisted: we do not know you yet; try again in 300 seconds")
    clock.advance(100)
    assert "200 seconds" in await send(house)
    clock.advance(200)
    assert (await send(house)).startswith("250 ")
    senders.close()
    assert (await send(house, "bob@example.com", peer="192.0.2.77")).startswith("250 ")
    assert (await send(house, sender="other@elsewhere.example")).startswith("451 ")
    clock.advance(36 * 86_400)
    assert (await send(house)).startswith("451 ")
    senders.close()


async def test_a_memory_that_cannot_be_read_lets_mail_through(house: House, guard: Callable[..., ManualClock], tmp_path: Path) -> None:
    """Greylisting is no reason to lose mail."""
    guard(greylist=True, senders=KnownSenders(tmp_path / "missing" / "senders.db", remember_days=35))
    assert (await send(house)).startswith("250 ")


async def test_rates(house: House, guard: Callable[..., ManualClock]) -> None:
    """Of one address, and of its whole network; they come back with time."""
    clock = guard(messages_per_hour=2, messages_per_hour_network=3)
    assert ["250", "250", "450"] == [(await send(house))[:3] for _ in range(3)]
    assert "192.0.2.1 or its network; try again in 1800 seconds" in await send(house)
    assert ["250", "450"] == [(await send(house, peer="192.0.2.7"))[:3] for _ in range(2)]
    clock.advance(1_800)
    assert (await send(house)).startswith("250 ")


async def test_unknown_senders_reach_few_at_once(house: House, guard: Callable[..., ManualClock], tmp_path: Path) -> None:
    """The rest is theirs to send again; known senders have no such limit."""
    senders = KnownSenders(tmp_path / "senders.db", remember_days=35)
    guard(max_recipients_unknown=1, senders=senders)
    assert (await send(house, "ana@example.com", "bob@example.com")).startswith("452 4.5.3 We do not know you yet: at most 1 recipients")
    assert (await send(house)).startswith("250 ")
    assert (await send(house, "ana@example.com", "bob@example.com")).startswith("250 ")
    senders.close()
