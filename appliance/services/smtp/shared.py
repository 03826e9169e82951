"""What all sessions of one SMTP listener share: role, settings, ports.

Owns the options of the core per kind of client (made once, not per session).
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.config.schema import SmtpConfig
from appliance.model.ids import AccountName
from appliance.model.ports import Authenticator, Clock, Directory, Intake
from appliance.observe.maillog import MailLog
from appliance.protocols.smtp.options import ServerOptions
from appliance.services.smtp.roles import SmtpRole, server_options

if TYPE_CHECKING:
    from appliance.model.caught import FaultSource
    from appliance.services.smtp.gate import Gate, Pass
    from appliance.services.smtp.judging import Inspection, Judge

__all__ = ["MakeChecks", "RunQueue", "Shared"]

RunQueue = Callable[[str], Awaitable[int]]

_DAY_S = 86_400

MakeChecks = Callable[[], "tuple[Callable[[], Judge] | None, Callable[[], Gate]]"]


@dataclass(slots=True, kw_only=True)
class Shared:
    """One listener's. ``is_trusted`` says whether an IP address is in a trusted network."""

    role: SmtpRole
    smtp: SmtpConfig
    hostname: str
    intake: Intake
    directory: Directory
    authenticator: Authenticator
    clock: Clock
    mail_log: MailLog
    is_trusted: Callable[[str], bool]
    plus_separator: str
    tls_context: Callable[[], ssl.SSLContext] | None = None
    channel_binding: Callable[[], bytes] | None = None
    faults: "FaultSource | None" = None
    """What goes wrong on purpose; None for every listener but the catcher's."""
    is_proxy: Callable[[str], bool] = lambda _address: False
    """Whether an IP address is that of a proxy that may say XCLIENT."""
    run_queue: RunQueue | None = None
    """Sends what waits for a domain at once; None where ETRN is not offered."""
    make_checks: MakeChecks | None = None
    """Makes what checks strangers and their mail; None where nothing is checked."""
    _checks: "tuple[Callable[[], Judge] | None, Callable[[], Gate]] | None" = None
    _judge: "Judge | None" = None
    _gate: "Gate | None" = None
    _options: dict[tuple[bool, bool, bool], ServerOptions] = field(default_factory=dict)
    _made_at_s: float = 0.0

    def reload(self, role: SmtpRole, smtp: SmtpConfig) -> None:
        """Put new settings in place; cores that were made keep their options."""
        self.role, self.smtp = role, smtp
        self._options.clear()

    def forget_checks(self) -> None:
        """Make the checks anew for the next stranger; who is here already goes on with the old ones."""
        self._checks = self._judge = self._gate = None

    def inspection(self, *, client_address: str, helo: str, reverse_path: str) -> "Inspection | None":
        """Return what looks at one message of a stranger's; None where nothing is judged."""
        make_judge = self._made_checks()[0] if self.make_checks is not None else None
        if make_judge is None:
            return None
        if self._judge is None:
            self._judge = make_judge()
        return self._judge.inspection(client_address=client_address, helo=helo, reverse_path=reverse_path)

    def open_gate(self, client_address: str) -> "Pass | None":
        """Return what accompanies a stranger's session; None where nobody is checked."""
        if self.make_checks is None:
            return None
        if self._gate is None:
            self._gate = self._made_checks()[1]()
        return self._gate.open(client_address)

    def _made_checks(self) -> "tuple[Callable[[], Judge] | None, Callable[[], Gate]]":
        assert self.make_checks is not None
        if self._checks is None:
            self._checks = self.make_checks()
        return self._checks

    def options_for(self, *, is_local: bool, is_trusted: bool, is_proxy: bool = False) -> ServerOptions:
        """Return the core's options for a client."""
        # The moment until which mail may be sent later moves on: told once a day, never more than what is kept.
        today_s = self.clock.now_s() // _DAY_S * _DAY_S if self.role.future_release_s else 0.0
        if today_s > self._made_at_s:
            self._made_at_s = today_s
            self._options.clear()
        key = (is_local, is_trusted, is_proxy)
        options = self._options.get(key)
        if options is None:
            options = self._options[key] = server_options(
                self.role,
                self.smtp,
                hostname=self.hostname,
                can_bind=self.channel_binding is not None,
                offers_tls=self.tls_context is not None,
                is_local=is_local,
                is_trusted=is_trusted,
                is_proxy=is_proxy,
                etrn=self.run_queue is not None,
                now_s=today_s,
            )
        return options

    def account_of(self, login: str) -> AccountName | None:
        """Return whose login a proxy has checked; None where nobody logs in."""
        if self.role.mechanisms is None:
            return None
        found = self.directory.mailbox_of(self.directory.qualify(login))
        return found.account if found is not None else None

    def channel_binding_for(self, options: ServerOptions, *, is_tls: bool) -> Mapping[str, bytes]:
        """Return what SCRAM can be bound to on a connection made now; empty unless -PLUS is offered there (RFC 5929 section 4)."""
        if self.channel_binding is None or not is_tls or not any(name.endswith("-PLUS") for name in options.auth_mechanisms):
            return {}
        return {"tls-server-end-point": self.channel_binding()}
