"""The commands on access rights.

Fails:    ``ParseError``.
Sources:  RFC 4314 sections 3 and 7.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.protocols.imap.commands_mailboxes import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.state import LOGGED_IN, Verb

__all__ = ["VERBS"]

_RIGHTS = re.compile(r"[+-]?[a-z0-9]*")


def _read_get_acl(reader: Reader, uid: bool) -> GetAcl:
    reader.read_space()
    return GetAcl(reader.read_mailbox())


def _read_my_rights(reader: Reader, uid: bool) -> MyRights:
    reader.read_space()
    return MyRights(reader.read_mailbox())


def _read_list_rights(reader: Reader, uid: bool) -> ListRights:
    reader.read_space()
    mailbox = reader.read_mailbox()
    reader.read_space()
    return ListRights(mailbox, reader.read_text("identifier"))


def _read_set_acl(reader: Reader, uid: bool) -> SetAcl:
    reader.read_space()
    mailbox = reader.read_mailbox()
    reader.read_space()
    identifier = reader.read_text("identifier")
    reader.read_space()
    rights = reader.read_text("rights")
    if not _RIGHTS.fullmatch(rights):
        # RFC 4314 section 3.1: upper-case rights are not allowed, nor is anything else.
        raise ParseError("rights are lower-case letters and digits")
    return SetAcl(mailbox, identifier, rights)


def _read_delete_acl(reader: Reader, uid: bool) -> DeleteAcl:
    reader.read_space()
    mailbox = reader.read_mailbox()
    reader.read_space()
    return DeleteAcl(mailbox, reader.read_text("identifier"))


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "GETACL": Verb(LOGGED_IN, _read_get_acl),
        "MYRIGHTS": Verb(LOGGED_IN, _read_my_rights),
        "LISTRIGHTS": Verb(LOGGED_IN, _read_list_rights),
        "SETACL": Verb(LOGGED_IN, _read_set_acl),
        "DELETEACL": Verb(LOGGED_IN, _read_delete_acl),
    }
)
