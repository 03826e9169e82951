"""GETQUOTA, GETQUOTAROOT and SETQUOTA.

Fails:    ``ParseError``.
Sources:  RFC 9208 section 7.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.protocols.imap.commands_mailboxes import GetQuota, GetQuotaRoot, SetQuota
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.state import LOGGED_IN, Verb

__all__ = ["VERBS"]

MAX_RESOURCES = 20
LARGEST_LIMIT = 0x7FFF_FFFF_FFFF_FFFF
"""``number64`` (RFC 9051 section 9)."""


def _read_get_quota(reader: Reader, uid: bool) -> GetQuota:
    reader.read_space()
    return GetQuota(reader.read_text("quota root"))


def _read_get_quota_root(reader: Reader, uid: bool) -> GetQuotaRoot:
    reader.read_space()
    return GetQuotaRoot(reader.read_mailbox())


def _read_set_quota(reader: Reader, uid: bool) -> SetQuota:
    reader.read_space()
    root = reader.read_text("quota root")
    reader.read_space()
    if not reader.take(b"("):
        reader.fail("list of resources and limits")
    limits: list[tuple[str, int]] = []
    while not reader.take(b")"):
        if limits:
            reader.read_space()
        name = reader.read_word("resource")
        reader.read_space()
        limits.append((name, reader.read_number("limit", LARGEST_LIMIT)))
        if len(limits) > MAX_RESOURCES:
            raise ParseError("too many resources")
    return SetQuota(root, tuple(limits))


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "GETQUOTA": Verb(LOGGED_IN, _read_get_quota),
        "GETQUOTAROOT": Verb(LOGGED_IN, _read_get_quota_root),
        "SETQUOTA": Verb(LOGGED_IN, _read_set_quota),
    }
)
