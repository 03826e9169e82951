"""The SMTP service: one object per listener role, one session per connection.

Owns the end of each session: its last words and its line in the log.
Does not: accept connections or close them; ``net.listeners`` does.

Fails: a bug in a session passes through ``handle`` after its message is forgotten.
Sources: RFC 5321 section 3.8 (421), RFC 6409, RFC 2033.
"""

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from appliance.config.schema import SmtpConfig
from appliance.model.ports import Authenticator, Clock, Directory, Intake
from appliance.net.connection import Connection
from appliance.observe.maillog import MailLog
from appliance.protocols.smtp.replies import INTERNAL_ERROR, TOO_MANY_CONNECTIONS
from appliance.services.smtp.roles import SmtpRole
from appliance.services.smtp.session import SmtpSession
from appliance.services.smtp.shared import MakeChecks, RunQueue, Shared

if TYPE_CHECKING:
    from appliance.model.caught import FaultSource

__all__ = ["BUSY", "CRASHED", "SmtpService"]

BUSY = TOO_MANY_CONNECTIONS.to_bytes()
CRASHED = INTERNAL_ERROR.to_bytes()
_FORGET_S = 5.0


class SmtpService:
    """Serves one role. ``tls_context`` None: no STARTTLS.

    ``is_trusted`` says whether a client's IP address is in a trusted network, ``is_proxy`` whether it may say XCLIENT;
    ``channel_binding`` gives tls-server-end-point of the certificate in use.
    """

    def __init__(
        self,
        role: SmtpRole,
        *,
        settings: SmtpConfig,
        hostname: str,
        intake: Intake,
        directory: Directory,
        authenticator: Authenticator,
        clock: Clock,
        mail_log: MailLog,
        is_trusted: Callable[[str], bool],
        plus_separator: str = "+",
        tls_context: Callable[[], ssl.SSLContext] | None = None,
        channel_binding: Callable[[], bytes] | None = None,
        faults: "FaultSource | None" = None,
        is_proxy: Callable[[str], bool] = lambda _address: False,
        make_checks: MakeChecks | None = None,
        run_queue: RunQueue | None = None,
    ) -> None:
        self.mail_log = mail_log
        self._shared = Shared(
            role=role,
            smtp=settings,
            hostname=hostname,
            intake=intake,
            directory=directory,
            authenticator=authenticator,
            clock=clock,
            mail_log=mail_log,
            is_trusted=is_trusted,
            plus_separator=plus_separator,
            tls_context=tls_context,
            channel_binding=channel_binding,
            faults=faults,
            is_proxy=is_proxy,
            make_checks=make_checks,
            run_queue=run_queue,
        )

    @property
    def name(self) -> str:
        return self._shared.role.service

    def reload(self, role: SmtpRole, settings: SmtpConfig) -> None:
        """Use new settings: limits at once, what is offered from the next session on."""
        self._shared.reload(role, settings)

    def forget_checks(self) -> None:
        """Have the checks of strangers made anew, from the settings of that moment; rates are counted from zero."""
        self._shared.forget_checks()

    def _session(self, connection: Connection) -> SmtpSession:
        faults = self._shared.faults
        if faults is None:
            return SmtpSession(self._shared, connection)
        from appliance.services.smtp.faulty import FaultySession  # the catcher's alone

        return FaultySession(self._shared, connection, faults)

    async def handle(self, connection: Connection) -> None:
        """Run one session on an accepted connection, inside TLS already or not. The caller closes it.

        Blocks:   until the session ends.
        Durable:  each message that was answered with 250, and no other.
        """
        session = self._session(connection)
        reason = "failed"
        try:
            end = await connection.run(session.run)
            await session.finish(end)
            reason = session.reason or end.value
        except trio.Cancelled:
            reason = "shutdown"  # The grace is over.
            raise
        finally:
            session.close()
            if session.is_receiving:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _FORGET_S):
                    await session.forget()
            self.mail_log.session_finished(
                session_id=connection.session_id,
                service=self.name,
                client=session.client.text,
                account=session.client.account or "",
                tls=connection.tls_info[0],
                commands=session.commands,
                messages=session.messages,
                bytes_in=connection.bytes_in,
                bytes_out=connection.bytes_out,
                duration_s=trio.current_time() - connection.opened_at_s,
                reason=reason,
            )
