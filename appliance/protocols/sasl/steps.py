"""What a server mechanism asks of its session next.

``Challenge`` goes to the client and its answer into ``step``; ``CheckPassword`` and
``ScramFinished`` end the mechanism's part: the session asks the Authenticator.
A ``ScramFinished`` that is ``ok``, and whose account may log in, is told to the client by
sending ``final`` as one more challenge, to which the client answers with
nothing (RFC 5802 section 5, RFC 4954 section 4); only then success.

Sources: RFC 4422 section 3.
"""

from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Challenge", "CheckPassword", "Failed", "ScramFinished", "ServerMechanism", "Step"]


@dataclass(frozen=True, slots=True)
class Challenge:
    data: bytes


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """``authzid`` is ``""`` or who the client wants to be; refuse it when it is not ``login``. Login and password are saslprep'd."""

    authzid: str
    login: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ScramFinished:
    """``ok``: the client proved that it knows the password of ``login``."""

    authzid: str
    login: str
    ok: bool
    final: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """The exchange was malformed. ``reason`` is for the log, safe, without secrets."""

    reason: str


Step = Challenge | CheckPassword | ScramFinished | Failed


class ServerMechanism(Protocol):
    @property
    def name(self) -> str: ...

    def step(self, response: bytes | None) -> Step:
        """Take the initial response (None when there was none), then each answer. Never raises for what a client sends."""
