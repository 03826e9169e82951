"""The gate before DATA: whether a stranger may go on, asked at each RCPT.

Owns the order of the looks, cheapest first: the name said in EHLO, rates, reverse DNS and
lists of addresses (asked once a session, all at the same time limit), greylisting, the recipients
of senders never seen. Postmaster is always reachable.

Blocks:   network at most ``timeout_s`` once a session; the disk for microseconds.
Fails:    never; a memory that cannot be read lets mail through, and the log is told once.
Does not: look at trusted networks and logins; nobody makes a pass for them.

Sources: RFC 5321 section 4.5.1 (postmaster), RFC 6647 (greylisting), RFC 7505 and RFC 3463 section 3.8 (codes), Postfix postscreen(8).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from appliance.config.schema import ChecksConfig
from appliance.model.errors import UnavailableError
from appliance.model.ports import Clock, DnsLookup
from appliance.observe.maillog import MailLog
from appliance.policy.client_checks import AddressList, ListScore, bad_helo, reverse_fault, score_lists
from appliance.policy.ratelimit import RateLimit, network_of
from appliance.protocols.smtp.replies import Reply
from appliance.storage.knownsenders import KnownSenders

__all__ = ["Gate", "Pass", "Refusal"]

T = TypeVar("T")

_MAX_WAIT_TOLD_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Refusal:
    """``check``: which look refused, for the log and the counters."""

    check: str
    reply: Reply


class Gate:
    """One for all sessions. ``senders`` None: neither greylisting nor a limit for unknown senders."""

    def __init__(
        self,
        checks: ChecksConfig,
        lists: Sequence[AddressList],
        *,
        lookups: Callable[[], DnsLookup],
        senders: KnownSenders | None,
        clock: Clock,
        mail_log: MailLog,
        own_names: Sequence[str],
    ) -> None:
        self.checks = checks
        self.lists = lists
        self.lookups = lookups
        self.clock = clock
        self.own_names = own_names
        self._mail_log = mail_log
        self._senders = senders
        self._by_address = RateLimit(checks.messages_per_hour)
        self._by_network = RateLimit(checks.messages_per_hour_network)
        self._is_told = False

    def open(self, client_address: str) -> "Pass":
        """Return what accompanies one session."""
        return Pass(self, client_address)

    def over_rate_s(self, address: str, network: str) -> float:
        """Count a message; return the seconds to wait when there are too many."""
        now_s = self.clock.monotonic_s()
        return self._by_address.take(address, now_s) or self._by_network.take(network, now_s)

    def is_known(self, network: str, domain: str) -> bool:
        """Tell whether a sender was here before; everybody was when nobody remembers."""
        senders = self._senders
        return senders is None or self._remembered(lambda: senders.is_known(network, domain, self.clock.now_s()), otherwise=True)

    def greylisted_s(self, network: str, sender: str, recipient: str) -> float:
        """Return how long a sender that is not known has to wait."""
        senders, delay_s = self._senders, self.checks.greylist_delay_s
        if senders is None:
            return 0.0
        return self._remembered(lambda: senders.waits_s(network, sender, recipient, delay_s, self.clock.now_s()), otherwise=0.0)

    def learn(self, network: str, domain: str) -> None:
        """Remember a sender whose message was taken."""
        senders = self._senders
        if senders is not None:
            self._remembered(lambda: senders.learn(network, domain, self.clock.now_s()), otherwise=None)

    def _remembered(self, ask: Callable[[], T], *, otherwise: T) -> T:
        try:
            return ask()
        except UnavailableError as error:
            if not self._is_told:
                self._is_told = True
                self._mail_log.warning("senders_forgotten", reason=error.detail, consequence="greylisting lets everybody through")
            return otherwise


class Pass:
    """Accompanies one session through the gate."""

    __slots__ = ("_address", "_client_refusal", "_counted", "_gate", "_is_asked", "_is_vouched", "_network", "_recipients", "_sender")

    def __init__(self, gate: Gate, client_address: str) -> None:
        self._gate = gate
        self._address = client_address
        self._network = network_of(client_address)
        self._is_asked = False
        self._is_vouched = False
        self._client_refusal: Refusal | None = None
        self._counted = False
        self._recipients = 0
        self._sender = ""

    def begin(self, reverse_path: str) -> None:
        """Take a MAIL command."""
        self._sender = reverse_path
        self._counted = False
        self._recipients = 0

    def taken(self) -> None:
        """Take note that a message was acknowledged."""
        self._gate.learn(self._network, self._domain)

    @property
    def _domain(self) -> str:
        return self._sender.rpartition("@")[2].lower()

    async def refusal(self, helo: str, recipient: str) -> Refusal | None:
        """Return why a recipient is refused, None when it is not."""
        if recipient.lower().startswith("postmaster@"):
            return None
        gate, checks = self._gate, self._gate.checks
        fault = bad_helo(helo, checks.helo, gate.own_names, self._address)
        if fault:
            return Refusal("helo", Reply(550, "5.7.1", fault[:1].upper() + fault[1:]))
        if not self._counted:
            wait_s = gate.over_rate_s(self._address, self._network)
            if wait_s:
                return Refusal(
                    "rate", Reply(450, "4.7.1", f"Too many messages from {self._address} or its network; try again in {_time(wait_s)}")
                )
            self._counted = True
        if not self._is_asked:
            await self._ask_about_client()
        if self._client_refusal is not None:
            return self._client_refusal
        return self._greylisted(recipient) or self._too_many()

    async def _ask_about_client(self) -> None:
        gate, checks = self._gate, self._gate.checks
        deadline_s = trio.current_time() + checks.timeout_s
        self._is_asked = True
        if checks.reverse_dns != "off":
            fault, is_temporary = await gate.lookups().ask_all(reverse_fault(self._address, checks.reverse_dns), deadline_s)
            if fault:
                code, status = (450, "4.7.25") if is_temporary else (550, "5.7.25")
                self._client_refusal = Refusal("reverse_dns", Reply(code, status, f"Client refused: {fault}"))
                self._is_asked = not is_temporary
                return
        if gate.lists:
            score = await gate.lookups().ask_all(score_lists(self._address, gate.lists), deadline_s)
            self._is_vouched = score.score < 0
            if score.score >= checks.list_score:
                self._client_refusal = Refusal("list", Reply(550, "5.7.1", _listed(self._address, score)))

    def _greylisted(self, recipient: str) -> Refusal | None:
        gate = self._gate
        if not gate.checks.greylist or self._is_vouched or gate.is_known(self._network, self._domain):
            return None
        wait_s = gate.greylisted_s(self._network, self._sender, recipient)
        if not wait_s:
            return None
        return Refusal("greylist", Reply(451, "4.7.1", f"Greylisted: we do not know you yet; try again in {_time(wait_s)}"))

    def _too_many(self) -> Refusal | None:
        most = self._gate.checks.max_recipients_unknown
        self._recipients += 1
        if not most or self._recipients <= most or self._is_vouched or self._gate.is_known(self._network, self._domain):
            return None
        return Refusal("recipients", Reply(452, "4.5.3", f"We do not know you yet: at most {most} recipients at once"))


def _listed(address: str, score: ListScore) -> str:
    words = "".join(letter for letter in score.text if " " <= letter <= "~")
    return f"Client {address} refused: it is on {', '.join(score.listed)[:200]}" + (f" ({words})" if words else "")


def _time(seconds: float) -> str:
    return f"{max(int(seconds + 0.999), 1)} seconds" if seconds < _MAX_WAIT_TOLD_S else f"{int(seconds // 60)} minutes"
