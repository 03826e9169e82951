"""The state of one attempt: what is known of each recipient, and for whom something is left to try. Pure.

Owns which outcome stands when several hosts were asked: the last that put off,
or whatever was final; a host that refuses us as a client settles nothing while
another may still take the mail.

Fails: never; who was told nothing waits.
Sources: Postfix smtp_connect.c (recipients left over after each host).
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import replace

from appliance.model.envelope import EnvelopeRecipient, Notify
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import RelayJob
from appliance.services.relay.transaction import Again, Verdict

__all__ = ["Delivery", "Demand", "waives_tls"]

_NOTHING_TRIED = Outcome(Action.DEFERRED, "4.4.1", "no host could be tried")
_TOO_SLOW = Outcome(Action.DEFERRED, "4.4.7", "the server is so slow that the attempt was given up")


class Demand(enum.Enum):
    """What a message itself asks of TLS (RFC 8689): nothing; TLS for certain or not at all; delivery above all."""

    NOTHING = "nothing"
    TLS = "tls"
    DELIVERY = "delivery"


_WAIVER = re.compile(rb"^TLS-Required[ \t]*:[ \t]*No[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


def waives_tls(header: bytes) -> bool:
    """Tell whether a message says ``TLS-Required: No``. Source: RFC 8689 section 5."""
    end = header.find(b"\r\n\r\n")
    return _WAIVER.search(header, 0, end + 2 if end >= 0 else len(header)) is not None


class Delivery:
    """One ``RelayJob`` on its way through the hosts."""

    def __init__(self, job: RelayJob) -> None:
        self.job = job
        self.demand = Demand.TLS if job.envelope.requires_tls and job.envelope.reverse_path else Demand.NOTHING
        self._known: list[Outcome | None] = [None] * len(job.recipients)
        self._pending = set(range(len(job.recipients)))
        self.setup_s = 0.0
        """Seconds until the last session was open, or was given up; 0 while a kept one serves."""

    def has_pending(self) -> bool:
        """Return True while somebody's mail may still be handed over in this attempt."""
        return bool(self._pending)

    def pending(self) -> list[int]:
        """Return who is left to try, as positions in the job."""
        return sorted(self._pending)

    def alike(self, pending: Sequence[int]) -> list[int]:
        """Return those whose wish for reports may stand beside the first one's in one transaction.

        OpenSMTPD adds what it was told of one recipient to the next, and refuses NEVER beside anything else.
        """
        never = [self.job.recipients[index].notify == Notify.NEVER for index in pending]
        return [index for index, one in zip(pending, never, strict=True) if one == never[0]]

    def recipients(self, batch: Sequence[int]) -> tuple[EnvelopeRecipient, ...]:
        return tuple(self.job.recipients[index] for index in batch)

    def take(self, batch: Sequence[int], verdicts: Sequence[Verdict]) -> list[int]:
        """Note a transaction's verdicts; return whom another transaction of the same session may serve."""
        here: list[int] = []
        for index, verdict in zip(batch, verdicts, strict=True):
            self._known[index] = verdict.outcome
            if verdict.again is Again.NOTHING:
                self._pending.discard(index)
            elif verdict.again is Again.HERE:
                here.append(index)
        return here

    def fail(self, outcome: Outcome) -> None:
        """Note that a host could not be spoken to at all."""
        for index in self._pending:
            known = self._known[index]
            if known is None or outcome.action is Action.DEFERRED or known.action is not Action.DEFERRED:
                self._known[index] = outcome

    def time_out(self) -> None:
        """Note that the whole attempt took too long."""
        for index in self._pending:
            self._known[index] = _TOO_SLOW
        self._pending.clear()

    def outcomes(self) -> list[Outcome]:
        """Return one outcome per recipient, in order."""
        outcomes = [known or _NOTHING_TRIED for known in self._known]
        return [replace(outcome, setup_s=self.setup_s) for outcome in outcomes] if self.setup_s else outcomes
