"""A day of mail, and the reports that come of it."""

import gzip
import io
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.message.report_writing import Reporter
from appliance.message.reports import DmarcReport, TlsReport, reports_in
from appliance.model.clock import ManualClock
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ids import QueueId
from appliance.net.http_client import RequestError
from appliance.observe.maillog import MailLog
from appliance.policy.arc import ArcResult, ArcVerdict
from appliance.policy.dkim import DkimResult, DkimVerdict
from appliance.policy.dmarc import DmarcResult, DmarcVerdict
from appliance.policy.dmarc_record import parse_dmarc
from appliance.policy.judgement import Decision, Fate, Verdicts
from appliance.policy.spf import SpfRequest, SpfResult, SpfVerdict
from appliance.services.reporting.service import Reporting, ReportOptions
from appliance.storage.report_results import ReportResults
from appliance.storage.tls_state import TlsResult, TlsState

DAY = 20_000
RECORD = "v=DMARC1; p=reject; rua=mailto:d@a.example!1m"


class Inline:
    async def run(self, work: Any, *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*args)


class Zone:
    """Answers for every check from a table."""

    def __init__(self) -> None:
        self.records = {"_smtp._tls.a.example": ("v=TLSRPTv1; rua=mailto:t@elsewhere.example",)}

    async def ask_all(self, asking: Any, _deadline_s: float) -> Any:
        await trio.lowlevel.checkpoint()

        def look_up(question: DnsQuestion) -> DnsAnswer:
            found = self.records.get(question.name)
            return DnsAnswer(DnsStatus.FOUND, found) if found else DnsAnswer(DnsStatus.MISSING)

        return answer_with(look_up, asking)


@dataclass
class Writer:
    queue_id: QueueId
    data: bytes = b""
    size: int = 0

    async def write(self, chunk: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.data += chunk


@dataclass
class House:
    directory: Path
    clock: ManualClock = field(default_factory=ManualClock)
    accepted: list[tuple[Envelope, bytes]] = field(default_factory=list)
    zone: Zone = field(default_factory=Zone)
    posted: list[tuple[str, bytes]] = field(default_factory=list)
    web_fails: bool = False
    results: ReportResults = field(init=False)
    tls: TlsState = field(init=False)

    def __post_init__(self) -> None:
        self.clock.wall_s = DAY * 86_400 + 50_000.0
        self.results, self.tls = ReportResults(self.directory / "reports.db"), TlsState(self.directory / "tls.db")

    async def begin(self) -> Writer:
        await trio.lowlevel.checkpoint()
        return Writer(QueueId(f"Q{len(self.accepted)}"))

    async def accept(self, envelope: Envelope, writer: Any) -> QueueId:
        await trio.lowlevel.checkpoint()
        self.accepted.append((envelope, writer.data))
        queue_id: QueueId = writer.queue_id
        return queue_id

    async def post(self, url: str, packed: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.web_fails:
            text = "it answers 500"
            raise RequestError(text)
        self.posted.append((url, packed))

    def recipients(self, address: str) -> Sequence[EnvelopeRecipient]:
        return () if address.startswith("gone@") else (EnvelopeRecipient(address),)

    def reporting(self, *, dmarc: bool = True, tls: bool = True) -> Reporting:
        logger = logging.Logger("test")  # noqa: LOG001 - on purpose outside the tree: nothing is shared between tests
        logger.addHandler(logging.NullHandler())
        tokens = iter(range(1_000_000))
        return Reporting(
            ReportOptions(dmarc=dmarc, tls=tls, reporter=Reporter("mx.example", "postmaster@mx.example", "mail.mx.example")),
            self.results, self.tls, intake=self, lookups=lambda: self.zone, recipients_of=self.recipients, post=self.post, offload=Inline(),  # type: ignore[arg-type, return-value]
            clock=self.clock, mail_log=MailLog(logger), jitter=lambda: 0.5, random_token=lambda: f"token{next(tokens)}",
        )  # fmt: skip

    def next_day(self, *, hour: float = 3) -> None:
        self.clock.wall_s = (DAY + 1) * 86_400 + hour * 3_600


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.results.close()
    made.tls.close()


def verdicts(record: str = RECORD, *, address: str = "192.0.2.1", result: DmarcResult = DmarcResult.PASS) -> Verdicts:
    return Verdicts(
        SpfRequest(address, "helo.example", "x@a.example", "mx.example", 0.0),
        SpfVerdict(SpfResult.PASS, "a.example"),
        (DkimVerdict(DkimResult.FAIL, "a.example", "s1"),),
        ArcVerdict(ArcResult.NONE),
        DmarcVerdict(result, "a.example", record_domain="a.example", record=parse_dmarc(record), spf_domain="a.example"),
    )


def reports(house: House) -> list[DmarcReport | TlsReport]:
    return [report for _envelope, data in house.accepted for report in reports_in(io.BytesIO(data))]


async def test_a_day_of_mail(house: House) -> None:
    """Equal findings are one row; the report goes out once, in the next night, to who has asked, and nobody hears of its loss."""
    reporting = house.reporting()
    for fate in (Fate.TAKEN, Fate.TAKEN, Fate.REFUSED):
        reporting.noted(verdicts(), Decision(fate))
    reporting.noted(verdicts(address="2001:db8::1"), Decision(Fate.TAKEN))
    await reporting.write()
    await reporting.send_due()
    house.next_day(hour=1.9)
    await reporting.send_due()
    assert [] == house.accepted, "two hours after midnight is the moment of this server"
    house.next_day(hour=2.1)
    await reporting.send_due()
    await house.reporting().send_due()
    [(envelope, data)] = house.accepted
    assert ("", ["d@a.example"], "internal") == (
        envelope.reverse_path,
        [one.address for one in envelope.recipients],
        envelope.client.protocol,
    )
    assert b"From: <postmaster@mx.example>\r\n" in data
    [report] = reports(house)
    assert isinstance(report, DmarcReport)
    assert ("a.example", "reject", DAY * 86_400) == (report.domain, report.policy, report.begin_s)
    rows = [(row.address, row.count, row.disposition, row.spf, row.dkim) for row in report.rows]
    assert [
        ("192.0.2.1", 2, "none", "pass", "fail"),
        ("192.0.2.1", 1, "reject", "pass", "fail"),
        ("2001:db8::1", 1, "none", "pass", "fail"),
    ] == sorted(rows, key=lambda row: (row[0], -row[1]))
    [sent] = house.results.sent()
    assert ("dmarc", DAY, "a.example", "d@a.example", 4, "") == (
        sent.kind,
        sent.day,
        sent.domain,
        sent.recipients,
        sent.messages,
        sent.problem,
    )


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("v=DMARC1; p=none; rua=mailto:d@victim.example", "nobody takes reports"),
        ("v=DMARC1; p=none; rua=mailto:d@a.example!10", "larger than its addresses take, or they do not exist"),
        ("v=DMARC1; p=none; rua=mailto:gone@a.example", "larger than its addresses take, or they do not exist"),
    ],
)
async def test_reports_that_do_not_go_out(house: House, record: str, problem: str) -> None:
    """To who has not asked, is too small, or is not there; that is remembered, too, and not tried again."""
    reporting = house.reporting()
    reporting.noted(verdicts(record), Decision(Fate.TAKEN))
    await reporting.write()
    house.next_day()
    await reporting.send_due()
    assert ([], [problem]) == (house.accepted, [one.problem for one in house.results.sent()])


async def test_what_is_not_reported(house: House) -> None:
    """Mail of domains that ask for nothing, and verdicts that are none."""
    reporting = house.reporting()
    reporting.noted(verdicts("v=DMARC1; p=reject"), Decision(Fate.TAKEN))
    reporting.noted(verdicts(result=DmarcResult.TEMPERROR), Decision(Fate.TAKEN))
    house.reporting(dmarc=False).noted(verdicts(), Decision(Fate.TAKEN))
    await reporting.write()
    assert [] == house.results.domains(DAY)


async def test_sessions_of_a_day(house: House) -> None:
    """What the relay has kept becomes a TLS report; with it off there is none."""
    house.tls.add(
        [],
        [TlsResult(DAY, "a.example", "tlsa", "", "mx", "192.0.2.9", "", 3), TlsResult(DAY, "none.example", "sts", "", "mx", "x", "")],
        DAY * 86_400.0,
    )
    house.next_day()
    await house.reporting(tls=False).send_due()
    assert [] == house.accepted
    await house.reporting().send_due()
    [(envelope, _data)] = house.accepted
    assert ["t@elsewhere.example"] == [one.address for one in envelope.recipients]
    [report] = reports(house)
    assert isinstance(report, TlsReport)
    assert [("tlsa", "a.example", 3)] == [(one.kind, one.domain, one.good_sessions) for one in report.policies]
    assert [("a.example", ""), ("none.example", "nobody takes reports")] == sorted(
        (one.domain, one.problem) for one in house.results.sent()
    )


async def test_a_report_over_https(house: House) -> None:
    """It is posted packed, beside the mail; where the web server alone is to get it and fails, it is tried again."""
    house.tls.add([], [TlsResult(DAY, "a.example", "sts", "", "mx", "192.0.2.9", "", 3)], DAY * 86_400.0)
    house.zone.records = {"_smtp._tls.a.example": ("v=TLSRPTv1; rua=https://a.example/tls",)}
    house.next_day()
    house.web_fails = True
    await house.reporting().send_due()
    assert ([], []) == (house.posted, house.results.sent())
    house.web_fails = False
    for _ in range(2):
        await house.reporting().send_due()
    [(url, packed)] = house.posted
    assert (url, 3) == (
        "https://a.example/tls",
        json.loads(gzip.decompress(packed))["policies"][0]["summary"]["total-successful-session-count"],
    )
    assert [("https://a.example/tls", "")] == [(one.recipients, one.problem) for one in house.results.sent()]


async def test_a_web_server_that_fails_beside_mail(house: House) -> None:
    """The mail goes out once; the other's failure is remembered with it."""
    house.tls.add([], [TlsResult(DAY, "a.example", "sts", "", "mx", "192.0.2.9", "", 3)], DAY * 86_400.0)
    house.zone.records = {"_smtp._tls.a.example": ("v=TLSRPTv1; rua=https://a.example/tls,mailto:t@a.example",)}
    house.next_day()
    house.web_fails = True
    for _ in range(2):
        await house.reporting().send_due()
    assert 1 == len(house.accepted)
    assert [("t@a.example", "it answers 500")] == [(one.recipients, one.problem) for one in house.results.sent()]


async def test_counts_are_bounded_and_kept(house: House, monkeypatch: pytest.MonkeyPatch, autojump_clock: Any) -> None:
    """In memory there is room for so many; what was counted is written at the end."""
    from appliance.services.reporting import service

    monkeypatch.setattr(service, "MAX_PENDING", 2)
    reporting = house.reporting()
    for number in range(5):
        reporting.noted(verdicts(address=f"192.0.2.{number}"), Decision(Fate.TAKEN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporting.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert 2 == len(house.results.rows(DAY, "a.example", 10))
