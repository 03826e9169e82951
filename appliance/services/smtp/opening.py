"""The beginning of a message's content: what is written in front of it, what is completed, what is looked at.

Owns the choice between a message that is ours to complete and trace and one
that is kept as it comes.

Sources: RFC 5321 section 4.4 (Received), RFC 6409 section 8 (Date, Message-ID).
"""

from typing import TYPE_CHECKING

from appliance.message.date import format_date
from appliance.message.submission import HeaderFilter
from appliance.model.envelope import Body
from appliance.model.ports import ContentWriter
from appliance.services.smtp.client import SessionClient
from appliance.services.smtp.incoming import IncomingMessage
from appliance.services.smtp.shared import Shared
from appliance.services.smtp.transaction import Transaction

if TYPE_CHECKING:
    from appliance.services.smtp.judging import Inspection

__all__ = ["open_message", "open_verbatim"]


def open_verbatim(writer: ContentWriter, transaction: Transaction) -> IncomingMessage:
    """Return the message that nothing is added to."""
    return IncomingMessage(writer, None, trace=b"", max_received=0, is_binary=transaction.body is Body.BINARY_MIME)


def open_message(
    shared: Shared,
    writer: ContentWriter,
    client: SessionClient,
    transaction: Transaction,
    *,
    completes: bool,
    inspection: "Inspection | None",
) -> IncomingMessage:
    """Return the message that begins with our Received field. ``completes``: missing fields are ours to add."""
    now_s = shared.clock.now_s()
    added = f"<{writer.queue_id}.{int(now_s)}@{shared.hostname}>" if completes else ""
    header_filter = HeaderFilter(
        rewrite=completes,
        date=format_date(now_s) if completes else b"",
        message_id=added.encode(),
        max_header_bytes=shared.smtp.max_header_bytes,
    )
    trace = client.trace_field(
        hostname=shared.hostname,
        queue_id=writer.queue_id,
        now_s=now_s,
        recipient=transaction.given[0] if len(transaction.given) == 1 else "",
        smtputf8=transaction.smtputf8,
    )
    return IncomingMessage(
        writer,
        header_filter,
        trace=trace,
        max_received=shared.smtp.max_received,
        added_message_id=added,
        is_binary=transaction.body is Body.BINARY_MIME,
        inspection=inspection,
    )
