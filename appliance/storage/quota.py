"""What an account uses of what it may use: bytes, messages, mailboxes.

Counted when first asked, then kept in step with what we do ourselves. What other
programs do is seen by counting again, before anything is refused and before a
client is told, but not more often than every ten seconds. Mailboxes are always
counted from the names.

Called with the account's lock held.
Fails:    ``OverQuotaError`` and its kinds.
Sources:  RFC 9208 section 5 (resource types).
"""

from collections.abc import Callable
from typing import Protocol

from appliance.model.errors import OverQuotaError, TooManyMailboxesError, TooManyMessagesError
from appliance.model.mailbox import QuotaLimits, QuotaResource, QuotaUse

__all__ = ["Quota", "Usage"]

RECOUNT_S = 10.0
"""How old a count may be when it would refuse a message."""


class Usage(Protocol):
    """What can be counted."""

    def usage(self, *, messages: bool) -> tuple[int, int]:
        """Return bytes and, where asked for, the number of messages of all mailboxes."""

    def count_mailboxes(self) -> int: ...


class Quota:
    """Of one account. ``limits`` is asked each time: a reload may change them."""

    def __init__(self, account: str, limits: Callable[[], QuotaLimits], layout: Usage, monotonic_s: Callable[[], float]) -> None:
        self._account = account
        self._limits = limits
        self._layout = layout
        self._monotonic_s = monotonic_s
        self._bytes = self._messages = -1
        self._counted_at_s = 0.0

    def forget(self) -> None:
        """Count again at the next look."""
        self._bytes = self._messages = -1

    def note(self, more_bytes: int, more_messages: int) -> None:
        """Take in what was added or removed."""
        if self._bytes >= 0:
            self._bytes = max(0, self._bytes + more_bytes)
        if self._messages >= 0:
            self._messages = max(0, self._messages + more_messages)

    def _count(self, limits: QuotaLimits) -> None:
        if self._bytes < 0 or (limits.messages and self._messages < 0):
            self._bytes, count = self._layout.usage(messages=bool(limits.messages))
            self._messages = count if limits.messages else -1
            self._counted_at_s = self._monotonic_s()

    def check_room(self, more_bytes: int, more_messages: int) -> None:
        """Raise OverQuotaError when so much more would not fit."""
        limits = self._limits()
        if not limits.storage_bytes and not limits.messages:
            return
        for _ in range(2):
            self._count(limits)
            fits_bytes = not limits.storage_bytes or self._bytes + more_bytes <= limits.storage_bytes
            fits_messages = not limits.messages or self._messages + more_messages <= limits.messages
            if fits_bytes and fits_messages:
                return
            if self._monotonic_s() - self._counted_at_s < RECOUNT_S:
                break
            self.forget()  # other programs may have deleted since
        if not fits_bytes:
            raise OverQuotaError(f"{self._account}: {self._bytes} and {more_bytes} of {limits.storage_bytes} bytes")
        raise TooManyMessagesError(f"{self._account}: {self._messages} and {more_messages} of {limits.messages} messages")

    def check_mailboxes(self, more: int) -> None:
        """Raise TooManyMailboxesError when so many more may not be made."""
        limit = self._limits().mailboxes
        if limit and (count := self._layout.count_mailboxes()) + more > limit:
            raise TooManyMailboxesError(f"{self._account}: {count} and {more} of {limit} mailboxes")

    def uses(self) -> list[QuotaUse]:
        """Return what is limited, as it is now."""
        limits = self._limits()
        if not (limits.storage_bytes or limits.messages or limits.mailboxes):
            return []
        if self._monotonic_s() - self._counted_at_s >= RECOUNT_S:
            self.forget()
        found = []
        if limits.storage_bytes or limits.messages:
            self._count(limits)
        if limits.storage_bytes:
            found.append(QuotaUse(QuotaResource.STORAGE, self._bytes, limits.storage_bytes))
        if limits.messages:
            found.append(QuotaUse(QuotaResource.MESSAGE, self._messages, limits.messages))
        if limits.mailboxes:
            found.append(QuotaUse(QuotaResource.MAILBOX, self._layout.count_mailboxes(), limits.mailboxes))
        return found
