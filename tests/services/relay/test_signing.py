"""What leaves is signed, once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.model.content import MemoryContent
from appliance.model.envelope import Client, Envelope, EnvelopeRecipient
from appliance.model.ids import AccountName, QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import RelayJob
from appliance.model.routing import NextHop
from appliance.net.clock import SystemClock
from appliance.net.offload import InlineOffload, ThreadOffload
from appliance.observe.maillog import MailLog
from appliance.services.relay.signers import Signers
from appliance.services.relay.signing import Signing
from appliance.storage.dkim_keys import DkimKeys

MESSAGE = b"From: ana@mail.example.com\r\nSubject: x\r\n\r\nHello\r\n"
ANA = Client("192.0.2.1", account=AccountName("ana"))


@dataclass
class FakeRelay:
    """Takes everything and keeps what it was given."""

    taken: list[bytes] = field(default_factory=list)

    async def run(self) -> None:
        return

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        with job.content.open() as stream:
            self.taken.append(stream.read())
        assert len(self.taken[-1]) == job.content.size
        return [Outcome(Action.RELAYED, "2.0.0", "ok")] * len(job.recipients)


@dataclass
class House:
    signing: Signing
    relay: FakeRelay
    keys: DkimKeys

    async def send(self, client: Client = ANA, message: bytes = MESSAGE, queue_id: str = "Q1", sender: str = "ana@x") -> Outcome:
        to = (EnvelopeRecipient("bob@far.example"),)
        job = RelayJob(QueueId(queue_id), Envelope(sender, to, client=client), to, MemoryContent(message), NextHop("far.example"))
        (outcome,) = await self.signing.deliver(job)
        return outcome


@pytest.fixture
def house(tmp_path: Path) -> House:
    keys, relay = DkimKeys(tmp_path / "dkim"), FakeRelay()
    signing = Signing(
        relay,
        Signers(keys),
        offload=InlineOffload(),
        clock=SystemClock(),
        mail_log=MailLog(),
        is_trusted=lambda address: address == "127.0.0.1",
    )
    return House(signing, relay, keys)


async def test_both_signatures_stand_in_front(house: House) -> None:
    """By the keys of the domain above the author's; the message follows untouched."""
    house.keys.create("example.com", "c", 1.0)
    await house.send()
    (taken,) = house.relay.taken
    assert taken.endswith(MESSAGE)
    assert 2 == taken.count(b"DKIM-Signature:")
    assert b"a=rsa-sha256" in taken
    assert b"a=ed25519-sha256" in taken
    assert b"d=example.com" in taken


async def test_signs_in_a_real_thread(house: House) -> None:
    """As the server does it: nothing of trio's may be asked there."""
    house.keys.create("example.com", "c", 1.0)
    house.signing = Signing(
        house.relay,
        Signers(house.keys),
        offload=ThreadOffload(1),
        clock=SystemClock(),
        mail_log=MailLog(),
        is_trusted=lambda _address: True,
    )
    await house.send()
    assert house.relay.taken[0].startswith(b"DKIM-Signature:")


async def test_a_message_is_signed_once(house: House) -> None:
    """Another destination or try gets the same signature."""
    house.keys.create("example.com", "c", 1.0)
    await house.send()
    await house.send()
    await house.send(queue_id="Q2", message=MESSAGE + b"more\r\n")
    first, second, third = house.relay.taken
    assert first == second
    assert third.partition(b"From:")[0] != first.partition(b"From:")[0]


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (ANA, True),
        (Client("127.0.0.1"), True),
        (Client(protocol="internal"), True),
        (Client("192.0.2.1"), False),
    ],
)
async def test_whose_mail_is_signed(house: House, client: Client, expected: bool) -> None:
    """Our people's, this machine's, our reports; not what a stranger sends through us in our name."""
    house.keys.create("example.com", "c", 1.0)
    await house.send(client)
    assert expected is house.relay.taken[0].startswith(b"DKIM-Signature:")


@pytest.mark.parametrize("message", [MESSAGE.replace(b"example.com", b"other.example"), b"Subject: x\r\n\r\n", b"no header at all"])
async def test_nobody_to_sign_for(house: House, message: bytes) -> None:
    """It goes as it is."""
    house.keys.create("example.com", "c", 1.0)
    await house.send(message=message)
    assert [message] == house.relay.taken


async def test_without_keys(house: House) -> None:
    """Nothing is read, nothing is signed."""
    await house.send()
    assert [MESSAGE] == house.relay.taken


async def test_keys_that_cannot_be_used(house: House) -> None:
    """Mail waits for the admin rather than leave unsigned."""
    made = house.keys.create("example.com", "c", 1.0)
    (house.keys.directory / "example.com" / f"{made.current.rsa}.pem").write_text("garbage")
    outcome = await house.send()
    assert (Action.DEFERRED, []) == (outcome.action, house.relay.taken)
