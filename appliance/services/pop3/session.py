r"""One POP3 session: the core's events, the account's maildrop, one connection.

Owns the order of things: replies go out before the connection is read again,
deletions are made in UPDATE by one call and before ``+OK``. The view is the
INBOX, or the mailbox that the login names, as it is then and stays so, whatever IMAP or a delivery does meanwhile. RETR
leaves \Seen alone: RFC 1939 knows no flags, and a second device that polls the
same maildrop must not mark mail as read for a person's IMAP program.

Fails: the connection's errors pass to ``Connection.run``; store errors become
replies, see ``_error_reply``.
Sources: RFC 1939 sections 3 to 7, RFC 2449 sections 6.8 (pipelining) and 8.1, RFC 3206.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import Protocol, assert_never, runtime_checkable

import trio

from appliance.model.errors import ApplianceError, ExpungedError, NotFoundError
from appliance.model.hosts import is_this_machine
from appliance.model.ids import INBOX, AccountName, MailboxName, QueueId, Uid
from appliance.model.ports import Mailbox, MailStore
from appliance.net.connection import Connection
from appliance.protocols.pop3 import events
from appliance.protocols.pop3.maildrop import Maildrop
from appliance.protocols.pop3.replies import END
from appliance.protocols.pop3.server import Pop3Server
from appliance.services.pop3.keeping import mark_deleted, remove_old, shown_uids
from appliance.services.pop3.login import SaslLogin, split_login
from appliance.services.pop3.reading import LargeMessage, MessageReader
from appliance.services.pop3.shared import Shared

__all__ = ["Session", "SizedMailbox"]

_SHORTEST_AUTOLOGOUT_S = 600
"""RFC 1939 section 3: at least 10 minutes."""
_SEND_BYTES = 65_536
_SEND_COMMANDS = 256
"""Pipelined commands answered before the loop gets its turn, however short the replies."""
_SUMMARIES_AT_ONCE = 1_000
_MOST_TOLD = 100
"""Messages of one session whose end the log tells each by itself."""


@runtime_checkable
class SizedMailbox(Protocol):
    """What a mailbox may know beyond ``model.ports.Mailbox``."""

    def sizes(self, uids: "array[int]") -> "array[int]":
        """Return ``Summary.size_bytes`` of each uid, typecode ``Q``, 0 for a uid that is gone."""


class Session:
    """From the first command to the last reply. ``reason`` is set when the conversation itself came to an end."""

    def __init__(self, shared: Shared, connection: Connection) -> None:
        self._shared = shared
        self._connection = connection
        self._core = Pop3Server(
            mechanisms=self._offered_mechanisms(),
            tls_available=shared.tls_context is not None,
            tls_active=connection.is_tls,
            login_allowed=connection.is_tls or not shared.require_tls or is_this_machine(connection.peer.host),
            refusal="Passwords are taken over TLS only: use STARTTLS (STLS) here, or SSL/TLS on port 995",
            max_bad_commands=shared.settings.max_bad_commands,
            login_delay_s=shared.settings.login_delay_s,
            preferred_language=shared.language,
        )
        self._idle_timeout_s = max(shared.settings.idle_timeout_s, _SHORTEST_AUTOLOGOUT_S)
        self._deadline_set_at_s = float("-inf")
        self._unsent_commands = 0
        self._sasl: SaslLogin | None = None
        self._mailbox: Mailbox | None = None
        self._mailbox_name = INBOX
        self._maildrop = Maildrop(0, array("I"))
        self._reader: MessageReader | None = None
        self.account: AccountName | None = None
        self.messages_sent = 0
        self.reason = ""
        self.between_commands = False

    @property
    def commands(self) -> int:
        return self._core.commands

    def close(self) -> None:
        """Give the maildrop back. Harmless when repeated."""
        if self.account is not None and self._mailbox is not None:
            self._shared.locks.release(self.account, self._mailbox_name)
            self._mailbox = None

    async def run(self) -> None:
        """Converse until the client quits, is cut or is gone.

        Raises:   ConnectionLostError.
        """
        core, connection = self._core, self._connection
        while True:
            event = core.next_event()
            if event is events.NeedData.NEED_DATA:
                await self._send()
                self.between_commands = True
                data = await connection.receive_some(idle=True)
                self.between_commands = False
                core.receive_data(data)
            elif isinstance(event, events.SessionEnded):
                self.reason = event.reason
                if event.reason == "quit":
                    await self._send()
                else:
                    await connection.send_last(core.data_to_send())
                return
            elif isinstance(event, events.ConnectionLost):
                self.reason = "lost"
                return
            else:
                await self._act(event)
                self._unsent_commands += 1
                if core.output_bytes >= _SEND_BYTES or self._unsent_commands >= _SEND_COMMANDS:
                    await self._send()

    async def _send(self) -> None:
        if self._core.output_bytes:
            await self._send_piece(self._core.data_to_send())
        self._unsent_commands = 0
        self._extend_deadline()

    async def _send_piece(self, data: bytes) -> None:
        self._extend_deadline()
        await self._connection.send_all(data)

    def _extend_deadline(self) -> None:
        """Restart the autologout timer; the login timer runs on. To the second: moving a deadline costs as much as a reply."""
        now_s = trio.current_time()
        if self._mailbox is not None and now_s - self._deadline_set_at_s >= 1:
            self._deadline_set_at_s = now_s
            self._connection.set_deadline(now_s + self._idle_timeout_s)

    async def _act(self, event: events.Event) -> None:
        match event:
            case events.MessageRequested(number, lines):
                await self._on_message(number, lines)
            case events.DeleteRequested(number):
                self._on_delete(number)
            case events.ListingRequested(unique_ids, number):
                await self._on_listing(number, unique_ids=unique_ids)
            case events.StatRequested():
                await self._on_stat()
            case events.ResetRequested():
                self._maildrop.reset()
                self._core.send(self._core.ok_line())
            case events.QuitRequested():
                await self._on_quit()
            case events.LoginAttempted() | events.SaslStarted() | events.SaslResponded() | events.TlsRequested():
                await self._act_on_login(event)
            case events.SessionEnded() | events.ConnectionLost() | events.NeedData.NEED_DATA:
                raise AssertionError(event)
            case _:
                assert_never(event)

    # Logging in

    async def _act_on_login(self, event: events.LoginEvent) -> None:
        match event:
            case events.LoginAttempted(login, password):
                await self._on_login(login, password)
            case events.SaslStarted(mechanism, initial):
                host, binding = self._connection.peer.host, self._channel_binding()
                self._sasl = SaslLogin(self._shared.mechanisms, self._shared.authenticator, mechanism, host, binding)
                await self._continue_sasl(self._sasl, initial)
            case events.SaslResponded(data):
                assert self._sasl is not None
                await self._continue_sasl(self._sasl, data)
            case events.TlsRequested():
                await self._on_stls()
            case _:
                assert_never(event)

    async def _on_stls(self) -> None:
        assert self._shared.tls_context is not None
        await self._send()
        await self._connection.start_tls(self._shared.tls_context())
        self._core.tls_started(self._offered_mechanisms())

    def _offered_mechanisms(self) -> tuple[str, ...]:
        """Return the names for CAPA; -PLUS only inside a TLS whose certificate is known."""
        return self._shared.mechanisms.offered(channel_binding=bool(self._channel_binding()))

    def _channel_binding(self) -> dict[str, bytes]:
        """Return what SCRAM binds to: RFC 5929 section 4, as Python has no tls-exporter (RFC 9266)."""
        if not self._connection.is_tls or self._shared.channel_binding is None:
            return {}
        data = self._shared.channel_binding()
        return {"tls-server-end-point": data} if data else {}

    async def _on_login(self, login: str, password: str) -> None:
        try:
            account = await self._shared.authenticator.check_password(login, password, self._connection.peer.host)
        except ApplianceError as error:
            self._refuse(error, "login_unavailable")
            return
        await self._finish_login(login, "USER", account)

    async def _continue_sasl(self, sasl: SaslLogin, response: bytes | None) -> None:
        try:
            challenge = await sasl.step(response)
        except ApplianceError as error:
            self._refuse(error, "login_unavailable")
            return
        if challenge is not None:
            self._core.send_challenge(challenge)
        else:
            await self._finish_login(sasl.login, sasl.mechanism, sasl.account, sasl.reason)

    async def _finish_login(self, login: str, mechanism: str, account: AccountName | None, reason: str = "") -> None:
        self._sasl = None
        self._shared.mail_log.auth_finished(
            session_id=self._connection.session_id,
            service="pop3",
            client=str(self._connection.peer),
            login=login,
            mechanism=mechanism,
            succeeded=account is not None,
            reason=reason,
        )
        if account is None:
            self._core.login_failed("Wrong user name or password")
        elif self._shared.pauses.must_wait(account, trio.current_time()):
            seconds = self._shared.settings.login_delay_s
            self._core.login_failed("Wait {seconds} seconds between two logins", "LOGIN-DELAY", counts=False, seconds=seconds)
        else:
            await self._open_maildrop(account, split_login(login, self._shared.plus_separator)[1])

    async def _open_maildrop(self, account: AccountName, wanted: str) -> None:
        locks, locked, opened = self._shared.locks, False, False
        name = INBOX
        try:
            store, name = await self._shared.offload.run(self._find, account, wanted)
            locked = locks.acquire(account, name)
            if not locked:
                self._core.login_failed("The maildrop is open in another session, try again later", "IN-USE")
                return
            self._mailbox = await self._shared.offload.run(self._open, store, name)
            opened = True
        except ApplianceError as error:
            self._refuse(error, "maildrop_unavailable")
            return
        finally:
            if locked and not opened:
                locks.release(account, name)
        self.account, self._mailbox_name = account, name
        self._shared.pauses.logged_in(account, trio.current_time())
        view = self._mailbox.snapshot()
        self._maildrop = Maildrop(view.uid_validity, shown_uids(view))
        self._reader = MessageReader(self._mailbox, self._maildrop, self._shared.offload, self._core.words, utf8=self._core.utf8)
        self._core.login_succeeded("Logged in, {count} messages", count=len(self._maildrop))
        self._extend_deadline()

    def _find(self, account: AccountName, wanted: str) -> tuple[MailStore, MailboxName]:
        """Return the store and the mailbox that a login names: as it is written, else the only one that differs by case."""
        store = self._shared.stores.account(account)
        if not wanted or wanted.upper() == INBOX:
            return store, INBOX
        names = [info.name for info in store.list_mailboxes() if info.selectable]
        alike = [name for name in names if name == wanted] or [name for name in names if name.casefold() == wanted.casefold()]
        if len(alike) != 1:
            raise NotFoundError(wanted)
        return store, alike[0]

    def _open(self, store: MailStore, name: MailboxName) -> Mailbox:
        mailbox = store.open_mailbox(name)
        remove_old(mailbox, self._shared.settings.keep_deleted_days, self._shared.clock.now_s())
        return mailbox

    def _refuse(self, error: ApplianceError, event: str) -> None:
        self._log_failure(event, error)
        self._core.login_failed(error.client_text, "SYS/TEMP" if error.temporary else "SYS/PERM")

    # Messages

    async def _on_message(self, number: int, lines: int | None) -> None:
        if not self._check(number):
            return
        assert self._reader is not None
        try:
            reply = await self._reader.read(number, lines)
        except ApplianceError as error:
            self._core.send(self._error_reply("message_unreadable", error, number))
            return
        self.messages_sent += lines is None
        if isinstance(reply, LargeMessage):
            await self._send_large(reply)
        else:
            self._core.send(reply)

    async def _send_large(self, message: LargeMessage) -> None:
        """Send piece by piece. A failure half-way can only be told by closing: a final dot would make it look whole."""
        try:
            await self._send()
            piece = message.first
            while piece:
                await self._send_piece(piece)
                try:
                    piece = await self._shared.offload.run(message.next_piece)
                except (ApplianceError, OSError) as error:
                    self._log_failure("message_unreadable", error)
                    self._core.end("message unreadable", b"")
                    return
            self._core.send(message.stuffer.finish())
        finally:
            message.close()

    def _on_delete(self, number: int) -> None:
        if self._check(number):
            self._maildrop.delete(number)
            self._core.send(self._core.ok_line("Marked to be deleted"))

    async def _on_stat(self) -> None:
        if await self._load_sizes():
            count, octets = self._maildrop.statistics()
            self._core.send(b"+OK %d %d\r\n" % (count, octets))

    async def _on_listing(self, number: int | None, *, unique_ids: bool) -> None:
        if number is not None and not self._check(number):
            return
        if not unique_ids and not await self._load_sizes():
            return
        maildrop = self._maildrop
        if number is None:
            await self._send_pieces(maildrop.list_unique_ids() if unique_ids else maildrop.list_sizes())
        elif unique_ids:
            self._core.send(b"+OK %d %s\r\n" % (number, maildrop.unique_id(number)))
        else:
            self._core.send(b"+OK %d %d\r\n" % (number, maildrop.size(number)))

    async def _send_pieces(self, pieces: Iterable[bytes]) -> None:
        self._core.send(self._core.ok_line())
        for piece in pieces:
            self._core.send(piece)
            if self._core.output_bytes >= _SEND_BYTES:
                await self._send()
        self._core.send(END)

    def _check(self, number: int) -> bool:
        if self._maildrop.has(number):
            return True
        self._core.send(self._core.error_line("No such message"))
        return False

    async def _load_sizes(self) -> bool:
        """Learn the sizes on the first STAT or LIST; False when the reply was an error."""
        if self._maildrop.sizes_known:
            return True
        try:
            sizes = await self._shared.offload.run(self._read_sizes)
        except ApplianceError as error:
            self._core.send(self._error_reply("maildrop_unavailable", error))
            return False
        self._maildrop.set_sizes(sizes)
        return True

    def _read_sizes(self) -> "array[int]":
        """Return the size of each message; 0 for one that is gone meanwhile.

        A mailbox that has sizes at hand is asked for them; else for some
        summaries at a time, as each holds far more than the size.
        """
        assert self._mailbox is not None
        uids = self._maildrop.uids
        if isinstance(self._mailbox, SizedMailbox):
            return self._mailbox.sizes(uids)
        sizes = array("Q")
        for start in range(0, len(uids), _SUMMARIES_AT_ONCE):
            wanted = [Uid(uid) for uid in uids[start : start + _SUMMARIES_AT_ONCE]]
            found = self._mailbox.summaries(wanted)
            if len(found) == len(wanted):
                sizes.extend([summary.size_bytes for summary in found])
            else:
                known = {summary.uid: summary.size_bytes for summary in found}
                sizes.extend([known.get(uid, 0) for uid in wanted])
        return sizes

    # The end

    async def _on_quit(self) -> None:
        """UPDATE: delete what is marked, all in one call, then say so (RFC 1939 section 6)."""
        doomed = [Uid(uid) for uid in self._maildrop.deleted_uids()]
        days = self._shared.settings.keep_deleted_days
        reply = self._core.ok_line("Bye")
        if doomed:
            assert self._mailbox is not None
            self._deadline_set_at_s = float("-inf")
            self._extend_deadline()
            try:
                if days:
                    await self._shared.offload.run(mark_deleted, self._mailbox, doomed)
                    reply = self._core.ok_line("Bye, {count} deleted here and kept for {days} days", count=len(doomed), days=days)
                else:
                    origins = await self._shared.offload.run(self._mailbox.origins, doomed[:_MOST_TOLD])
                    await self._shared.offload.run(self._mailbox.expunge, doomed)
                    self._log_expunged(len(doomed), origins)
                    reply = self._core.ok_line("Bye, {count} deleted", count=len(doomed))
            except ApplianceError as error:
                self._log_failure("expunge_failed", error)
                reply = self._core.error_line("Some deleted messages were not removed", "SYS/TEMP")
        self.close()  # Before the reply: a client that reconnects at once must not find the maildrop in use.
        self._core.updated(reply)

    def _error_reply(self, event: str, error: ApplianceError, number: int = 0) -> bytes:
        if isinstance(error, ExpungedError):
            return self._core.error_line("Message {number} is gone, deleted by another program", number=number)
        self._log_failure(event, error)
        return self._core.error_line(error.client_text, "SYS/TEMP" if error.temporary else "SYS/PERM")

    def _log_expunged(self, count: int, origins: Sequence[QueueId]) -> None:
        self._shared.mail_log.messages_expunged(
            session_id=self._connection.session_id,
            service="pop3",
            client=self._connection.peer.host,
            account=self.account or "",
            mailbox=self._mailbox_name,
            count=count,
            queue_ids=origins,
        )

    def _log_failure(self, event: str, error: Exception) -> None:
        self._shared.mail_log.warning(
            event, service="pop3", session=self._connection.session_id, user=self.account or "", reason=str(error)
        )
