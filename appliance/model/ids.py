"""Identifiers, each its own type, so that one is never passed for another.

Sources: RFC 9051 section 2.3.1 (uid, uid_validity, sequence numbers), RFC 7162
section 3.1 (modseq), RFC 8474 section 4 (mailbox ids), Postfix (queue_id).
"""

from typing import Final, NewType

__all__ = [
    "INBOX",
    "AccountName",
    "MailboxId",
    "MailboxName",
    "ModSeq",
    "QueueId",
    "Seq",
    "SessionId",
    "Uid",
    "UidNext",
    "UidValidity",
]

QueueId = NewType("QueueId", str)
"""One spool entry: ASCII letters and digits, sorts by time of arrival, safe as a file name."""

SessionId = NewType("SessionId", str)
"""One accepted connection; stands on each of its log lines."""

AccountName = NewType("AccountName", str)
"""The owner of a login, as ``[[users]]`` names it: lower case, safe as a directory name."""

MailboxName = NewType("MailboxName", str)
"""An IMAP mailbox name, decoded Unicode, levels separated by ``/``; ``INBOX`` in capitals."""

MailboxId = NewType("MailboxId", str)
"""What stays with a mailbox under any name (RFC 8474): letters, digits, ``-`` and ``_``; never used again."""

Uid = NewType("Uid", int)
UidNext = NewType("UidNext", int)
UidValidity = NewType("UidValidity", int)
ModSeq = NewType("ModSeq", int)
Seq = NewType("Seq", int)
"""A message sequence number of one IMAP session, from 1."""

INBOX: Final = MailboxName("INBOX")
