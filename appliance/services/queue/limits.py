"""What an account may send in a day: more is put on hold, and its owner and the postmaster are told.

Owns the two limits - messages, and recipients it never wrote to before - as an ``Intake`` in front of the queue's.
A stolen password shows by these numbers first; a person who has a reason is released with ``carteiro queue release``.

Fails: what cannot be counted is let through, with a line in the log.
Does not: drop or refuse anything. Mail on hold counts for nothing: released, it goes without being counted.

Sources: RFC 6409 section 5 (policy of a submission server), Postfix and policyd's habit of daily quotas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from appliance.message.date import format_date
from appliance.message.text import encode_phrase, encode_unstructured
from appliance.model.envelope import NULL_REVERSE_PATH, Body, Client, Envelope, EnvelopeRecipient
from appliance.model.errors import ApplianceError
from appliance.model.ids import QueueId
from appliance.model.ports import Clock, ContentWriter, Directory, Intake, Offload
from appliance.observe.maillog import MailLog
from appliance.services.queue.bounce import resolved_recipients
from appliance.storage.sentcounts import SentCounts, SentToday

__all__ = ["DailyLimits", "LimitedIntake"]

Language = Literal["en", "pt"]

_TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "messages": "{account} has sent {limit} messages today, as many as are allowed in a day",
        "fresh": "{account} has written to {limit} new addresses today, as many as are allowed in a day",
        "subject": "Mail of {account} is on hold: the day's limit is reached",
        "name": "Mail server",
        "body": (
            "{reason}.\n\nWhat is sent beyond that today is not lost: it is on hold at {hostname}, beginning with message {queue_id}.\n\n"
            "If this was you, ask the administrator to let it go: carteiro queue release --from {sender}\n"
            "If it was not, somebody knows your password: change it now, and tell the administrator.\n"
        ),
    },
    "pt": {
        "messages": "{account} enviou hoje {limit} mensagens, tantas quantas se podem enviar num dia",
        "fresh": "{account} escreveu hoje a {limit} endereços novos, tantos quantos se podem usar num dia",
        "subject": "O correio de {account} está retido: chegou ao limite do dia",
        "name": "Servidor de correio",
        "body": (
            "{reason}.\n\nO que for enviado hoje além disso não se perde: fica retido em {hostname}, a começar pela mensagem {queue_id}.\n\n"
            "Se foi a própria pessoa, peça ao administrador que o liberte: carteiro queue release --from {sender}\n"
            "Se não foi, alguém conhece a sua palavra-passe: mude-a já e avise o administrador.\n"
        ),
    },
}


@dataclass(frozen=True, slots=True)
class DailyLimits:
    """0: no limit."""

    messages: int = 0
    fresh: int = 0

    def exceeded_by(self, sent: SentToday) -> str:
        """Return which limit a message would break, or nothing."""
        if 0 < self.messages < sent.messages:
            return "messages"
        return "fresh" if 0 < self.fresh < sent.fresh else ""

    def __bool__(self) -> bool:
        return bool(self.messages or self.fresh)


class LimitedIntake:
    """Implements ``model.ports.Intake`` before another one."""

    def __init__(
        self,
        intake: Intake,
        counts: SentCounts,
        limits: DailyLimits,
        *,
        directory: Directory,
        offload: Offload,
        clock: Clock,
        mail_log: MailLog,
        hostname: str,
        language: Language,
    ) -> None:
        """``offload`` must run one call at a time."""
        self._intake = intake
        self._counts = counts
        self._limits = limits
        self._directory = directory
        self._offload = offload
        self._clock = clock
        self._log = mail_log
        self._hostname = hostname
        self._language = language

    async def begin(self) -> ContentWriter:
        """See ``Intake.begin``."""
        return await self._intake.begin()

    async def accept(self, envelope: Envelope, writer: ContentWriter) -> QueueId:
        """See ``Intake.accept``. Blocks: the disk, briefly, before that."""
        account = envelope.client.account
        if account is None:
            return await self._intake.accept(envelope, writer)
        kind = await self._exceeded(account, envelope)
        if not kind:
            return await self._intake.accept(envelope, writer)
        reason = self._text(kind, account=account, limit=self._limits.messages if kind == "messages" else self._limits.fresh)
        queue_id = await self._intake.accept(replace(envelope, hold_reason=reason), writer)
        await self._tell(account, envelope.reverse_path, queue_id, reason)
        return queue_id

    async def _exceeded(self, account: str, envelope: Envelope) -> str:
        addresses = [one.original or one.address for one in envelope.recipients]
        now_s = self._clock.now_s()
        try:
            sent = await self._offload.run(self._counts.with_message, account, addresses, now_s)
            kind = self._limits.exceeded_by(sent)
            if not kind:
                await self._offload.run(self._counts.note, account, addresses, now_s)
        except ApplianceError as error:
            self._log.error("sent_not_counted", user=account, reason=error.detail, fix="look at the disk that holds the data")
            return ""
        return kind

    async def _tell(self, account: str, sender: str, queue_id: QueueId, reason: str) -> None:
        """Write to the account and to postmaster, once a day; that fails without harm to the message that is on hold already."""
        try:
            if not await self._offload.run(self._counts.tell_once, account, self._clock.now_s()):
                return
            recipients: dict[str, EnvelopeRecipient] = {}
            for address in (self._directory.qualify(account), self._directory.qualify("postmaster")):
                recipients |= {one.address: one for one in resolved_recipients(self._directory, address)}
            if not recipients:
                return
            message = self._message(account, sender, queue_id, reason)
            writer = await self._intake.begin()
            await writer.write(message)
            told = Envelope(NULL_REVERSE_PATH, tuple(recipients.values()), Body.EIGHT_BIT_MIME, client=Client(protocol="internal"))
            await self._intake.accept(told, writer)
        except ApplianceError as error:
            self._log.error("limit_not_told", user=account, reason=error.detail, fix="look at the disk that holds the queue")

    def _message(self, account: str, sender: str, queue_id: QueueId, reason: str) -> bytes:
        body = self._text("body", reason=reason, hostname=self._hostname, queue_id=queue_id, sender=sender)
        now_s = self._clock.now_s()
        lines = [
            b"From: " + encode_phrase(self._text("name")) + f" <MAILER-DAEMON@{self._hostname}>".encode(),
            f"To: <{self._directory.qualify(account)}>".encode(),
            b"Subject: " + encode_unstructured(self._text("subject", account=account)),
            b"Date: " + format_date(now_s),
            f"Message-ID: <{queue_id}.limit@{self._hostname}>".encode(),
            b"Auto-Submitted: auto-generated",
            b"MIME-Version: 1.0",
            b"Content-Type: text/plain; charset=utf-8",
            b"Content-Transfer-Encoding: 8bit",
            b"",
            body.replace("\n", "\r\n").encode(),
        ]
        return b"\r\n".join(lines)

    def _text(self, key: str, **values: object) -> str:
        return _TEXTS[self._language][key].format(**values)
