"""The Sender Rewriting Scheme: a reverse-path of ours for mail that an alias forwards to elsewhere.

With the author's own reverse-path SPF fails at the next server, which sees our
address. Owns both ways: ``SRS0=hash=day=domain=local@ours``, and ``SRS1`` for what another
forwarder has rewritten already; what comes back to such an address goes to the author.

Fails: an address that is not one of these, is older than three weeks or was made up is None.
Does not: keep anything: the hash proves that we made it, so that nobody can send through us with one of his own.

Sources: Shevek, "The Sender Rewriting Scheme" (2004) sections 3 and 4, libsrs2, postsrsd; RFC 5321 section 4.5.3.1.1 (length).
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

__all__ = ["SenderRewriting"]

VALID_DAYS: Final = 21
MAX_LOCAL_PART: Final = 128
_DAYS: Final = 1_024
_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_HASH_CHARACTERS: Final = 8
"""40 bits: an attacker would need a year of guesses at a thousand a second for one address of three weeks."""
_DAY_S: Final = 86_400
_SRS0 = re.compile(r"srs0[=+-]([a-z2-7]{8})=([a-z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE)
_SRS1 = re.compile(r"srs1[=+-]([a-z2-7]{8})=([^=]+)=(=.+)", re.IGNORECASE)
_FOREIGN = re.compile(r"srs([01])([=+-].+)", re.IGNORECASE)


class SenderRewriting:
    """Rewrites in the name of ``domain``. Pure but for ``now_s``, wall clock seconds since the epoch."""

    def __init__(self, secret: bytes, domain: str, now_s: Callable[[], float]) -> None:
        self._secret = secret
        self._domain = domain
        self._now_s = now_s

    def forward(self, address: str) -> str:
        """Return the reverse-path to forward with; as it is when it cannot be rewritten: null, quoted, too long."""
        local, _at, domain = address.rpartition("@")
        if not local or '"' in local or domain.startswith("["):
            return address
        foreign = _FOREIGN.fullmatch(local)
        if foreign is None:
            day = int(self._now_s()) // _DAY_S % _DAYS
            stamp = _DIGITS[day >> 5] + _DIGITS[day & 31]
            made = f"SRS0={self._hash(stamp, domain, local)}={stamp}={domain}={local}"
        elif foreign[1] == "0":
            made = f"SRS1={self._hash(domain, foreign[2])}={domain}={foreign[2] if foreign[2][0] == '=' else '=' + foreign[2]}"
        else:
            # Rewritten twice before: the first forwarder is known, the ones between need not be.
            parts = _SRS1.fullmatch(local) or re.fullmatch(r"srs1[=+-]([^=]+)=([^=]+)=(=.+)", local, re.IGNORECASE)
            if parts is None:
                return address
            made = f"SRS1={self._hash(parts[2], parts[3])}={parts[2]}={parts[3]}"
        return f"{made}@{self._domain}" if len(made) <= MAX_LOCAL_PART else address

    def reverse(self, address: str) -> str | None:
        """Return whom an address of ours stands for; None when it stands for nobody."""
        local, _at, domain = address.rpartition("@")
        if domain.lower() != self._domain.lower():
            return None
        first = _SRS0.fullmatch(local)
        if first is not None:
            proof, stamp, author_domain, author = first.groups()
            is_ours = self._is_proof(proof, stamp.lower(), author_domain, author) and self._is_fresh(stamp.lower())
            return f"{author}@{author_domain}" if is_ours else None
        second = _SRS1.fullmatch(local)
        if second is not None:
            proof, forwarder, rest = second.groups()
            if not self._is_proof(proof, forwarder, rest):
                return None
            first_made = f"SRS0{rest}@{forwarder}"
            # Mail that went in a circle: the first forwarder were we.
            return self.reverse(first_made) if forwarder.lower() == self._domain.lower() else first_made
        return None

    def _is_fresh(self, stamp: str) -> bool:
        made = (_DIGITS.index(stamp[0]) << 5) + _DIGITS.index(stamp[1])
        return (int(self._now_s()) // _DAY_S - made) % _DAYS <= VALID_DAYS

    def _hash(self, *parts: str) -> str:
        """Return the proof; case is lost by some servers on the way, so it does not count."""
        digest = hmac.new(self._secret, "\0".join(parts).lower().encode("utf-8", "replace"), hashlib.sha256).digest()
        return base64.b32encode(digest[:5]).decode().lower()[:_HASH_CHARACTERS]

    def _is_proof(self, proof: str, *parts: str) -> bool:
        return hmac.compare_digest(proof.lower(), self._hash(*parts))
