"""The daily reports that we send: gathers DMARC findings, and mails each domain its own, and those on TLS.

Owns what is counted, when a day's reports go out, and that each goes out once. They are sent some hours after
midnight (UTC), at another moment each day, as RFC 8460 section 4.1 asks, under the null reverse-path: nobody wants to know of one that is lost.
Those on TLS also go to web servers that a record names.

Fails: never; what cannot be written or asked is told, and tried again an hour later, for three days.
Blocks: disk, network; in the background.
Does not: report on mail of trusted networks or logins, which nobody judges.

Sources: RFC 9990 sections 3.1 and 3.5, RFC 8460 sections 3, 4 and 5.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import trio

from appliance.message.report_writing import DmarcFinding, Reporter, TlsSessions, dmarc_xml, packed_report, report_message, tls_json
from appliance.model.envelope import Client, Envelope, EnvelopeRecipient
from appliance.model.errors import ApplianceError
from appliance.model.ports import Clock, DnsLookup, Intake, Offload
from appliance.net.http_client import RequestError
from appliance.observe.maillog import MailLog
from appliance.policy.dmarc_record import parse_dmarc
from appliance.policy.judgement import Decision, Verdicts
from appliance.policy.report_targets import ReportTarget, dmarc_targets, tls_targets
from appliance.services.reporting.findings import finding_of, published, tls_sessions
from appliance.storage.report_results import ReportResults, ResultKey, SentReport
from appliance.storage.tls_state import TlsState

__all__ = ["ReportOptions", "Reporting"]

WRITE_S: Final = 60.0
LOOK_S: Final = 3_600.0
LAST_WRITE_S: Final = 5.0
DAY_S: Final = 86_400
SPREAD_S: Final = 4 * 3_600
TRY_DAYS: Final = 3
MAX_PENDING: Final = 10_000
MAX_ROWS: Final = 20_000
DNS_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """Which reports are sent, and in whose name."""

    dmarc: bool
    tls: bool
    reporter: Reporter
    bind_address: str = ""


class Reporting:
    """``run`` must run. ``noted`` is for the judge."""

    def __init__(
        self,
        options: ReportOptions,
        results: ReportResults,
        tls: TlsState,
        *,
        intake: Intake,
        lookups: Callable[[], DnsLookup],
        recipients_of: Callable[[str], Sequence[EnvelopeRecipient]],
        post: Callable[[str, bytes], Awaitable[None]],
        offload: Offload,
        clock: Clock,
        mail_log: MailLog,
        jitter: Callable[[], float],
        random_token: Callable[[], str],
    ) -> None:
        """``offload`` must run one call at a time; ``jitter``: 0 to 1; ``recipients_of``: where mail to an address goes.

        ``post``: hands a packed report to a web server; raises RequestError.
        """
        self._options = options
        self._results = results
        self._tls = tls
        self._intake = intake
        self._lookups = lookups
        self._recipients_of = recipients_of
        self._post = post
        self._offload = offload
        self._clock = clock
        self._log = mail_log
        self._random_token = random_token
        self._after_midnight_s = jitter() * SPREAD_S
        self._pending: Counter[ResultKey] = Counter()
        self._lost = 0

    def noted(self, verdicts: Verdicts, decision: Decision) -> None:
        """Count a message. In memory."""
        finding = finding_of(verdicts, decision) if self._options.dmarc else None
        record = verdicts.dmarc.record
        if finding is None or record is None:
            return
        day = int(self._clock.now_s()) // DAY_S
        key = ResultKey(day, verdicts.dmarc.record_domain, record.text, json.dumps(asdict(finding), ensure_ascii=False))
        if key in self._pending or len(self._pending) < MAX_PENDING:
            self._pending[key] += 1
        else:
            self._lost += 1

    async def run(self) -> None:
        """Write down and send, until cancelled, and write once more."""
        look_at_s = 0.0
        try:
            while True:
                await trio.sleep(WRITE_S)
                await self.write()
                if self._clock.now_s() >= look_at_s:
                    look_at_s = self._clock.now_s() + LOOK_S
                    await self.send_due()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WRITE_S):
                await self.write()  # noqa: ASYNC102 - bounded by the deadline above

    async def write(self) -> None:
        """Put what was counted into the file. Blocks: disk."""
        pending, self._pending = self._pending, Counter()
        if not pending:
            return
        try:
            self._lost += await self._offload.run(self._results.add, pending, self._clock.now_s())
        except ApplianceError as error:
            self._log.warning(
                "reports_not_kept", reason=error.detail, consequence="some messages will be missing in reports to other domains"
            )
        if self._lost:
            self._log.warning("reports_not_kept", messages=self._lost, reason="more results in a day than are kept")
            self._lost = 0

    async def send_due(self) -> None:
        """Send what is due and was not sent. Blocks: disk, network."""
        now_s = self._clock.now_s()
        last = int(now_s - self._after_midnight_s) // DAY_S - 1
        try:
            for day in range(last - TRY_DAYS + 1, last + 1):
                await self._send_day(day)
        except ApplianceError as error:
            self._log.warning("reports_not_sent", reason=error.detail, consequence="tried again in an hour")

    async def _send_day(self, day: int) -> None:
        """Raises ApplianceError."""
        if self._options.dmarc:
            for domain in await self._offload.run(self._results.domains, day):
                if not await self._offload.run(self._results.is_done, "dmarc", day, domain):
                    await self._send_dmarc(day, domain)
        if self._options.tls:
            for domain, sessions in tls_sessions(await self._offload.run(self._tls.results, day)).items():
                if not await self._offload.run(self._results.is_done, "tls", day, domain):
                    await self._send_tls(day, domain, sessions)

    async def _send_dmarc(self, day: int, domain: str) -> None:
        rows = await self._offload.run(self._results.rows, day, domain, MAX_ROWS)
        # Of a policy that changed within the day the one that most messages met is told; its addresses get the report.
        text = rows[0][0]
        record = parse_dmarc(text)
        assert record is not None, "only findings under a policy are kept"
        findings: Counter[DmarcFinding] = Counter()
        for _record, row, messages in rows:
            values = json.loads(row)
            findings[DmarcFinding(**values | {"dkim": tuple(tuple(one) for one in values["dkim"])})] += messages
        targets = await self._lookups().ask_all(dmarc_targets(domain, text), trio.current_time() + DNS_S)
        report_id = f"{day}.{self._random_token()}"
        report = dmarc_xml(self._options.reporter, domain, published(record), list(findings.items()), report_id=report_id, day=day)
        await self._send("dmarc", day, domain, targets, report, report_id, sum(findings.values()))

    async def _send_tls(self, day: int, domain: str, sessions: Sequence[TlsSessions]) -> None:
        targets = await self._lookups().ask_all(tls_targets(domain), trio.current_time() + DNS_S)
        report_id = f"{day}.{self._random_token()}"
        reporter, own = self._options.reporter, self._options.bind_address
        report = tls_json(reporter, domain, sessions, report_id=report_id, day=day, bind_address=own)
        total = sum(each.good + sum(each.failures.values()) for each in sessions)
        await self._send("tls", day, domain, targets, report, report_id, total)

    async def _send(
        self, kind: str, day: int, domain: str, targets: Sequence[ReportTarget], report: bytes, report_id: str, messages: int
    ) -> None:
        """Hand a report to the queue and to web servers, and remember that; so too when nobody wants it. Raises ApplianceError."""
        told, failures = await self._post_all([target.address for target in targets if target.is_web], packed_report(report, day))
        told += await self._mail(kind, day, domain, [target for target in targets if not target.is_web], report, report_id)
        if failures and not told:
            self._log.warning("report_not_sent", kind=kind, domain=domain, reason=failures, consequence="tried again in an hour")
            return
        problem = failures
        if not targets:
            problem = "nobody takes reports"
        elif not told:
            problem = "larger than its addresses take, or they do not exist"
        if told:
            self._log.notice("report_sent", kind=kind, domain=domain, to=" ".join(told), messages=messages, problem=problem)
        await self._offload.run(
            self._results.note_sent, SentReport(kind, day, domain, self._clock.now_s(), " ".join(told), messages, problem)
        )

    async def _post_all(self, urls: Sequence[str], packed: bytes) -> tuple[list[str], str]:
        """Return which web servers took the report, and why others did not."""
        told, failures = [], []
        for url in urls:
            try:
                await self._post(url, packed)
            except RequestError as error:
                failures.append(str(error))
            else:
                told.append(url)
        return told, "; ".join(failures)

    async def _mail(self, kind: str, day: int, domain: str, targets: Sequence[ReportTarget], report: bytes, report_id: str) -> list[str]:
        """Queue a report for those addresses that take one of its size and exist; return them. Raises ApplianceError."""
        if not targets:
            return []
        now_s, token = self._clock.now_s(), f"{report_id}.{self._random_token()}"
        addresses = [target.address for target in targets]
        message = report_message(
            self._options.reporter, domain, addresses, report, kind=kind, report_id=report_id, day=day, now_s=now_s, token=token
        )
        fitting = [target.address for target in targets if len(message) <= target.max_bytes]
        recipients = {one.address: one for address in fitting for one in self._recipients_of(address)}
        if not recipients:
            return []
        writer = await self._intake.begin()
        await writer.write(message)
        await self._intake.accept(Envelope("", tuple(recipients.values()), client=Client(protocol="internal")), writer)
        return fitting
