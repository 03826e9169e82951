"""The POP3 service: what all sessions share, and one connection from greeting to close.

Owns the greeting, the maildrop locks, the policy on logins without TLS and the end of each
session: its log line, the last words, the lock. What a session is made of is loaded when the
first client answers the greeting.
Does not: accept connections or close them; ``net.listeners`` does.

Fails: a bug in a session passes through ``handle`` after its lock is released.
Sources: RFC 1939 sections 3 (autologout without a reply) and 4, RFC 2595 section 2.
"""

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from appliance.config.schema import Pop3Config
from appliance.model.ports import Authenticator, Clock, MailStores, Offload
from appliance.net.connection import Connection, ConnectionLostError, End
from appliance.observe.maillog import MailLog
from appliance.protocols.language import DEFAULT_LANGUAGE
from appliance.protocols.pop3.replies import error_line, greeting
from appliance.protocols.sasl.mechanisms import CHECKED, MechanismSet
from appliance.services.pop3.locks import LoginPauses, MaildropLocks
from appliance.services.pop3.login import FolderLogins
from appliance.services.pop3.shared import Shared

if TYPE_CHECKING:
    from appliance.services.pop3.session import Session

__all__ = ["BUSY", "CRASHED", "Pop3Service"]

BUSY = error_line("Too many connections, try again later", "SYS/TEMP")
CRASHED = error_line("Internal error, try again later", "SYS/TEMP")
_SHUTDOWN = error_line("Server is shutting down, try again soon", "SYS/TEMP")


class Pop3Service:
    """Serves maildrops.

    ``tls_context`` None: no STLS. ``channel_binding``: the tls-server-end-point of
    the current certificate, for SCRAM-SHA-256-PLUS. ``require_tls`` False:
    passwords may travel in the clear, not only from this machine. One service may
    serve any number of listeners. ``plus_separator``: ``ana+Sent`` opens Sent; empty: off.
    ``language``: what ``LANG *`` chooses.
    """

    def __init__(
        self,
        *,
        settings: Pop3Config,
        hostname: str,
        stores: MailStores,
        authenticator: Authenticator,
        offload: Offload,
        mail_log: MailLog,
        tls_context: Callable[[], ssl.SSLContext] | None = None,
        channel_binding: Callable[[], bytes] | None = None,
        require_tls: bool = True,
        clock: Clock,
        mechanisms: MechanismSet = CHECKED,
        plus_separator: str = "",
        language: str = DEFAULT_LANGUAGE,
    ) -> None:
        self._make_session: type[Session] | None = None
        self._shared = Shared(
            settings=settings,
            hostname=hostname,
            stores=stores,
            authenticator=FolderLogins(authenticator, plus_separator),
            offload=offload,
            mail_log=mail_log,
            tls_context=tls_context,
            channel_binding=channel_binding,
            require_tls=require_tls,
            locks=MaildropLocks(),
            pauses=LoginPauses(settings.login_delay_s),
            clock=clock,
            mechanisms=mechanisms,
            plus_separator=plus_separator,
            language=language,
        )

    async def handle(self, connection: Connection) -> None:
        """Run one session on an accepted connection, inside TLS already or not. The caller closes it.

        Blocks:   until the session ends; nothing is deleted unless the client said QUIT.
        """
        session: Session | None = None
        reason = "failed"

        async def talk() -> None:
            nonlocal session
            session = await self._open(connection)
            await session.run()

        try:
            end = await connection.run(talk)
            reason = (session.reason if session is not None else "") or end.value
            if end is End.SHUTDOWN and (session is None or session.between_commands):
                await connection.send_last(_SHUTDOWN)
        finally:
            if session is not None:
                session.close()
            self._tell_end(connection, session, reason)

    async def _open(self, connection: Connection) -> "Session":
        """Greet, and return a session once the client has something to say."""
        shared = self._shared
        connection.set_deadline(trio.current_time() + shared.settings.login_timeout_s)
        await connection.send_all(greeting(f"{shared.hostname} Carteiro POP3 ready"))
        first = await connection.receive_some(idle=True)
        if not first:
            raise ConnectionLostError("gone without a word")
        connection.push_back(first)
        if self._make_session is None:
            self._make_session = await shared.offload.run(_load_session)
        return self._make_session(shared, connection)

    def _tell_end(self, connection: Connection, session: "Session | None", reason: str) -> None:
        self._shared.mail_log.session_finished(
            session_id=connection.session_id,
            service="pop3",
            client=str(connection.peer),
            account=(session.account or "") if session is not None else "",
            tls=connection.tls_info[0],
            commands=session.commands if session is not None else 0,
            messages=session.messages_sent if session is not None else 0,
            bytes_in=connection.bytes_in,
            bytes_out=connection.bytes_out,
            duration_s=trio.current_time() - connection.opened_at_s,
            reason=reason,
        )


def _load_session() -> "type[Session]":
    """Load everything that a session is made of."""
    from appliance.services.pop3.session import Session

    return Session
