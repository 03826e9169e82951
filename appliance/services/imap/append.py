"""APPEND and REPLACE: messages as literals or catenated from pieces, several at once, all or none.

Owns the order of events between core and store, and what is refused before it is
sent. After a failure nothing more is taken: the next piece that the client
announces is refused with the reason, so that it need not send in vain.

Sources:  RFC 3501 section 6.3.11, RFC 3502, RFC 4315 (APPENDUID), RFC 4469 (CATENATE), RFC 7889 (TOOBIG),
          RFC 8508 (REPLACE).
"""

from appliance.model.errors import ApplianceError, LimitError
from appliance.model.ids import MailboxName, Uid
from appliance.model.mailbox import AppendResult, NewMessage
from appliance.protocols.imap.append_grammar import Replaced
from appliance.protocols.imap.events import (
    AppendAnnounced,
    AppendDataReceived,
    AppendFinished,
    AppendMessageReceived,
    CatenateBegan,
    CatenateTextAnnounced,
    CatenateUrlNamed,
    Event,
)
from appliance.protocols.imap.sequence import format_sequence_set
from appliance.protocols.imap.state import Condition
from appliance.services.imap.catenate import BadUrlError, add_url
from appliance.services.imap.errors import RefusalError, Reply, no, ok
from appliance.services.imap.incoming import Incoming
from appliance.services.imap.limits import refuse_appends
from appliance.services.imap.quota import add_and_warn
from appliance.services.imap.session import Session

__all__ = ["append"]

MAX_MESSAGES = 1_000
"""Messages in one APPEND: each may hold a temporary file open."""


async def append(session: Session, event: AppendAnnounced | CatenateBegan) -> Reply | None:
    """Receive the messages of one command and put them into the mailbox.

    Returns None when the core has answered already: refused, broken off, or lost.
    """
    intake = _Intake(session, event.mailbox, event.replaced)
    try:
        current: Event = event
        while not isinstance(current, AppendFinished):
            if not await intake.take(current):
                return None
            current = await session.next_event()
        return await intake.store()
    finally:
        intake.close()


class _Intake:
    """The messages of one command."""

    def __init__(self, session: Session, mailbox: MailboxName, replaced: Replaced | None) -> None:
        self._session = session
        self._mailbox = mailbox
        self._replaced = replaced
        self._incoming: list[Incoming] = []
        self._messages: list[NewMessage] = []
        self._failure: Reply | None = None
        self._bytes = 0
        self._total = 0

    def close(self) -> None:
        for message in self._incoming:
            message.close()

    async def take(self, event: Event) -> bool:
        """Take one event; False when there is nothing more to do for the command."""
        match event:
            case AppendAnnounced():
                self._begin(event, binary=event.binary)
                return self._decide(event.size_bytes, is_whole=True)
            case CatenateBegan():
                self._begin(event)
            case CatenateTextAnnounced():
                return self._decide(event.size_bytes, is_whole=False)
            case AppendDataReceived() | AppendMessageReceived() | CatenateUrlNamed():
                if self._failure is None:
                    await self._fill(event)
            case _:
                return False  # broken off, which the core has answered, or lost
        return True

    def _begin(self, event: AppendAnnounced | CatenateBegan, *, binary: bool = False) -> None:
        if self._failure is None and len(self._incoming) >= MAX_MESSAGES:
            self._failure = no(LimitError.client_text, b"LIMIT")
        if self._failure is None:
            self._failure = refuse_appends(self._session, len(self._incoming) + 1)
        if self._failure is None and event.first:
            self._failure = self._check_replaced()
        if self._failure is None:
            self._incoming.append(Incoming(self._session, event.flags, event.internal_date_s, binary=binary))
            self._bytes = 0

    def _check_replaced(self) -> Reply | None:
        """Say why REPLACE cannot remove its message (RFC 8508 section 3.4); nothing is to be put in then."""
        if self._replaced is None:
            return None
        if self._session.selected.read_only:
            return no("Mailbox is open for reading only", b"NOPERM")
        try:
            uids = self._replaced_uids()
        except RefusalError as refusal:
            return refusal.reply
        return None if uids else no("The message to replace is not there")

    def _replaced_uids(self) -> list[Uid]:
        assert self._replaced is not None
        view = self._session.selected.view
        positions = [at for span in view.positions(self._replaced.message, uid=self._replaced.uid) for at in span]
        return view.uids_at(positions)

    def _decide(self, size_bytes: int, *, is_whole: bool) -> bool:
        """Take or refuse a literal before it is sent."""
        self._count(size_bytes)
        if self._failure is None and is_whole and not size_bytes:
            self._failure = Reply(Condition.NO, "An empty message cannot be appended")
        if self._failure is not None:
            self._session.core.refuse_append(*self._failure)
            return False
        self._session.core.accept_append()
        return True

    def _count(self, size_bytes: int) -> None:
        limit = self._session.shared.settings.max_append_bytes
        self._bytes += size_bytes
        self._total += size_bytes
        if self._failure is None and (self._bytes > limit or self._total > 2 * limit):
            self._failure = no(f"Message is larger than {limit} bytes", b"TOOBIG")

    async def _fill(self, event: AppendDataReceived | AppendMessageReceived | CatenateUrlNamed) -> None:
        try:
            if isinstance(event, AppendDataReceived):
                await self._incoming[-1].feed(event.data)
            elif isinstance(event, CatenateUrlNamed):
                await add_url(self._session, event.url, self._incoming[-1], self._count)
            else:
                await self._finish()
        except ApplianceError as error:
            self._failure = self._session.explain(error)
        except BadUrlError as error:
            self._failure = error.reply

    async def _finish(self) -> None:
        message = await self._incoming[-1].finish()
        if message.content.size:
            self._messages.append(message)
        else:
            self._failure = Reply(Condition.NO, "An empty message cannot be appended")

    # The end

    async def store(self) -> Reply:
        """Put everything into the mailbox, and for REPLACE take the old message out."""
        if self._failure is not None:
            return self._failure
        session = self._session
        try:
            result = await (session.run_blocking(self._append) if self._replaced is not None else add_and_warn(session, self._append))
        except ApplianceError as error:
            return session.explain(error, creating=True)
        code = b"APPENDUID %d %b" % (result.uid_validity, format_sequence_set(result.uids))
        if self._replaced is None:
            return ok("Append completed", code)
        failure = await self._remove_replaced(result)
        if failure is not None:
            return failure
        session.core.send_untagged(Condition.OK, "Replacement message ready", code)
        return ok("Replace completed")

    def _append(self) -> AppendResult:
        """RFC 8508 section 3.4: of REPLACE only what it adds counts for the quota. Blocks: disk."""
        replaced_bytes = 0
        if self._replaced is not None:
            replaced_bytes = sum(summary.size_bytes for summary in self._session.selected.mailbox.summaries(self._replaced_uids()))
        return self._session.store.append(self._mailbox, self._messages, replaced_bytes)

    async def _remove_replaced(self, result: AppendResult) -> Reply | None:
        """Take the old message out; if that fails, the new one too."""
        session = self._session
        try:
            await session.run_blocking(session.selected.mailbox.expunge, self._replaced_uids())
        except ApplianceError as error:
            reply = session.explain(error)
            mailbox = await session.run_blocking(session.store.open_mailbox, self._mailbox)
            await session.run_blocking(mailbox.expunge, result.uids)
            return reply
        return None
