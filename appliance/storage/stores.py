"""The door to all accounts' mail: the one class that wiring makes.

Owns where each account lies, which format it has, how many mailboxes stay in
memory when nobody looks at them, and when deliveries become durable.

Durable: ``deliver`` nothing before ``settle`` returns; everything else at return.
Fails: ``NotFoundError`` for names that are no account's; else as the ports say.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from appliance.model.errors import ApplianceError, InvalidNameError
from appliance.model.ids import AccountName, MailboxName, QueueId
from appliance.model.mailbox import NewMessage, QuotaLimits, SpecialUse
from appliance.model.ports import ChangeFeed, Clock
from appliance.storage.context import (
    AccountContext,
    EnsureSettled,
    MayRepeat,
    MessageSummariser,
    RecentDeliveries,
    Summariser,
    Vanished,
    no_settling_needed,
    nobody_asks,
)
from appliance.storage.fileops import FileOps, resource_errors
from appliance.storage.folder import FolderContext, Pending
from appliance.storage.settler import Settler

if TYPE_CHECKING:
    from appliance.storage.layout import Layout
    from appliance.storage.mailbox import FileMailbox
    from appliance.storage.store import FileMailStore

__all__ = ["FileMailStores", "MailFormat"]

MailFormat = Literal["maildir", "mbox"]

MAX_KEPT_MAILBOXES = 64
MAX_KEPT_MESSAGES = 200_000
"""What stays in memory of mailboxes that no session has open: about 20 MiB at most."""
MAX_OPEN_INDEXES = 128


class _SystemClock:
    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()


class FileMailStores:
    """See ``model.ports.MailStores``. Any thread.

    ``formats``: a format per account, or one for all. ``quotas``: what each
    account may use, missing for no limit. ``ensure_settled`` (may be set later) is called before a
    message is removed that the queue may not have forgotten yet; it must return
    when it has (see ``storage.context.EnsureSettled``). ``may_repeat``, set later: see ``storage.context.MayRepeat``.
    """

    def __init__(
        self,
        data_dir: Path,
        feed: ChangeFeed,
        *,
        formats: Mapping[AccountName, MailFormat] | Callable[[AccountName], MailFormat] | MailFormat = "maildir",
        special_folders: Mapping[SpecialUse, MailboxName] | None = None,
        quotas: Mapping[AccountName, QuotaLimits] | None = None,
        hostname: str = "localhost",
        clock: Clock | None = None,
        summariser: Summariser | None = None,
        ensure_settled: EnsureSettled = no_settling_needed,
        ops: FileOps | None = None,
        trigrams: bool = False,
        lock_wait_s: float = 10.0,
    ) -> None:
        self._data_dir = data_dir
        self._feed = feed
        self._formats = formats
        self._special_folders = dict(special_folders or {})
        self._trigrams = trigrams
        self._quotas = dict(quotas or {})
        self._summariser = summariser or MessageSummariser()
        self.ensure_settled = ensure_settled
        self.may_repeat: MayRepeat = lambda: False
        self.vanished: Vanished = nobody_asks
        self._ops = ops or FileOps()
        clock = clock or _SystemClock()
        self._now_s = clock.now_s
        self._folders = FolderContext(self._ops, hostname, clock.now_s, clock.monotonic_s, self._new_uid_validity, lock_wait_s)
        self._recent = RecentDeliveries(self._may_repeat)
        self._settler = Settler(self._ops, lambda: os.fsencode(self._data_dir / "mail"))
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._accounts: dict[AccountName, FileMailStore] = {}
        self._indexes: OrderedDict[AccountName, AccountContext] = OrderedDict()
        self._kept: OrderedDict[int, FileMailbox] = OrderedDict()
        self._last_validity = 0

    def set_quotas(self, quotas: Mapping[AccountName, QuotaLimits]) -> None:
        """Use other quotas from now on; accounts that are over theirs keep what they have."""
        self._quotas = dict(quotas)

    def _new_uid_validity(self) -> int:
        """Seconds since the epoch, and never the same twice."""
        with self._lock:
            self._last_validity = max(self._last_validity + 1, int(self._now_s()))
            return self._last_validity

    def _format_of(self, account: AccountName) -> MailFormat:
        if isinstance(self._formats, str):
            return self._formats
        if callable(self._formats):
            return self._formats(account)
        return self._formats.get(account, "maildir")

    def account(self, account: AccountName) -> "FileMailStore":
        store = self._accounts.get(account)
        if store is not None:
            return store
        if not account or account.startswith(".") or "/" in account or "\0" in account:
            raise InvalidNameError(f"account {account!r}")
        # Two sessions may open a new account at once; it is prepared, and has a lock, only once.
        with self._making:
            store = self._accounts.get(account)
            if store is None:
                store = self._accounts[account] = self._make(account)
            return store

    def _make(self, account: AccountName) -> "FileMailStore":
        # Loaded with the first account: idle servers are smaller for it.
        from appliance.storage.index import Index
        from appliance.storage.store import FileMailStore
        from appliance.storage.text_index import TextIndex

        mail = os.fsencode(self._data_dir / "mail")
        root = mail + b"/" + os.fsencode(account)
        with resource_errors("make mail directory"):
            for path in (os.fsencode(self._data_dir), mail, root):
                self._ops.make_directory(path)
        context = AccountContext(
            account,
            self._folders,
            Index(self._data_dir / "index" / f"{account}.db"),
            TextIndex(self._data_dir / "index" / f"{account}.text", trigrams=self._trigrams),
            self._summariser,
            self._feed,
            self._recent,
            self._ensure_settled,
            self._now_s,
            self._tell_vanished,
        )
        layout = self._layout(account, root)
        return FileMailStore(context, layout, root, self._special_folders, lambda: self._quotas.get(account, QuotaLimits()), self._keep)

    def _ensure_settled(self, queue_ids: Collection[QueueId]) -> None:
        self.ensure_settled(queue_ids)  # looked up late: the queue is made after its stores

    def _may_repeat(self) -> bool:
        return self.may_repeat()

    def _tell_vanished(self, account: AccountName, mailbox: MailboxName, queue_ids: Sequence[QueueId]) -> None:
        self.vanished(account, mailbox, queue_ids)

    def _layout(self, account: AccountName, root: bytes) -> "Layout":
        if self._format_of(account) == "maildir":
            from appliance.storage.layout import MaildirLayout

            return MaildirLayout(self._folders, root)
        from appliance.storage.mbox_layout import MboxLayout

        return MboxLayout(self._folders, root, account)

    def _keep(self, mailbox: "FileMailbox") -> None:
        """Keep a mailbox in memory although no session holds it; the least recently used go first."""
        with self._lock:
            kept = self._kept
            is_known = id(mailbox) in kept
            kept[id(mailbox)] = mailbox
            kept.move_to_end(id(mailbox))
            if is_known:
                return
            messages = sum(len(one.folder.table) for one in kept.values())
            while len(kept) > MAX_KEPT_MAILBOXES or (messages > MAX_KEPT_MESSAGES and len(kept) > 1):
                messages -= len(kept.popitem(last=False)[1].folder.table)
            context = mailbox.context
            self._indexes[context.account] = context
            self._indexes.move_to_end(context.account)
            idle = self._indexes.popitem(last=False)[1] if len(self._indexes) > MAX_OPEN_INDEXES else None
        if idle is not None and idle.lock.acquire(blocking=False):  # busy: its turn comes again
            try:
                idle.index.close()
                idle.texts.close()
            finally:
                idle.lock.release()

    def deliver(self, account: AccountName, messages: Sequence[tuple[MailboxName, NewMessage]]) -> Sequence[ApplianceError | None]:
        pending: list[Pending] = []
        try:
            return self.account(account).deliver(messages, pending)
        except ApplianceError as error:
            return [error] * len(messages)
        finally:
            self._settler.add(pending)

    def watch_paths(self, account: AccountName, name: MailboxName) -> list[Path]:
        """Return the directories and files that change when a mailbox does: the change feed watches them."""
        return self.account(account).watch_paths(name)

    def settle(self) -> None:
        self._recent.begin_settling()
        self._save_kept(whole=False)
        try:
            self._settler.settle()
        except BaseException:
            self._recent.settling_failed()
            raise

    def _save_kept(self, *, whole: bool) -> None:
        with self._lock:
            kept = list(self._kept.values())
        for mailbox in kept:
            mailbox.save(whole=whole)

    def close(self) -> None:
        """Settle, and close every index. Blocks: disk."""
        self.settle()
        self._save_kept(whole=True)
        for store in list(self._accounts.values()):
            store.close()
        self._folders.watches.close()
