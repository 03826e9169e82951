"""UIDBATCHES: ranges of uids that part the mailbox into equal batches, newest first.

A batch is counted by the message numbers of this session, which are at hand: an answer
for 100,000 messages reads two numbers of an array for each batch, so how often a
client asks needs no limit beyond that on the smallest batch.

Source:   RFC 10022 section 3.1 (UIDBATCHES), section 3.1.5 (batch ranges).
"""

from collections.abc import Mapping
from typing import Final

from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_uid import UidBatches
from appliance.protocols.imap.responses import string
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "MIN_BATCH", "uid_batches"]

MIN_BATCH: Final = 500
"""Smaller batches would bring message numbers back (RFC 10022 section 3.1.3.2)."""
MAX_SPAN: Final = 100_000
"""Messages that a range of batches may span (RFC 10022 section 3.1.5)."""


async def uid_batches(session: Session, command: UidBatches) -> Reply:
    uids, size = session.selected.view.uids, command.size
    if size < MIN_BATCH:
        return no(f"Minimum batch size is {MIN_BATCH}", b"TOOFEW")
    first, last = command.batches or (1, len(uids) // size + 1)
    if first > last:
        return Reply(Condition.BAD, "Invalid batch range", b"CLIENTBUG")
    if command.batches is not None and (last - first + 1) * size > max(MAX_SPAN, size):
        return no("Too many messages", b"TOOMANY")
    ranges = []
    # Above ``highest`` lie the batches before; each ends where the next one begins, the last at 1.
    for end in range(len(uids) - (first - 1) * size, max(0, len(uids) - last * size), -size):
        begin = max(0, end - size)
        ranges.append(b"%d:%d" % (uids[end - 1], uids[begin - 1] + 1 if begin else 1))
    answer = b" " + b",".join(ranges) if ranges else b""
    session.send(b"* UIDBATCHES (TAG %b)%b\r\n" % (string(session.core.tag), answer))
    return ok("Uidbatches completed")


HANDLERS: Final[Mapping[type[Command], Handler]] = {UidBatches: uid_batches}
