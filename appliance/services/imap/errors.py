"""What a failed command says: the table from error kind to response code, and the refusals of our own.

Sources:  RFC 5530 (response codes), RFC 3501 section 7.1, RFC 3516 section 7 (UNKNOWN-CTE).
"""

from typing import NamedTuple

from appliance.model.errors import (
    AlreadyExistsError,
    ApplianceError,
    ConversionError,
    CorruptError,
    DiskError,
    ExpungedError,
    InUseError,
    InvalidNameError,
    LimitError,
    NotFoundError,
    OutOfSpaceError,
    OverQuotaError,
    UnavailableError,
    UnknownEncodingError,
)
from appliance.protocols.imap.state import Condition

__all__ = ["RefusalError", "Reply", "bad", "no", "ok", "reply_to"]


class Reply(NamedTuple):
    """A tagged response without its tag."""

    condition: Condition
    text: str
    code: bytes = b""


class RefusalError(Exception):
    """A handler found that its command cannot be done; carries the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


def ok(text: str, code: bytes = b"") -> Reply:
    return Reply(Condition.OK, text, code)


def no(text: str, code: bytes = b"") -> Reply:
    return Reply(Condition.NO, text, code)


def bad(text: str) -> Reply:
    return Reply(Condition.BAD, text)


_CODES: dict[type[ApplianceError], bytes] = {
    NotFoundError: b"NONEXISTENT",
    AlreadyExistsError: b"ALREADYEXISTS",
    InvalidNameError: b"CANNOT",
    InUseError: b"INUSE",
    OverQuotaError: b"OVERQUOTA",
    LimitError: b"LIMIT",
    ExpungedError: b"EXPUNGEISSUED",
    ConversionError: b"CANNOT",
    UnknownEncodingError: b"UNKNOWN-CTE",
    OutOfSpaceError: b"UNAVAILABLE",
    UnavailableError: b"UNAVAILABLE",
    DiskError: b"CONTACTADMIN",
    CorruptError: b"CORRUPTION",
}


def reply_to(error: ApplianceError, *, creating: bool = False) -> Reply:
    """Return the answer to a resource failure. ``creating``: a missing mailbox may be made and the command tried again."""
    if creating and isinstance(error, NotFoundError):
        return no(error.client_text, b"TRYCREATE")
    code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), b"SERVERBUG")
    return no(error.client_text, code)
