"""The MDA: puts queued messages into the mailboxes of our own people.

Owns the trace fields of final delivery (Return-Path, Delivered-To) and the
choice of the mailbox: for what was judged to be junk the Junk folder; with
``ana+lists@`` the mailbox ``lists`` if Ana has one, else INBOX. A batch is one hop to a worker thread, whatever the number of
accounts; nothing is durable before ``settle``.

Fails: never for what a resource does; each failure is an ``Outcome``. A full
mailbox is temporary (4.2.2): people make room, and the sender is told of the
delay and gets the message back when the queue gives up.
Does not: expand aliases, run Sieve, or check for loops (Received is counted at the door).
Sources: RFC 5321 section 4.4 (Return-Path), Postfix local(8) and virtual(8),
Gmail's 452 4.2.2 for full mailboxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.model.content import PrefixedContent
from appliance.model.errors import ApplianceError, CorruptError, InUseError, OutOfSpaceError, OverQuotaError
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage, SpecialUse
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import Directory, LocalJob, MailStores, Offload
from appliance.model.routing import Deliverable, LocalTarget, NotLocal, Refused

__all__ = ["LocalDeliveryService"]

RELAY = "local"
DEFAULT_JUNK = MailboxName("Junk")

_FAILURES: tuple[tuple[type[ApplianceError], str, str], ...] = (
    (OverQuotaError, "4.2.2", "mailbox is full"),
    (OutOfSpaceError, "4.3.1", "no space left on the mail disk"),
    (InUseError, "4.2.0", "mailbox is locked by another program"),
    (CorruptError, "4.2.0", "mailbox is damaged"),
)


@dataclass(slots=True)
class _Group:
    """What one account gets of a batch; ``numbers`` says which job each message belongs to."""

    targets: list[LocalTarget] = field(default_factory=list)
    junk: list[bool] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


class LocalDeliveryService:
    """See ``model.ports.LocalDelivery``."""

    def __init__(
        self,
        stores: MailStores,
        directory: Directory,
        offload: Offload,
        settle_offload: Offload | None = None,
        junk: MailboxName = DEFAULT_JUNK,
    ) -> None:
        """``settle_offload``: where the long flushes are made, beside which ``offload`` goes on delivering.

        ``junk``: the mailbox for junk of an account that has none marked so; it is made then.
        """
        self._junk = junk
        self.directory = directory
        """Swapped as a whole when the configuration is read again."""
        self._stores = stores
        self._offload = offload
        self._settle_offload = settle_offload or offload

    async def deliver(self, jobs: Sequence[LocalJob]) -> Sequence[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(jobs)
        groups: dict[AccountName, _Group] = {}
        for number, job in enumerate(jobs):
            targets = self._targets(job)
            if isinstance(targets, Outcome):
                outcomes[number] = targets
                continue
            for target in targets:
                group = groups.setdefault(target.account, _Group())
                group.targets.append(target)
                group.junk.append(job.envelope.is_junk)
                group.messages.append(_with_trace(job))
                group.numbers.append(number)
        if groups:
            for number, outcome in await self._offload.run(self._deliver_groups, groups):
                before = outcomes[number]
                if before is None or before.is_final:  # of several mailboxes the one that must be tried again decides
                    outcomes[number] = outcome
        return [outcome if outcome is not None else _failure(ApplianceError("not attempted")) for outcome in outcomes]

    async def settle(self) -> None:
        """See ``LocalDelivery.settle``. Raises UnavailableError."""
        await self._settle_offload.run(self._stores.settle)

    def _targets(self, job: LocalJob) -> list[LocalTarget] | Outcome:
        """Return where a recipient leads today; the settings may have changed since it was accepted.

        Aliases were expanded when the message came in: a user's own address is delivered even where an alias has its name.
        """
        own = self.directory.mailbox_of(job.recipient.address)
        if own is not None:
            return [own]
        resolution = self.directory.resolve(job.recipient.address)
        if isinstance(resolution, Deliverable):
            targets = [target for target in resolution.targets if isinstance(target, LocalTarget)]
            if targets:
                return targets
            return Outcome(Action.DEFERRED, "4.3.5", "the address leads to another server since the message was accepted", relay=RELAY)
        if isinstance(resolution, Refused):
            return Outcome(Action.BOUNCED, resolution.status, resolution.reason, relay=RELAY)
        assert isinstance(resolution, NotLocal)
        return Outcome(Action.DEFERRED, "4.3.5", "the domain is not delivered here any more", relay=RELAY)

    def _deliver_groups(self, groups: dict[AccountName, _Group]) -> list[tuple[int, Outcome]]:
        """Deliver account by account. Blocks: disk; runs in a worker thread."""
        outcomes = []
        for account, group in groups.items():
            try:
                names = [self._mailbox_for(target, is_junk=is_junk) for target, is_junk in zip(group.targets, group.junk, strict=True)]
                results = self._stores.deliver(account, list(zip(names, group.messages, strict=True)))
            except ApplianceError as error:
                outcomes += [(number, _failure(error)) for number in group.numbers]
                continue
            for number, name, error_or_none in zip(group.numbers, names, results, strict=True):
                outcomes.append((number, _delivered(name) if error_or_none is None else _failure(error_or_none)))
        return outcomes

    def _mailbox_for(self, target: LocalTarget, *, is_junk: bool) -> MailboxName:
        if not (target.detail or is_junk):
            return INBOX
        mailboxes = self._stores.account(target.account).list_mailboxes()
        if is_junk:
            return next((info.name for info in mailboxes if info.selectable and SpecialUse.JUNK in info.special_uses), self._junk)
        wanted = target.detail.lower()
        return next((info.name for info in mailboxes if info.selectable and info.name.lower() == wanted), INBOX)


def _with_trace(job: LocalJob) -> NewMessage:
    """Return the message with the fields of final delivery on top. Source: RFC 5321 section 4.4."""
    lines = [f"Return-Path: <{job.envelope.reverse_path}>", f"Delivered-To: {job.recipient.address}"]
    if job.recipient.original and job.recipient.original != job.recipient.address:
        lines.append(f"X-Original-To: {job.recipient.original}")
    prefix = "".join(line + "\r\n" for line in lines).encode("utf-8", "surrogateescape")
    return NewMessage(
        content=PrefixedContent(prefix, job.content),
        internal_date_s=job.arrived_at_s,
        queue_id=job.queue_id,
        reverse_path=job.envelope.reverse_path,
    )


def _delivered(name: MailboxName) -> Outcome:
    return Outcome(Action.DELIVERED, "2.0.0", f"delivered to mailbox {name}", relay=RELAY)


def _failure(error: ApplianceError) -> Outcome:
    """Return a deferral: what goes wrong on our own disks is ours to mend, not the sender's to hear."""
    for kind, status, reason in _FAILURES:
        if isinstance(error, kind):
            return Outcome(Action.DEFERRED, status, reason, diagnostic=error.detail, relay=RELAY)
    return Outcome(Action.DEFERRED, "4.3.0", "mail store is not available", diagnostic=error.detail, relay=RELAY)
