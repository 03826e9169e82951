"""The TLS handshake with a server, as strictly as ``HostTls`` says.

Owns the choice of the context, the DANE check behind the handshake, and the words
and result types for what went wrong.

Fails: ``TlsRefusedError``, after which the connection is of no use.
Sources: RFC 3207 section 4, RFC 7672 section 3, RFC 8460 section 4.3 (result types), RFC 7435.
"""

import ssl
import time
from collections.abc import Callable
from typing import Final, Protocol

from appliance.model.outcome import Outcome
from appliance.model.routing import TlsLevel
from appliance.net.chains import ChainError, verify_chain
from appliance.net.connection import Connection, TlsFailedError
from appliance.net.tls import TlsSetupError
from appliance.policy.dane import DANE_EE, DANE_TA, matches
from appliance.policy.tlspolicy import HostTls, PolicySource
from appliance.services.relay.outcomes import Peer, failed

__all__ = ["ClientTls", "SessionFailedError", "TlsRefusedError", "shake_hands"]

_FAILURES: Final = (
    ("expired", "certificate-expired"),
    ("mismatch", "certificate-host-mismatch"),
    ("not valid for", "certificate-host-mismatch"),
    ("self-signed", "certificate-not-trusted"),
    ("self signed", "certificate-not-trusted"),
    ("issuer", "certificate-not-trusted"),
)
"""Words of OpenSSL's to result types."""


class ClientTls(Protocol):
    """Hands out TLS contexts; ``verify``: certificate and name must be right. Raises TlsSetupError."""

    def __call__(self, *, verify: bool) -> ssl.SSLContext: ...


class SessionFailedError(Exception):
    """The server cannot take the message now; ``outcome`` says why, ``tls_failure`` names a result of RFC 8460 section 4.3 or is empty."""

    def __init__(self, outcome: Outcome, tls_failure: str = "") -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome
        self.tls_failure = tls_failure


class TlsRefusedError(SessionFailedError):
    """The handshake failed; without TLS it may work."""

    def __init__(self, outcome: Outcome, tls_failure: str = "validation-failure") -> None:
        super().__init__(outcome, tls_failure)


async def shake_hands(connection: Connection, peer: Peer, host: HostTls, tls: ClientTls, now_s: Callable[[], float] = time.time) -> None:
    """Return when the connection is as safe as ``host`` demands.

    Blocks:   network; the caller's deadline applies.
    Raises:   SessionFailedError where TLS cannot be had at all, TlsRefusedError.
    """
    verify = host.level in {TlsLevel.VERIFY, TlsLevel.IMPLICIT}
    try:
        context = tls(verify=verify)
    except TlsSetupError as error:
        raise SessionFailedError(failed("4.7.5", f"TLS with {peer.host} is not possible: {error}", peer)) from error
    try:
        await connection.start_tls(context, server_hostname=peer.host)
    except (TlsFailedError, ValueError) as error:
        # ValueError: a name that no certificate can have.
        words = str(error)
        reason = _reason(words, peer, host, verify=verify)
        raise TlsRefusedError(failed("4.7.5", reason, peer), _result_type(words)) from error
    if host.level is TlsLevel.DANE:
        _check_dane(connection, peer, host, now_s)


def _check_dane(connection: Connection, peer: Peer, host: HostTls, now_s: Callable[[], float]) -> None:
    """Raise TlsRefusedError unless a record is about what the server has shown."""
    chain = connection.tls_peer_chain()
    if chain and matches(host.records, DANE_EE, chain[0]):
        return  # Names and dates do not count: the record binds the key (RFC 7672 section 3.1.1).
    reason = "the certificate is not the one that its TLSA records name"
    if any(record.usage == DANE_TA for record in host.records):
        try:
            verify_chain(chain, lambda one: matches(host.records, DANE_TA, one), host.names, now_s())
        except ChainError as error:
            reason = str(error)
        else:
            return
    raise TlsRefusedError(failed("4.7.5", f"DANE with {peer.relay} failed: {reason}; mail waits, for this may be an attack", peer))


def _result_type(words: str) -> str:
    return next((result for part, result in _FAILURES if part in words.lower()), "validation-failure")


def _reason(words: str, peer: Peer, host: HostTls, *, verify: bool) -> str:
    reason = f"TLS with {peer.relay} failed: {words}"
    if host.source is PolicySource.STS:
        reason += "; the domain's MTA-STS policy demands a valid certificate"
        return reason if host.may_fall_back else reason + ", so mail waits"
    if verify and words.startswith("certificate"):
        reason += "; if that is as it should be, set relay.ca_file to its authority, or tls = 'encrypt' for this server"
    return reason
