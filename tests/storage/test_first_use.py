"""An account's first use, from two sessions at once."""

import threading
from pathlib import Path

from appliance.model.changes import NameChange
from appliance.model.ids import AccountName, MailboxName
from appliance.storage.stores import FileMailStores


class _Silent:
    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        """Nobody listens."""

    def publish_name(self, account: AccountName, change: NameChange) -> None: ...

    def subscribe(self, account: AccountName, mailbox: MailboxName) -> object:
        raise NotImplementedError


def test_two_threads_get_one_store(tmp_path: Path) -> None:
    """Delivery and a login may meet at a new account: both get the same store, prepared once."""
    stores = FileMailStores(tmp_path, _Silent())  # type: ignore[arg-type]
    barrier = threading.Barrier(8)
    found: list[object] = []

    def use() -> None:
        barrier.wait()
        found.append(stores.account(AccountName("ana")))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[0]] * 8 == found
    stores.close()
