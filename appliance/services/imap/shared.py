"""What the sessions of one IMAP service have in common.

Owns how many sessions each account has.
Does not: import what only a session needs; the service is there long before its first client.
"""

import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from appliance.config.schema import ImapConfig
from appliance.model.ids import AccountName
from appliance.model.ports import AccountFeed, Authenticator, Clock, MailStores, Offload
from appliance.observe.maillog import MailLog
from appliance.protocols.language import DEFAULT_LANGUAGE
from appliance.protocols.sasl.mechanisms import MechanismSet

__all__ = ["Shared", "TokenCheck"]

TokenCheck = Callable[[str, str, str], Awaitable[tuple[AccountName | None, str]]]
"""From an access token, the login that is wanted or ``""``, and the client's address to an account and, without one, the reason for the log."""


ALERT_PAUSE_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the sessions of a service have in common; see ``service.ImapService``."""

    settings: ImapConfig
    hostname: str
    stores: MailStores
    authenticator: Authenticator
    offload: Offload
    feed: AccountFeed
    mail_log: MailLog
    clock: Clock
    spool: Callable[[], BinaryIO]
    tls_context: Callable[[], ssl.SSLContext] | None
    require_tls: bool
    mechanisms: MechanismSet
    channel_binding: Callable[[], bytes] | None = None
    check_token: TokenCheck | None = None
    account_of_names: Callable[[Sequence[str], str], AccountName | None] | None = None
    """From the names of a client's certificate, and the login that is wanted or ``""``, to an account."""
    language: str = DEFAULT_LANGUAGE
    """What ``LANGUAGE default`` means."""
    hidden: Callable[[AccountName], Collection[str]] = lambda account: ()
    """Capabilities that this account's broken mail program must not see."""
    logged_in: Counter[AccountName] = field(default_factory=Counter)
    """Sessions by account."""

    alerted_at_s: dict[AccountName, float] = field(default_factory=dict)
    """When a user's programs were last told to show that his mailbox is full."""

    def may_alert(self, account: AccountName, now_s: float) -> bool:
        """Tell whether it is time for an alert; then it counts as made. A program with five connections shows one, not five."""
        if now_s - self.alerted_at_s.get(account, -ALERT_PAUSE_S) < ALERT_PAUSE_S:
            return False
        self.alerted_at_s[account] = now_s
        return True

    def admit(self, account: AccountName) -> bool:
        """Count a session of an account in, unless it has too many; ``dismiss`` counts it out."""
        most = self.settings.max_connections_per_user
        if most and self.logged_in[account] >= most:
            return False
        self.logged_in[account] += 1
        return True

    def dismiss(self, account: AccountName) -> None:
        """Count a session out that ``admit`` counted in."""
        self.logged_in[account] -= 1
        if not self.logged_in[account]:
            del self.logged_in[account]
