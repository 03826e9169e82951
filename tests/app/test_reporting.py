"""A day of mail judged, and the report on it mailed in the night: the parts as the server wires them, the reporter's clock set by hand."""

import io
import re
from pathlib import Path

import dkim
import trio

from appliance.app import wiring
from appliance.app.checking import LateLookups, make_judge
from appliance.app.inprocess import open_mailbox
from appliance.app.reporting import make_reporting
from appliance.config.schema import Config, DnsConfig, ReportsConfig, RouteConfig
from appliance.message.header import split_message
from appliance.message.reports import DmarcReport, reports_in
from appliance.message.submission import HeaderReport
from appliance.model.clock import ManualClock
from appliance.policy.dkim_sign import key_record
from appliance.storage.dkim_keys import DkimKeys
from tests.conftest import FakeDns

DAY = 20_000
RECORDS = {
    ("a.example", "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"'],
    ("_dmarc.a.example", "TXT"): ['"v=DMARC1; p=reject; rua=mailto:dmarc@far.example"'],
    ("a.example._report._dmarc.far.example", "TXT"): ['"v=DMARC1"'],
}
MESSAGE = b"From: Ana <ana@a.example>\r\nSubject: x\r\n\r\nhello\r\n"


async def receive(parts: wiring.Parts, address: str) -> None:
    """Judge a message as the server does while it takes it in."""
    judge = make_judge(parts, LateLookups(parts)())
    inspection = judge.inspection(client_address=address, helo="out.example", reverse_path="ana@a.example")
    header, body = split_message(MESSAGE)
    inspection.begin(HeaderReport(header))
    inspection.feed(body)
    await inspection.finish()


async def test_a_report_is_mailed_in_the_night(tmp_path: Path) -> None:
    """What a stranger's domain asks for goes to whom it names, by the queue, signed; it says what was found and done."""
    names = FakeDns(RECORDS)
    async with trio.open_nursery() as nursery, open_mailbox() as far:
        address = await nursery.start(names.serve)
        config = Config(
            domain="us.example", hostname="mx.us.example", data=str(tmp_path), dns=DnsConfig(servers=(address,)),
            reports=ReportsConfig(dmarc=True), routes=(RouteConfig(domain="far.example", host="[127.0.0.1]", port=far.port, tls="none"),),
        )  # fmt: skip
        keys = DkimKeys(tmp_path / "keys" / "dkim")
        made = keys.create("us.example", "s", 0.0)
        parts = await wiring.assemble(config)
        clock = ManualClock(wall_s=DAY * 86_400 + 50_000.0)
        parts.clock = clock  # type: ignore[assignment]
        parts.reporting = make_reporting(parts)
        for client in ("192.0.2.1", "192.0.2.1", "198.51.100.7"):
            await receive(parts, client)
        await parts.reporting.write()
        await nursery.start(parts.committer.run)
        await nursery.start(parts.manager.run)
        nursery.start_soon(parts.relay.run)
        await parts.reporting.send_due()
        await far.expect_none(within=0.05)
        clock.wall_s = (DAY + 1) * 86_400 + 5 * 3_600.0
        for _ in range(2):
            await parts.reporting.send_due()
        mail = await far.expect(to="dmarc@far.example")
        assert 1 == len(await far.messages())
        await parts.committer.drain()
        nursery.cancel_scope.cancel()
    await parts.offload.run(parts.spool.close)
    assert ("", "Report Domain: a.example Submitter: us.example") == (mail.reverse_path, mail.subject.partition(" Report-ID")[0])
    [report] = reports_in(io.BytesIO(mail.raw))
    assert isinstance(report, DmarcReport)
    assert ("us.example", "a.example", "reject", DAY * 86_400) == (report.organisation, report.domain, report.policy, report.begin_s)
    assert {("192.0.2.1", 2, "pass", "pass"), ("198.51.100.7", 1, "reject", "fail")} == {
        (row.address, row.count, row.disposition, row.spf) for row in report.rows
    }
    published = {
        f"{key.selector}._domainkey.us.example.".encode(): key_record(key.kind, key.public).encode()
        for key in keys.private_keys("us.example", made.current)
    }
    [signature] = re.findall(rb"DKIM-Signature: [^\r]*(?:\r\n[ \t][^\r]*)*a=ed25519(?:[^\r]|\r\n[ \t])*\r\n", mail.raw)
    assert dkim.verify(mail.raw.replace(signature, b""), dnsfunc=lambda name, timeout=5: published.get(name))
