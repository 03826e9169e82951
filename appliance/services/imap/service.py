"""The IMAP service: what all sessions share, and one connection from greeting to close.

Owns the greeting and the end of each session: its last words and its log line. ``handle`` is
the one entry point; ``net.listeners`` accepts and closes. What a session is made of is loaded
when the first client answers the greeting: a server that nobody reads mail from, or whose port
is only watched, does without.

Fails:    an exception of a session never passes ``handle``: it is logged once
          with its traceback and the client is told BYE.
Sources:  RFC 3501 section 3 (states), section 5.4 (autologout), section 7.1.5 (BYE).
"""

import ssl
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final

import trio

from appliance.config.schema import ImapConfig
from appliance.model.ids import AccountName
from appliance.model.ports import AccountFeed, Authenticator, Clock, MailStores, Offload
from appliance.net.connection import Connection, ConnectionLostError, End
from appliance.observe.maillog import MailLog
from appliance.protocols.language import DEFAULT_LANGUAGE
from appliance.protocols.sasl.mechanisms import CHECKED, MechanismSet
from appliance.services.imap.shared import Shared, TokenCheck
from appliance.services.imap.visitor import Visitor

if TYPE_CHECKING:
    from appliance.services.imap.session import Session

__all__ = ["BUSY", "CRASHED", "ImapService"]


def _bye(text: str, code: bytes) -> bytes:
    """Return last words for who has said nothing yet, and so in English."""
    return b"* BYE %b%b\r\n" % (b"[%b] " % code if code else b"", text.encode("ascii"))


_CRASHED_TEXT: Final = "Internal error, try again later"
BUSY: Final = _bye("Too many connections, try again later", b"UNAVAILABLE")
CRASHED: Final = _bye(_CRASHED_TEXT, b"SERVERBUG")
_LAST_WORDS: Final = {
    End.TIMEOUT: ("Nothing heard for too long", b""),
    End.SHUTDOWN: ("Server is shutting down, try again soon", b"UNAVAILABLE"),
}


class ImapService:
    """Serves mailboxes.

    ``tls_context`` None: no STARTTLS. ``channel_binding``: the tls-server-end-point of
    the certificate in use, for SCRAM-SHA-256-PLUS. ``require_tls`` False: passwords may travel
    in the clear from anywhere. ``spool`` makes an unnamed temporary file in the
    data directory, readable and writable; it is called in a worker thread.
    ``hidden``: capabilities not told to an account. ``check_token``
    None: no OAUTHBEARER. ``account_of_names`` None: no EXTERNAL. ``language``: the one that the administrator prefers.
    """

    def __init__(
        self,
        *,
        settings: ImapConfig,
        hostname: str,
        stores: MailStores,
        authenticator: Authenticator,
        offload: Offload,
        feed: AccountFeed,
        mail_log: MailLog,
        clock: Clock,
        spool: Callable[[], BinaryIO],
        tls_context: Callable[[], ssl.SSLContext] | None = None,
        channel_binding: Callable[[], bytes] | None = None,
        require_tls: bool = True,
        mechanisms: MechanismSet = CHECKED,
        check_token: TokenCheck | None = None,
        account_of_names: Callable[[Sequence[str], str], AccountName | None] | None = None,
        language: str = DEFAULT_LANGUAGE,
        hidden: Callable[[AccountName], Collection[str]] = lambda account: (),
    ) -> None:
        self._shared = Shared(
            settings=settings,
            hostname=hostname,
            stores=stores,
            authenticator=authenticator,
            offload=offload,
            feed=feed,
            mail_log=mail_log,
            clock=clock,
            spool=spool,
            tls_context=tls_context,
            require_tls=require_tls,
            hidden=hidden,
            channel_binding=channel_binding,
            check_token=check_token,
            account_of_names=account_of_names,
            language=language,
            mechanisms=mechanisms,
        )
        self._open_session: Callable[[Shared, Connection], Session] | None = None

    async def handle(self, connection: Connection) -> None:
        """Run one session on an accepted connection, inside TLS already or not. The caller closes it.

        Blocks:   until the session ends.
        """
        visit = _Visit(connection)
        reason = "failed"
        try:
            end = await connection.run(partial(self._talk, visit))
            reason = visit.reason or end.value
            if end in _LAST_WORDS:
                await visit.end(reason, *_LAST_WORDS[end])
        except Exception as error:  # noqa: BLE001 - the outermost catch: one session's bug must not end the server
            self._shared.mail_log.exception("imap_session_failed", error, session=connection.session_id, user=visit.account)
            await visit.break_off()
        finally:
            self._tell_end(visit, reason)
            if visit.session is not None:
                visit.session.forget_account()

    async def _talk(self, visit: "_Visit") -> None:
        connection = visit.connection
        connection.set_deadline(trio.current_time() + self._shared.settings.login_timeout_s)
        await connection.send_all(Visitor(self._shared, connection).greeting())
        first = await connection.receive_some(idle=True)
        if not first:
            raise ConnectionLostError("gone without a word")
        connection.push_back(first)
        if self._open_session is None:
            self._open_session = await self._shared.offload.run(_load_session)
        visit.session = self._open_session(self._shared, connection)
        await visit.session.run()

    def _tell_end(self, visit: "_Visit", reason: str) -> None:
        connection, session = visit.connection, visit.session
        self._shared.mail_log.session_finished(
            session_id=connection.session_id,
            service="imap",
            client=str(connection.peer),
            account=visit.account,
            tls=connection.tls_info[0],
            commands=session.commands if session is not None else 0,
            messages=session.messages if session is not None else 0,
            bytes_in=connection.bytes_in,
            bytes_out=connection.bytes_out,
            duration_s=trio.current_time() - connection.opened_at_s,
            reason=reason,
        )


class _Visit:
    """A connection and what came of it: a session, once the client has said something."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.session: Session | None = None

    @property
    def account(self) -> str:
        return (self.session.account or "") if self.session is not None else ""

    @property
    def reason(self) -> str:
        return self.session.reason if self.session is not None else ""

    async def end(self, reason: str, text: str, code: bytes) -> None:
        """Say why we close, behind all that was to be said; in the midst of a literal nothing can be."""
        session = self.session
        if session is None:
            await self.connection.send_last(_bye(text, code))
        elif not session.inside_literal:
            session.core.send_bye(text, reason, code)
            await self.connection.send_last(session.core.data_to_send())

    async def break_off(self) -> None:
        """Say that it is our fault, and nothing else."""
        session = self.session
        if session is None:
            await self.connection.send_last(CRASHED)
        elif not session.inside_literal:
            await self.connection.send_last(session.core.bye_line(_CRASHED_TEXT, b"SERVERBUG"))


def _load_session() -> "Callable[[Shared, Connection], Session]":
    """Load everything that a session is made of."""
    from appliance.services.imap.families import open_session

    return open_session
