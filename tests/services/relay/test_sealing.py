"""What an alias sends on carries our seal: two forwarders later the chain still holds, and everybody can check it."""

import base64
from pathlib import Path
from typing import Any

import dkim
import pytest

from appliance.model.content import MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ids import QueueId
from appliance.model.ports import RelayJob
from appliance.model.routing import NextHop
from appliance.net.clock import SystemClock
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.policy.arc import ArcResult
from appliance.services.relay.sealing import Sealing
from appliance.services.relay.signers import Signers
from appliance.storage.dkim_keys import DkimKeys
from tests.policy.test_arc import validate

TO = (EnvelopeRecipient("ana@gmail.example", original="ana@sales.first.example"),)
LETTER = b"Received: from a by first.example; today\r\nFrom: bob@far.example\r\nSubject: x\r\nDate: today\r\n\r\nHello\r\n"


def results(host: str, arc: str) -> bytes:
    return f"Authentication-Results: {host};\r\n\tspf=pass smtp.mailfrom=bob@far.example; arc={arc}\r\n".encode()


def unix(message: bytes) -> bytes:
    return message.replace(b"\r\n", b"\n")


class Forwarder:
    """A server with keys for its domain."""

    def __init__(self, directory: Path, domain: str) -> None:
        self.keys = DkimKeys(directory / domain)
        self.domain = domain
        self.sealing = Sealing(
            Signers(self.keys), hostname=f"mx.{domain}", domain=domain, offload=InlineOffload(), clock=SystemClock(), mail_log=MailLog()
        )

    def records(self) -> dict[str, str]:
        current = self.keys.load(self.domain).current
        return {
            f"{key.selector}._domainkey.{self.domain}": f"v=DKIM1; k={key.kind}; p={base64.b64encode(key.public).decode()}"
            for key in self.keys.private_keys(self.domain, current)
        }

    async def forward(self, message: bytes) -> bytes:
        job = RelayJob(QueueId("Q"), Envelope("bob@far.example", TO), TO, MemoryContent(message), NextHop("gmail.example"))
        content = await self.sealing.sealed(job)
        with content.open() as stream:
            return stream.read()


async def test_a_chain_of_two_holds(tmp_path: Path) -> None:
    """Our verifier and dkimpy's find the chain whole after two stations; a changed body breaks it for both."""
    first, second = Forwarder(tmp_path, "first.example"), Forwarder(tmp_path, "second.example")
    for station in (first, second):
        station.keys.create(station.domain, "c", 1.0)
    once = await first.forward(results("mx.first.example", "none") + LETTER)
    assert once.startswith(b"ARC-Seal:")
    records: dict[str, Any] = first.records() | second.records()
    assert ArcResult.PASS is validate(unix(once), records).result
    twice = await second.forward(results("mx.second.example", "pass") + b"Received: from mx.first.example by b\r\n" + once)
    verdict = validate(unix(twice), records)
    assert (ArcResult.PASS, ("first.example", "second.example")) == (verdict.result, verdict.sealers)

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:
        text = records.get(name.decode().rstrip("."))
        return text.encode() if text else None

    assert b"pass" == dkim.arc_verify(twice, dnsfunc=lookup)[0]
    changed = twice.replace(b"Hello", b"Hallo")
    assert ArcResult.FAIL is validate(unix(changed), records).result
    assert b"fail" == dkim.arc_verify(changed, dnsfunc=lookup)[0]


@pytest.mark.parametrize(
    "message",
    [LETTER, LETTER.replace(b"From:", results("mx.first.example", "none") + b"From:"), results("mx.first.example", "temperror") + LETTER],
    ids=["not judged", "results that came with it", "not known"],
)
async def test_what_was_not_judged_is_not_sealed(tmp_path: Path, message: bytes) -> None:
    """Findings below our Received field are a stranger's, whatever name they bear."""
    station = Forwarder(tmp_path, "first.example")
    station.keys.create("first.example", "c", 1.0)
    assert message == await station.forward(message)


async def test_without_keys_mail_goes_on_unsealed(tmp_path: Path) -> None:
    """No key, or one that cannot be read, stops no mail."""
    station = Forwarder(tmp_path, "first.example")
    message = results("mx.first.example", "none") + LETTER
    assert message == await station.forward(message)
    (tmp_path / "first.example" / "first.example").mkdir(parents=True)
    (tmp_path / "first.example" / "first.example" / "keys.json").write_text("{")
    station.sealing._signers._looked_at_s = float("-inf")
    assert message == await station.forward(message)
