"""Forwarded mail travels under a reverse-path of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from appliance.model.content import MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import RelayJob
from appliance.model.routing import NextHop
from appliance.policy.srs import SenderRewriting
from appliance.services.relay.forwarding import Forwarding

SRS = SenderRewriting(b"secret", "ours.example", lambda: 1.7e9)
ALIAS = EnvelopeRecipient("ana@gmail.example", original="ana@ours.example")
PLAIN = EnvelopeRecipient("zoe@backup.example")


@dataclass
class FakeRelay:
    asked: list[tuple[str, list[str]]] = field(default_factory=list)

    async def run(self) -> None:
        return

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        self.asked.append((job.envelope.reverse_path, [one.address for one in job.recipients]))
        return [Outcome(Action.RELAYED, "2.0.0", one.address) for one in job.recipients]


async def forward(sender: str, *recipients: EnvelopeRecipient) -> tuple[FakeRelay, list[str]]:
    relay = FakeRelay()
    job = RelayJob(QueueId("Q"), Envelope(sender, recipients), recipients, MemoryContent(b"x"), NextHop("gmail.example"))
    outcomes = await Forwarding(relay, SRS, lambda domain: domain == "ours.example").deliver(job)
    return relay, [outcome.reason for outcome in outcomes]


async def test_a_strangers_mail_for_an_alias() -> None:
    """It is rewritten, and the way back is there."""
    relay, _outcomes = await forward("bob@far.example", ALIAS)
    ((sender, _addresses),) = relay.asked
    assert sender.endswith("@ours.example")
    assert "bob@far.example" == SRS.reverse(sender)


@pytest.mark.parametrize(("sender", "recipient"), [("", ALIAS), ("eve@ours.example", ALIAS), ("bob@far.example", PLAIN)])
async def test_what_is_not_rewritten(sender: str, recipient: EnvelopeRecipient) -> None:
    """Reports, our own people's mail, and mail for a domain that we are a backup for."""
    relay, _outcomes = await forward(sender, recipient)
    assert [(sender, [recipient.address])] == relay.asked


async def test_both_in_one_message() -> None:
    """Each goes its own way; the outcomes keep the order of the recipients."""
    relay, outcomes = await forward("bob@far.example", PLAIN, ALIAS, PLAIN)
    assert [PLAIN.address, ALIAS.address, PLAIN.address] == outcomes
    assert [[ALIAS.address], [PLAIN.address, PLAIN.address]] == [addresses for _sender, addresses in relay.asked]
