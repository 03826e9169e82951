"""Expected resource failures: one tree, two texts, no wire syntax.

``client_text`` is constant and safe to show to a peer; ``detail`` may hold paths
and is for the log alone. Each service owns its table from kind to wire code.
A peer's bad input is an event of its protocol core, a delivery's end is an
``Outcome``; neither is an exception.

Sources: Dovecot's mail-error.h (kinds, two texts), RFC 5530 (what IMAP can tell).
"""

from typing import ClassVar

__all__ = [
    "AlreadyExistsError",
    "ApplianceError",
    "ConversionError",
    "CorruptError",
    "DiskError",
    "EmptyLevelError",
    "ExpungedError",
    "InUseError",
    "InsideItselfError",
    "InvalidNameError",
    "LimitError",
    "NameCharacterError",
    "NameTooLongError",
    "NotFoundError",
    "OutOfSpaceError",
    "OverQuotaError",
    "TooManyMailboxesError",
    "TooManyMessagesError",
    "UnavailableError",
    "UnknownEncodingError",
]


class ApplianceError(Exception):
    """Base of every failure that a service must expect of a resource."""

    temporary: ClassVar[bool] = False
    client_text: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.client_text)
        self.detail = detail


class NotFoundError(ApplianceError):
    client_text = "No such mailbox"


class AlreadyExistsError(ApplianceError):
    client_text = "Mailbox already exists"


class InvalidNameError(ApplianceError):
    client_text = "This mailbox name cannot be used"


class NameTooLongError(InvalidNameError):
    client_text = "This mailbox name is too long, or has too many levels"


class NameCharacterError(InvalidNameError):
    client_text = "A mailbox name has no control characters, no * and no %"


class InsideItselfError(InvalidNameError):
    client_text = "A mailbox cannot be moved into itself"


class EmptyLevelError(InvalidNameError):
    client_text = "No part of a mailbox name between slashes may be empty, or begin or end with a blank"


class InUseError(ApplianceError):
    temporary = True
    client_text = "In use by another session"


class OverQuotaError(ApplianceError):
    client_text = "Mailbox is over its quota: delete mail, or ask the administrator for more room"


class TooManyMessagesError(OverQuotaError):
    client_text = "You have as many messages as you may: delete some, or ask the administrator for more"


class TooManyMailboxesError(OverQuotaError):
    client_text = "You have as many mailboxes as you may: delete one, or ask the administrator for more"


class LimitError(ApplianceError):
    client_text = "A limit of this server was reached"


class ExpungedError(ApplianceError):
    client_text = "Some messages are gone: deleted by another program"


class ConversionError(ApplianceError):
    client_text = "This message cannot be converted"


class UnknownEncodingError(ConversionError):
    client_text = "This part has an encoding that cannot be undone"


class UnavailableError(ApplianceError):
    temporary = True
    client_text = "Temporarily unavailable, try again later"


class DiskError(UnavailableError):
    """The disk is broken, read-only, or not ours to use: trying again does not help by itself."""

    client_text = "The server cannot get at this mail: tell the administrator"


class OutOfSpaceError(UnavailableError):
    client_text = "Insufficient storage, try again later"


class CorruptError(ApplianceError):
    client_text = "Stored data is damaged"
