"""Reads messages for RETR and TOP: small ones several at a time, large ones in pieces.

Owns the read-ahead of one session. Clients fetch messages in order, one command
per round trip; a thread hop per message would cost more than the message. So
the hop that reads message n goes on with n + 1 ... as long as the client keeps
the order, and the next replies are in memory already, byte-stuffed and whole.
Bounded: 128 KiB beside the message asked for, 64 messages; a message above
128 KiB is never held as a whole.

Fails: with the store's ``ApplianceError`` for the message asked for; one that
fails while reading ahead is left for its own turn.

Sources: RFC 1939 section 7 (RETR, TOP), measurements of this project (a hop 145 us,
open and read 7 us).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from appliance.model.errors import ApplianceError
from appliance.model.ids import Uid
from appliance.model.ports import Mailbox, Offload
from appliance.protocols.language import Words
from appliance.protocols.pop3.maildrop import Maildrop
from appliance.protocols.pop3.replies import DotStuffer, ok_line, stuff
from appliance.protocols.pop3.surrogate import downgrade
from appliance.protocols.pop3.top import TopCutter

__all__ = ["CHUNK_BYTES", "LargeMessage", "MessageReader"]

CHUNK_BYTES = 131_072
_TOP_CHUNK_BYTES = 16_384
"""The first read for TOP: most header sections fit, and clients that list subjects ask for nothing else."""
_AHEAD_BYTES = 131_072
_AHEAD_MOST = 64


@dataclass(slots=True)
class LargeMessage:
    """A message that is sent in pieces: ``first`` at once, then what ``next_piece`` returns until ``b""``."""

    first: bytes
    stream: BinaryIO
    stuffer: DotStuffer
    cutter: TopCutter | None

    def next_piece(self) -> bytes:
        """Return the next piece ready to be sent. Blocks: disk."""
        while not (self.cutter and self.cutter.done):
            chunk = self.stream.read(CHUNK_BYTES)
            if not chunk:
                break
            piece = self.stuffer.feed(self.cutter.feed(chunk) if self.cutter else chunk)
            if piece:
                return piece
        return b""

    def close(self) -> None:
        self.stream.close()


class MessageReader:
    """Makes the replies to RETR and TOP of one session."""

    def __init__(self, mailbox: Mailbox, maildrop: Maildrop, offload: Offload, words: Words, *, utf8: bool) -> None:
        self._mailbox = mailbox
        self._maildrop = maildrop
        self._offload = offload
        self._words = words
        self._utf8 = utf8
        self._ready: dict[int, bytes] = {}
        self._ready_as: tuple[int | None, str] = (None, words.language)
        self._last = 0
        self._ahead = 1

    async def read(self, number: int, lines: int | None) -> bytes | LargeMessage:
        """Return the whole reply, or a large message whose caller closes it.

        Shape:    ``number`` names a message of the maildrop; ``lines`` None for RETR.
        Blocks:   disk in a worker thread, unless it was read ahead.
        Raises:   ApplianceError, ExpungedError above all.
        """
        if (lines, self._words.language) != self._ready_as:
            self._ready.clear()
            self._ready_as = (lines, self._words.language)
        reply = self._ready.pop(number, None)
        if reply is None:
            self._ahead = min(self._ahead * 4, _AHEAD_MOST) if number == self._last + 1 else 1
            self._ready.clear()
            found = await self._offload.run(self._read_from, number, lines, self._wanted(number))
            if isinstance(found, LargeMessage):
                self._last = number
                return found
            reply = found.pop(number)
            self._ready = found
        self._last = number
        return reply

    def _wanted(self, number: int) -> Sequence[int]:
        last = min(number + self._ahead, len(self._maildrop) + 1)
        return [following for following in range(number + 1, last) if self._maildrop.has(following)]

    # In the worker thread

    def _read_from(self, number: int, lines: int | None, following: Sequence[int]) -> dict[int, bytes] | LargeMessage:
        reply = self._read_one(number, lines)
        if isinstance(reply, LargeMessage):
            return reply
        found = {number: reply}
        left = _AHEAD_BYTES
        for ahead in following:
            try:
                reply = self._read_one(ahead, lines)
            except ApplianceError:
                break
            if isinstance(reply, LargeMessage):
                reply.close()
                break
            left -= len(reply)
            if left < 0:
                break
            found[ahead] = reply
        return found

    def _read_one(self, number: int, lines: int | None) -> bytes | LargeMessage:
        stream = self._mailbox.open_message(Uid(self._maildrop.uids[number - 1]))
        try:
            wanted = CHUNK_BYTES if lines is None else _TOP_CHUNK_BYTES
            data = stream.read(wanted)
            # Less than asked for is not the end on every stream; an empty read is.
            whole = len(data) < wanted and not (more := stream.read(CHUNK_BYTES))
            if not whole and len(data) < wanted:
                data += more
            if not self._utf8:
                data = downgrade(data)
            cutter = None
            if lines is not None:
                cutter = TopCutter(lines)
                data = cutter.feed(data)
                whole = whole or cutter.done
            if whole:
                reply = ok_line(self._words("{count} octets", count=len(data))) + stuff(data)
                stream.close()
                return reply
            stuffer = DotStuffer()
            return LargeMessage(ok_line(self._words("Message follows")) + stuffer.feed(data), stream, stuffer, cutter)
        except BaseException:
            stream.close()
            raise
