"""From a ``Notice`` to the message that tells it: the queue's side of ``message.dsn``.

Owns what a DSN needs beside the facts: the host's name, the language, a
Message-ID and a boundary nobody can have put into the message.

Sources: RFC 3464, RFC 6522, RFC 3461 section 6.3 (what is returned).
"""

from collections.abc import Callable
from dataclasses import replace

from appliance.message.dsn import DsnKind, DsnRequest, frame_dsn, returned_header
from appliance.message.dsntext import Language, language_of
from appliance.services.queue.bounce import BuiltNotice, Notice, NoticeKind

__all__ = ["DsnBuilder"]

_KINDS = {NoticeKind.FAILED: DsnKind.FAILURE, NoticeKind.DELAYED: DsnKind.DELAY, NoticeKind.SUCCEEDED: DsnKind.SUCCESS}


class DsnBuilder:
    """A ``NoticeBuilder``."""

    def __init__(self, *, hostname: str, language: Language, random_token: Callable[[], str], sender: str = "") -> None:
        """``random_token``: letters and digits nobody can guess; ``sender``: the From address, ``""`` for MAILER-DAEMON@hostname."""
        self._hostname = hostname
        self._language = language
        self._random_token = random_token
        self._sender = sender

    def __call__(self, notice: Notice) -> BuiltNotice:
        """Return the DSN as a message. Pure but for the token."""
        token = self._random_token()
        end = notice.original.find(b"\r\n\r\n")
        header = notice.original if end < 0 else notice.original[: end + 2]
        request = DsnRequest(
            kind=_KINDS[notice.kind],
            # The report is addressed to whom it is sent: postmaster, when its own sender is null.
            envelope=replace(notice.envelope, reverse_path=notice.to),
            outcomes=notice.recipients,
            original_header=header,
            hostname=self._hostname,
            now_s=notice.now_s,
            arrived_at_s=notice.arrived_at_s,
            boundary=f"{notice.queue_id}.{token}",
            message_id=f"<{notice.queue_id}.{token}@{self._hostname}>",
            language=language_of(header, self._language),
            returns_message=notice.is_full,
            queue_id=notice.queue_id,
            retry_until_s=notice.will_retry_until_s if notice.kind is NoticeKind.DELAYED else None,
            sender=self._sender,
        )
        frame = frame_dsn(request)
        returned = notice.original if notice.is_full else returned_header(request)
        return BuiltNotice(frame.head + returned + frame.tail, frame.body, frame.smtputf8)
