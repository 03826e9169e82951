"""What a reply, or its absence, means for a recipient.

Owns the words: each reason says at which point it happened, as Postfix does, so
that a log line can be understood without the protocol at hand.
Sources: RFC 5321 section 4.2.1 (first digit), RFC 3463, Postfix smtp_trouble.c.
"""

from typing import NamedTuple

from appliance.model.outcome import Action, Outcome
from appliance.protocols.smtp.replies import Reply

__all__ = ["Peer", "from_reply", "lost", "not_capable"]


class Peer(NamedTuple):
    """The server at the other end, as the log and the DSN name it."""

    host: str
    address: str
    port: int
    tls: str = ""

    @property
    def relay(self) -> str:
        return f"{self.host}[{self.address}]:{self.port}"


def _status(reply: Reply) -> str:
    """Return the enhanced status, or the general one of the reply's class (RFC 3463 section 3.1)."""
    if reply.enhanced:
        return reply.enhanced
    return f"{str(reply.code)[0]}.0.0"


def from_reply(reply: Reply, stage: str, peer: Peer) -> Outcome:
    """Return the outcome of a negative reply: 4xx defers, 5xx bounces; what is neither defers."""
    words = reply.text
    action = Action.BOUNCED if 500 <= reply.code <= 599 else Action.DEFERRED
    status = _status(reply) if reply.code >= 400 else "4.5.0"
    diagnostic = " ".join(part for part in (str(reply.code), reply.enhanced, words) if part)
    return Outcome(action, status, f"{peer.host} said: {diagnostic} (in reply to {stage})", diagnostic, peer.host, peer.relay, peer.tls)


def lost(reason: str, stage: str, peer: Peer) -> Outcome:
    """Return the outcome of a connection that broke or answered too late: try again later."""
    return Outcome(
        Action.DEFERRED, "4.4.2", f"lost connection with {peer.relay} while {stage}: {reason}", "", peer.host, peer.relay, peer.tls
    )


def not_capable(status: str, reason: str, peer: Peer) -> Outcome:
    """Return the outcome of a message that this server cannot take for what it is."""
    return Outcome(Action.BOUNCED, status, reason, "", peer.host, peer.relay, peer.tls)
