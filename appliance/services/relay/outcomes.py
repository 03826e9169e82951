"""What a reply, or its absence, means for a recipient.

Owns the words: each reason says at which point it happened, as Postfix does, so
that a log line can be understood without the protocol at hand. What a server
says is cut and cleaned here: it goes into the log, the queue and bounces.

Sources: RFC 5321 section 4.2.1 (first digit), section 4.5.3.1.10 (552 for too many
recipients), RFC 3463, Postfix smtp_trouble.c.
"""

import re
from dataclasses import replace
from typing import Final, NamedTuple

from appliance.model.outcome import Action, Outcome
from appliance.protocols.smtp.replies import Reply

__all__ = ["Peer", "accepted", "as_deferred", "failed", "from_reply", "is_about_count", "lost"]

MAX_WORDS: Final = 1_000
"""Of one reply; servers that explain themselves at length repeat themselves."""

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Peer(NamedTuple):
    """The server at the other end, as the log and the DSN name it."""

    host: str
    address: str
    port: int
    tls: str = ""

    @property
    def relay(self) -> str:
        return f"{self.host}[{self.address}]:{self.port}"


def _words(reply: Reply) -> str:
    """Return code, status and text as they came, on one line of bearable length."""
    text = _CONTROLS.sub("?", str(reply))
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 3] + "..."


def _status(reply: Reply) -> str:
    """Return the enhanced status, or the general one of the reply's class (RFC 3463 section 3.1)."""
    return reply.enhanced or f"{reply.code // 100}.0.0"


def from_reply(reply: Reply, stage: str, peer: Peer) -> Outcome:
    """Return the outcome of a negative reply: 4xx defers, 5xx bounces; what is neither defers."""
    words = _words(reply)
    action = Action.BOUNCED if reply.code >= 500 else Action.DEFERRED
    status = _status(reply) if reply.code >= 400 else "4.5.0"
    return Outcome(action, status, f"{peer.host} said: {words} (in reply to {stage})", words, peer.host, peer.relay, peer.tls)


def accepted(reply: Reply, peer: Peer, *, dsn: bool) -> Outcome:
    """Return the outcome of a message that the server took. ``dsn``: with the duty to notify (RFC 3461 section 5.2.2)."""
    words = _words(reply)
    return Outcome(Action.RELAYED, _status(reply), f"taken by {peer.host}: {words}", words, peer.host, peer.relay, peer.tls, dsn)


def lost(reason: str, stage: str, peer: Peer) -> Outcome:
    """Return the outcome of a connection that broke or answered too late: try again later."""
    return failed("4.4.2", f"lost connection with {peer.relay} while {stage}: {_CONTROLS.sub('?', reason)[:MAX_WORDS]}", peer)


def failed(status: str, reason: str, peer: Peer) -> Outcome:
    """Return an outcome in our own words; the status says whether it is final."""
    action = Action.BOUNCED if status.startswith("5") else Action.DEFERRED
    return Outcome(action, status, reason, "", peer.host, peer.relay, peer.tls)


def as_deferred(outcome: Outcome) -> Outcome:
    """Turn a refusal of us as a client into a reason to wait."""
    return replace(outcome, action=Action.DEFERRED, status=f"4{outcome.status[1:]}")


def is_about_count(reply: Reply) -> bool:
    """Tell a refusal for the number of recipients in one transaction.

    RFC 5321 section 4.5.3.1.10 asks to take 552 for 452 here; with a status of its own it speaks of the mailbox.
    """
    if reply.code == 452:
        return reply.enhanced in {"", "4.5.3"}
    return reply.code == 552 and reply.enhanced in {"", "5.5.3"}
