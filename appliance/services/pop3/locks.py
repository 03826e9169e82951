"""Who has which maildrop open: one POP3 session per account.

Owns the exclusive lock of RFC 1939 section 4. In memory: the server is one
process, and other programs on the same files are the store's matter.
IMAP sessions are not shut out; what they delete meanwhile is answered -ERR.
"""

from appliance.model.ids import AccountName

__all__ = ["MaildropLocks"]


class MaildropLocks:
    """The accounts whose maildrop is open."""

    def __init__(self) -> None:
        self._held: set[AccountName] = set()

    def acquire(self, account: AccountName) -> bool:
        """Take the lock; False if another session has it."""
        if account in self._held:
            return False
        self._held.add(account)
        return True

    def release(self, account: AccountName) -> None:
        self._held.discard(account)
