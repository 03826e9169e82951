"""The SMTP and LMTP server core (skeleton of its interface; see the method docstrings)."""

from collections.abc import Sequence

from appliance.protocols.smtp.events import Event
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply
from appliance.protocols.smtp.state import State

__all__ = ["SmtpServer"]


class SmtpServer:
    """One connection's server side, without I/O."""

    def __init__(self, options: ServerOptions, *, tls_active: bool = False) -> None:
        """``tls_active``: implicit TLS, the first byte was already protected."""
        raise NotImplementedError

    @property
    def state(self) -> State:
        raise NotImplementedError

    @property
    def is_closed(self) -> bool:
        raise NotImplementedError

    @property
    def tls_active(self) -> bool:
        raise NotImplementedError

    @property
    def authenticated(self) -> bool:
        raise NotImplementedError

    @property
    def error_count(self) -> int:
        raise NotImplementedError

    @property
    def command_count(self) -> int:
        raise NotImplementedError

    @property
    def recipient_count(self) -> int:
        """Recipients accepted in this transaction: so many replies LMTP wants after the content."""
        raise NotImplementedError

    def receive_data(self, data: bytes) -> None:
        """Take what the peer sent; ``b""`` is end of input. Never raises for what it holds."""

    def next_event(self) -> Event:
        """Return the next event, NEED_DATA or CLOSED. Raises LocalProtocolError while a request waits for its answer."""
        raise NotImplementedError

    def data_to_send(self) -> bytes:
        """Return and forget what is to be sent. Send it at NEED_DATA, at CLOSED, before a TLS handshake and before anything slow."""
        raise NotImplementedError

    def send_greeting(self, reply: Reply | None = None) -> None:
        """Queue 220, first of all; or a 4xx/5xx ``reply``, which closes (421, 554)."""

    def accept(self) -> None:
        """Answer the pending request with its usual positive reply (Greeted: capabilities; DATA: 354; DataFinished: 250 to all)."""

    def send_reply(self, reply: Reply) -> None:
        """Answer the pending request; negative replies refuse it. 421 closes the core, and may be sent at any time."""

    def send_replies(self, replies: Sequence[Reply]) -> None:
        """Answer DataFinished or the last BDAT chunk in LMTP: one reply per accepted recipient, in order of RCPT."""

    def send_challenge(self, data: bytes) -> None:
        """Answer AuthRequested or AuthResponse with 334; the next event is AuthResponse or AuthCancelled."""

    def tls_established(self) -> None:
        """Tell that the handshake succeeded: everything learnt before is forgotten (RFC 3207 section 4.2)."""
