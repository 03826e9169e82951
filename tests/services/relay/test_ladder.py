"""The ladder, several smart hosts, and LMTP."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from appliance.model.content import MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import RelayJob
from appliance.model.routing import NextHop, TlsLevel
from appliance.observe.maillog import MailLog
from appliance.protocols.smtp.replies import Reply
from appliance.services.relay.ladder import Ladder

SMART = NextHop("smart.example", 587, use_mx=False)
DIRECT = NextHop("far.example", fallback=SMART, fallback_after=2)
REFUSED = Outcome(Action.BOUNCED, "5.7.1", "refused", "550 5.7.1 Client host [192.0.2.1] blocked using Spamhaus")
UNKNOWN = Outcome(Action.BOUNCED, "5.1.1", "unknown", "550 5.1.1 who?")
TAKEN = Outcome(Action.RELAYED, "2.0.0", "ok")


@dataclass
class FakeRelay:
    """Answers by host; remembers who was asked for whom."""

    answers: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    asked: list[tuple[str, list[str]]] = field(default_factory=list)

    async def run(self) -> None:
        return

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        assert job.next_hop.fallback is None
        addresses = [one.address for one in job.recipients]
        self.asked.append((job.next_hop.host, addresses))
        return [self.answers.get(job.next_hop.host, {}).get(address, TAKEN) for address in addresses]


@dataclass
class FakeClock:
    at_s: float = 0.0

    def now_s(self) -> float:
        return self.at_s

    def monotonic_s(self) -> float:
        return self.at_s


def job(*addresses: str, next_hop: NextHop = DIRECT, attempts: int = 0) -> RelayJob:
    to = tuple(EnvelopeRecipient(address) for address in addresses)
    return RelayJob(QueueId("Q1"), Envelope("b@x", to), to, MemoryContent(b"x"), next_hop, attempts)


async def test_straight_first() -> None:
    """The smart host has nothing to do while that works; nor is it asked for a recipient who does not exist."""
    relay = FakeRelay({"far.example": {"no@far.example": UNKNOWN}})
    outcomes = await Ladder(relay, FakeClock(), MailLog()).deliver(job("ana@far.example", "no@far.example"))
    assert [TAKEN, UNKNOWN] == outcomes
    assert [("far.example", ["ana@far.example", "no@far.example"])] == relay.asked


async def test_a_server_that_refuses_our_address() -> None:
    """Those recipients go by the smart host at once; the domain is remembered for a day."""
    relay, clock = FakeRelay({"far.example": {"eve@far.example": REFUSED}}), FakeClock()
    ladder = Ladder(relay, clock, MailLog())
    assert [TAKEN, TAKEN] == await ladder.deliver(job("ana@far.example", "eve@far.example"))
    assert [TAKEN] == await ladder.deliver(job("eve@far.example"))
    clock.at_s = 90_000
    await ladder.deliver(job("ana@far.example"))
    assert ["far.example", "smart.example", "smart.example", "far.example"] == [host for host, _addresses in relay.asked]
    assert ["eve@far.example"] == relay.asked[1][1]


async def test_after_tries_in_vain() -> None:
    """The second rung from the attempt that the settings name."""
    relay = FakeRelay()
    ladder = Ladder(relay, FakeClock(), MailLog())
    for attempts in (1, 2):
        await ladder.deliver(job("ana@far.example", attempts=attempts))
    assert ["far.example", "smart.example"] == [host for host, _addresses in relay.asked]


async def test_without_a_ladder() -> None:
    """A next hop without fallback is left alone, refused or not."""
    relay = FakeRelay({"far.example": {"eve@far.example": REFUSED}})
    assert [REFUSED] == await Ladder(relay, FakeClock(), MailLog()).deliver(
        job("eve@far.example", next_hop=NextHop("far.example"), attempts=9)
    )


async def test_the_next_smart_host_stands_in(house: Any) -> None:
    """The first is away: the second takes the mail in the same attempt."""
    house.absent("mx1.example", 0, "127.0.0.250")
    second = await house.peer("mx2.example")
    hop = house.hop(host="mx1.example", use_mx=False, others=("mx2.example",))
    (outcome,) = await house.send(next_hop=hop)
    assert (Action.RELAYED, 1) == (outcome.action, len(second.messages))


@pytest.mark.parametrize("pipelining", [True, False])
async def test_lmtp_has_a_fate_for_each(house: Any, pipelining: bool) -> None:
    """RFC 2033 section 4.2: of two accepted recipients one is taken and one put off."""
    peer = await house.peer()
    peer.options = type(peer.options)(hostname="mx1.example", lmtp=True, pipelining=pipelining)
    peer.fates = [Reply(250, "2.1.5", "ok"), Reply(452, "4.2.2", "full")]
    hop = house.hop(host="mx1.example", use_mx=False, lmtp=True, tls=TlsLevel.NONE)
    outcomes = await house.send("ana@far.example", "bob@far.example", next_hop=hop)
    assert [(Action.RELAYED, "2.1.5"), (Action.DEFERRED, "4.2.2")] == [(one.action, one.status) for one in outcomes]
