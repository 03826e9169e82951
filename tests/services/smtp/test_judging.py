"""Mail from strangers is judged between DATA and 250; nobody else's is."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio

from appliance.config.schema import ChecksConfig
from appliance.message.header import HeaderSection
from appliance.model.clock import ManualClock
from appliance.model.dns import Asking, DnsAnswer, DnsQuestion, DnsStatus
from appliance.net.lookups import DnsLookups
from appliance.net.resolver import ResolveError
from appliance.policy.judgement import Rules
from appliance.services.smtp.gate import Gate
from appliance.services.smtp.judging import Judge
from tests.policy.dkimkeys import ZONE, dkimpy_sign
from tests.services.smtp.conftest import House
from tests.services.smtp.test_gate import make_gate

RECORDS = ZONE | {
    "example.net": "v=spf1 ip4:192.0.2.1 -all",
    "_dmarc.example.net": "v=DMARC1; p=reject",
    "_dmarc.example.com": "v=DMARC1; p=reject",
    "_dmarc.careful.example": "v=DMARC1; p=quarantine",
}
MESSAGE = b"From: a@example.net\r\nSubject: x\r\n\r\nbody\r\n"
FORGED = MESSAGE.replace(b"example.net", b"example.com")


class FakeResolver:
    """Answers from the table above; some names take their time."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.takes_s = 0.0

    async def records(self, name: str, kind: str) -> tuple[list[Any] | None, float]:
        self.asked.append(name)
        await trio.sleep(self.takes_s)
        if name == "broken.example":
            raise ResolveError("broken", temporary=True)
        text = RECORDS.get(name)
        if text is None or kind != "TXT":
            return None, 0.0
        return [type("Record", (), {"strings": [text.encode()]})], 60.0


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


@pytest.fixture
def judged(house: House) -> Callable[..., FakeResolver]:
    """Make the house judge; return who is asked."""

    def make(rules: Rules = Rules(), **more: Any) -> FakeResolver:  # noqa: B008 - frozen
        resolver = FakeResolver()
        lookups = DnsLookups(resolver, ManualClock())  # type: ignore[arg-type]

        def make() -> tuple[Callable[[], Judge], Callable[[], Gate]]:
            judge = Judge(lookups, rules, ManualClock(time.time()), hostname="mail.example.com", timeout_s=20, **more)
            return lambda: judge, lambda: make_gate(ChecksConfig(helo="off"), lookups)

        house.make_checks = make
        return resolver

    return make


async def send(house: House, content: bytes, *, sender: str = "a@example.net", peer: str = "192.0.2.1") -> str:
    async with house.talk(peer) as talk:
        await talk.start()
        return await talk.mail("ana@example.com", sender=sender, content=content)


async def test_findings_stand_in_front(house: House, judged: Callable[..., FakeResolver]) -> None:
    """Above our own Received, and in the line of the log."""
    judged()
    assert (await send(house, MESSAGE)).startswith("250 ")
    envelope, data = house.intake.accepted[0]
    names = [field.name for field in HeaderSection(data).fields]
    assert [b"Authentication-Results", b"Received-SPF", b"Received", b"From", b"Subject"] == names
    assert data.endswith(MESSAGE)
    assert not envelope.is_junk
    fields = dict(house.events)["message_queued"]
    assert ("pass", "none", "pass", "none") == tuple(fields[name] for name in ("spf", "dkim", "dmarc", "arc"))


async def test_a_signature_is_checked_on_what_arrived(house: House, judged: Callable[..., FakeResolver]) -> None:
    """Fields that claim to be ours are taken out after they were checked, others stay."""
    judged()
    forged = b"Authentication-Results: mail.example.com; dmarc=pass\r\nAuthentication-Results: other.example; spf=pass\r\n"
    signed = dkimpy_sign(forged + FORGED, include_headers=[b"from", b"authentication-results"])
    assert (await send(house, signed, peer="203.0.113.1")).startswith("250 ")
    data = house.intake.accepted[0][1]
    assert 1 == data.count(b"Authentication-Results: mail.example.com;")
    assert b"dmarc=pass\r\nAuth" not in data
    assert b"Authentication-Results: other.example; spf=pass\r\n" in data
    assert b"dkim=pass header.d=example.com" in data


async def test_a_forgery_is_refused(house: House, judged: Callable[..., FakeResolver]) -> None:
    """Nothing is kept; the log has the reply."""
    judged()
    reply = await send(house, FORGED, peer="203.0.113.1")
    assert reply.startswith("550 5.7.1 The domain example.com in From asks that mail")
    assert [] == house.intake.accepted
    assert "DATA" == dict(house.events)["message_refused"]["stage"]


async def test_quarantine_is_taken_as_junk(house: House, judged: Callable[..., FakeResolver]) -> None:
    """The envelope says so, for whoever delivers."""
    judged()
    assert (await send(house, MESSAGE.replace(b"example.net", b"careful.example"))).startswith("250 ")
    assert house.intake.accepted[0][0].is_junk


async def test_trusted_networks_are_not_judged(house: House, judged: Callable[..., FakeResolver]) -> None:
    """Nothing is asked."""
    resolver = judged()
    house.is_trusted = lambda _address: True
    assert (await send(house, FORGED)).startswith("250 ")
    assert [] == resolver.asked
    assert not house.intake.accepted[0][1].startswith(b"Authentication-Results")


async def test_all_questions_together_have_a_limit(house: House, judged: Callable[..., FakeResolver], autojump_clock: Any) -> None:
    """What is not known by then is a temporary error, and the message is taken."""
    judged().takes_s = 9.0
    start_s = trio.current_time()
    assert (await send(house, FORGED)).startswith("250 ")
    assert trio.current_time() - start_s == pytest.approx(20, abs=2)
    assert b"dmarc=temperror" in house.intake.accepted[0][1]


async def test_an_empty_message_is_judged_too(house: House, judged: Callable[..., FakeResolver]) -> None:
    """No header section, no From."""
    judged()
    assert (await send(house, b"")).startswith("250 ")
    assert b"dmarc=permerror" in house.intake.accepted[0][1]


async def test_who_listens_hears_of_every_message(house: House, judged: Callable[..., FakeResolver]) -> None:
    """Also of those that were refused: reports count them."""
    heard: list[str] = []
    judged(listen=lambda verdicts, decision: heard.append(f"{verdicts.dmarc.result.value} {decision.fate.value}"))
    await send(house, MESSAGE)
    await send(house, FORGED, peer="203.0.113.1")
    assert ["pass taken", "fail refused"] == heard


async def test_questions_that_do_not_depend_on_each_other_run_at_once(autojump_clock: Any) -> None:
    """The second is asked while the first waits."""
    resolver = FakeResolver()
    resolver.takes_s = 5.0
    lookups = DnsLookups(resolver, ManualClock())  # type: ignore[arg-type]

    def one(name: str) -> Asking[DnsStatus]:
        answer = yield DnsQuestion(name, "TXT")
        assert isinstance(answer, DnsAnswer)
        return answer.status

    start_s = trio.current_time()
    assert (DnsStatus.FOUND, DnsStatus.FAILED) == await lookups.ask_both(one("example.net"), one("broken.example"), math.inf)
    assert trio.current_time() - start_s == pytest.approx(5)


@pytest.mark.parametrize(("peer", "is_forged"), [("192.0.2.1", False), ("198.51.100.9", True)])
async def test_what_spf_denies_is_marked(house: House, judged: Callable[..., FakeResolver], peer: str, is_forged: bool) -> None:
    """The queue learns whose word no report may be sent on."""
    judged()
    content = MESSAGE.replace(b"From: a@example.net", b"From: a@nowhere.example")
    assert (await send(house, content, peer=peer)).startswith("250 ")
    assert is_forged is house.intake.accepted[0][0].is_forged
