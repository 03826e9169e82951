"""Notifications: which DSN is due, to whom, and what becomes of one that fails itself.

Owns the rules; the text of a DSN is ``message.dsn``. A DSN is an ordinary
message with the null reverse-path. It is committed in one transaction with the
removal (or the mark) of the recipients it tells about: a crash neither loses
it nor sends it again. A failing DSN is told to postmaster once, and if that
fails too it is dropped with a line in the log.

Fails: never; what cannot be read is left out of the DSN.
Does not: notify about messages with the null reverse-path (RFC 5321 section 4.5.5), nor the
supposed sender of what SPF says that he did not send.

Sources: RFC 3461 sections 4.1 (NOTIFY), 4.3 (RET), 5.2 and 6, RFC 3464, RFC 8689 section 5, Postfix bounce(8).
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.model.content import Content
from appliance.model.envelope import NULL_REVERSE_PATH, Body, Client, Envelope, EnvelopeRecipient, Notify, Ret
from appliance.model.errors import ApplianceError
from appliance.model.ids import QueueId
from appliance.model.outcome import Outcome
from appliance.model.ports import Directory, Offload
from appliance.model.routing import Deliverable, LocalTarget, Refused
from appliance.observe.maillog import MailLog
from appliance.services.queue.committer import Committer
from appliance.services.queue.entry import Entry, Slot
from appliance.storage.spool_schema import Addition

__all__ = ["Bounces", "BuiltNotice", "Notice", "NoticeBuilder", "NoticeKind", "resolved_recipients"]

_FULL_BYTES: Final = 65_536
"""The most of a message that a DSN returns; Postfix bounce_size_limit is 50,000."""


class NoticeKind(enum.Enum):
    FAILED = "failed"
    DELAYED = "delayed"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a DSN tells. ``original``: the message or its beginning; ``is_full``: return it whole, else its header section only.

    Units: times in wall clock seconds since the epoch; ``will_retry_until_s`` for DELAYED alone.
    """

    kind: NoticeKind
    to: str
    queue_id: QueueId
    envelope: Envelope
    arrived_at_s: float
    now_s: float
    will_retry_until_s: float
    recipients: Sequence[tuple[EnvelopeRecipient, Outcome]]
    original: bytes
    is_full: bool


@dataclass(frozen=True, slots=True)
class BuiltNotice:
    """A DSN as a message, and what its envelope must say of it."""

    data: bytes
    body: Body
    smtputf8: bool


NoticeBuilder = Callable[[Notice], BuiltNotice]


class Bounces:
    """Decides about and prepares notifications."""

    def __init__(
        self,
        committer: Committer,
        *,
        directory: Directory,
        build: NoticeBuilder,
        offload: Offload,
        now_s: Callable[[], float],
        lifetime_s: Callable[[Entry], int],
        log: MailLog,
    ) -> None:
        self._committer = committer
        self._directory = directory
        self._build = build
        self._offload = offload
        self._now_s = now_s
        self._lifetime_s = lifetime_s
        self._log = log

    async def failed(self, entry: Entry, pairs: Sequence[tuple[Slot, Outcome]]) -> list[tuple[Addition, Content]]:
        """Return the message to be committed with the removal of these recipients: one DSN, or none."""
        if entry.notice:
            return await self._double_bounce(entry, pairs)
        told = [(slot, outcome) for slot, outcome in pairs if slot.wants(Notify.FAILURE)]
        if not told:
            return []
        if entry.envelope.reverse_path == NULL_REVERSE_PATH or entry.envelope.is_forged:
            reason = (
                "SPF says that its sender did not send the message" if entry.envelope.is_forged else "the message has no sender to be told"
            )
            self._log.notice("bounce_discarded", queue_id=entry.queue_id, reason=reason)
            return []
        return await self._notice(NoticeKind.FAILED, entry, told, entry.envelope.reverse_path, 1)

    async def delayed(self, entry: Entry, pairs: Sequence[tuple[Slot, Outcome]]) -> list[tuple[Addition, Content]]:
        """Return the one notice of delay for these recipients; who asked for none was left out before."""
        if entry.envelope.is_forged:
            return []
        return await self._notice(NoticeKind.DELAYED, entry, pairs, entry.envelope.reverse_path, 1)

    async def succeeded(self, entry: Entry, pairs: Sequence[tuple[Slot, Outcome]]) -> list[tuple[Addition, Content]]:
        """Return the DSN that somebody asked for with NOTIFY=SUCCESS."""
        return await self._notice(NoticeKind.SUCCEEDED, entry, pairs, entry.envelope.reverse_path, 1)

    @staticmethod
    def wants_success(slot: Slot, outcome: Outcome, *, is_local: bool) -> bool:
        """True if this success must be told by us. A server that promised to tell it itself is left to do so (RFC 3461 section 5.2.2)."""
        envelope = slot.entry.envelope
        if slot.recipient.notify is None or not slot.wants(Notify.SUCCESS) or not envelope.reverse_path or envelope.is_forged:
            return False
        return is_local or not outcome.dsn_passed

    async def _double_bounce(self, entry: Entry, pairs: Sequence[tuple[Slot, Outcome]]) -> list[tuple[Addition, Content]]:
        if entry.notice > 1:
            self._log.warning("double_bounce_dropped", queue_id=entry.queue_id, reason=pairs[0][1].reason)
            return []
        postmaster = self._directory.qualify("postmaster")
        return await self._notice(NoticeKind.FAILED, entry, pairs, postmaster, 2)

    async def _notice(
        self, kind: NoticeKind, entry: Entry, pairs: Sequence[tuple[Slot, Outcome]], to: str, level: int
    ) -> list[tuple[Addition, Content]]:
        recipients = resolved_recipients(self._directory, to)
        if not recipients:
            if level > 1 or kind is not NoticeKind.FAILED:
                self._log.warning("notice_dropped", queue_id=entry.queue_id, to=to, reason="this address of ours does not exist")
                return []
            return await self._notice(kind, entry, pairs, self._directory.qualify("postmaster"), 2)
        wants_all = entry.envelope.ret is Ret.FULL and not entry.envelope.requires_tls
        is_full = kind is NoticeKind.FAILED and wants_all and entry.content.size <= _FULL_BYTES
        notice = Notice(
            kind=kind,
            to=to,
            queue_id=entry.queue_id,
            envelope=entry.envelope,
            arrived_at_s=entry.arrived_at_s,
            now_s=self._now_s(),
            will_retry_until_s=entry.starts_at_s + self._lifetime_s(entry),
            recipients=[(slot.recipient, outcome) for slot, outcome in pairs],
            original=await self._offload.run(self._beginning, entry),
            is_full=is_full,
        )
        built = self._build(notice)
        is_utf8 = built.smtputf8 or not "".join(one.address for one in recipients).isascii()
        # The report of a confidential message is confidential where the servers can; and it is without its text (RFC 8689 section 5).
        is_confidential = entry.envelope.requires_tls
        client = Client(protocol="internal")
        envelope = Envelope(NULL_REVERSE_PATH, recipients, built.body, is_utf8, client=client, requires_tls=is_confidential)
        addition, content = self._committer.new_message(envelope, built.data, level)
        self._log.notice("notice_queued", queue_id=addition.queue_id, about=entry.queue_id, to=to, kind=kind.value)
        return [(addition, content)]

    def _beginning(self, entry: Entry) -> bytes:
        try:
            with entry.content.open() as stream:
                return stream.read(_FULL_BYTES)
        except (ApplianceError, OSError) as error:
            self._log.warning("notice_without_original", queue_id=entry.queue_id, reason=str(error))
            return b""


def resolved_recipients(directory: Directory, address: str) -> tuple[EnvelopeRecipient, ...]:
    """Return where a notification to an address goes, aliases expanded; nowhere when it is ours and does not exist. Pure."""
    resolution = directory.resolve(address)
    if isinstance(resolution, Refused):
        return ()
    if not isinstance(resolution, Deliverable):
        return (EnvelopeRecipient(address, Notify.NEVER),)
    if directory.mailbox_of(address) is not None:
        return (EnvelopeRecipient(address, Notify.NEVER),)
    addresses = (
        directory.primary_address(target.account) if isinstance(target, LocalTarget) else target.address for target in resolution.targets
    )
    return tuple(EnvelopeRecipient(one, Notify.NEVER, None, address) for one in addresses)
