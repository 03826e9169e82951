"""What the spool keeps, as values and as SQL.

Owns the tables, the statements and the conversion between rows and the values
that the queue works with. Two tables: ``message`` (envelope, size, state, and
the content itself when it is small) and ``recipient`` (one row each, because
each has a fate of its own). The partial index knows only recipients that were
tried before; accepting and delivering a message at once never touches it.

Fails: decoding raises ValueError for a row that makes no sense; the spool then
moves that message to the corrupt queue.

Sources: RFC 5321 section 4.5.4.1 (what a queue must keep), RFC 3461 section 5.2 (what
must travel along), sqlite.org/partialindex.html and withoutrowid.html.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from appliance.model.envelope import Body, Client, Envelope, EnvelopeRecipient, Notify, Ret
from appliance.model.ids import AccountName, QueueId, SessionId
from appliance.storage.spool_ids import queue_id_from_int, queue_id_to_int
from appliance.storage.sql_rows import ROWS_AT_ONCE

__all__ = [
    "Addition",
    "Batch",
    "Committed",
    "MessageState",
    "RecipientUpdate",
    "Removal",
    "SpoolMessage",
    "SpoolRecipient",
    "StateChange",
]


class MessageState(enum.IntEnum):
    """``NORMAL`` covers incoming, active and deferred: they differ only in who has the message in memory."""

    NORMAL = 0
    HOLD = 1
    CORRUPT = 2


@dataclass(frozen=True, slots=True)
class Addition:
    """A new message. ``content`` is None when a flushed content file holds it. ``notice``: 1 a DSN of ours, 2 one for postmaster."""

    queue_id: QueueId
    envelope: Envelope
    size: int
    arrived_at_s: float
    content: bytes | None
    notice: int = 0


@dataclass(frozen=True, slots=True)
class RecipientUpdate:
    """A recipient that must be tried again."""

    queue_id: QueueId
    number: int
    attempts: int
    next_attempt_s: float
    status: str = ""
    reason: str = ""
    diagnostic: str = ""
    remote_mta: str = ""
    delay_noticed: bool = False


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of a whole message; None leaves a field as it is. ``next_attempt_s`` is set for all recipients tried before."""

    queue_id: QueueId
    state: MessageState | None = None
    reason: str = ""
    crashes: int | None = None
    next_attempt_s: float | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """Recipients that are done; None is all of them. The message goes with its last recipient."""

    queue_id: QueueId
    numbers: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction does. ``durable``: whether it must be on stable storage when it is done."""

    additions: Sequence[Addition] = ()
    updates: Sequence[RecipientUpdate] = ()
    changes: Sequence[StateChange] = ()
    removals: Sequence[Removal] = ()
    durable: bool = True


@dataclass(frozen=True, slots=True)
class Committed:
    """What a transaction did: messages that are gone, those of them that had content files, messages whose state changed."""

    gone: tuple[QueueId, ...] = ()
    files: tuple[QueueId, ...] = ()
    changed: tuple[QueueId, ...] = ()


@dataclass(frozen=True, slots=True)
class SpoolRecipient:
    """One row of ``recipient``."""

    number: int
    recipient: EnvelopeRecipient
    attempts: int = 0
    next_attempt_s: float = 0.0
    status: str = ""
    reason: str = ""
    diagnostic: str = ""
    remote_mta: str = ""
    delay_noticed: bool = False


@dataclass(frozen=True, slots=True)
class SpoolMessage:
    """One row of ``message`` with the recipients asked for. ``envelope.recipients`` are those same ones."""

    queue_id: QueueId
    envelope: Envelope
    size: int
    arrived_at_s: float
    is_in_file: bool
    state: MessageState = MessageState.NORMAL
    reason: str = ""
    crashes: int = 0
    notice: int = 0
    recipients: tuple[SpoolRecipient, ...] = field(default=())


SCHEMA_VERSION: Final = 1
_RELEASE_SHIFT: Final = 8
"""Above its flags ``smtputf8`` holds the second of release, for the few messages that have one: no older spool has to be converted."""

SCHEMA: Final = """
CREATE TABLE message(
  id INTEGER PRIMARY KEY, arrived REAL NOT NULL, size INTEGER NOT NULL, state INTEGER NOT NULL, reason TEXT NOT NULL,
  crashes INTEGER NOT NULL, notice INTEGER NOT NULL, reverse_path TEXT NOT NULL, body TEXT NOT NULL, smtputf8 INTEGER NOT NULL,
  ret TEXT, envid TEXT, client_address TEXT NOT NULL, client_port INTEGER NOT NULL, helo TEXT NOT NULL, client_name TEXT NOT NULL,
  protocol TEXT NOT NULL, account TEXT, session TEXT NOT NULL, content BLOB
) STRICT;
CREATE TABLE recipient(
  message INTEGER NOT NULL, n INTEGER NOT NULL, address TEXT NOT NULL, original TEXT, notify INTEGER, orcpt TEXT,
  attempts INTEGER NOT NULL, next_attempt REAL NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, diagnostic TEXT NOT NULL,
  remote_mta TEXT NOT NULL, delay_noticed INTEGER NOT NULL, PRIMARY KEY(message, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipient_due ON recipient(next_attempt, message, n) WHERE attempts > 0;
CREATE INDEX message_in_file ON message(id) WHERE content IS NULL;
CREATE INDEX message_aside ON message(state) WHERE state > 0;
"""

TOUCH: Final = f"PRAGMA user_version={SCHEMA_VERSION}"
"""Writes a page, whatever it says already."""

MESSAGE_VALUES: Final = "(?,?,?,0,'',0,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
RECIPIENT_VALUES: Final = "(?,?,?,?,?,?,0,?,'','','','',0)"
UPDATE_RECIPIENT: Final = "UPDATE recipient SET attempts=?, next_attempt=?, status=?, reason=?, diagnostic=?, remote_mta=?, delay_noticed=? WHERE message=? AND n=?"
CHANGE_STATE: Final = (
    "UPDATE message SET state=coalesce(?1,state), reason=CASE WHEN ?1 IS NULL THEN reason ELSE ?2 END,"
    " crashes=coalesce(?3,crashes) WHERE id=?4 RETURNING id"
)
CHANGE_NEXT_ATTEMPT: Final = "UPDATE recipient SET next_attempt=? WHERE message=? AND attempts>0"
REMOVE_RECIPIENTS: Final = "DELETE FROM recipient WHERE message=?"

_MESSAGE_COLUMNS: Final = (
    "id, arrived, size, state, reason, crashes, notice, reverse_path, body, smtputf8, ret, envid,"
    " client_address, client_port, helo, client_name, protocol, account, session, content IS NULL"
)
_RECIPIENT_COLUMNS: Final = (
    "message, n, address, original, notify, orcpt, attempts, next_attempt, status, reason, diagnostic, remote_mta, delay_noticed"
)
MESSAGE_BY_ID: Final = f"SELECT {_MESSAGE_COLUMNS} FROM message WHERE id=?"  # noqa: S608 - columns are constants
MESSAGES_AFTER: Final = f"SELECT {_MESSAGE_COLUMNS} FROM message WHERE id>? ORDER BY id LIMIT ?"  # noqa: S608 - as above
RECIPIENTS_OF: Final = f"SELECT {_RECIPIENT_COLUMNS} FROM recipient WHERE message=? ORDER BY n"  # noqa: S608 - as above
DUE: Final = (
    f"SELECT {_RECIPIENT_COLUMNS} FROM recipient INDEXED BY recipient_due"  # noqa: S608 - as above
    " WHERE attempts>0 AND next_attempt<=?1 AND (next_attempt, message, n)>(?2,?3,?4) ORDER BY next_attempt, message, n LIMIT ?5"
)
NEXT_DUE: Final = "SELECT min(next_attempt) FROM recipient INDEXED BY recipient_due WHERE attempts>0 AND next_attempt>?"
FRESH: Final = "SELECT DISTINCT message FROM recipient WHERE attempts=0 ORDER BY message"
IN_FILES: Final = "SELECT id, size FROM message INDEXED BY message_in_file WHERE content IS NULL AND state<>2"
COUNT: Final = "SELECT count(DISTINCT message) FROM recipient"
ASIDE: Final = "SELECT id, state FROM message INDEXED BY message_aside WHERE state>0"


@lru_cache(maxsize=ROWS_AT_ONCE)
def remove_recipients(count: int) -> str:
    """Return the statement that removes ``count`` recipients; message and number of each are bound."""
    return f"DELETE FROM recipient WHERE (message,n) IN (VALUES{','.join(['(?,?)'] * count)})"  # noqa: S608 - constants


@lru_cache(maxsize=ROWS_AT_ONCE)
def done_messages(count: int) -> tuple[str, str]:
    """Return the statements that name and that remove those of ``count`` messages which have no recipient left.

    Shape: the first gives one row, ids and whether each has a content file, both joined with commas.
    """
    marks = ",".join("?" * count)
    done = f"FROM message WHERE id IN ({marks}) AND NOT EXISTS(SELECT 1 FROM recipient WHERE recipient.message=message.id)"  # noqa: S608
    return f"SELECT group_concat(id), group_concat(content IS NULL) {done}", f"DELETE {done}"


def message_row(addition: Addition) -> tuple[Any, ...]:
    """Return the bindings of ``ADD_MESSAGE``."""
    envelope = addition.envelope
    client = envelope.client
    return (
        queue_id_to_int(addition.queue_id),
        addition.arrived_at_s,
        addition.size,
        addition.notice,
        envelope.reverse_path,
        envelope.body.value,
        envelope.smtputf8
        | envelope.requires_tls << 1
        | envelope.is_junk << 2
        | envelope.is_forged << 3
        | int(envelope.release_at_s) << _RELEASE_SHIFT,
        None if envelope.ret is None else envelope.ret.value,
        envelope.envid,
        client.address,
        client.port,
        client.helo,
        client.name,
        client.protocol,
        client.account,
        client.session_id,
        addition.content,
    )


def recipient_rows(addition: Addition) -> list[tuple[Any, ...]]:
    """Return the bindings of ``ADD_RECIPIENT``, one per recipient."""
    message = queue_id_to_int(addition.queue_id)
    arrived = addition.arrived_at_s
    return [
        (message, number, one.address, one.original, None if one.notify is None else one.notify.value, one.orcpt, arrived)
        for number, one in enumerate(addition.envelope.recipients)
    ]


def recipient_from_row(row: tuple[Any, ...]) -> SpoolRecipient:
    """Decode a row of ``recipient``. Raises ValueError."""
    notify = None if row[4] is None else Notify(row[4])
    return SpoolRecipient(
        number=row[1],
        recipient=EnvelopeRecipient(row[2], notify, row[5], row[3]),
        attempts=row[6],
        next_attempt_s=row[7],
        status=row[8],
        reason=row[9],
        diagnostic=row[10],
        remote_mta=row[11],
        delay_noticed=bool(row[12]),
    )


def message_from_row(row: tuple[Any, ...], recipients: Sequence[SpoolRecipient]) -> SpoolMessage:
    """Decode a row of ``message``. Raises ValueError."""
    account = None if row[17] is None else AccountName(row[17])
    envelope = Envelope(
        reverse_path=row[7],
        recipients=tuple(one.recipient for one in recipients),
        body=Body(row[8]),
        smtputf8=bool(row[9] & 1),
        requires_tls=bool(row[9] & 2),
        is_junk=bool(row[9] & 4),
        is_forged=bool(row[9] & 8),
        release_at_s=float(row[9] >> _RELEASE_SHIFT),
        ret=None if row[10] is None else Ret(row[10]),
        envid=row[11],
        client=Client(row[12], row[13], row[14], row[15], row[16], account, SessionId(row[18])),
    )
    return SpoolMessage(
        queue_id=queue_id_from_int(row[0]),
        envelope=envelope,
        size=row[2],
        arrived_at_s=row[1],
        is_in_file=bool(row[19]),
        state=MessageState(row[3]),
        reason=row[4],
        crashes=row[5],
        notice=row[6],
        recipients=tuple(recipients),
    )
