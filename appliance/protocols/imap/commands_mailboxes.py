"""The values of commands about quota, rights and annotations of mailboxes.

Sources:  RFC 9208 section 4.1 (QUOTA), RFC 4314 section 3 (ACL), RFC 5464
          sections 4.2 and 4.3 (METADATA).
"""

from dataclasses import dataclass
from typing import ClassVar

from appliance.model.ids import MailboxName
from appliance.protocols.imap.commands import Command

__all__ = [
    "ANY_DEPTH",
    "DeleteAcl",
    "GetAcl",
    "GetMetadata",
    "GetQuota",
    "GetQuotaRoot",
    "ListRights",
    "MyRights",
    "SetAcl",
    "SetMetadata",
    "SetQuota",
]

ANY_DEPTH = -1
"""``DEPTH infinity``."""


@dataclass(frozen=True, slots=True)
class GetQuota(Command):
    verb: ClassVar[str] = "GETQUOTA"
    root: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot(Command):
    """The mailbox need not exist (RFC 9208 section 4.1.2)."""

    verb: ClassVar[str] = "GETQUOTAROOT"
    mailbox: MailboxName


@dataclass(frozen=True, slots=True)
class SetQuota(Command):
    verb: ClassVar[str] = "SETQUOTA"
    root: str
    limits: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class GetAcl(Command):
    verb: ClassVar[str] = "GETACL"
    mailbox: MailboxName


@dataclass(frozen=True, slots=True)
class MyRights(Command):
    verb: ClassVar[str] = "MYRIGHTS"
    mailbox: MailboxName


@dataclass(frozen=True, slots=True)
class ListRights(Command):
    verb: ClassVar[str] = "LISTRIGHTS"
    mailbox: MailboxName
    identifier: str


@dataclass(frozen=True, slots=True)
class SetAcl(Command):
    """``rights``: what stands there, with ``+`` or ``-`` in front where the client wrote it."""

    verb: ClassVar[str] = "SETACL"
    mailbox: MailboxName
    identifier: str
    rights: str


@dataclass(frozen=True, slots=True)
class DeleteAcl(Command):
    verb: ClassVar[str] = "DELETEACL"
    mailbox: MailboxName
    identifier: str


@dataclass(frozen=True, slots=True)
class GetMetadata(Command):
    """Entries in lower case; ``mailbox`` empty: those of the server. ``depth``: levels below, or ``ANY_DEPTH``."""

    verb: ClassVar[str] = "GETMETADATA"
    mailbox: MailboxName
    entries: tuple[str, ...]
    max_bytes: int | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class SetMetadata(Command):
    """``values``: entry in lower case to value, None to remove it."""

    verb: ClassVar[str] = "SETMETADATA"
    mailbox: MailboxName
    values: tuple[tuple[str, bytes | None], ...]
