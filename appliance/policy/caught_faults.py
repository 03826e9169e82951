"""What goes wrong on purpose: magic addresses, chances in percent, profiles.

Owns the language of magic addresses. A local part says the stage (``mail``,
``rcpt``, ``data``, ``end``) and a code with an enhanced status if wanted
(``rcpt-451@``, ``mail-550-5.7.1@``), or a behaviour: ``slow-5s@``, ``drop@`` or
``drop-data@``, ``greylist@``, ``full@``, ``bounce@``. What follows a ``+`` is left
aside, so that parallel tests have addresses of their own. ``mail-...`` is read in
the sender, the rest in the recipient.

Owns one profile and its memory; which profiles a session meets is ``policy.caught_session``'s.

Pure, but for what it remembers of greylisted pairs, of senders in the last
minute (both bounded) and of sessions. Chance comes from the function given.

Sources: RFC 5321 sections 4.2 and 4.3.2 (which codes), RFC 3463, RFC 6647 (greylisting).
"""

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from appliance.model.caught import Fault

__all__ = ["CHAOS_DEFAULTS", "ChaosError", "Faults", "Jim", "magic_fault", "wants_bounce"]

CHAOS_DEFAULTS: Mapping[str, tuple[int, int]] = MappingProxyType({"Sender": (451, 0), "Recipient": (451, 0), "Authentication": (535, 0)})
_MAX_DELAY_S: Final = 120.0
_MOST_REMEMBERED: Final = 10_000
_STAGED = re.compile(r"(mail|rcpt|data|end)-([45][0-9]{2})(?:-([245])\.([0-9]{1,3})\.([0-9]{1,3}))?")
_SLOW = re.compile(r"slow-([0-9]{1,5})(ms|s)?")
_DROP = re.compile(r"drop(?:-(rcpt|data|end))?")
_BEGINNINGS: Final = ("mail-", "rcpt-", "data-", "end-", "slow-", "drop", "full", "greylist")
"""Of all local parts that mean something: nearly every address is done with after one look."""
_FULL: Final = Fault(code=452, status="4.2.2", text="Mailbox is full (asked for by the address)")
_GREYLISTED: Final = Fault(code=450, status="4.7.1", text="Greylisted, try again (asked for by the address)")


class ChaosError(ValueError):
    """A chance or a code outside of its range."""


@dataclass(frozen=True, slots=True)
class Jim:
    """MailHog's chaos monkey: chances from 0 to 1; ``accept`` is the chance that a connection is taken."""

    DisconnectChance: float = 0.005
    AcceptChance: float = 0.99
    LinkSpeedAffect: float = 0.1
    LinkSpeedMin: float = 1024
    LinkSpeedMax: float = 10240
    RejectSenderChance: float = 0.05
    RejectRecipientChance: float = 0.05
    RejectAuthChance: float = 0.05


def _local_part(address: str) -> str:
    return address.rpartition("@")[0].partition("+")[0].lower()


def wants_bounce(address: str) -> bool:
    """Return True for an address whose messages come back."""
    return _local_part(address) == "bounce"


def magic_fault(address: str, stage: str) -> Fault | None:
    """Return what an address asks for at a stage; greylisting is the caller's to remember."""
    local_part = _local_part(address)
    if not local_part.startswith(_BEGINNINGS):
        return None
    staged = _STAGED.fullmatch(local_part)
    if staged:
        if staged[1] != stage:
            return None
        code = int(staged[2])
        status = f"{staged[3]}.{staged[4]}.{staged[5]}" if staged[3] else f"{code // 100}.{'3.0' if code < 500 else '0.0'}"
        return Fault(code=code, status=status, text="Refused as the address asks")
    slow = _SLOW.fullmatch(local_part)
    if slow and stage == "rcpt":
        return Fault(delay_s=min(int(slow[1]) / (1_000 if slow[2] == "ms" else 1), _MAX_DELAY_S))
    drop = _DROP.fullmatch(local_part)
    if drop and (drop[1] or "rcpt") == stage:
        return Fault(hang_up=True)
    if stage == "rcpt":
        return {"full": _FULL, "greylist": _GREYLISTED}.get(local_part)
    return None


class Faults:
    """One profile: of all mail, or of an inbox. ``chance`` returns a number from 0 up to 1."""

    def __init__(self, *, chance: Callable[[], float], monotonic_s: Callable[[], float]) -> None:
        self.chaos: dict[str, tuple[int, int]] = dict(CHAOS_DEFAULTS)
        self.jim: Jim | None = None
        self.greylist = False
        """Refuse each pair of sender and recipient the first time."""
        self.per_minute = 0
        """So many messages a minute from one client, then 421; 0 for any number."""
        self.delay_s = 0.0
        """Answer each MAIL so late."""
        self.max_connections = 0
        """So many sessions at once, then 421; 0 for any number."""
        self.bytes_per_s = 0
        """The link lets so much through each way; 0 for as much as comes."""
        self.tls_percent = 0
        """So often STARTTLS fails."""
        self.tls_breaks = False
        """How: in the handshake instead of by 454."""
        self.without: frozenset[str] = frozenset()
        """Extensions of SMTP that are neither offered nor taken."""
        self.sessions = 0
        """Those that are under way."""
        self._chance = chance
        self._monotonic_s = monotonic_s
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._recent: OrderedDict[str, deque[float]] = OrderedDict()

    def set_chaos(self, triggers: Mapping[str, tuple[int, int]]) -> None:
        """Set all three triggers. Raises ChaosError; then nothing is changed."""
        self.check_chaos(triggers)
        self.chaos = dict(triggers)

    @staticmethod
    def check_chaos(triggers: Mapping[str, tuple[int, int]]) -> None:
        """Raise ChaosError for a code or a chance outside of its range."""
        for code, chance in triggers.values():
            if not 400 <= code <= 599:
                raise ChaosError("error code must be between 400 and 599")
            if not 0 <= chance <= 100:
                raise ChaosError("probability must be between 0 and 100")

    def at_connection(self) -> Fault | None:
        """Return what becomes of a session that was counted in ``sessions``."""
        if self.max_connections and self.sessions > self.max_connections:
            return Fault(code=421, status="4.7.0", text="Too many connections, try again later")
        if self.jim is not None and self._chance() >= self.jim.AcceptChance:
            return Fault(hang_up=True)
        return None

    def link_speed(self) -> float:
        """Return how many bytes a second a session's link carries, 0 for any number: drawn once for each."""
        jim = self.jim
        if jim is not None and self._chance() < jim.LinkSpeedAffect:
            return max(jim.LinkSpeedMin + self._chance() * (jim.LinkSpeedMax - jim.LinkSpeedMin), 1.0)
        return float(self.bytes_per_s)

    def at_tls(self) -> Fault | None:
        """Return what becomes of STARTTLS; ``hang_up``: it fails in the handshake."""
        if not self.tls_percent or self._chance() * 100 >= self.tls_percent:
            return None
        return Fault(hang_up=True) if self.tls_breaks else Fault(code=454, status="4.7.0", text="TLS fails on purpose")

    def at_login(self, login: str) -> Fault | None:
        """Return what becomes of a login."""
        if self.jim is not None and self._chance() < self.jim.RejectAuthChance:
            return Fault(code=535, status="5.7.8", text="Refused by chance")
        return self._by_chance("Authentication", "5.7.8")

    def at_sender(self, reverse_path: str, client: str, *, magic: bool = True) -> Fault | None:
        """Return what becomes of a MAIL. ``magic``: the address is asked as well."""
        fault = magic_fault(reverse_path, "mail") if magic else None
        if fault is None and self.per_minute and self._is_too_often(client):
            fault = Fault(code=421, status="4.7.0", text="Too many messages in a minute, try again later")
        if fault is None and self.jim is not None:
            fault = self._by_jim(self.jim.RejectSenderChance)
        if fault is None:
            fault = self._by_chance("Sender", "4.3.0")
        return fault or (Fault(delay_s=min(self.delay_s, _MAX_DELAY_S)) if self.delay_s else None)

    def at_recipient(self, reverse_path: str, recipient: str, *, magic: bool = True) -> Fault | None:
        """Return what becomes of a RCPT. ``magic``: the address is asked as well."""
        fault = magic_fault(recipient, "rcpt") if magic else None
        if fault is _GREYLISTED or (fault is None and self.greylist):
            pair = (reverse_path.lower(), recipient.lower())
            fault = None if pair in self._seen else _GREYLISTED
            self._seen[pair] = None
            while len(self._seen) > _MOST_REMEMBERED:
                self._seen.popitem(last=False)
        if fault is None and self.jim is not None:
            fault = self._by_jim(self.jim.RejectRecipientChance)
        return fault or self._by_chance("Recipient", "4.3.0")

    def _by_chance(self, name: str, status: str) -> Fault | None:
        code, chance = self.chaos[name]
        if not chance or self._chance() * 100 >= chance:
            return None
        return Fault(code=code, status=f"{code // 100}{status[1:]}", text="Refused by chance")

    def _by_jim(self, reject: float) -> Fault | None:
        assert self.jim is not None
        if self._chance() < self.jim.DisconnectChance:
            return Fault(hang_up=True)
        return Fault(code=451, status="4.3.0", text="Refused by chance") if self._chance() < reject else None

    def _is_too_often(self, client: str) -> bool:
        now_s = self._monotonic_s()
        times = self._recent.setdefault(client, deque())
        while times and times[0] <= now_s - 60:
            times.popleft()
        while len(self._recent) > _MOST_REMEMBERED:
            self._recent.popitem(last=False)
        if len(times) >= self.per_minute:
            return True
        times.append(now_s)
        return False
