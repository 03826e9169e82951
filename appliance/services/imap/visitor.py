"""Whoever is connected, and what may be said to them: what is known before their first command.

Owns what is offered on a connection: capabilities, mechanisms, whether passwords
may be sent. ``session.Session`` is a visitor who talks.

Sources:  RFC 3501 section 7.1 (greeting), section 7.2.1 (capabilities), RFC 5929 section 4 (channel binding).
"""

from collections.abc import Collection, Mapping

from appliance.model.hosts import is_this_machine
from appliance.model.ids import AccountName
from appliance.net.connection import Connection
from appliance.net.tls import certificate_names
from appliance.protocols.sasl.oauthbearer import NAME as OAUTHBEARER
from appliance.services.imap.capabilities import capability_line, limit_capabilities, list_capabilities
from appliance.services.imap.shared import Shared

__all__ = ["Visitor"]


class Visitor:
    """A connection, and the account that it logged in to, if any."""

    def __init__(self, shared: Shared, connection: Connection) -> None:
        self.shared = shared
        self.connection = connection
        self.account: AccountName | None = None
        self._certificate_names: tuple[str, ...] | None = None

    @property
    def start_tls_offered(self) -> bool:
        return self.shared.tls_context is not None and not self.connection.is_tls

    @property
    def login_allowed(self) -> bool:
        """Passwords travel inside TLS, or not beyond this machine, or as the settings say."""
        return self.connection.is_tls or not self.shared.require_tls or is_this_machine(self.connection.peer.host)

    @property
    def hidden(self) -> Collection[str]:
        """Capabilities that are not told in this session, in capitals."""
        shared = self.shared
        hidden = (
            shared.settings.hide_capabilities
            if self.account is None
            else (*shared.settings.hide_capabilities, *shared.hidden(self.account))
        )
        return frozenset(name.upper() for name in hidden)

    @property
    def channel_binding(self) -> Mapping[str, bytes]:
        """What SCRAM-SHA-256-PLUS can be bound to; empty outside TLS."""
        binding = self.shared.channel_binding() if self.shared.channel_binding is not None and self.connection.is_tls else b""
        return {"tls-server-end-point": binding} if binding else {}

    def certificate_names(self) -> tuple[str, ...]:
        """Whom the client's certificate names; nobody without one, or where it is no login."""
        if self.shared.account_of_names is None or not self.connection.is_tls:
            return ()
        if self._certificate_names is None:
            certificate = self.connection.tls_peer_certificate()
            self._certificate_names = certificate_names(certificate) if certificate else ()
        return self._certificate_names

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """SASL mechanisms, strongest first; -PLUS only inside a TLS whose certificate is known."""
        tokens = (OAUTHBEARER,) if self.shared.check_token is not None else ()
        external = ("EXTERNAL",) if self.certificate_names() else ()
        return (*external, *self.shared.mechanisms.offered(channel_binding=bool(self.channel_binding)), *tokens)

    def capabilities(self) -> bytes:
        """Return ``CAPABILITY ...`` for the present state."""
        return capability_line(
            list_capabilities(
                hidden=self.hidden,
                logged_in=self.account is not None,
                start_tls=self.start_tls_offered,
                login_allowed=self.login_allowed,
                append_limit=self.shared.settings.max_append_bytes,
                limits=limit_capabilities(self.shared.settings),
                literal_minus=self.shared.settings.literal_minus,
                mechanisms=self.mechanisms,
            )
        )

    def greeting(self) -> bytes:
        """Return the first line of all."""
        return b"* OK [%b] %b Carteiro ready\r\n" % (self.capabilities(), self.shared.hostname.encode("ascii", "replace"))
