"""The mail log: one typed method per event, Postfix's fields, no free text from callers where a field will do.

Owns the names of events and fields. Every method writes one record to the
``carteiro`` logger with its fields in ``record.fields`` and counts it; the
format (logfmt, JSON) is the handler's matter (``observe.logformat``).
Does not: write files, rotate, or ever see a password.

Sources: Postfix smtp(8) and qmgr(8) log lines, chasquid's maillog, Dovecot's
event fields.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from appliance.model.ids import QueueId, SessionId
from appliance.model.outcome import Outcome
from appliance.observe.logformat import LineHandler

__all__ = ["Listener", "MailLog"]

_ROOT = logging.getLogger()
_STATUS = {"delivered": "delivered", "relayed": "sent", "delayed": "deferred", "failed": "bounced", "expanded": "expanded"}

Listener = Callable[[str, int, dict[str, Any]], None]


class MailLog:
    """Writes events to the log and to listeners (counters, recent errors, trace). In memory but for the handler's write."""

    def __init__(self, logger: logging.Logger | None = None, listeners: Sequence[Listener] = ()) -> None:
        self._logger = logger or logging.getLogger("carteiro")
        self._listeners = tuple(listeners)

    def _emit(self, level: int, event: str, fields: dict[str, Any], private: dict[str, Any] | None = None) -> None:
        told = fields if private is None else fields | private
        for listener in self._listeners:
            listener(event, level, told)
        logger = self._logger
        if not logger.isEnabledFor(level):
            return
        handlers = _ROOT.handlers
        if (
            len(handlers) == 1
            and handlers[0].__class__ is LineHandler
            and logger.parent is _ROOT
            and not (logger.handlers or logger.filters)
        ):
            handlers[0].write_event(level, event, fields)  # what ``Logger.log`` would come to, in a third of the time
        else:
            logger.log(level, event, extra={"fields": fields})

    def client_told(self, *, session_id: SessionId, service: str, client: str, proxy: str) -> None:
        """Tell which client a proxy has said to talk for (XCLIENT)."""
        self._emit(logging.INFO, "client_told", {"session": session_id, "service": service, "client": client, "proxy": proxy})

    def session_finished(
        self,
        *,
        session_id: SessionId,
        service: str,
        client: str,
        account: str,
        tls: str,
        commands: int,
        messages: int,
        bytes_in: int,
        bytes_out: int,
        duration_s: float,
        reason: str,
    ) -> None:
        """Tell the end of a connection; ``reason`` is ``quit``, ``timeout``, ``lost``, ``shutdown`` or why it was cut."""
        self._emit(
            logging.INFO,
            "session_finished",
            {
                "session": session_id,
                "service": service,
                "client": client,
                "user": account,
                "tls": tls,
                "commands": commands,
                "messages": messages,
                "bytes_in": bytes_in,
                "bytes_out": bytes_out,
                "duration_s": round(duration_s, 3),
                "reason": reason,
            },
        )

    def auth_finished(
        self,
        *,
        session_id: SessionId,
        service: str,
        client: str,
        login: str,
        mechanism: str,
        succeeded: bool,
        reason: str = "",
    ) -> None:
        """Tell one login attempt."""
        self._emit(
            logging.INFO if succeeded else logging.WARNING,
            "auth_finished",
            {
                "session": session_id,
                "service": service,
                "client": client,
                "user": login,
                "mechanism": mechanism,
                "status": "ok" if succeeded else "failed",
                "reason": reason,
            },
        )

    def messages_expunged(
        self,
        *,
        session_id: SessionId,
        service: str,
        client: str,
        account: str,
        mailbox: str,
        count: int,
        queue_ids: Sequence[QueueId],
    ) -> None:
        """Tell that a client removed messages for good; ``queue_ids``: those of them, or the first, that came through the queue."""
        self._emit(
            logging.INFO,
            "messages_expunged",
            {
                "session": session_id,
                "service": service,
                "client": client,
                "user": account,
                "mailbox": mailbox,
                "messages": count,
                "queue_ids": " ".join(queue_ids),
            },
        )

    def messages_vanished(self, account: str, mailbox: str, queue_ids: Sequence[QueueId]) -> None:
        """Tell that another program took messages out of a mailbox; ``queue_ids``: as above."""
        self._emit(logging.INFO, "messages_vanished", {"user": account, "mailbox": mailbox, "queue_ids": " ".join(queue_ids)})

    def message_refused(
        self,
        *,
        session_id: SessionId,
        client: str,
        stage: str,
        sender: str,
        recipient: str,
        reply: str,
        check: str = "",
    ) -> None:
        """Tell a MAIL, RCPT or DATA that was refused, with the reply given (Postfix: NOQUEUE: reject)."""
        self._emit(
            logging.INFO,
            "message_refused",
            {
                "session": session_id,
                "client": client,
                "stage": stage,
                "from": sender,
                "to": recipient,
                "reply": reply,
                **({"check": check} if check else {}),
            },
        )

    def message_queued(
        self,
        *,
        queue_id: QueueId,
        session_id: SessionId,
        client: str,
        account: str,
        sender: str,
        recipients: int,
        size: int,
        message_id: str,
        subject: str = "",
        verdicts: Mapping[str, str] | None = None,
    ) -> None:
        """Tell a message that was acknowledged and is on stable storage.

        ``verdicts``: of each check, a word; ``subject`` is for listeners alone: the log is read by many.
        """
        self._emit(
            logging.INFO,
            "message_queued",
            {
                "queue_id": queue_id,
                "session": session_id,
                "client": client,
                "user": account,
                "from": sender,
                "nrcpt": recipients,
                "size": size,
                "message_id": message_id,
                **(verdicts or {}),
            },
            {"subject": subject},
        )

    def recipient_attempted(
        self,
        *,
        queue_id: QueueId,
        sender: str,
        recipient: str,
        original: str | None,
        outcome: Outcome,
        delay_s: float,
        delays_s: Sequence[float] = (),
        size: int = 0,
    ) -> None:
        """Tell one attempt at one recipient: delivered, deferred or bounced, and why."""
        action = outcome.action.value
        level = logging.WARNING if action == "failed" else logging.INFO
        fields: dict[str, Any] = {"queue_id": queue_id, "from": sender, "to": recipient}
        if original and original != recipient:
            fields["orig_to"] = original
        fields["relay"] = outcome.relay
        fields["delay"] = round(delay_s, 2)
        if delays_s:
            fields["delays"] = "/".join(f"{part:.2g}" for part in delays_s)
        fields |= {"tls": outcome.tls, "enhanced": outcome.status, "status": _STATUS[action], "reason": outcome.reason}
        if outcome.diagnostic:
            fields["diagnostic"] = outcome.diagnostic
        if size:
            fields["size"] = size
        self._emit(level, "recipient_attempted", fields)

    def queue_entry_removed(self, *, queue_id: QueueId, reason: str = "done") -> None:
        """Tell that nothing of a message is left in the queue."""
        self._emit(logging.INFO, "queue_entry_removed", {"queue_id": queue_id, "reason": reason})

    def transcribed(self, service: str, session_id: SessionId, side: str, text: str) -> None:
        """Tell a line of a conversation that ``log.transcript`` asks for. ``side``: C or S."""
        self._emit(logging.INFO, "transcribed", {"service": service, "session": session_id, "side": side, "text": text})

    def notice(self, event: str, **fields: Any) -> None:
        """Tell something worth knowing about the server itself."""
        self._emit(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Tell that something works worse than it should."""
        self._emit(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Tell that a person must act; ``reason`` and ``fix`` say what and how."""
        self._emit(logging.ERROR, event, fields)

    def exception(self, event: str, error: BaseException, **fields: Any) -> None:
        """Tell a bug: the one place where a traceback goes to the log."""
        for listener in self._listeners:
            listener(event, logging.ERROR, fields | {"reason": repr(error)})
        self._logger.error(event, exc_info=error, extra={"fields": fields | {"reason": repr(error)}})
