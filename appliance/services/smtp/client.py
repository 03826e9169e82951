"""Who is at the other end of a session, as the session learns it: address, name said, TLS, login.

Owns the form in which that goes into the envelope and into the Received field.

Sources: RFC 5321 section 4.4 (trace fields), RFC 3848 (the with clause), Postfix XCLIENT_README.
"""

from appliance.message.received import TlsFacts, build_received, with_protocol
from appliance.model.envelope import Client
from appliance.model.hosts import UNIX, is_this_machine
from appliance.model.ids import AccountName, QueueId
from appliance.net.connection import Connection
from appliance.protocols.smtp.events import XclientRequested

__all__ = ["SessionClient"]


class SessionClient:
    """One session's client. ``helo`` and ``account`` change as the conversation goes on."""

    __slots__ = ("_client", "_connection", "_lmtp", "_told", "account", "helo", "is_extended", "is_local", "text")

    def __init__(self, connection: Connection, *, lmtp: bool, told: XclientRequested | None = None) -> None:
        """``told``: what a proxy has said about its client; the connection's peer is that client already."""
        self._connection = connection
        self._lmtp = lmtp
        self._told = told
        self.is_local = is_this_machine(connection.peer.host)
        """On this machine: nobody listens on the wire."""
        self.text = str(connection.peer)
        """Address and port, for the log."""
        self.helo = ""
        self.is_extended = False
        self.account: AccountName | None = None
        self._client: Client | None = None  # the same for all messages of most sessions

    def greeted(self, name: str, *, is_extended: bool) -> None:
        """Take what is said in EHLO or HELO; the words of a proxy's client count, not the proxy's own."""
        told = self._told
        self.helo = (told.helo if told is not None else "") or name
        self.is_extended = told.protocol == "ESMTP" if told is not None and told.protocol else is_extended

    def forget(self) -> None:
        """Forget what was said and proven (RFC 3207 section 4.2)."""
        self.helo, self.is_extended, self.account = "", False, None

    def protocol(self, *, smtputf8: bool) -> str:
        """Return the keyword of the with clause."""
        return with_protocol(
            extended=self.is_extended,
            tls=self._connection.is_tls,
            authenticated=self.account is not None,
            smtputf8=smtputf8,
            lmtp=self._lmtp,
        )

    def envelope_client(self, *, smtputf8: bool) -> Client:
        """Return what the queue keeps of the client."""
        peer, known = self._connection.peer, self._client
        protocol = self.protocol(smtputf8=smtputf8)
        if known is None or known.protocol != protocol or known.helo != self.helo or known.account != self.account:
            known = self._client = Client(
                address=peer.host,
                port=peer.port,
                helo=self.helo,
                protocol=protocol,
                account=self.account,
                session_id=self._connection.session_id,
            )
        return known

    def trace_field(self, *, hostname: str, queue_id: QueueId, now_s: float, recipient: str, smtputf8: bool) -> bytes:
        """Return the Received field; ``recipient`` only when there is no other."""
        connection = self._connection
        host = connection.peer.host
        return build_received(
            helo=self.helo,
            client_address="127.0.0.1" if host == UNIX else host,
            client_name="",
            hostname=hostname,
            protocol=self.protocol(smtputf8=smtputf8),
            queue_id=queue_id,
            now_s=now_s,
            recipient=recipient,
            tls=TlsFacts(*connection.tls_info) if connection.is_tls else None,
        )
