"""The POP3 service: what all sessions share, and one session from greeting to close.

Owns the maildrop locks, the policy on logins without TLS and the end of each
session: its log line, the last words, the lock.
Does not: accept connections or close them; ``net.listeners`` does.

Fails: a bug in a session passes through ``handle`` after its lock is released.
Sources: RFC 1939 sections 3 (autologout without a reply) and 4, RFC 2595 section 2.
"""

import ssl
from collections.abc import Callable

import trio

from appliance.config.schema import Pop3Config
from appliance.model.ports import Authenticator, Clock, MailStores, Offload
from appliance.net.connection import Connection, End
from appliance.observe.maillog import MailLog
from appliance.protocols.language import DEFAULT_LANGUAGE
from appliance.protocols.pop3.replies import error_line
from appliance.services.pop3.locks import LoginPauses, MaildropLocks
from appliance.services.pop3.login import FolderLogins
from appliance.services.pop3.session import Session, Shared

__all__ = ["BUSY", "CRASHED", "Pop3Service"]

BUSY = error_line("Too many connections, try again later", "SYS/TEMP")
CRASHED = error_line("Internal error, try again later", "SYS/TEMP")
_SHUTDOWN = error_line("Server is shutting down, try again soon", "SYS/TEMP")


class Pop3Service:
    """Serves maildrops.

    ``tls_context`` None: no STLS. ``channel_binding``: the tls-server-end-point of
    the current certificate, for SCRAM-SHA-256-PLUS. ``require_tls`` False:
    passwords may travel in the clear, not only from this machine. One service may
    serve any number of listeners. ``offers_scram`` False: where any password will do,
    SCRAM cannot. ``plus_separator``: ``ana+Sent`` opens Sent; empty: off.
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
        offers_scram: bool = True,
        plus_separator: str = "",
        language: str = DEFAULT_LANGUAGE,
    ) -> None:
        self._mail_log = mail_log
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
            offers_scram=offers_scram,
            plus_separator=plus_separator,
            language=language,
        )

    async def handle(self, connection: Connection) -> None:
        """Run one session on an accepted connection, inside TLS already or not. The caller closes it.

        Blocks:   until the session ends; nothing is deleted unless the client said QUIT.
        """
        session = Session(self._shared, connection)
        reason = "failed"
        try:
            end = await connection.run(session.run)
            reason = session.reason or end.value
            if end is End.SHUTDOWN and session.between_commands:
                await connection.send_last(_SHUTDOWN)
        finally:
            session.close()
            self._mail_log.session_finished(
                session_id=connection.session_id,
                service="pop3",
                client=str(connection.peer),
                account=session.account or "",
                tls=connection.tls_info[0],
                commands=session.commands,
                messages=session.messages_sent,
                bytes_in=connection.bytes_in,
                bytes_out=connection.bytes_out,
                duration_s=trio.current_time() - connection.opened_at_s,
                reason=reason,
            )
