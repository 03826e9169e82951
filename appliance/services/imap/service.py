"""The IMAP service: what all sessions share, the table of commands, and one session from greeting to close.

Owns the end of each session: its last words and its log line. ``handle`` is the
one entry point; ``net.listeners`` accepts and closes.

Fails:    an exception of a session never passes ``handle``: it is logged once
          with its traceback and the client is told BYE.
Sources:  RFC 3501 section 3 (states), section 5.4 (autologout), section 7.1.5 (BYE).
"""

import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import BinaryIO, Final

import trio

from appliance.config.schema import ImapConfig
from appliance.model.ids import AccountName
from appliance.model.ports import AccountFeed, Authenticator, Clock, MailStores, Offload
from appliance.net.connection import Connection, End
from appliance.observe.maillog import MailLog
from appliance.protocols.imap.commands import Command
from appliance.protocols.language import DEFAULT_LANGUAGE
from appliance.protocols.sasl.mechanisms import SERVER_MECHANISMS
from appliance.services.imap import (
    acl,
    auth,
    batches,
    enabling,
    fetch,
    idle,
    languages,
    layers,
    list_commands,
    login,
    metadata,
    multisearch,
    nonauth,
    notify,
    quota,
    search,
    selected,
    store,
)
from appliance.services.imap.append import append
from appliance.services.imap.session import Handler, Session, Shared, TokenCheck

__all__ = ["BUSY", "CRASHED", "HANDLERS", "ImapService"]

BUSY: Final = b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"
CRASHED: Final = b"* BYE [SERVERBUG] Internal error, try again later\r\n"
_LAST_WORDS: Final = {
    End.TIMEOUT: ("Nothing heard for too long", b""),
    End.SHUTDOWN: ("Server is shutting down, try again soon", b"UNAVAILABLE"),
}

_FAMILIES: tuple[Mapping[type[Command], Handler], ...] = (
    nonauth.HANDLERS,
    layers.HANDLERS,
    login.HANDLERS,
    languages.HANDLERS,
    enabling.HANDLERS,
    auth.HANDLERS,
    list_commands.HANDLERS,
    acl.HANDLERS,
    quota.HANDLERS,
    metadata.HANDLERS,
    idle.HANDLERS,
    selected.HANDLERS,
    search.HANDLERS,
    multisearch.HANDLERS,
    fetch.HANDLERS,
    store.HANDLERS,
    batches.HANDLERS,
    notify.HANDLERS,
)
"""A family of commands adds itself by one line."""
HANDLERS: Final[Mapping[type[Command], Handler]] = {kind: handler for family in _FAMILIES for kind, handler in family.items()}


class ImapService:
    """Serves mailboxes.

    ``tls_context`` None: no STARTTLS. ``channel_binding``: the tls-server-end-point of
    the certificate in use, for SCRAM-SHA-256-PLUS. ``require_tls`` False: passwords may travel
    in the clear from anywhere. ``offers_scram`` False: where any password will
    do, SCRAM cannot. ``spool`` makes an unnamed temporary file in the
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
        offers_scram: bool = True,
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
            name_change=notify.name_change,
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
            mechanisms=SERVER_MECHANISMS if offers_scram else ("PLAIN", "LOGIN"),
        )

    async def handle(self, connection: Connection) -> None:
        """Run one session on an accepted connection, inside TLS already or not. The caller closes it.

        Blocks:   until the session ends.
        """
        session = Session(self._shared, connection, HANDLERS, append)
        reason = "failed"
        try:
            end = await connection.run(session.run)
            reason = session.reason or end.value
            if end in _LAST_WORDS and not session.inside_literal:
                text, code = _LAST_WORDS[end]
                session.core.send_bye(text, reason, code)
                await connection.send_last(session.core.data_to_send())
        except Exception as error:  # noqa: BLE001 - the outermost catch: one session's bug must not end the server
            self._shared.mail_log.exception("imap_session_failed", error, session=connection.session_id, user=session.account or "")
            if not session.inside_literal:
                await connection.send_last(session.core.bye_line("Internal error, try again later", b"SERVERBUG"))
        finally:
            session.forget_account()
            self._tell_end(connection, session, reason)

    def _tell_end(self, connection: Connection, session: Session, reason: str) -> None:
        self._shared.mail_log.session_finished(
            session_id=connection.session_id,
            service="imap",
            client=str(connection.peer),
            account=session.account or "",
            tls=connection.tls_info[0],
            commands=session.commands,
            messages=session.messages,
            bytes_in=connection.bytes_in,
            bytes_out=connection.bytes_out,
            duration_s=trio.current_time() - connection.opened_at_s,
            reason=reason,
        )
