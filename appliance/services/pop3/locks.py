"""Who has which maildrop open, and who came a moment ago.

Owns the exclusive lock of RFC 1939 section 4 and the pause between two logins
of RFC 2449 section 6.5. In memory: the server is one process, and other
programs on the same files are the store's matter.
IMAP sessions are not shut out; what they delete meanwhile is answered -ERR.
"""

from appliance.model.ids import AccountName, MailboxName

__all__ = ["LoginPauses", "MaildropLocks"]


class MaildropLocks:
    """The maildrops that are open: INBOX, or another mailbox, of an account."""

    def __init__(self) -> None:
        self._held: set[tuple[AccountName, MailboxName]] = set()

    def acquire(self, account: AccountName, mailbox: MailboxName) -> bool:
        """Take the lock; False if another session has it."""
        if (account, mailbox) in self._held:
            return False
        self._held.add((account, mailbox))
        return True

    def release(self, account: AccountName, mailbox: MailboxName) -> None:
        self._held.discard((account, mailbox))


class LoginPauses:
    """When each account logged in last. ``pause_s`` 0: nobody has to wait."""

    def __init__(self, pause_s: int) -> None:
        self._pause_s = pause_s
        self._logged_in_at_s: dict[AccountName, float] = {}

    def must_wait(self, account: AccountName, now_s: float) -> bool:
        """Say whether the last login was too short a time ago. ``now_s``: monotonic."""
        last_s = self._logged_in_at_s.get(account)
        return bool(self._pause_s) and last_s is not None and now_s < last_s + self._pause_s

    def logged_in(self, account: AccountName, now_s: float) -> None:
        if self._pause_s:
            self._logged_in_at_s[account] = now_s
