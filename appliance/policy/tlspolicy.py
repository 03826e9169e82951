"""How a host must be spoken to: what the settings, MTA-STS and DANE say, joined to one decision. Pure.

Owns the order: settings that demand more than "when offered" stand as they are;
DANE, where signed TLSA records are there, rules over MTA-STS, and a DANE that
fails is never mended by MTA-STS; MTA-STS comes next; then TLS when it is offered.

Sources: RFC 8461 section 2 (DANE first) and section 5, RFC 7672 sections 2.2 and 3.1, RFC 7435, Postfix TLS_README (dane).
"""

import enum
from dataclasses import dataclass
from typing import Final

from appliance.model.routing import TlsLevel
from appliance.policy.dane import TlsaRecord, usable
from appliance.policy.mtasts import StsMode, StsPolicy

__all__ = ["HostTls", "PolicySource", "TlsaAnswer", "TlsaStatus", "decide", "without_policies"]


class TlsaStatus(enum.Enum):
    """What DNS says of TLSA records: none (or not signed), there are some, or it cannot be told, which might be an attack."""

    ABSENT = "absent"
    FOUND = "found"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TlsaAnswer:
    """Signed records of one host and port."""

    status: TlsaStatus = TlsaStatus.ABSENT
    records: tuple[TlsaRecord, ...] = ()


NO_TLSA: Final = TlsaAnswer()


class PolicySource(enum.Enum):
    """Who demands it; the values are those of RFC 8460 section 4.2 where it has one."""

    NONE = "no-policy-found"
    SETTINGS = "settings"
    STS = "sts"
    DANE = "tlsa"


@dataclass(frozen=True, slots=True)
class HostTls:
    """``level`` for the handshake; ``records`` for ``TlsLevel.DANE``; ``names``: what a certificate may also be for.

    ``refusal``: the host must not be used at all, and why. ``is_testing``: a failure is noted, the mail goes all the same.
    """

    level: TlsLevel
    source: PolicySource = PolicySource.SETTINGS
    records: tuple[TlsaRecord, ...] = ()
    names: tuple[str, ...] = ()
    refusal: str = ""
    is_testing: bool = False

    @property
    def may_fall_back(self) -> bool:
        """True where a failed handshake leaves the way without TLS open."""
        return self.level is TlsLevel.MAY or self.is_testing

    @property
    def is_authenticated(self) -> bool:
        """True where a session that was opened this way is with the right server for sure (RFC 8689 section 4.2.1)."""
        return self.level in {TlsLevel.VERIFY, TlsLevel.IMPLICIT} or (self.level is TlsLevel.DANE and bool(self.records))


_OPEN: Final = frozenset({TlsLevel.MAY, TlsLevel.ENCRYPT, TlsLevel.DANE})


def decide(configured: TlsLevel, host: str, *, domain: str, sts: StsPolicy | None, tlsa: TlsaAnswer) -> HostTls:
    """Return how a host is spoken to. ``configured``: what the settings ask for; ``domain``: the next hop's name."""
    if configured not in _OPEN:
        return HostTls(configured)
    if tlsa.status is TlsaStatus.FAILED:
        return HostTls(configured, PolicySource.DANE, refusal=f"the TLSA records of {host} cannot be looked up safely")
    if tlsa.status is TlsaStatus.FOUND:
        records = usable(tlsa.records)
        # Records that cannot be used still say that there is TLS (RFC 7672 section 2.2).
        return HostTls(TlsLevel.DANE if records else TlsLevel.ENCRYPT, PolicySource.DANE, records, names=(host, domain))
    if configured is TlsLevel.DANE:
        return HostTls(configured, refusal=f"the settings demand DANE, and {host} has no signed TLSA record")
    if sts is None or sts.mode is StsMode.NONE:
        return HostTls(configured, PolicySource.NONE if configured is TlsLevel.MAY else PolicySource.SETTINGS)
    is_testing = sts.mode is StsMode.TESTING
    refusal = "" if sts.covers(host) else f"{host} is not in the MTA-STS policy of {domain}"
    return HostTls(TlsLevel.VERIFY, PolicySource.STS, refusal=refusal, is_testing=is_testing)


def without_policies(configured: TlsLevel) -> HostTls:
    """Return how a message is sent that says ``TLS-Required: No``. Source: RFC 8689 section 5."""
    return HostTls(TlsLevel.NONE if configured is TlsLevel.NONE else TlsLevel.MAY, PolicySource.NONE)
