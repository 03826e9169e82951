"""A message on its way from the protocol core into the queue's writer.

Owns the order of things: our Received field, then the header section, looked at
once and completed where that is our duty, then the body, chunk by chunk without
a copy. What goes wrong is remembered and told at the end of the content, which
SMTP makes us read in any case.

Fails: never; ``refusal`` holds the reply.
Does not: acknowledge anything.

Sources: RFC 5321 section 4.4 (Received first), RFC 6409 section 8, RFC 3030
section 2 (a chunk cannot be refused before it has arrived).
"""

from typing import TYPE_CHECKING

from appliance.message.binary import BinaryConverter
from appliance.message.submission import HeaderFilter, HeaderReport
from appliance.model.errors import ApplianceError
from appliance.model.ports import ContentWriter
from appliance.protocols.smtp.replies import Reply
from appliance.services.smtp.errors import reply_for
from appliance.services.smtp.policy import refuse_header

if TYPE_CHECKING:
    from appliance.services.smtp.judging import Inspection

__all__ = ["IncomingMessage"]


class IncomingMessage:
    """One message being received. ``trace`` is written in front of it; ``is_binary``: announced as BINARYMIME.

    ``header_filter`` None: nothing is looked at or changed, whatever it is.
    """

    __slots__ = ("_added_message_id", "_converter", "_error", "_filter", "_inspection", "_max_received", "_trace", "refusal", "writer")

    def __init__(
        self,
        writer: ContentWriter,
        header_filter: HeaderFilter | None,
        *,
        trace: bytes,
        max_received: int,
        added_message_id: str = "",
        is_binary: bool = False,
        inspection: "Inspection | None" = None,
    ) -> None:
        self.writer = writer
        self._converter = BinaryConverter() if is_binary else None
        self._filter = header_filter
        self._inspection = inspection
        self._trace = trace
        self._max_received = max_received
        self._added_message_id = added_message_id
        self._error: ApplianceError | None = None
        self.refusal: Reply | None = None
        """The reply to give at the end; set, the rest of the content is dropped."""

    @property
    def report(self) -> HeaderReport | None:
        return self._filter.report if self._filter is not None else None

    @property
    def message_id(self) -> str:
        """The author's, or the one that the header filter added; with brackets."""
        report = self.report
        return (report.message_id if report is not None else "") or self._added_message_id

    @property
    def subject(self) -> str:
        """The author's, as it came."""
        report = self.report
        return report.subject if report is not None else ""

    @property
    def error(self) -> ApplianceError | None:
        """What of ours failed, for the log."""
        return self._error

    async def feed(self, chunk: bytes) -> None:
        """Take a chunk. Blocks: as the writer does."""
        if self.refusal is None:
            if self._converter is not None:
                chunk = self._converter.feed(chunk)
            await self._write(self._filter.feed(chunk) if self._filter is not None else chunk)

    async def finish(self) -> None:
        """Take the end of the content."""
        if self.refusal is None and self._converter is not None:
            rest = self._converter.finish()
            await self._write(self._filter.feed(rest) if self._filter is not None else rest)
        if self.refusal is None and self._filter is not None:
            await self._write(self._filter.finish())
            if self._trace and self.refusal is None:
                await self._put(self._trace)  # An empty message is a message, too.

    async def _write(self, data: bytes) -> None:
        if self._trace and self._filter is not None:
            report, fault = self._filter.report, self._filter.fault
            if report is None and fault is None:
                return  # The header section is not complete.
            self.refusal = refuse_header(report, fault, max_received=self._max_received)
            if self.refusal is not None:
                return
            if self._inspection is not None and report is not None:
                data = self._inspected(self._inspection, report, data)
            data, self._trace = self._trace + data, b""
        elif self._inspection is not None:
            self._inspection.feed(data)
        if data:
            await self._put(data)

    def _inspected(self, inspection: "Inspection", report: HeaderReport, data: bytes) -> bytes:
        """Show header section and first piece of the body; return both, without fields that claim to be ours."""
        header = inspection.begin(report)
        body = data[report.header_bytes :]
        inspection.feed(body)
        return data if header is None else header + body

    async def prepend(self, fields: bytes) -> None:
        """Put whole fields in front of everything, after ``finish``. Blocks: as the writer does."""
        if self.refusal is None:
            await self._put(fields, in_front=True)

    async def _put(self, data: bytes, *, in_front: bool = False) -> None:
        try:
            await (self.writer.prepend(data) if in_front else self.writer.write(data))
        except ApplianceError as error:
            self._error = error
            self.refusal = reply_for(error)
