"""Where an address leads: an account of ours, another server, or nowhere.

Sources: RFC 5321 section 3.6 and 5.1, Postfix's address classes.
"""

import enum
from dataclasses import dataclass

from appliance.model.ids import AccountName

__all__ = ["Deliverable", "LocalTarget", "NextHop", "NotLocal", "Refused", "RemoteTarget", "Resolution", "TlsLevel"]


class TlsLevel(enum.Enum):
    """How a relay connection is protected: ``MAY`` is opportunistic (RFC 7435), ``ENCRYPT`` demands TLS,
    ``DANE`` demands a certificate that signed TLSA records name (RFC 7672), ``VERIFY`` demands TLS with a certificate
    valid for the host, ``IMPLICIT`` is ``VERIFY`` from the first byte (RFC 8314).
    """

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    DANE = "dane"
    VERIFY = "verify"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True)
class NextHop:
    """The server that takes mail for a domain. ``use_mx``: look the MX records of ``host`` up first.

    ``others``: hosts to try in its place, in order; ``lmtp``: speak LMTP (RFC 2033); ``fallback``: the way to take after
    ``fallback_after`` tries in vain, or when this one refuses us by our address.
    """

    host: str
    port: int = 25
    use_mx: bool = True
    tls: TlsLevel = TlsLevel.MAY
    username: str = ""
    password: str = ""
    others: tuple[str, ...] = ()
    lmtp: bool = False
    fallback: "NextHop | None" = None
    fallback_after: int = 0

    def __repr__(self) -> str:
        return f"NextHop({self.host!r}, {self.port}, use_mx={self.use_mx}, tls={self.tls.value})"


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """A mailbox of ours. ``detail`` is what followed the plus sign, ``""`` if nothing did."""

    account: AccountName
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RemoteTarget:
    """An address elsewhere that an alias of ours leads to."""

    address: str


@dataclass(frozen=True, slots=True)
class Deliverable:
    """The address is ours and leads to ``targets``, aliases expanded, no duplicates, never empty."""

    targets: tuple[LocalTarget | RemoteTarget, ...]


@dataclass(frozen=True, slots=True)
class NotLocal:
    """The domain is not ours. ``relay_domain``: anybody may send to it through us."""

    relay_domain: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The domain is ours and the address is not; the reply to give at RCPT."""

    code: int
    status: str
    reason: str


Resolution = Deliverable | NotLocal | Refused
