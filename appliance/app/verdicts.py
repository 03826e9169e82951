"""The judge of a catcher: the checks of a mail server over records that are given, never over DNS.

Loaded with the first message that is to be judged.
"""

from typing import Any

from appliance.app.check_message import RecordsFile
from appliance.app.checking import rules_of
from appliance.config.schema import ChecksConfig
from appliance.message.header import split_message
from appliance.message.submission import HeaderReport
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus
from appliance.net.clock import SystemClock
from appliance.policy.judgement_fields import findings
from appliance.services.smtp.judging import Judge

__all__ = ["judge_caught"]


class _NoAnswers(RecordsFile):
    """DNS that is switched off."""

    def answer(self, question: DnsQuestion, depth: int = 8) -> DnsAnswer:
        return DnsAnswer(DnsStatus.FAILED)


async def judge_caught(data: bytes, address: str, helo: str, reverse_path: str, records: object, hostname: str) -> dict[str, Any]:
    """Return what is found of a message, and what a server with the usual settings would do with it. Raises RecordsError."""
    checks = ChecksConfig()
    lookups = RecordsFile(records) if records is not None else _NoAnswers({})
    judge = Judge(lookups, rules_of(checks), SystemClock(), hostname=hostname, timeout_s=checks.timeout_s)
    inspection = judge.inspection(client_address=address, helo=helo, reverse_path=reverse_path)
    header, body = split_message(data)
    inspection.begin(HeaderReport(header))
    inspection.feed(body)
    await inspection.finish()
    assert inspection.verdicts is not None
    return findings(inspection.verdicts) | {"fate": inspection.decision.fate.value, "reason": inspection.decision.reason}
