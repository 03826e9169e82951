"""The judge of incoming mail: runs the checks of one message and says what becomes of it.

Owns the time that all questions of one message may take, and asking them at
once where the cache has no answer. Loaded with the first message from a
stranger; ``inspection`` makes what follows one message through its session.

Blocks:   network, at most ``timeout_s`` for a message.
Fails:    never; what cannot be asked in time is a temporary error in the findings.
Does not: touch mail of trusted networks or logins; nobody makes an inspection for them.

Sources: RFC 7208 section 4.6.4 (20 seconds at least), RFC 8601 section 5.
"""

from collections.abc import Callable

import trio

from appliance.message.authres import without_claims_of
from appliance.message.header import HeaderSection
from appliance.message.submission import HeaderReport
from appliance.model.dns import Asking
from appliance.model.ports import Clock, DnsLookup
from appliance.policy.arc import ArcVerdict
from appliance.policy.dkim import DkimVerdict
from appliance.policy.judgement import Decision, Fate, MessageChecks, Rules, Verdicts, decide
from appliance.policy.judgement_fields import result_fields, summary
from appliance.policy.spf import SpfRequest, SpfResult

__all__ = ["Inspection", "Judge"]


class Judge:
    """Judges for one listener. ``listen``: told the verdicts on each message and what became of it, for reports."""

    def __init__(
        self,
        lookups: DnsLookup,
        rules: Rules,
        clock: Clock,
        *,
        hostname: str,
        timeout_s: float,
        listen: Callable[[Verdicts, Decision], None] | None = None,
    ) -> None:
        self._lookups = lookups
        self._rules = rules
        self._clock = clock
        self.hostname = hostname
        self._timeout_s = timeout_s
        self._listen = listen

    def inspection(self, *, client_address: str, helo: str, reverse_path: str) -> "Inspection":
        """Return what looks at one message."""
        request = SpfRequest(client_address, helo, reverse_path, self.hostname, self._clock.now_s())
        return Inspection(self, request)

    def checks(self, section: HeaderSection, request: SpfRequest) -> MessageChecks:
        return MessageChecks(section.fields, request, self._rules, now_s=request.now_s)

    async def judge(self, checks: MessageChecks) -> tuple[Verdicts, Decision]:
        """Ask everything, conclude, decide."""
        deadline_s = trio.current_time() + self._timeout_s
        lookups = self._lookups
        spf_asking, dkim_asking, arc_asking = checks.askings()
        if checks.needs_body:
            spf, (dkim, arc) = await lookups.ask_both(spf_asking, _one_after_the_other(dkim_asking, arc_asking), deadline_s)
        else:
            # No signature to ask a key for.
            spf = await lookups.ask_all(spf_asking, deadline_s)
            dkim, arc = await lookups.ask_all(_one_after_the_other(dkim_asking, arc_asking), deadline_s)
        verdicts = await lookups.ask_all(checks.conclude(spf, dkim, arc), deadline_s)
        decision = decide(verdicts, self._rules)
        if self._listen is not None:
            self._listen(verdicts, decision)
        return verdicts, decision


def _one_after_the_other(
    dkim: Asking[tuple[DkimVerdict, ...]], arc: Asking[ArcVerdict]
) -> Asking[tuple[tuple[DkimVerdict, ...], ArcVerdict]]:
    first = yield from dkim
    second = yield from arc
    return first, second


class Inspection:
    """Follows one message: its header section, its body, its end."""

    __slots__ = ("_checks", "_judge", "_request", "decision", "verdicts")

    def __init__(self, judge: Judge, request: SpfRequest) -> None:
        self._judge = judge
        self._request = request
        self._checks: MessageChecks | None = None
        self.verdicts: Verdicts | None = None
        self.decision = Decision(Fate.TAKEN)

    def begin(self, report: HeaderReport) -> bytes | None:
        """Take the header section; return it without fields that claim to be ours, None when there are none."""
        section = report.section
        self._checks = self._judge.checks(section, self._request)
        if not report.count(b"authentication-results"):
            return None
        kept = without_claims_of(section, self._judge.hostname)
        return kept.to_bytes() if len(kept.fields) < len(section.fields) else None

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        assert self._checks is not None
        if self._checks.needs_body:
            self._checks.feed(chunk)

    async def finish(self) -> bytes:
        """Judge; return the fields to put in front. Blocks: network, bounded."""
        if self._checks is None:
            self._checks = self._judge.checks(HeaderSection(), self._request)  # a message without a single octet
        self.verdicts, self.decision = await self._judge.judge(self._checks)
        return result_fields(self.verdicts, self._judge.hostname)

    @property
    def is_forged(self) -> bool:
        """True when the domain of the reverse-path says that the client may not use it: a report would go to a stranger."""
        return self.verdicts is not None and self.verdicts.spf.result is SpfResult.FAIL

    def words(self) -> dict[str, str]:
        """Return the findings for the log, a word each."""
        return summary(self.verdicts) if self.verdicts is not None else {}
