"""One mail transaction as its replies tell it: a verdict for each recipient.

Owns what each reply settles and what may still be tried in the same attempt:
another transaction where the server counted recipients, another host where it
only has no time now. What came after the final dot is never tried again at
once: the message may have been taken (RFC 1047).

Sources: RFC 5321 section 4.3.2, RFC 2033 section 4.2 (LMTP), Postfix smtp_trouble.c (a soft refusal of a recipient
or a message goes on to the next host, a hard one is final).
"""

import enum
from typing import NamedTuple

from appliance.model.outcome import Action, Outcome
from appliance.protocols.smtp.client_events import (
    ClientEvent,
    MessageImpossible,
    MessageReplied,
    RecipientReplied,
    SenderReplied,
)
from appliance.protocols.smtp.replies import Reply
from appliance.services.relay.outcomes import Peer, accepted, as_deferred, failed, from_reply, is_about_count, lost

__all__ = ["Again", "Transaction", "Verdict"]

_LOGIN_WANTED = frozenset({530, 534, 535, 538})


class Again(enum.Enum):
    """What may be tried in this attempt."""

    NOTHING = "nothing"
    HERE = "another transaction on this connection"
    ELSEWHERE = "another host"


class Verdict(NamedTuple):
    outcome: Outcome
    again: Again


class Transaction:
    """Collects what the replies say. ``is_configured``: the host was named in the settings, not found by MX."""

    def __init__(self, count: int, peer: Peer, *, dsn: bool, is_configured: bool) -> None:
        self._verdicts: list[Verdict | None] = [None] * count
        self._peer = peer
        self._dsn = dsn
        self._is_configured = is_configured
        self.content_sent = False
        self.was_taken = False
        """The server took the message for somebody."""
        self.is_doubtful = False
        """A reply spoke of the session rather than of the message: do not use it again."""

    def take(self, event: ClientEvent) -> None:
        """Note one reply."""
        match event:
            case SenderReplied(reply) if not reply.is_positive:
                # "Too many messages on this connection" is said here: a fresh connection may do.
                self.is_doubtful |= reply.is_temporary
                self._settle_rest(self._refused(reply, "MAIL FROM"))
            case RecipientReplied(index, reply) if not reply.is_positive:
                self._verdicts[index] = self._recipient_refused(reply)
            case MessageReplied(None, reply):
                self._message_answered(reply)
            case MessageReplied(int(index), reply):
                self._fate_told(index, reply)
            case MessageImpossible(reply):
                self._settle_rest(Verdict(failed(reply.enhanced, reply.text, self._peer), Again.NOTHING))
            case _:
                pass

    def _fate_told(self, index: int, reply: Reply) -> None:
        """LMTP: each recipient has a fate of his own (RFC 2033 section 4.2)."""
        is_taken = self.content_sent and reply.is_positive
        self.was_taken |= is_taken
        verdict = Verdict(accepted(reply, self._peer, dsn=self._dsn), Again.NOTHING) if is_taken else self._refused(reply, "end of DATA")
        self._verdicts[index] = self._verdicts[index] or verdict

    def _message_answered(self, reply: Reply) -> None:
        if self.content_sent and reply.is_positive:
            self.was_taken = True
            self._settle_rest(Verdict(accepted(reply, self._peer, dsn=self._dsn), Again.NOTHING))
            return
        # 503 to DATA means that the two sides see different transactions.
        self.is_doubtful |= not self.content_sent
        self._settle_rest(self._refused(reply, "end of DATA" if self.content_sent else "DATA"))

    def _recipient_refused(self, reply: Reply) -> Verdict:
        if is_about_count(reply):
            return Verdict(as_deferred(from_reply(reply, "RCPT TO", self._peer)), Again.HERE)
        return self._refused(reply, "RCPT TO")

    def _refused(self, reply: Reply, stage: str) -> Verdict:
        outcome = from_reply(reply, stage, self._peer)
        self.is_doubtful |= reply.code == 421  # RFC 5321 section 3.8: the server closes.
        if reply.code in _LOGIN_WANTED and self._is_configured:
            # A missing login at the smart host is the admin's to mend, not the sender's: mail waits.
            outcome = as_deferred(outcome)
        return Verdict(outcome, Again.ELSEWHERE if outcome.action is Action.DEFERRED else Again.NOTHING)

    def lose(self, outcome: Outcome) -> None:
        """Take the end of the connection. Before the content was whole nothing was taken, after it perhaps everything."""
        self.is_doubtful = True
        is_over = self.content_sent or outcome.is_final
        self._settle_rest(Verdict(outcome, Again.NOTHING if is_over else Again.ELSEWHERE))

    def _settle_rest(self, verdict: Verdict) -> None:
        self._verdicts = [known or verdict for known in self._verdicts]

    def verdicts(self) -> list[Verdict]:
        """Return one verdict per recipient; who was told nothing waits."""
        self._settle_rest(Verdict(lost("no reply for this recipient", "handing the message over", self._peer), Again.ELSEWHERE))
        # Another transaction helps only where this one carried somebody.
        here = Again.HERE if self.was_taken else Again.ELSEWHERE
        return [Verdict(known.outcome, here) if known.again is Again.HERE else known for known in self._verdicts if known is not None]
